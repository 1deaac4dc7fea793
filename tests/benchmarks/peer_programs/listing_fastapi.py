"""A listing as FastAPI's users write it: SQLAlchemy's ORM, a response model."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI
from listing_models import Offer, engine, newest
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

sessions = async_sessionmaker(engine(), expire_on_commit=False)
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


class OfferOut(BaseModel):
    id: UUID
    offer_id: str
    merchant: str
    merchant_name: str
    kind: str
    title: str
    image_link: str
    price_minor: int | None
    sale_price_minor: int | None
    price_now_minor: int | None
    net_price_minor: int | None
    currency: str | None
    availability: str
    brand: str
    category: str
    rate_category: str
    cashback_eligible: bool
    coupon_code: str
    ends_at: datetime | None

    @classmethod
    def of(cls, offer: Offer) -> "OfferOut":
        price_now_minor = offer.price_now_minor
        return cls(
            id=offer.id,
            offer_id=offer.offer_id,
            merchant=offer.merchant.slug,
            merchant_name=offer.merchant.name,
            kind=offer.kind,
            title=offer.title,
            image_link=offer.image_link,
            price_minor=offer.price_minor,
            sale_price_minor=offer.sale_price_minor,
            price_now_minor=price_now_minor,
            net_price_minor=price_now_minor,
            currency=offer.currency,
            availability=offer.availability,
            brand=offer.brand,
            category=offer.google_product_category,
            rate_category=offer.rate_category,
            cashback_eligible=offer.cashback_eligible,
            coupon_code=offer.coupon_code,
            ends_at=offer.ends_at,
        )


class Page(BaseModel):
    items: list[OfferOut]
    next_cursor: UUID | None


@app.get("/offers")
async def list_offers(
    session: Annotated[AsyncSession, Depends(get_session)],
    limit: int = 20,
    before: UUID | None = None,
    merchant: str | None = None,
) -> Page:
    offers = (await session.scalars(newest(limit, before, merchant))).all()
    page = [OfferOut.of(offer) for offer in offers[:limit]]
    return Page(items=page, next_cursor=page[-1].id if len(offers) > limit else None)
