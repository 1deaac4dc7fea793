"""The life of a sync up to its processing: opened, filled in order, closed, or abandoned."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from domains.merchants import service as merchants
from domains.offers import errors
from domains.offers.models import SETTLED_SYNC_STATES, SYNC_STATES, SyncMode, SyncRow, SyncState
from domains.offers.service import publish
from domains.offers.service.chunks import Chunk, encode_chunk, store_chunks
from domains.offers.service.known_feeds import settle_if_known, stored_digest
from domains.offers.service.plan import to_microseconds
from domains.offers.service.stages import record_stage
from domains.offers.service.views import SyncCounters, SyncView
from domains.offers.validation import FUTURE_TOLERANCE
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.producer.checksum import EMPTY_CHECKSUM
from wapsi.queue import outbox
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.security import audit
from wapsi.security.principal import Principal
from wapsi.telemetry.setup import current_trace_id

MAX_BATCH_ITEMS = 2000
MAX_REQUEST_ID_LENGTH = 100
INGEST_QUEUE = "ingest"
PROCESS_SYNC = "offers.process_sync"
# What changes while a sync is on its way.
Standing = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class NewSync:
    """`merchant` is the slug; `as_of` is the moment that a FULL feed describes."""

    merchant: str
    request_id: str
    mode: SyncMode
    as_of: datetime | None = None
    source: str = ""
    feed_digest: bytes = b""
    upload_options: dict[str, Any] | None = None


@dataclass(slots=True)
class PushPosition:
    """Where a stream stands: how far it has come, and the checksum up to there."""

    sync_id: UUID
    offset: int
    checksum: bytes

    def move(self, chunk: Chunk) -> None:
        self.offset, self.checksum = chunk.end_offset, chunk.checksum


async def start_sync(session: WriteSession, principal: Principal, new: NewSync) -> SyncView:
    """Raises MerchantNotFound, MerchantNotAllowed, MerchantNotSyncable, SyncRequestInvalid, RequestIDReused."""
    if not 1 <= len(new.request_id) <= MAX_REQUEST_ID_LENGTH:
        raise errors.SyncRequestInvalid(f"request_id must have 1 to {MAX_REQUEST_ID_LENGTH} characters.")
    if new.as_of is not None and not 0 < to_microseconds(new.as_of) <= to_microseconds(now() + FUTURE_TOLERANCE):
        # It becomes the time of tombstones: one in the future would keep offers withdrawn until then.
        raise errors.SyncRequestInvalid("as_of must lie after 1970 and at most a day ahead. Check the clock.")
    merchant = await allowed_merchant(session, principal, new.merchant)
    if merchant.status == "archived":
        raise errors.MerchantNotSyncable(f"Merchant {merchant.slug} is archived.", merchant=merchant.slug)
    await session.execute(
        insert(SyncRow)
        .values(
            id=new_id(),
            merchant_id=merchant.id,
            request_id=new.request_id,
            mode=new.mode.value,
            state=SyncState.OPEN.value,
            source=new.source[:200],
            as_of=new.as_of or now(),
            created_by=str(principal),
            upload_options=new.upload_options,
            checksum=EMPTY_CHECKSUM,
            feed_digest=stored_digest(new.feed_digest),
            trace_id=current_trace_id(),
        )
        .on_conflict_do_nothing(index_elements=[SyncRow.merchant_id, SyncRow.request_id])
    )
    row = await session.scalar(
        select(SyncRow).where(SyncRow.merchant_id == merchant.id, SyncRow.request_id == new.request_id)
    )
    assert row is not None
    if row.mode != new.mode.value:
        raise errors.RequestIDReused(
            f"request_id {new.request_id} was used for a sync with mode {row.mode}. Use a new one.",
            sync_id=str(row.id),
        )
    if row.state == SyncState.OPEN and not row.committed_offset:
        await settle_if_known(session, row)
    return view_of(row, merchant.slug)


async def open_push(session: ReadSession, principal: Principal, sync_id: UUID) -> PushPosition:
    """Raises SyncNotFound, SyncNotOpen."""
    row = await _visible(session, principal, sync_id)
    if row.state != SyncState.OPEN:
        raise _not_open(row)
    return PushPosition(row.id, row.committed_offset, row.checksum)


def next_chunk(position: PushPosition, batch: pb.PushOffersRequest) -> Chunk | None:
    """The batch made ready for `store_pushed`, None where it is stored already. Costs time: run it in a thread.

    Raises SyncRequestInvalid, OffsetMismatch.
    """
    count = len(batch.items)
    if not 1 <= count <= MAX_BATCH_ITEMS:
        raise errors.SyncRequestInvalid(f"A batch has 1 to {MAX_BATCH_ITEMS} items; this one has {count}.")
    if batch.offset + count <= position.offset:
        return None
    if batch.offset != position.offset:
        raise _offset_mismatch(batch.offset, position.offset)
    return encode_chunk(position.checksum, position.offset, batch.items)


async def store_pushed(session: WriteSession, sync_id: UUID, chunks: Sequence[Chunk]) -> None:
    """Stores chunks that follow each other; durable once the session has committed.

    Raises OffsetMismatch, SyncNotOpen.
    """
    values = {
        "sync_id": sync_id,
        "begin": chunks[0].first_offset,
        "end": chunks[-1].end_offset,
        "checksum": chunks[-1].checksum,
    }
    moved = await session.execute(_MOVE_OFFSET, values)
    if moved.scalar_one_or_none() is None:
        row = await session.get_locked(SyncRow, sync_id)
        assert row is not None
        if row.state != SyncState.OPEN:
            raise _not_open(row)
        # Another stream of the same sync was faster.
        raise _offset_mismatch(chunks[0].first_offset, row.committed_offset)
    await store_chunks(session, sync_id, chunks)


_MOVE_OFFSET = text(
    "UPDATE syncs SET committed_offset = :end, checksum = :checksum"
    " WHERE id = :sync_id AND state = 'open' AND committed_offset = :begin RETURNING id"
)


async def finish_sync(
    session: WriteSession, principal: Principal, sync_id: UUID, *, count: int, checksum: bytes
) -> SyncView:
    """Queues the sync for processing. Repeating it answers with the sync as it is.

    Raises SyncNotFound, SyncNotOpen (cancelled), SyncIncomplete, ChecksumMismatch; after the last two the sync is
    still open and nothing is published.
    """
    row, slug = await _locked(session, principal, sync_id)
    if row.state == SyncState.CANCELLED:
        raise _not_open(row)
    if row.state != SyncState.OPEN:
        return view_of(row, slug)
    if count != row.committed_offset:
        raise errors.SyncIncomplete(
            f"{count} items were said to be sent, {row.committed_offset} are stored. Push on from there, or cancel.",
            committed_offset=row.committed_offset,
        )
    if checksum != row.checksum:
        raise errors.ChecksumMismatch(
            "The checksum differs from that of the stored items: something changed on the way. "
            "Cancel this sync and push the feed again.",
            expected=row.checksum.hex(),
        )
    await _queue(session, row)
    record_stage("stage", (now() - row.created_at).total_seconds())
    return view_of(row, slug)


async def queue(session: WriteSession, sync_id: UUID) -> None:
    """For a sync that is not pushed: its feed file is stored whole, or it takes a publication back."""
    row = await session.get_locked(SyncRow, sync_id)
    assert row is not None
    await _queue(session, row)


async def _queue(session: WriteSession, row: SyncRow) -> None:
    row.state = SYNC_STATES.check(SyncState(row.state), SyncState.QUEUED)
    row.queued_at = now()
    row.finished_at = None
    await session.flush()
    await outbox.enqueue(session, PROCESS_SYNC, {"sync_id": str(row.id)}, queue=INGEST_QUEUE)


async def cancel_sync(session: WriteSession, principal: Principal, sync_id: UUID) -> SyncView:
    """Raises SyncNotFound, IllegalMove (it is being published, or has been). Repeating it has no effect."""
    row, slug = await _locked(session, principal, sync_id)
    if row.state != SyncState.CANCELLED:
        await _cancel(session, row, "CANCELLED", f"Cancelled by {principal}.")
    return view_of(row, slug)


async def _cancel(session: WriteSession, row: SyncRow, reason: str, message: str) -> None:
    row.state = SYNC_STATES.check(SyncState(row.state), SyncState.CANCELLED)
    row.reason = reason
    row.message = message
    row.finished_at = now()
    await session.flush()


async def fail_sync(session: WriteSession, sync_id: UUID, reason: str, message: str) -> None:
    """For a sync whose processing has been given up. Nothing of it is visible."""
    row = await session.get_locked(SyncRow, sync_id)
    if row is None or not SYNC_STATES.allows(SyncState(row.state), SyncState.FAILED):
        return
    await publish.end_publication(session, row.merchant_id)
    row.state = SyncState.FAILED
    row.reason = reason
    row.message = message
    row.finished_at = now()
    await session.flush()


async def approve_sync(session: WriteSession, principal: Principal, sync_id: UUID) -> SyncView:
    """Publishes a quarantined sync after all. Raises SyncNotFound, IllegalMove."""
    row, slug = await _locked(session, principal, sync_id)
    before = SyncState(row.state)
    SYNC_STATES.check(before, SyncState.QUEUED)
    row.approved_by = str(principal)
    row.reason = row.message = ""
    await _queue(session, row)
    await _record_decision(session, principal, row, "sync.approved", before)
    return view_of(row, slug)


async def discard_sync(session: WriteSession, principal: Principal, sync_id: UUID) -> SyncView:
    """Gives a quarantined sync up. Raises SyncNotFound, IllegalMove."""
    row, slug = await _locked(session, principal, sync_id)
    before = SyncState(row.state)
    await _cancel(session, row, "DISCARDED", f"Discarded by {principal}.")
    await _record_decision(session, principal, row, "sync.discarded", before)
    return view_of(row, slug)


async def _record_decision(
    session: WriteSession, principal: Principal, row: SyncRow, action: str, before: SyncState
) -> None:
    await audit.record(
        session,
        principal,
        action=action,
        target=f"sync:{row.id}",
        before={"state": str(before)},
        after={"state": str(row.state)},
    )


async def get_sync(session: ReadSession, principal: Principal, sync_id: UUID) -> SyncView:
    """Raises SyncNotFound, for another producer's merchants too."""
    row = await _visible(session, principal, sync_id)
    merchant = await merchants.get_merchant_by_id(session, row.merchant_id)
    return view_of(row, merchant.slug)


async def standing_of(driver: asyncpg.Connection, sync_id: UUID) -> Standing:
    """For who waits for a change of a sync, and has been shown it: the least that can be asked."""
    return tuple(await driver.fetchrow(_STANDING, sync_id) or ())


_STANDING = "SELECT state, processed, committed_offset FROM syncs WHERE id = $1"


async def list_syncs(
    session: ReadSession, principal: Principal, merchant_slug: str, *, before: UUID | None, limit: int
) -> list[SyncView]:
    """Newest first, older than `before`. Raises MerchantNotFound, MerchantNotAllowed."""
    merchant = await allowed_merchant(session, principal, merchant_slug)
    statement = select(SyncRow).where(SyncRow.merchant_id == merchant.id).order_by(SyncRow.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(SyncRow.id < before)
    return [view_of(row, merchant.slug) for row in await session.scalars(statement)]


async def allowed_merchant(session: ReadSession, principal: Principal, slug: str) -> merchants.MerchantRef:
    """Raises MerchantNotFound, MerchantNotAllowed."""
    merchant = await merchants.get_merchant(session, slug)
    if not principal.may_use_merchant(merchant.id):
        raise errors.MerchantNotAllowed(f"This key may not be used for merchant {slug}.", merchant=slug)
    return merchant


async def _visible(session: ReadSession, principal: Principal, sync_id: UUID) -> SyncRow:
    row = await session.get(SyncRow, sync_id)
    if row is None or not principal.may_use_merchant(row.merchant_id):
        raise errors.SyncNotFound(f"There is no sync {sync_id}.", sync_id=str(sync_id))
    return row


async def _locked(session: WriteSession, principal: Principal, sync_id: UUID) -> tuple[SyncRow, str]:
    row = await session.get_locked(SyncRow, sync_id)
    if row is None or not principal.may_use_merchant(row.merchant_id):
        raise errors.SyncNotFound(f"There is no sync {sync_id}.", sync_id=str(sync_id))
    merchant = await merchants.get_merchant_by_id(session, row.merchant_id)
    return row, merchant.slug


def _not_open(row: SyncRow) -> errors.SyncNotOpen:
    return errors.SyncNotOpen(
        f"Sync {row.id} is {row.state}; only an open sync takes offers. Start a new one.",
        sync_id=str(row.id),
        state=row.state,
    )


def _offset_mismatch(offset: int, committed: int) -> errors.OffsetMismatch:
    return errors.OffsetMismatch(
        f"The batch starts at {offset}, but {committed} items are stored. Go on from offset {committed}.",
        committed_offset=committed,
    )


def view_of(row: SyncRow, merchant_slug: str) -> SyncView:
    return SyncView(
        id=row.id,
        merchant=merchant_slug,
        mode=row.mode,
        state=row.state,
        settled=row.state in SETTLED_SYNC_STATES,
        source=row.source,
        committed_offset=row.committed_offset,
        processed=row.processed,
        counters=SyncCounters(
            received=row.committed_offset,
            created=row.created,
            updated=row.updated,
            unchanged=row.unchanged,
            withdrawn_by_item=row.withdrawn_by_item,
            stale=row.stale,
            duplicates=row.duplicates,
            rejected=row.rejected,
            withdrawn_unseen=row.withdrawn_unseen,
            warnings=row.warnings,
        ),
        reason=row.reason,
        message=row.message,
        catalogue_version=row.catalogue_version,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        trace_id=row.trace_id,
    )
