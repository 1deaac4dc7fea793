"""What is not kept: abandoned syncs, the staged bytes of settled ones, and offers that no feed has named for long."""

from datetime import datetime, timedelta

from sqlalchemy import text

from wapsi.clock import now
from wapsi.db import WriteSession


async def tidy(session: WriteSession, *, keep: timedelta) -> None:
    """Cancels syncs left open, and drops the staged bytes of settled ones (their counters and issues stay)."""
    before = now() - keep
    await session.execute(
        text(
            "UPDATE syncs SET state = 'cancelled', reason = 'ABANDONED', finished_at = now(),"
            " message = 'Nothing was pushed or finished for too long.'"
            " WHERE state = 'open' AND created_at < :before"
        ),
        {"before": before},
    )
    for table in ("sync_chunks", "sync_uploads"):
        await session.execute(
            text(
                f"DELETE FROM {table} USING syncs WHERE syncs.id = {table}.sync_id AND syncs.finished_at < :before"  # noqa: S608  # a literal above
                " AND syncs.state IN ('succeeded', 'partial', 'failed', 'cancelled')"
            ),
            {"before": before},
        )


# An offer without an expiry of its own lasts this long after its merchant last named it.
UNSEEN_LIMIT = timedelta(days=30)
EXPIRY_BATCH = 5000

# A FULL sync has seen every active offer of its merchant, also those that it did not have to write.
_EXPIRE = text(
    "WITH unseen AS (SELECT o.id FROM catalogues c JOIN offers o ON o.merchant_id = c.merchant_id"
    " WHERE o.status = 'active' AND coalesce(c.last_full_seen_at, '-infinity') < :before"
    " AND o.last_seen_at < :before AND o.expires_at IS NULL LIMIT :batch),"
    " gone AS (UPDATE offers SET status = 'withdrawn' FROM unseen WHERE offers.id = unseen.id RETURNING offers.id),"
    " unlisted AS (DELETE FROM offer_documents USING gone WHERE offer_documents.id = gone.id) "
    "SELECT count(*) FROM gone"
)


async def expire_unseen(session: WriteSession, *, before: datetime) -> int:
    """Withdraws offers that were last seen before then; returns how many. A newer statement brings them back."""
    return int(await session.scalar(_EXPIRE, {"before": before, "batch": EXPIRY_BATCH}))
