"""The tables as SQLAlchemy's ORM has them, for FastAPI's and Litestar's listing. Where they are: see `engine`."""

import os
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Select, select
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Merchant(Base):
    __tablename__ = "merchants"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]


class Offer(Base):
    __tablename__ = "offers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    merchant: Mapped[Merchant] = relationship()
    offer_id: Mapped[str]
    status: Mapped[str]
    kind: Mapped[str]
    title: Mapped[str]
    image_link: Mapped[str]
    price_minor: Mapped[int | None]
    sale_price_minor: Mapped[int | None]
    sale_starts_at: Mapped[datetime | None]
    sale_ends_at: Mapped[datetime | None]
    currency: Mapped[str | None]
    availability: Mapped[str]
    brand: Mapped[str]
    google_product_category: Mapped[str]
    rate_category: Mapped[str]
    cashback_eligible: Mapped[bool]
    coupon_code: Mapped[str]
    ends_at: Mapped[datetime | None]

    @property
    def price_now_minor(self) -> int | None:
        now = datetime.now(UTC)
        on_sale = (
            self.sale_price_minor is not None
            and (self.sale_starts_at is None or self.sale_starts_at <= now)
            and (self.sale_ends_at is None or now < self.sale_ends_at)
        )
        return self.sale_price_minor if on_sale else self.price_minor


def engine() -> AsyncEngine:
    url = URL.create(
        "postgresql+asyncpg",
        username="postgres",
        database=os.environ["PEER_DATABASE"],
        query={"host": os.environ["PEER_SOCKET_FOLDER"], "port": "5432"},
    )
    return create_async_engine(url)


def newest(limit: int, before: UUID | None, merchant: str | None) -> Select[tuple[Offer]]:
    statement = select(Offer).options(joinedload(Offer.merchant, innerjoin=True)).where(Offer.status == "active")
    if merchant is not None:
        statement = statement.where(
            Offer.merchant_id == select(Merchant.id).where(Merchant.slug == merchant).scalar_subquery()
        )
    if before is not None:
        statement = statement.where(Offer.id < before)
    return statement.order_by(Offer.id.desc()).limit(limit + 1)
