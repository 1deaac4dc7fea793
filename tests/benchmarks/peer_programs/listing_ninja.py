"""A listing as users of django-ninja write it: a schema of the response."""

from datetime import datetime
from uuid import UUID

from django.core.wsgi import get_wsgi_application
from django.urls import path
from listing_django import newest
from ninja import Field, NinjaAPI, Schema

api = NinjaAPI()


class OfferOut(Schema):
    id: UUID
    offer_id: str
    merchant: str = Field(alias="merchant.slug")
    merchant_name: str = Field(alias="merchant.name")
    kind: str
    title: str
    image_link: str
    price_minor: int | None
    sale_price_minor: int | None
    price_now_minor: int | None
    net_price_minor: int | None = Field(alias="price_now_minor")
    currency: str | None
    availability: str
    brand: str
    category: str = Field(alias="google_product_category")
    rate_category: str
    cashback_eligible: bool
    coupon_code: str
    ends_at: datetime | None


class Page(Schema):
    items: list[OfferOut]
    next_cursor: UUID | None


@api.get("/offers", response=Page)
def list_offers(request, limit: int = 20, before: UUID | None = None, merchant: str | None = None):
    offers = newest(limit, before, merchant)
    page = offers[:limit]
    return {"items": page, "next_cursor": page[-1].id if len(offers) > limit else None}


urlpatterns = [path("", api.urls)]
application = get_wsgi_application()
