"""How well a merchant tracks, from what really happened: shoppers decide by it where to buy."""

import contextlib
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from domains.cashback.models import TrackingRow
from domains.cashback.service.tracking import WINDOW_DAYS
from domains.cashback.states import TrackingState
from domains.merchants import service as merchants
from wapsi.db import ReadSession
from wapsi.errors import Unavailable
from wapsi.runtime import Runtime

# Below this, a number would be an anecdote.
MIN_SAMPLE = 20
# What is shown beside a click may be so old, on top of the job's interval.
REMEMBERED_S = 60.0


@dataclass(frozen=True, slots=True)
class TrackingNotice:
    """What a shopper is told before they go. A figure is None where its sample is smaller than MIN_SAMPLE.

    Lag: from the sale to the day it appeared here. Confirmation: from the sale to the merchant's yes. The rates are
    shares of the sales that were decided. `outage`: fewer sales come than should, since `outage_since`.
    """

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


@dataclass(frozen=True, slots=True)
class TrackingStats:
    """Over the last WINDOW_DAYS, as it was worked out at `computed_at` (None: not yet). `clicks` are those of people,
    `sales` those that were reported for clicks; `state` compares the sales of the last `window_hours` with what was
    expected."""

    merchant: str
    window_days: int
    min_sample: int
    clicks: int
    sales: int
    lag_sample: int
    confirmation_sample: int
    known: TrackingNotice
    state: TrackingState
    window_hours: int | None
    window_sales: int | None
    expected_sales: int | None
    computed_at: datetime | None


async def tracking_stats(session: ReadSession, slug: str) -> TrackingStats:
    """Raises MerchantNotFound."""
    merchant = await merchants.get_merchant(session, slug, statuses=merchants.PUBLIC_STATUSES)
    found = await session.get(TrackingRow, merchant.id)
    row = found or TrackingRow(
        clicks=0,
        sales=0,
        lag_sample=0,
        confirmation_sample=0,
        confirmed=0,
        declined=0,
        state=TrackingState.UNKNOWN,
    )
    return TrackingStats(
        merchant=slug,
        window_days=WINDOW_DAYS,
        min_sample=MIN_SAMPLE,
        clicks=row.clicks,
        sales=row.sales,
        lag_sample=row.lag_sample,
        confirmation_sample=row.confirmation_sample,
        known=_notice(row),
        state=TrackingState(row.state),
        window_hours=row.window_hours,
        window_sales=row.window_sales,
        expected_sales=row.expected_sales,
        computed_at=row.computed_at,
    )


def _notice(row: TrackingRow) -> TrackingNotice:
    lag_known, confirmation_known = row.lag_sample >= MIN_SAMPLE, row.confirmation_sample >= MIN_SAMPLE
    decided = row.confirmed + row.declined
    outage = row.state == TrackingState.LOW
    return TrackingNotice(
        lag_p50_s=row.lag_p50_s if lag_known else None,
        lag_p95_s=row.lag_p95_s if lag_known else None,
        confirmation_p50_s=row.confirmation_p50_s if confirmation_known else None,
        confirmation_p95_s=row.confirmation_p95_s if confirmation_known else None,
        confirmed_percent=_percent(row.confirmed, decided),
        declined_percent=_percent(row.declined, decided),
        decided_sample=decided,
        outage=outage,
        outage_since=row.state_since if outage else None,
        notice=_words(row.state_since) if outage else None,
    )


def _words(since: datetime) -> str:
    return (
        f"Since {since:%-d %B %Y}, fewer sales of this shop reach us than usual. Keep your order's confirmation:"
        " cashback that does not appear can be claimed."
    )


def _percent(part: int, whole: int) -> int | None:
    return None if whole < MIN_SAMPLE else round(100 * part / whole)


class TrackingBoard:
    """What a process remembers of all merchants' tracking, to show it beside clicks without asking for each."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self._notices: Mapping[UUID, TrackingNotice] = {}
        self._read_s = float("-inf")

    async def refresh(self) -> None:
        """Where what is known is old. Those who come meanwhile see the old."""
        if time.monotonic() - self._read_s < REMEMBERED_S:
            return
        self._read_s = time.monotonic()
        # A click is worth more than what is told beside it.
        with contextlib.suppress(Unavailable):
            async with self._db.read() as session:
                rows = await session.scalars(select(TrackingRow))
                self._notices = {row.merchant_id: _notice(row) for row in rows}

    def of(self, merchant_id: UUID) -> TrackingNotice | None:
        """None where nothing was counted yet."""
        return self._notices.get(merchant_id)


_boards: weakref.WeakKeyDictionary[Any, TrackingBoard] = weakref.WeakKeyDictionary()


def tracking_board_of(runtime: Runtime) -> TrackingBoard:
    """The process's own, made when first asked for."""
    board = _boards.get(runtime.db)
    if board is None:
        # Known by its proxy: what is kept here must not keep the database.
        board = _boards[runtime.db] = TrackingBoard(weakref.proxy(runtime.db))
    return board
