"""REST shapes of the offers domain. Amounts are in minor units of `currency`."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class _FromView(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Offer(_FromView):
    """`id` is ours, `offer_id` the merchant's. `price_now_minor` is the sale price while the sale runs."""

    id: UUID
    offer_id: str
    merchant: str
    merchant_name: str
    kind: str
    title: str
    description: str
    image_link: str
    additional_image_links: list[str]
    price_minor: int | None
    sale_price_minor: int | None
    price_now_minor: int | None
    currency: str | None
    availability: str
    brand: str
    category: str
    product_types: list[str]
    gtins: list[str]
    mpn: str
    item_group_id: str
    condition: str
    color: str
    size: str
    gender: str
    age_group: str
    adult: bool
    rate_category: str
    cashback_eligible: bool
    custom_attributes: dict[str, str]
    coupon_code: str
    starts_at: datetime | None
    ends_at: datetime | None
    expires_at: datetime | None
    last_seen_at: datetime


class PricePoint(_FromView):
    valid_from: datetime
    valid_until: datetime | None
    price_minor: int | None
    sale_price_minor: int | None
    currency: str | None


class PriceHistory(BaseModel):
    """Newest first; the first one is the present price."""

    prices: list[PricePoint]


class SyncCounters(_FromView):
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


class Sync(_FromView):
    """`state`: open, queued, processing, succeeded, partial, failed, quarantined or cancelled."""

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
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    trace_id: str | None


class SyncIssue(_FromView):
    offset: int
    line: int
    offer_id: str
    severity: str
    code: str
    field: str
    message: str
    value: str
