"""What customers keep an eye on."""

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID


class FavouriteKind(StrEnum):
    MERCHANT = "merchant"
    OFFER = "offer"


class FavouriteRow(Base):
    """`thing_id` is a merchant's or an offer's, looked up by whoever adds it: this domain knows neither.

    No foreign key on it: withdrawn offers are deleted by the hundred thousand, and none may wait for a favourite.
    """

    __tablename__ = "favourites"
    __table_args__ = (
        CheckConstraint("kind IN ('merchant', 'offer')", name="kind"),
        UniqueConstraint("customer_id", "kind", "thing_id"),
        Index("ix_favourites_customer_id_id", "customer_id", "id"),
    )

    id: Mapped[PrimaryID]
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    kind: Mapped[str]
    thing_id: Mapped[UUID]
    created_at: Mapped[CreatedAt]
