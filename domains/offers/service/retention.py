"""What is not kept: abandoned syncs, and the staged bytes of settled ones."""

from datetime import timedelta

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
