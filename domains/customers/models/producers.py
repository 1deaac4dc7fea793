"""Programs that bring offers and report sales."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID


class ProducerRow(Base):
    """A program that brings offers or reports sales. Of its key only the prefix and a hash are kept."""

    __tablename__ = "producers"

    id: Mapped[PrimaryID]
    name: Mapped[str]
    key_prefix: Mapped[str] = mapped_column(unique=True)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    network_id: Mapped[UUID | None] = mapped_column(ForeignKey("affiliate_networks.id"))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class ProducerMerchantRow(Base):
    """A merchant that a producer may speak for."""

    __tablename__ = "producer_merchants"
    __table_args__ = (PrimaryKeyConstraint("producer_id", "merchant_id"),)

    producer_id: Mapped[UUID] = mapped_column(ForeignKey("producers.id"))
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
