"""What was left on accounts that are gone."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import AmountMinor, CreatedAt, Currency, PrimaryID


class ForfeitureRow(Base):
    """One posting that emptied an account of a customer who has left: `available` was theirs, `owed` was ours."""

    __tablename__ = "forfeitures"
    __table_args__ = (
        CheckConstraint("bucket IN ('available', 'owed')", name="bucket"),
        CheckConstraint("amount_minor > 0", name="amount_minor"),
        Index("ix_forfeitures_customer_id", "customer_id"),
    )

    id: Mapped[PrimaryID]
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    bucket: Mapped[str]
    amount_minor: Mapped[AmountMinor]
    currency: Mapped[Currency]
    transaction_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_transactions.id"))
    at: Mapped[CreatedAt]
