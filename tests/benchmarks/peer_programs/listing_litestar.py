"""A listing as Litestar's users write it: SQLAlchemy's ORM, msgspec's structs."""

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from listing_models import Offer, engine, newest
from litestar import Litestar, get
from litestar.di import Provide
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

sessions = async_sessionmaker(engine(), expire_on_commit=False)


async def provide_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


class OfferOut(Struct):
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


def offer_out(offer: Offer) -> OfferOut:
    price_now_minor = offer.price_now_minor
    return OfferOut(
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


class Page(Struct):
    items: list[OfferOut]
    next_cursor: UUID | None


@get("/offers")
async def list_offers(
    session: AsyncSession, limit: int = 20, before: UUID | None = None, merchant: str | None = None
) -> Page:
    offers = (await session.scalars(newest(limit, before, merchant))).all()
    page = [offer_out(offer) for offer in offers[:limit]]
    return Page(items=page, next_cursor=page[-1].id if len(offers) > limit else None)


app = Litestar([list_offers], dependencies={"session": Provide(provide_session)})
