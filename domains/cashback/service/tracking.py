"""Counts clicks and sales by the hour, and works out from them how each merchant tracks. Done in a job, never for who
asks: what it costs depends on what comes in, and not on how many look."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from opentelemetry import metrics
from sqlalchemy import delete, select, text

from domains.cashback.models import TrackingHourRow, TrackingRow
from domains.cashback.service.outages import HOURS_NEEDED, Counts, judge
from domains.cashback.states import TrackingState
from domains.merchants import service as merchants
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.ids import least_id
from wapsi.queue.jobs import Job
from wapsi.telemetry.lately import LatelyCounted

log = structlog.get_logger(__name__)

WATCH_EVERY_S = 900
WINDOW_DAYS = 90
# Of a merchant, so many of the newest sales are looked at.
NEWEST = 10_000
# Counted once more, for what was committed after the last count.
RECOUNTED = timedelta(hours=2)
COUNTED_AT_ONCE = timedelta(days=1)

low = LatelyCounted(WATCH_EVERY_S)
high = LatelyCounted(WATCH_EVERY_S)
_meter = metrics.get_meter(__name__)
_meter.create_observable_gauge(
    "wapsi.tracking.low", [low.observe], unit="{merchant}", description="Merchants with fewer sales than expected."
)
_meter.create_observable_gauge(
    "wapsi.tracking.high", [high.observe], unit="{merchant}", description="Merchants with more sales than expected."
)

# By their ids, which hold their times: no index is kept for this.
_COUNT = text(
    "INSERT INTO tracking_hours (merchant_id, hour, clicks, sales)"
    " SELECT merchant_id, hour, sum(clicks), sum(sales) FROM ("
    " SELECT merchant_id, date_trunc('hour', clicked_at, 'UTC') AS hour, count(*) AS clicks, 0 AS sales FROM clicks"
    "  WHERE clicked_at >= :since AND clicked_at < :until AND id >= :first AND id < :last"
    "  AND NOT bot AND duplicate_of IS NULL GROUP BY 1, 2"
    " UNION ALL"
    " SELECT merchant_id, date_trunc('hour', uuid_extract_timestamp(id), 'UTC'), 0, count(*) FROM conversions"
    "  WHERE id >= :first AND id < :last AND click_id IS NOT NULL GROUP BY 1, 2"
    " ) counted GROUP BY 1, 2"
    " ON CONFLICT (merchant_id, hour) DO UPDATE SET clicks = excluded.clicks, sales = excluded.sales"
)
_FIGURES = text(
    "SELECT count(*) FILTER (WHERE click_id IS NOT NULL) AS lag_sample,"
    " percentile_disc(0.5) WITHIN GROUP (ORDER BY lag_s) FILTER (WHERE click_id IS NOT NULL) AS lag_p50_s,"
    " percentile_disc(0.95) WITHIN GROUP (ORDER BY lag_s) FILTER (WHERE click_id IS NOT NULL) AS lag_p95_s,"
    " count(confirmed_s) AS confirmation_sample,"
    " percentile_disc(0.5) WITHIN GROUP (ORDER BY confirmed_s) FILTER (WHERE confirmed_s IS NOT NULL)"
    "  AS confirmation_p50_s,"
    " percentile_disc(0.95) WITHIN GROUP (ORDER BY confirmed_s) FILTER (WHERE confirmed_s IS NOT NULL)"
    "  AS confirmation_p95_s,"
    " count(*) FILTER (WHERE state IN ('approved', 'settled')) AS confirmed,"
    " count(*) FILTER (WHERE state = 'declined') AS declined"
    " FROM (SELECT c.state, c.click_id,"
    "  greatest(0, extract(epoch FROM c.created_at - c.occurred_at))::bigint AS lag_s,"
    "  CASE WHEN r.id IS NOT NULL THEN greatest(0, extract(epoch FROM r.confirmed_at - c.occurred_at))::bigint END"
    "   AS confirmed_s"
    "  FROM (SELECT * FROM conversions WHERE merchant_id = :merchant_id"
    "   AND created_at > now() - make_interval(days => :days) ORDER BY created_at DESC LIMIT :newest) c"
    "  LEFT JOIN rewards r ON r.conversion_id = c.id AND r.confirmed_at IS NOT NULL) AS recent"
)
_WATCHED = text("SELECT merchant_id FROM tracking_hours UNION SELECT merchant_id FROM merchant_tracking ORDER BY 1")


async def watch_tracking(job: Job) -> None:
    """Run again, it finds the same."""
    begin = _hour(now())
    async with job.write() as session:
        await session.execute(delete(TrackingHourRow).where(TrackingHourRow.hour < begin - timedelta(days=WINDOW_DAYS)))
        counted = await session.scalar(text("SELECT max(hour) FROM tracking_hours WHERE hour <= :now"), {"now": begin})
    since = begin - timedelta(days=WINDOW_DAYS)
    if counted is not None:
        since = max(since, _hour(counted) - RECOUNTED)
    while since <= begin:
        until = min(since + COUNTED_AT_ONCE, begin + timedelta(hours=1))
        async with job.write() as session:
            await session.execute(
                _COUNT, {"since": since, "until": until, "first": least_id(since), "last": least_id(until)}
            )
        since = until
    async with job.write() as session:
        watched = (await session.scalars(_WATCHED)).all()
    states = []
    for merchant_id in watched:
        async with job.write() as session:
            states.append(await _work_out(session, merchant_id, begin))
    low.take(states.count(TrackingState.LOW))
    high.take(states.count(TrackingState.HIGH))


async def _work_out(session: WriteSession, merchant_id: UUID, begin: datetime) -> TrackingState:
    found = (await session.execute(_FIGURES, {"merchant_id": merchant_id, "days": WINDOW_DAYS, "newest": NEWEST})).one()
    hours = (await session.scalars(select(TrackingHourRow).where(TrackingHourRow.merchant_id == merchant_id))).all()
    row = await session.get_locked(TrackingRow, merchant_id)
    if row is None:
        row = TrackingRow(merchant_id=merchant_id, state=TrackingState.UNKNOWN, state_since=now())
        session.add(row)
    for name, value in found._mapping.items():
        setattr(row, name, value)
    row.clicks = sum(hour.clicks for hour in hours)
    row.sales = sum(hour.sales for hour in hours)
    judgement = judge(_ago(hours, begin), (row.lag_p50_s or 0) // 3600, TrackingState(row.state))
    row.window_hours, row.window_sales = judgement.window_hours, judgement.sales
    row.expected_sales = judgement.expected
    row.computed_at = now()
    if row.state != judgement.state:
        row.state, row.state_since = judgement.state, row.computed_at
        merchant = await merchants.get_merchant_by_id(session, merchant_id)
        _tell(merchant.slug, row)
    await session.flush()
    return judgement.state


def _ago(hours: Any, begin: datetime) -> Mapping[int, Counts]:
    """{hours ago: (clicks, sales)} of whole hours: 1 is the last one that is over."""
    ago = {int((begin - hour.hour).total_seconds()) // 3600: (hour.clicks, hour.sales) for hour in hours}
    return {hour: counts for hour, counts in ago.items() if 1 <= hour <= HOURS_NEEDED}


def _tell(slug: str, row: TrackingRow) -> None:
    out_of_range = row.state in (TrackingState.LOW, TrackingState.HIGH)
    (log.warning if out_of_range else log.info)(
        "merchant_tracking_changed",
        merchant=slug,
        state=str(row.state),
        window_hours=row.window_hours,
        sales=row.window_sales,
        expected_sales=row.expected_sales,
    )


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
