"""The ledger's tables. Nothing in them is ever changed but the customers' own balances, which guard overdraft."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import AmountMinor, CreatedAt, Currency, PrimaryID


class AccountRow(Base):
    """An account in one currency. `customer_id` is set on customers' own accounts: those have a guarded balance."""

    __tablename__ = "ledger_accounts"
    __table_args__ = (
        UniqueConstraint("path", "currency"),
        CheckConstraint("normal_side IN ('debit', 'credit')", name="normal_side"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        Index("ix_ledger_accounts_customer_id", "customer_id", postgresql_where=text("customer_id IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    path: Mapped[str]
    currency: Mapped[Currency]
    normal_side: Mapped[str]
    customer_id: Mapped[UUID | None] = mapped_column(ForeignKey("customers.id"))
    created_at: Mapped[CreatedAt]


class BalanceRow(Base):
    """What a customer's own account holds, on its normal side. The only ledger row that is updated."""

    __tablename__ = "ledger_balances"
    __table_args__ = (CheckConstraint("balance_minor >= 0", name="balance_minor"),)

    account_id: Mapped[int] = mapped_column(ForeignKey("ledger_accounts.id"), primary_key=True, autoincrement=False)
    balance_minor: Mapped[AmountMinor] = mapped_column(server_default="0")
    updated_at: Mapped[CreatedAt]


class TransactionRow(Base):
    """One posting. `source` and `external_id` name its cause and keep it from taking effect twice.

    A posting that is pending is settled by the one that `resolves_id` points from; `amends_id` and `reverses_id`
    point at the posting that is corrected or taken back.
    """

    __tablename__ = "ledger_transactions"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        UniqueConstraint("resolves_id"),
        Index("ix_ledger_transactions_reverses_id", "reverses_id", postgresql_where=text("reverses_id IS NOT NULL")),
        Index("ix_ledger_transactions_amends_id", "amends_id", postgresql_where=text("amends_id IS NOT NULL")),
        CheckConstraint("num_nonnulls(resolves_id, reverses_id, amends_id) <= 1", name="one_reference"),
    )

    id: Mapped[PrimaryID]
    kind: Mapped[str]
    source: Mapped[str]
    external_id: Mapped[str]
    description: Mapped[str]
    posted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    trace_id: Mapped[str | None]
    resolves_id: Mapped[UUID | None] = mapped_column(ForeignKey("ledger_transactions.id"))
    reverses_id: Mapped[UUID | None] = mapped_column(ForeignKey("ledger_transactions.id"))
    amends_id: Mapped[UUID | None] = mapped_column(ForeignKey("ledger_transactions.id"))


class EntryRow(Base):
    """One line of a posting: debits are positive, credits negative.

    No foreign keys: their checks would lock the row of a shared account, for every posting at once, and are made one
    by one. The trigger that balances postings also checks that posting and accounts exist; none is ever deleted.
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint("amount_minor <> 0", name="amount_minor"),
        Index("ix_ledger_entries_transaction_id", "transaction_id"),
        Index("ix_ledger_entries_account_id_id", "account_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    transaction_id: Mapped[UUID]
    account_id: Mapped[int] = mapped_column(BigInteger)
    amount_minor: Mapped[AmountMinor]
    currency: Mapped[Currency]


class StateChangeRow(Base):
    """One move of a conversion, reward, claim, payout or bonus: who moved it, why, and which event did."""

    __tablename__ = "state_changes"
    __table_args__ = (
        Index("ix_state_changes_entity_entity_id_id", "entity", "entity_id", "id"),
        CheckConstraint("entity IN ('conversion', 'reward', 'claim', 'payout', 'bonus')", name="entity"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    entity: Mapped[str]
    entity_id: Mapped[UUID]
    from_state: Mapped[str | None]
    to_state: Mapped[str]
    reason_code: Mapped[str]
    actor: Mapped[str]
    event_id: Mapped[UUID | None]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    trace_id: Mapped[str | None]
    at: Mapped[CreatedAt]


class SealRow(Base):
    """A batch of entries with their digests, and a MAC that covers the seal before it. See service/seals.py."""

    __tablename__ = "ledger_seals"
    __table_args__ = (CheckConstraint("number >= 1 AND first_entry_id <= last_entry_id", name="range"),)

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    first_entry_id: Mapped[int] = mapped_column(BigInteger)
    last_entry_id: Mapped[int] = mapped_column(BigInteger)
    entry_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    digests: Mapped[bytes] = mapped_column(LargeBinary)
    rows_hash: Mapped[bytes] = mapped_column(LargeBinary)
    mac: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[CreatedAt]


class CheckRow(Base):
    """How far the seals were verified, and how far their older ones anew."""

    __tablename__ = "ledger_checks"

    name: Mapped[str] = mapped_column(primary_key=True)
    verified_to: Mapped[int] = mapped_column(BigInteger)
    revisited_to: Mapped[int] = mapped_column(BigInteger)
    checked_at: Mapped[CreatedAt]


class VerificationRow(Base):
    """What a verification of all invariants and of seals found: of each violation its invariant, subject, message."""

    __tablename__ = "ledger_verifications"

    id: Mapped[PrimaryID]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    violations: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
