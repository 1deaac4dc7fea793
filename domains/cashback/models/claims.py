"""What customers claim about sales, what was said about it, and who approved what was given."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from domains.cashback.states import ClaimAuthor, ClaimResolution, ClaimState
from wapsi.db import Base
from wapsi.db.base import AmountMinor, CreatedAt, Currency, PrimaryID


def _one_of(column: str, values: type) -> CheckConstraint:
    words = ", ".join(repr(str(value)) for value in values)  # type: ignore[attr-defined]  # a StrEnum
    return CheckConstraint(f"{column} IN ({words})", name=column)


class ClaimRow(Base):
    """A customer says that cashback is missing or wrong. `decision_code` says why the claim stands where it does.

    `due_at`: it expires then, unless whoever is asked has answered. An approved one was settled by `resolution`: by the
    sale `conversion_id`, or by `goodwill_minor` of ours. `approval_round` counts its moves: an approval is good for the
    round in which it was given.
    """

    __tablename__ = "claims"
    __table_args__ = (
        _one_of("state", ClaimState),
        _one_of("resolution", ClaimResolution),
        CheckConstraint("order_amount_minor > 0", name="order_amount_minor"),
        CheckConstraint("goodwill_minor > 0", name="goodwill_minor"),
        Index("ix_claims_customer_id_id", "customer_id", "id"),
        Index("ix_claims_state_id", "state", "id"),
        Index("ix_claims_merchant_id_order_id", "merchant_id", "order_id"),
        Index("ix_claims_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        UniqueConstraint("customer_id", "merchant_id", "order_id"),
    )

    id: Mapped[PrimaryID]
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    state: Mapped[str]
    reason_code: Mapped[str]
    click_id: Mapped[UUID]
    order_id: Mapped[str]
    order_amount_minor: Mapped[AmountMinor]
    currency: Mapped[Currency]
    note: Mapped[str] = mapped_column(server_default="")
    decision_code: Mapped[str] = mapped_column(server_default="")
    due_at: Mapped[datetime | None]
    approval_round: Mapped[int] = mapped_column(server_default="0")
    resolution: Mapped[str | None]
    conversion_id: Mapped[UUID | None]
    goodwill_minor: Mapped[AmountMinor | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class ClaimMessageRow(Base):
    """What the customer and operators wrote to each other about a claim. Written once; gone with the customer."""

    __tablename__ = "claim_messages"
    __table_args__ = (_one_of("author", ClaimAuthor), Index("ix_claim_messages_claim_id_id", "claim_id", "id"))

    id: Mapped[PrimaryID]
    claim_id: Mapped[UUID] = mapped_column(ForeignKey("claims.id"))
    author: Mapped[str]
    actor: Mapped[str]
    text: Mapped[str]
    at: Mapped[CreatedAt]


class ClaimApprovalRow(Base):
    """One operator's word that a customer is given so much. Written once."""

    __tablename__ = "claim_approvals"
    __table_args__ = (
        UniqueConstraint("claim_id", "round", "operator_id", name="uq_claim_approvals_claim_id_round_operator_id"),
        CheckConstraint("amount_minor > 0", name="amount_minor"),
    )

    id: Mapped[PrimaryID]
    claim_id: Mapped[UUID] = mapped_column(ForeignKey("claims.id"))
    round: Mapped[int]
    operator_id: Mapped[UUID]
    amount_minor: Mapped[AmountMinor]
    reason_code: Mapped[str]
    at: Mapped[CreatedAt]
