"""How well a merchant tracks, from what really happened: shoppers decide by it where to buy."""

from dataclasses import dataclass

from sqlalchemy import text

from domains.merchants import service as merchants
from wapsi.db import ReadSession

WINDOW_DAYS = 90
# Below this, a number would be an anecdote.
MIN_SAMPLE = 20


@dataclass(frozen=True, slots=True)
class TrackingStats:
    """Over the last WINDOW_DAYS. A figure is None where its sample is smaller than MIN_SAMPLE.

    The lag is from the sale to the day it appeared here; the rates are shares of the sales that were decided.
    """

    merchant: str
    window_days: int
    min_sample: int
    clicks: int
    sales: int
    lag_sample: int
    lag_p50_s: int | None
    lag_p95_s: int | None
    decided_sample: int
    confirmed_percent: int | None
    declined_percent: int | None


async def tracking_stats(session: ReadSession, slug: str) -> TrackingStats:
    """Raises MerchantNotFound."""
    merchant = await merchants.get_merchant(session, slug, statuses=merchants.PUBLIC_STATUSES)
    parameters = {"merchant_id": merchant.id, "days": WINDOW_DAYS}
    clicks = await session.scalar(
        text(
            "SELECT count(*) FROM clicks WHERE merchant_id = :merchant_id"
            " AND clicked_at > now() - make_interval(days => :days) AND NOT bot AND duplicate_of IS NULL"
        ),
        parameters,
    )
    row = (
        await session.execute(
            text(
                "SELECT count(*) AS sales, count(*) FILTER (WHERE click_id IS NOT NULL) AS lag_sample,"
                " percentile_disc(0.5) WITHIN GROUP (ORDER BY lag_s) FILTER (WHERE click_id IS NOT NULL) AS p50,"
                " percentile_disc(0.95) WITHIN GROUP (ORDER BY lag_s) FILTER (WHERE click_id IS NOT NULL) AS p95,"
                " count(*) FILTER (WHERE state IN ('approved', 'settled')) AS confirmed,"
                " count(*) FILTER (WHERE state = 'declined') AS declined"
                " FROM (SELECT state, click_id,"
                "  greatest(0, extract(epoch FROM created_at - occurred_at))::bigint AS lag_s FROM conversions"
                "  WHERE merchant_id = :merchant_id AND created_at > now() - make_interval(days => :days)) AS recent"
            ),
            parameters,
        )
    ).one()
    decided = row.confirmed + row.declined
    known = row.lag_sample >= MIN_SAMPLE
    return TrackingStats(
        merchant=slug,
        window_days=WINDOW_DAYS,
        min_sample=MIN_SAMPLE,
        clicks=int(clicks or 0),
        sales=row.sales,
        lag_sample=row.lag_sample,
        lag_p50_s=row.p50 if known else None,
        lag_p95_s=row.p95 if known else None,
        decided_sample=decided,
        confirmed_percent=_percent(row.confirmed, decided),
        declined_percent=_percent(row.declined, decided),
    )


def _percent(part: int, whole: int) -> int | None:
    return None if whole < MIN_SAMPLE else round(100 * part / whole)
