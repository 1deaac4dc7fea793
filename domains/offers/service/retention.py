"""What is not kept: abandoned syncs, the staged bytes of settled ones, and offers that no feed has named for long."""

from datetime import datetime, timedelta

from sqlalchemy import text

from wapsi.db import WriteSession

# A transaction deletes so many rows: a chunk is up to half a megabyte.
BATCH = 500


async def cancel_abandoned(session: WriteSession, *, opened_before: datetime) -> None:
    """Syncs that were opened, and then left."""
    await session.execute(
        text(
            "UPDATE syncs SET state = 'cancelled', reason = 'ABANDONED', finished_at = now(),"
            " message = 'Nothing was pushed or finished for too long.'"
            " WHERE state = 'open' AND created_at < :before"
        ),
        {"before": opened_before},
    )


async def cancel_undecided(session: WriteSession, *, quarantined_before: datetime) -> None:
    """Quarantined syncs that no operator decided: what they describe is no longer so."""
    await session.execute(
        text(
            "UPDATE syncs SET state = 'cancelled', reason = 'UNDECIDED', finished_at = now(),"
            " message = 'No operator approved it in time. Push the feed again.'"
            " WHERE state = 'quarantined' AND finished_at < :before"
        ),
        {"before": quarantined_before},
    )


async def drop_staged(session: WriteSession, *, settled_before: datetime) -> int:
    """Deletes a batch of what ended syncs were made of; returns how many rows. Their counters and issues stay."""
    deleted = 0
    for table, key in (("sync_chunks", "first_offset"), ("sync_uploads", "position")):
        result = await session.scalar(
            text(
                f"WITH old AS (SELECT c.sync_id, c.{key} FROM syncs JOIN {table} c ON c.sync_id = syncs.id"  # noqa: S608  # literals above
                f" WHERE {_ENDED} LIMIT :batch),"
                f" gone AS (DELETE FROM {table} c USING old WHERE c.sync_id = old.sync_id AND c.{key} = old.{key}"
                " RETURNING 1) SELECT count(*) FROM gone"
            ),
            {"before": settled_before, "batch": BATCH},
        )
        deleted += int(result)
    return deleted


async def drop_issues(session: WriteSession, *, settled_before: datetime) -> int:
    """Deletes a batch of old syncs' issues; returns how many rows."""
    return int(
        await session.scalar(
            text(
                "WITH gone AS (DELETE FROM sync_issues WHERE id IN (SELECT i.id FROM syncs"  # noqa: S608  # a literal below
                f" JOIN sync_issues i ON i.sync_id = syncs.id WHERE {_ENDED} LIMIT :batch) RETURNING 1)"
                " SELECT count(*) FROM gone"
            ),
            {"before": settled_before, "batch": BATCH},
        )
    )


_ENDED = "syncs.finished_at < :before AND syncs.state IN ('succeeded', 'partial', 'failed', 'cancelled')"

# An offer without an expiry of its own lasts this long after its merchant last named it.
UNSEEN_LIMIT = timedelta(days=30)
EXPIRY_BATCH = 5000

# A FULL sync has seen every active offer of its merchant, also those that it did not have to write. While listings are
# being written, one that is taken away might come back.
_EXPIRE = text(
    "WITH unseen AS (SELECT o.id FROM catalogues c JOIN offers o ON o.merchant_id = c.merchant_id"
    " WHERE o.status = 'active' AND coalesce(c.last_full_seen_at, '-infinity') < :before"
    " AND o.last_seen_at < :before AND o.expires_at IS NULL AND c.listed_version >= c.version LIMIT :batch),"
    " gone AS (UPDATE offers SET status = 'withdrawn' FROM unseen WHERE offers.id = unseen.id"
    " RETURNING offers.id, offers.merchant_id),"
    " unlisted AS (DELETE FROM offer_listings USING gone WHERE offer_listings.id = gone.id),"
    " unfound AS (DELETE FROM offer_documents WHERE id = ANY (ARRAY(SELECT id FROM gone))),"
    " other AS (UPDATE catalogues SET feed_sync_id = NULL WHERE merchant_id IN (SELECT merchant_id FROM gone)) "
    "SELECT count(*) FROM gone"
)


async def expire_unseen(session: WriteSession, *, before: datetime) -> int:
    """Withdraws offers that were last seen before then; returns how many. A newer statement brings them back."""
    return int(await session.scalar(_EXPIRE, {"before": before, "batch": EXPIRY_BATCH}))
