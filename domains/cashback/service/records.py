"""Sales, rewards and events on their way through a group: plain values, written together at its end.

Not frozen, and neither are the others that each event makes anew, such as its report, cause and price: those take
three times as long to make, and a group makes a dozen for each sale.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from domains.cashback.service.events import LineItem
from wapsi.clock import now


@dataclass(slots=True)
class Conversion:
    """A row of `conversions`; the fields are its columns, in this order, those that never change first."""

    id: UUID
    source: str
    network_id: UUID | None
    external_id: str
    merchant_id: UUID
    currency: str
    trace_id: str | None
    click_id: UUID | None
    customer_id: UUID | None
    state: str
    network_state: str
    raw_status: str
    mapping_version: int | None
    order_amount_minor: int
    commission_minor: int
    rate_category: str
    line_items: list[LineItem]
    customer_type: str
    occurred_at: datetime
    last_event_at: datetime
    reason_code: str
    network_reason: str
    attribution: list[Any]
    posting_id: UUID | None
    updated_at: datetime


@dataclass(slots=True)
class Reward:
    """A row of `rewards`; as with sales, those that never change first."""

    id: UUID
    conversion_id: UUID
    customer_id: UUID
    merchant_id: UUID
    currency: str
    rate_schedule_version: int
    expected_confirmation_at: datetime
    confirmation: str
    clawback: str
    created_at: datetime
    state: str
    amount_minor: int
    pricing: dict[str, Any]
    reason_code: str
    waived_minor: int
    confirmed_at: datetime | None
    updated_at: datetime


@dataclass(slots=True)
class Event:
    """A row of `conversion_events`, handled."""

    id: UUID
    source: str
    external_event_id: str
    door: str
    raw: bytes
    fields: orjson.Fragment
    raw_status: str
    mapping_version: int | None
    outcome: str
    error: str | None
    message: str | None
    conversion_id: UUID | None
    actor: str
    trace_id: str | None
    handled_at: datetime = field(default_factory=now)


@dataclass(slots=True)
class Adjustment:
    """A row of `conversion_adjustments`."""

    id: UUID
    conversion_id: UUID
    event_id: UUID
    order_amount_before_minor: int
    order_amount_after_minor: int
    commission_before_minor: int
    commission_after_minor: int
    reward_before_minor: int
    reward_after_minor: int
    network_reason: str
    transaction_id: UUID | None


@dataclass(slots=True)
class Change:
    """A row of `state_changes`."""

    entity: str
    entity_id: UUID
    from_state: str | None
    to_state: str
    reason_code: str
    actor: str
    event_id: UUID | None
    detail: dict[str, Any]
    trace_id: str | None
