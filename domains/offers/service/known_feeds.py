"""A feed that is published already is known again by its digest, and not even read.

Merchants' files are fetched and pushed more often than they change. The digest is the producer's word on what the feed
is made of; it counts only while nothing else has been published since, and where no row was refused, since another
landing host or a rule may make such a row good.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import select, text

from domains.offers.errors import SyncRequestInvalid
from domains.offers.models import SYNC_STATES, CatalogueRow, SyncMode, SyncRow, SyncState
from domains.offers.service.chunks import RULES_VERSION, content_hash
from wapsi.clock import now
from wapsi.db import WriteSession

MAX_DIGEST_BYTES: Final = 64


def stored_digest(digest: bytes) -> bytes | None:
    """What is kept of a producer's digest: it does not outlive the rules. Raises SyncRequestInvalid."""
    if len(digest) > MAX_DIGEST_BYTES:
        raise SyncRequestInvalid(f"feed_digest may have at most {MAX_DIGEST_BYTES} bytes.")
    return content_hash(RULES_VERSION + digest) if digest else None


async def settle_if_known(session: WriteSession, row: SyncRow) -> None:
    """Ends an open sync whose feed is what is published; all its offers count as seen and stated again."""
    if row.feed_digest is None or row.mode != SyncMode.FULL:
        return
    published = await session.scalar(select(SyncRow).where(SyncRow.id == await _published_by(session, row.merchant_id)))
    if published is None or published.feed_digest != row.feed_digest or published.as_of > row.as_of:
        return
    SYNC_STATES.check(SyncState(row.state), SyncState.SUCCEEDED)
    row.state = SyncState.SUCCEEDED
    row.committed_offset = row.processed = published.committed_offset
    row.unchanged = published.committed_offset - published.duplicates
    row.duplicates = published.duplicates
    row.catalogue_version = published.catalogue_version
    row.started_at = row.finished_at = now()
    row.message = f"The feed is the one of sync {published.id}, which is published: nothing had to be read."
    await session.flush()
    await session.execute(_SEEN_AGAIN, {"id": row.merchant_id, "as_of": row.as_of})


async def _published_by(session: WriteSession, merchant_id: UUID) -> UUID | None:
    # Locked: a publication that is under way is waited for.
    statement = select(CatalogueRow.feed_sync_id).where(CatalogueRow.merchant_id == merchant_id).with_for_update()
    return await session.scalar(statement)


_SEEN_AGAIN = text(
    "UPDATE catalogues SET last_full_seen_at = now(), source_time_floor = greatest(source_time_floor, :as_of)"
    " WHERE merchant_id = :id"
)
