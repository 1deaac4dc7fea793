"""Withdrawals, and the sandbox provider's own books, which stand outside our transactions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from domains.cashback.states import PayoutState
from wapsi.db import Base
from wapsi.db.base import AmountMinor, CreatedAt, Currency, PrimaryID


class PayoutRow(Base):
    """One withdrawal; its id is the key that the provider knows it by. `destination` is masked.

    `approval_round` counts how often it was held: an approval is good for the round in which it was given.
    """

    __tablename__ = "payouts"
    __table_args__ = (
        CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in PayoutState)})", name="state"),
        CheckConstraint("amount_minor > 0", name="amount_minor"),
        Index("ix_payouts_customer_id_id", "customer_id", "id"),
        Index("ix_payouts_unsettled", "updated_at", postgresql_where=text("state IN ('processing', 'unknown')")),
    )

    id: Mapped[PrimaryID]
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    payout_method_id: Mapped[UUID] = mapped_column(ForeignKey("payout_methods.id"))
    destination: Mapped[str]
    amount_minor: Mapped[AmountMinor]
    currency: Mapped[Currency]
    state: Mapped[str]
    reason_code: Mapped[str] = mapped_column(server_default="")
    approval_round: Mapped[int] = mapped_column(server_default="0")
    provider: Mapped[str]
    provider_reference: Mapped[str | None]
    sent_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    trace_id: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class PayoutApprovalRow(Base):
    """One operator's word that a held payout may be sent. Written once."""

    __tablename__ = "payout_approvals"
    __table_args__ = (
        UniqueConstraint("payout_id", "round", "operator_id", name="uq_payout_approvals_payout_id_round_operator_id"),
    )

    id: Mapped[PrimaryID]
    payout_id: Mapped[UUID] = mapped_column(ForeignKey("payouts.id"))
    round: Mapped[int]
    operator_id: Mapped[UUID]
    reason_code: Mapped[str]
    at: Mapped[CreatedAt]


class SandboxPayoutRow(Base):
    """What the sandbox provider did under a key. Its books, not ours: written in its own transaction."""

    __tablename__ = "sandbox_payouts"
    __table_args__ = (CheckConstraint("status IN ('paid', 'failed')", name="status"),)

    key: Mapped[UUID] = mapped_column(primary_key=True)
    amount_minor: Mapped[AmountMinor]
    currency: Mapped[Currency]
    status: Mapped[str]
    reason: Mapped[str] = mapped_column(server_default="")
    at: Mapped[CreatedAt]
