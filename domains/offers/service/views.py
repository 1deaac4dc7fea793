"""What leaves the offers domain: plain frozen values, never rows."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class SyncCounters:
    """received = created + updated + unchanged + withdrawn_by_item + stale + duplicates + rejected."""

    received: int
    created: int
    updated: int
    unchanged: int
    withdrawn_by_item: int
    stale: int
    duplicates: int
    rejected: int
    withdrawn_unseen: int
    warnings: int


@dataclass(frozen=True, slots=True)
class SyncView:
    """A sync as callers see it. `merchant` is the slug; `processed` counts items looked at so far.

    `settled`: nothing more happens by itself; it has ended, or waits for an operator.
    """

    id: UUID
    merchant: str
    mode: str
    state: str
    settled: bool
    source: str
    committed_offset: int
    processed: int
    counters: SyncCounters
    reason: str
    message: str
    catalogue_version: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    trace_id: str | None


@dataclass(frozen=True, slots=True)
class SyncIssueView:
    """One thing that was wrong with one item. `severity` is 'error' (the row was dropped) or 'warning'."""

    id: int
    offset: int
    line: int
    offer_id: str
    severity: str
    code: str
    field: str
    message: str
    value: str


@dataclass(frozen=True, slots=True)
class OfferRef:
    """What other domains need of an offer. `offer_id` is the merchant's own, `id` is ours."""

    id: UUID
    merchant_id: UUID
    offer_id: str
    title: str
    link: str
    price_minor: int | None
    currency: str | None
    rate_category: str
    cashback_eligible: bool


@dataclass(frozen=True, slots=True)
class PricePoint:
    """A price and when it held; `valid_until` is None for the present one."""

    valid_from: datetime
    valid_until: datetime | None
    price_minor: int | None
    sale_price_minor: int | None
    currency: str | None
