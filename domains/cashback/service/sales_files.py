"""Files of sales: stored whole when they come, and handed in row by row by a job, each row with its answer."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from domains.cashback.errors import (
    SalesFileDiffers,
    SalesFileEmpty,
    SalesFileNotFound,
    SalesFileTooLarge,
)
from domains.cashback.models import SalesFileLineRow, SalesFilePieceRow, SalesFileRow
from domains.cashback.service.event_files import Format
from domains.cashback.states import EventOutcome, FileState
from domains.merchants import service as merchants
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.queue import outbox
from wapsi.security import audit
from wapsi.security.principal import Principal

TAKE_IN_FILE = "cashback.take_in_file"
SALES_QUEUE = "sales"
MAX_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 512 * 1024
SYSTEM = audit.SYSTEM


@dataclass(slots=True)
class ReceivedFile:
    """In a temporary file on disk. Close it."""

    file: IO[bytes]
    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class NewFile:
    """`request_id`: the same one again is the same upload."""

    request_id: str
    name: str
    format: Format


@dataclass(frozen=True, slots=True)
class SalesFile:
    """`rows` have been handed in so far; the counts below it say what became of them. Of the rows that had come before
    (`repeated`) it is what became of them then."""

    id: UUID
    network: str
    name: str
    format: str
    sha256: str
    size_bytes: int
    state: FileState
    rows: int
    applied: int
    ignored: int
    unknown_status: int
    refused: int
    repeated: int
    error: str
    created_by: str
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class FileLine:
    """What became of the row that begins at `line`. `sale` is the network's id of the sale, '' where it has none."""

    line: int
    sale: str
    outcome: EventOutcome
    reason: str
    message: str
    repeated: bool
    event_id: UUID


async def receive_file(body: AsyncIterator[bytes]) -> ReceivedFile:
    """Takes a file in as it streams, onto the disk. Raises SalesFileTooLarge and SalesFileEmpty."""
    file: IO[bytes] = await asyncio.to_thread(tempfile.TemporaryFile)
    digest = hashlib.sha256()
    size_bytes = 0
    try:
        async for piece in body:
            size_bytes += len(piece)
            if size_bytes > MAX_BYTES:
                raise SalesFileTooLarge(f"A file of sales may have at most {MAX_BYTES} bytes.", limit_bytes=MAX_BYTES)
            digest.update(piece)
            await asyncio.to_thread(file.write, piece)
        if size_bytes == 0:
            raise SalesFileEmpty("Send the file as the body of the request.")
        await asyncio.to_thread(file.seek, 0)
    except BaseException:
        file.close()
        raise
    return ReceivedFile(file, size_bytes, digest.digest())


async def add_file(
    session: WriteSession, principal: Principal | None, network: str, new: NewFile, received: ReceivedFile
) -> tuple[SalesFile, bool]:
    """Stores a file and queues it; (the file, whether it was there already). Without a principal the system brings it.

    Raises NetworkNotFound, and SalesFileDiffers where the request's id was used with another file.
    """
    found = await merchants.get_network(session, network)
    file_id = new_id()
    statement = (
        insert(SalesFileRow)
        .values(
            id=file_id,
            network_id=found.id,
            request_id=new.request_id,
            name=new.name,
            format=new.format,
            sha256=received.sha256,
            size_bytes=received.size_bytes,
            state=FileState.QUEUED,
            created_by=SYSTEM if principal is None else str(principal),
        )
        .on_conflict_do_nothing(index_elements=[SalesFileRow.network_id, SalesFileRow.request_id])
        .returning(SalesFileRow.id)
    )
    if await session.scalar(statement) is None:
        known = await session.scalar(
            select(SalesFileRow).where(SalesFileRow.network_id == found.id, SalesFileRow.request_id == new.request_id)
        )
        assert known is not None
        if known.sha256 != received.sha256:
            raise SalesFileDiffers("This Idempotency-Key was used with another file. Use a new key for a new file.")
        return _view(known, found.slug), True
    position = 0
    while data := await asyncio.to_thread(received.file.read, PIECE_BYTES):
        session.add(SalesFilePieceRow(file_id=file_id, position=position, data=data))
        await session.flush()
        position += 1
    await outbox.enqueue(session, TAKE_IN_FILE, {"file_id": str(file_id)}, queue=SALES_QUEUE)
    after = {"network": found.slug, "name": new.name, "sha256": received.sha256.hex(), "bytes": received.size_bytes}
    await audit.record(session, principal, action="sales_file.uploaded", target=f"sales_file:{file_id}", after=after)
    return await get_file(session, file_id), False


async def get_file(session: ReadSession, file_id: UUID) -> SalesFile:
    """Raises SalesFileNotFound."""
    row = await session.get(SalesFileRow, file_id)
    if row is None:
        raise SalesFileNotFound("There is no such file of sales.", file_id=str(file_id))
    [network] = [one for one in await merchants.list_networks(session) if one.id == row.network_id]
    return _view(row, network.slug)


async def list_files(session: ReadSession, network: str, *, limit: int, before: UUID | None = None) -> list[SalesFile]:
    """The newest first. Raises NetworkNotFound."""
    found = await merchants.get_network(session, network)
    statement = (
        select(SalesFileRow).where(SalesFileRow.network_id == found.id).order_by(SalesFileRow.id.desc()).limit(limit)
    )
    if before is not None:
        statement = statement.where(SalesFileRow.id < before)
    return [_view(row, found.slug) for row in await session.scalars(statement)]


async def list_lines(
    session: ReadSession, file_id: UUID, *, limit: int, after: int = 0, outcome: EventOutcome | None = None
) -> list[FileLine]:
    """In their order, those behind line `after`."""
    statement = (
        select(SalesFileLineRow)
        .where(SalesFileLineRow.file_id == file_id, SalesFileLineRow.line > after)
        .order_by(SalesFileLineRow.line)
        .limit(limit)
    )
    if outcome is not None:
        statement = statement.where(SalesFileLineRow.outcome == outcome)
    return [
        FileLine(row.line, row.sale, EventOutcome(row.outcome), row.reason, row.message, row.repeated, row.event_id)
        for row in await session.scalars(statement)
    ]


async def pieces_of(session: ReadSession, file_id: UUID) -> Sequence[int]:
    positions = await session.scalars(
        select(SalesFilePieceRow.position).where(SalesFilePieceRow.file_id == file_id).order_by("position")
    )
    return positions.all()


async def drop_pieces(session: WriteSession, file_id: UUID) -> None:
    await session.execute(text("DELETE FROM sales_file_pieces WHERE file_id = :id"), {"id": file_id})


def _view(row: SalesFileRow, network: str) -> SalesFile:
    return SalesFile(
        id=row.id,
        network=network,
        name=row.name,
        format=row.format,
        sha256=row.sha256.hex(),
        size_bytes=row.size_bytes,
        state=FileState(row.state),
        rows=row.rows,
        applied=row.applied,
        ignored=row.ignored,
        unknown_status=row.unknown_status,
        refused=row.refused,
        repeated=row.repeated,
        error=row.error,
        created_by=row.created_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
