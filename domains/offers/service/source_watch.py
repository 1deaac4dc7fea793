"""Late feeds: merchants from whom nothing new, and no confirmation of the old, has come for longer than agreed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog
from opentelemetry import metrics
from sqlalchemy import text

from domains.merchants import service as merchants
from wapsi.db import WriteSession
from wapsi.telemetry.lately import LatelyCounted

log = structlog.get_logger(__name__)
WATCH_EVERY_S = 60

# A feed has come when a sync of it went well (also one that changed nothing, which publishes nothing), or a fetch found
# it unchanged. Merchants that are not active owe none.
_MOVE = text(
    "UPDATE feed_sources f SET late_since = CASE WHEN v.late THEN v.due_at END FROM ("
    " SELECT s.merchant_id, seen.at AS seen_at, seen.at + make_interval(secs => s.late_after_s) AS due_at,"
    "  coalesce(s.enabled AND s.merchant_id = ANY(:active)"
    "   AND seen.at + make_interval(secs => s.late_after_s) < now(), false) AS late"
    " FROM feed_sources s LEFT JOIN catalogues c ON c.merchant_id = s.merchant_id"
    " LEFT JOIN LATERAL (SELECT finished_at FROM syncs WHERE merchant_id = s.merchant_id"
    "  AND state IN ('succeeded', 'partial') ORDER BY id DESC LIMIT 1) sync ON true,"
    " LATERAL (SELECT greatest(s.watched_since, s.confirmed_at, c.published_at, c.last_full_seen_at, sync.finished_at)"
    "  AS at) seen"
    ") v WHERE v.merchant_id = f.merchant_id AND v.late <> (f.late_since IS NOT NULL)"
    " RETURNING f.merchant_id, v.late, v.seen_at, f.late_after_s, f.last_outcome, f.last_reason, f.failures"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """A merchant whose feed became late, or is late no more."""

    merchant: str
    late: bool
    seen_at: datetime
    late_after_s: int | None
    last_outcome: str | None
    last_reason: str
    failures: int


late_count = LatelyCounted(WATCH_EVERY_S)
_meter = metrics.get_meter(__name__)
_meter.create_observable_gauge(
    "wapsi.offers.feeds_late", [late_count.observe], unit="{merchant}", description="Merchants whose feed is late now."
)
_alerts = _meter.create_counter("wapsi.offers.feed_late_alerts", unit="{alert}")


async def watch(session: WriteSession) -> tuple[list[Turn], int]:
    """Marks and clears; returns what has changed, and how many are late now."""
    active = await merchants.active_merchants(session)
    rows = (await session.execute(_MOVE, {"active": list(active)})).all()
    ids = [row.merchant_id for row in rows]
    slugs = {one.id: one.slug for one in await merchants.list_merchants(session, limit=len(ids), merchant_ids=ids)}
    turns = [
        Turn(
            merchant=slugs[row.merchant_id],
            late=row.late,
            seen_at=row.seen_at,
            late_after_s=row.late_after_s,
            last_outcome=row.last_outcome,
            last_reason=row.last_reason,
            failures=row.failures,
        )
        for row in rows
    ]
    late = await session.scalar(text("SELECT count(*) FROM feed_sources WHERE late_since IS NOT NULL"))
    return turns, int(late)


def tell(turns: Iterable[Turn], late: int) -> None:
    """Says so, once each: an error for whoever is on call when a feed is late, a line when it is back."""
    late_count.take(late)
    for turn in turns:
        if not turn.late:
            log.info("feed_on_time", merchant=turn.merchant)
            continue
        _alerts.add(1, {"merchant": turn.merchant})
        log.error(
            "feed_late",
            merchant=turn.merchant,
            seen_at=turn.seen_at.isoformat(),
            late_after_s=turn.late_after_s,
            last_outcome=turn.last_outcome,
            last_reason=turn.last_reason,
            failures=turn.failures,
        )
