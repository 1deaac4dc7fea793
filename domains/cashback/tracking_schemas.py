"""REST shapes of how merchants track."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from domains.cashback.service import TrackingState


class TrackingNoticeOut(BaseModel):
    """What to know before going. A figure is null where too few sales stand behind it.

    `lag`: from the sale to its appearing here; `confirmation`: from the sale to the merchant's yes. `outage`: since
    `outage_since`, fewer sales come than should; `notice` says so in words.
    """

    model_config = ConfigDict(from_attributes=True)

    lag_p50_s: int | None
    lag_p95_s: int | None
    confirmation_p50_s: int | None
    confirmation_p95_s: int | None
    confirmed_percent: int | None
    declined_percent: int | None
    decided_sample: int
    outage: bool
    outage_since: datetime | None
    notice: str | None


class TrackingStatsOut(TrackingNoticeOut):
    """Of the last `window_days`. A figure is null where fewer than `min_sample` sales stand behind it.

    `state`: whether the `window_sales` of the last `window_hours` are what was expected, low, or high; unknown where
    they are too few to tell. `computed_at` is null while nothing was counted yet.
    """

    merchant: str
    window_days: int
    min_sample: int
    clicks: int
    sales: int
    lag_sample: int
    confirmation_sample: int
    state: TrackingState
    window_hours: int | None
    window_sales: int | None
    expected_sales: int | None
    computed_at: datetime | None
