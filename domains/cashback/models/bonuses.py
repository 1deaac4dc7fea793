"""Bonuses, the rules that they are given by, and how far the search for their causes has come."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from domains.cashback.states import BonusKind, BonusState
from wapsi.db import Base
from wapsi.db.base import AmountMinor, CreatedAt, Currency, PrimaryID

_BOOKED = text("state IN ('pending', 'held', 'confirmed')")


class BonusRuleRow(Base):
    """Who joins in [starts_at, ends_at) is promised it; it only ever changes by ending. `spent_minor` is what its
    bonuses that are booked come to."""

    __tablename__ = "bonus_rules"
    __table_args__ = (
        CheckConstraint(f"kind IN ({', '.join(repr(kind.value) for kind in BonusKind)})", name="kind"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint("amount_minor > 0 AND min_reward_minor >= 0", name="amounts"),
        CheckConstraint("max_per_customer >= 1", name="max_per_customer"),
        CheckConstraint("spent_minor BETWEEN 0 AND coalesce(budget_minor, spent_minor)", name="budget_minor"),
        CheckConstraint("within_days BETWEEN 1 AND 730 AND hold_days BETWEEN 0 AND 365", name="days"),
        CheckConstraint("ends_at >= starts_at", name="ends_at"),
    )

    id: Mapped[PrimaryID]
    name: Mapped[str]
    terms: Mapped[str] = mapped_column(server_default="")
    kind: Mapped[str]
    currency: Mapped[Currency]
    amount_minor: Mapped[AmountMinor]
    min_reward_minor: Mapped[AmountMinor]
    within_days: Mapped[int]
    hold_days: Mapped[int]
    max_per_customer: Mapped[int | None]
    budget_minor: Mapped[int | None] = mapped_column(BigInteger)
    spent_minor: Mapped[AmountMinor] = mapped_column(server_default="0")
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class BonusRow(Base):
    """One bonus: `customer_id` gets it because `newcomer_id` has earned `reward_id`. One effect a cause.

    No foreign keys on customers and rewards, which are never deleted.
    """

    __tablename__ = "bonuses"
    __table_args__ = (
        UniqueConstraint("rule_id", "customer_id", "reward_id"),
        CheckConstraint(f"state IN ({', '.join(repr(state.value) for state in BonusState)})", name="state"),
        CheckConstraint("amount_minor > 0", name="amount_minor"),
        Index("uq_bonuses_booked", "rule_id", "customer_id", "newcomer_id", unique=True, postgresql_where=_BOOKED),
        Index("ix_bonuses_customer_id_id", "customer_id", "id"),
        Index("ix_bonuses_state_id", "state", "id"),
        Index("ix_bonuses_newcomer_id", "newcomer_id"),
        Index("ix_bonuses_reward_id", "reward_id"),
        Index("ix_bonuses_pending", "available_at", postgresql_where=text("state = 'pending'")),
    )

    id: Mapped[PrimaryID]
    rule_id: Mapped[UUID] = mapped_column(ForeignKey("bonus_rules.id"))
    customer_id: Mapped[UUID]
    newcomer_id: Mapped[UUID]
    reward_id: Mapped[UUID]
    state: Mapped[str]
    amount_minor: Mapped[AmountMinor]
    currency: Mapped[Currency]
    reason_code: Mapped[str]
    available_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    posting_id: Mapped[UUID | None] = mapped_column(ForeignKey("ledger_transactions.id"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class BonusSearchRow(Base):
    """All changes of state up to this one have been looked at."""

    __tablename__ = "bonus_search"

    name: Mapped[str] = mapped_column(primary_key=True)
    state_change_id: Mapped[int] = mapped_column(BigInteger)
