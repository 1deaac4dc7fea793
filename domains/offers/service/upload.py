"""Feeds that arrive as a file over REST: stored whole within the request, parsed into chunks by the worker."""

import asyncio
import hashlib
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any
from uuid import UUID

from sqlalchemy import delete, func, select, text, update

from domains.merchants.service import MerchantRef
from domains.offers.errors import FeedOptionsInvalid, FileDiffers, UploadEmpty, UploadTooLarge
from domains.offers.feeds import FeedError, FeedOptions, open_feed, parse_column_mapping
from domains.offers.models import SyncChunkRow, SyncRow, SyncState, SyncUploadRow
from domains.offers.service import syncs
from domains.offers.service.chunks import CHUNK_ITEMS, Chunk, encode_chunk, store_chunks
from domains.offers.service.stages import running_stage
from domains.offers.service.views import SyncView
from wapsi.clock import now
from wapsi.db import Database, WriteSession
from wapsi.producer.checksum import EMPTY_CHECKSUM
from wapsi.queue.jobs import Job
from wapsi.security import audit
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.threads import OneThread

PIECE_BYTES = 512 * 1024


@dataclass(slots=True)
class ReceivedFeed:
    """An uploaded file in a temporary one on disk. Close it."""

    file: IO[bytes]
    size_bytes: int
    sha256: str


async def receive(body: AsyncIterator[bytes], *, limit_bytes: int) -> ReceivedFeed:
    """Takes a feed file in as it streams, onto the disk: a slow sender holds neither memory nor a connection.

    Raises UploadTooLarge and UploadEmpty.
    """
    file: IO[bytes] = await asyncio.to_thread(tempfile.TemporaryFile)
    digest = hashlib.sha256()
    size_bytes = 0
    try:
        async for piece in body:
            size_bytes += len(piece)
            if size_bytes > limit_bytes:
                raise UploadTooLarge(f"A feed may have at most {limit_bytes} bytes.", limit_bytes=limit_bytes)
            digest.update(piece)
            await asyncio.to_thread(file.write, piece)
        if size_bytes == 0:
            raise UploadEmpty("Send the feed file as the body of the request.")
        await asyncio.to_thread(file.seek, 0)
    except BaseException:
        file.close()
        raise
    return ReceivedFeed(file, size_bytes, digest.hexdigest())


async def store(session: WriteSession, sync_id: UUID, feed: ReceivedFeed) -> None:
    """Into the database, in pieces, for the worker."""
    position = 0
    while data := await asyncio.to_thread(feed.file.read, PIECE_BYTES):
        session.add(SyncUploadRow(sync_id=sync_id, position=position, data=data))
        await session.flush()
        position += 1


async def start_upload(
    session: WriteSession, principal: Principal, new: syncs.NewSync, feed: ReceivedFeed
) -> tuple[SyncView, bool]:
    """The queued sync of a feed file, and whether it had been made before (by the same request_id and file).

    Raises what start_sync raises, and FileDiffers.
    """
    options = {**(new.upload_options or {}), "sha256": feed.sha256}
    digest = FeedOptions.from_json(options, source_time=now()).digest_with(feed.sha256)
    sync = await syncs.start_sync(session, principal, replace(new, upload_options=options, feed_digest=digest))
    row = await session.get_locked(SyncRow, sync.id)
    assert row is not None
    if (row.upload_options or {}).get("sha256") != feed.sha256:
        raise FileDiffers("This Idempotency-Key was used with another file. Use a new key for a new feed.")
    if row.state != SyncState.OPEN:
        # Not queued and yet ended: it was known as soon as it came.
        return sync, row.queued_at is not None
    await store(session, sync.id, feed)
    await syncs.queue(session, sync.id)
    if principal.kind is PrincipalKind.OPERATOR:
        # Producers bring feeds all day long; an operator who does changes a shop by hand.
        after = {"merchant": new.merchant, "sha256": feed.sha256, "mode": str(new.mode)}
        await audit.record(session, principal, action="sync.uploaded", target=f"sync:{sync.id}", after=after)
    return await syncs.get_sync(session, principal, sync.id), False


async def parse_pending(job: Job, sync_id: UUID) -> bool:
    """Parses the sync's file, where it came as one, into chunks, from the start at each attempt.

    False where it cannot be read: the sync has been failed with the reason, and the job is done. That is an answer
    for the merchant, not a fault of ours.
    """
    async with job.write() as session:
        row = await session.get_locked(SyncRow, sync_id)
        assert row is not None
        options = row.upload_options
        if options is None or options.get("parsed"):
            return True
        await session.execute(delete(SyncChunkRow).where(SyncChunkRow.sync_id == sync_id))
        row.committed_offset = 0
        row.checksum = EMPTY_CHECKSUM
        await session.flush()
        source_time = row.as_of
        name = row.source
    with running_stage("parse"), await _spool(job.runtime.db, sync_id) as file, OneThread("feed") as thread:
        try:
            feed_options = FeedOptions.from_json(options, source_time=source_time)
            chunks = await thread.run(_chunks, file, name, feed_options)
            while (chunk := await thread.run(next, chunks, None)) is not None:
                await _store(job, sync_id, chunk)
        except FeedError as error:
            await _fail(job, sync_id, error)
            return False
    async with job.write() as session:
        row = await session.get_locked(SyncRow, sync_id)
        assert row is not None
        row.upload_options = {**options, "parsed": True}
        await session.flush()
    return True


def _chunks(file: IO[bytes], name: str, options: FeedOptions) -> Iterator[Chunk]:
    items = open_feed(file, name=name, options=options).serialised()
    offset, checksum = 0, EMPTY_CHECKSUM
    while batch := list(itertools.islice(items, CHUNK_ITEMS)):
        chunk = encode_chunk(checksum, offset, batch)
        offset, checksum = chunk.end_offset, chunk.checksum
        yield chunk


async def _store(job: Job, sync_id: UUID, chunk: Chunk) -> None:
    async with job.write() as session:
        await session.execute(
            update(SyncRow)
            .where(SyncRow.id == sync_id)
            .values(committed_offset=chunk.end_offset, checksum=chunk.checksum)
        )
        await store_chunks(session, sync_id, [chunk])


async def _fail(job: Job, sync_id: UUID, error: FeedError) -> None:
    where = f" (line {error.line})" if error.line else ""
    async with job.write() as session:
        await syncs.fail_sync(session, sync_id, error.reason, f"{error.message}{where} Nothing was published.")
        await job.complete(session)


async def _spool(db: Database, sync_id: UUID) -> IO[bytes]:
    """The uploaded file in a temporary one on disk, at its start."""
    file: IO[bytes] = await asyncio.to_thread(tempfile.TemporaryFile)
    async with db.write() as session:
        pieces = await session.scalar(
            select(func.count()).select_from(SyncUploadRow).where(SyncUploadRow.sync_id == sync_id)
        )
        for position in range(pieces or 0):
            data = await session.scalar(
                text("SELECT data FROM sync_uploads WHERE sync_id = :sync_id AND position = :position"),
                {"sync_id": sync_id, "position": position},
            )
            await asyncio.to_thread(file.write, data)
    await asyncio.to_thread(file.seek, 0)
    return file


def upload_options(
    merchant: MerchantRef, overrides: Mapping[str, Any], *, column_specs: Sequence[str]
) -> dict[str, Any]:
    """What `FeedOptions.from_json` needs, as stored with the sync: the merchant's settings, then the caller's.

    `column_specs` are target=source. Raises FeedOptionsInvalid.
    """
    options = {"default_currency": merchant.currency, **merchant.feed_settings, **overrides}
    try:
        if column_specs:
            options["column_mapping"] = parse_column_mapping(column_specs)
        FeedOptions.from_json(options, source_time=now())
    except FeedError as error:
        raise FeedOptionsInvalid(error.message, code=error.reason) from error
    return options
