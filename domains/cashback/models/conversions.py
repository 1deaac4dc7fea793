"""Sales as networks report them, and what customers earn by them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from domains.cashback.states import ConversionState, Door, EventOutcome, RewardState
from wapsi.db import Base
from wapsi.db.base import AmountMinor, CreatedAt, Currency, PrimaryID


def _one_of(column: str, states: type) -> CheckConstraint:
    values = ", ".join(repr(str(state)) for state in states)  # type: ignore[attr-defined]  # a StrEnum
    return CheckConstraint(f"{column} IN ({values})", name=column)


class EventRow(Base):
    """The inbox: every event once, raw as it came, handled in the transaction that stored it.

    `source` is a network's slug, or `direct:` and a merchant's.
    """

    __tablename__ = "conversion_events"
    __table_args__ = (
        UniqueConstraint("source", "external_event_id"),
        _one_of("door", Door),
        _one_of("outcome", EventOutcome),
        Index("ix_conversion_events_conversion_id", "conversion_id"),
        Index(
            "ix_conversion_events_unresolved",
            "received_at",
            postgresql_where=text("outcome IN ('unknown_status', 'refused')"),
        ),
        Index(
            "ix_conversion_events_waiting",
            "received_at",
            postgresql_where=text("outcome = 'refused' AND error = 'SALE_NOT_KNOWN_YET'"),
        ),
    )

    id: Mapped[PrimaryID]
    source: Mapped[str]
    external_event_id: Mapped[str]
    door: Mapped[str]
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    fields: Mapped[dict[str, Any]]
    raw_status: Mapped[str]
    mapping_version: Mapped[int | None]
    received_at: Mapped[CreatedAt]
    handled_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    # The stable reason of an outcome other than applied, and the words to it.
    error: Mapped[str | None]
    message: Mapped[str | None]
    conversion_id: Mapped[UUID | None]
    actor: Mapped[str]
    trace_id: Mapped[str | None]


class ConversionRow(Base):
    """One sale. `network_state` is what the network last said, which an unattributed sale does not follow.

    `posting_id` is the ledger transaction that recorded it first. `attribution` lists the rules that tied it to a
    click, or did not. No foreign keys on merchant, network and customer, which are never
    deleted: their checks would lock the row of a popular merchant for every sale.
    """

    __tablename__ = "conversions"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        _one_of("state", ConversionState),
        CheckConstraint("order_amount_minor >= 0 AND commission_minor >= 0", name="amounts"),
        Index("ix_conversions_merchant_id_created_at", "merchant_id", "created_at"),
        Index("ix_conversions_click_id", "click_id", postgresql_where=text("click_id IS NOT NULL")),
        Index("ix_conversions_state_id", "state", "id"),
    )

    id: Mapped[PrimaryID]
    source: Mapped[str]
    network_id: Mapped[UUID | None]
    external_id: Mapped[str]
    merchant_id: Mapped[UUID]
    click_id: Mapped[UUID | None]
    customer_id: Mapped[UUID | None]
    state: Mapped[str]
    network_state: Mapped[str]
    raw_status: Mapped[str]
    mapping_version: Mapped[int | None]
    order_amount_minor: Mapped[AmountMinor]
    commission_minor: Mapped[AmountMinor]
    currency: Mapped[Currency]
    rate_category: Mapped[str] = mapped_column(server_default="")
    line_items: Mapped[list[Any]] = mapped_column(server_default="[]")
    customer_type: Mapped[str] = mapped_column(server_default="unknown")
    occurred_at: Mapped[datetime]
    last_event_at: Mapped[datetime]
    reason_code: Mapped[str] = mapped_column(server_default="")
    network_reason: Mapped[str] = mapped_column(server_default="")
    attribution: Mapped[list[Any]] = mapped_column(server_default="[]")
    posting_id: Mapped[UUID | None] = mapped_column(ForeignKey("ledger_transactions.id"))
    trace_id: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class AdjustmentRow(Base):
    """An amendment: amounts before and after, and the posting of the difference (none where nothing was booked)."""

    __tablename__ = "conversion_adjustments"
    __table_args__ = (Index("ix_conversion_adjustments_conversion_id", "conversion_id"),)

    id: Mapped[PrimaryID]
    conversion_id: Mapped[UUID] = mapped_column(ForeignKey("conversions.id"))
    event_id: Mapped[UUID] = mapped_column(ForeignKey("conversion_events.id"))
    order_amount_before_minor: Mapped[AmountMinor]
    order_amount_after_minor: Mapped[AmountMinor]
    commission_before_minor: Mapped[AmountMinor]
    commission_after_minor: Mapped[AmountMinor]
    reward_before_minor: Mapped[AmountMinor]
    reward_after_minor: Mapped[AmountMinor]
    network_reason: Mapped[str]
    transaction_id: Mapped[UUID | None] = mapped_column(ForeignKey("ledger_transactions.id"))
    at: Mapped[CreatedAt]


class MappingRow(Base):
    """A source's status words in ours: lower-case word to pending, approved, settled or declined."""

    __tablename__ = "status_mappings"
    __table_args__ = (UniqueConstraint("source", "version"), CheckConstraint("version >= 1", name="version"))

    id: Mapped[PrimaryID]
    source: Mapped[str]
    version: Mapped[int]
    mapping: Mapped[dict[str, str]]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class RewardRow(Base):
    """What a customer earns by a sale, priced from the receipt of the click. `pricing` shows the steps.

    `enquired_at`: the merchant is overdue with its decision and has been asked. `confirmation` and `clawback` are the
    terms of the receipt; `waived_minor` was taken back, and left to the customer who had withdrawn it.
    """

    __tablename__ = "rewards"
    __table_args__ = (
        UniqueConstraint("conversion_id"),
        _one_of("state", RewardState),
        CheckConstraint("amount_minor >= 0", name="amount_minor"),
        CheckConstraint("confirmation IN ('on_approval', 'after_validation')", name="confirmation"),
        CheckConstraint("clawback IN ('owed', 'waived')", name="clawback"),
        Index("ix_rewards_customer_id_id", "customer_id", "id"),
        Index(
            "ix_rewards_overdue",
            "expected_confirmation_at",
            postgresql_where=text("state = 'pending' AND enquired_at IS NULL"),
        ),
        Index("ix_rewards_enquiries", "id", postgresql_where=text("state = 'pending' AND enquired_at IS NOT NULL")),
    )

    id: Mapped[PrimaryID]
    conversion_id: Mapped[UUID] = mapped_column(ForeignKey("conversions.id"))
    customer_id: Mapped[UUID]
    merchant_id: Mapped[UUID]
    state: Mapped[str]
    amount_minor: Mapped[AmountMinor]
    currency: Mapped[Currency]
    rate_schedule_version: Mapped[int]
    pricing: Mapped[dict[str, Any]]
    reason_code: Mapped[str] = mapped_column(server_default="")
    expected_confirmation_at: Mapped[datetime]
    confirmation: Mapped[str] = mapped_column(server_default="on_approval")
    clawback: Mapped[str] = mapped_column(server_default="owed")
    waived_minor: Mapped[AmountMinor] = mapped_column(server_default="0")
    enquired_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
