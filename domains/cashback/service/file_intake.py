"""The job that hands a file's rows in: a window of them, their answers and the place reached in one transaction."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO
from uuid import UUID

import structlog
from sqlalchemy import insert, text

from domains.cashback.models import SalesFileLineRow, SalesFileRow
from domains.cashback.service import sales_files
from domains.cashback.service.conversions import ingest_many
from domains.cashback.service.doors import in_order, named, reports_of, source_of_adapter
from domains.cashback.service.event_files import FileEvent, Format, read_file
from domains.cashback.service.events import EventResult, Malformed
from domains.cashback.service.network_adapters import NetworkAdapter, get_adapter
from domains.cashback.service.sales_files import SalesFile
from domains.cashback.states import Door, EventOutcome, FileState
from wapsi.clock import now
from wapsi.db import Database, WriteSession
from wapsi.queue.jobs import Job
from wapsi.threads import OneThread

log = structlog.get_logger(__name__)

# Each event holds two locks of the database's shared table while its window is written.
WINDOW = 128


async def take_in_file(job: Job, file_id: UUID) -> None:
    """From where the attempt before came to. Whatever is handed in again changes nothing."""
    async with job.runtime.db.write() as session:
        file = await sales_files.get_file(session, file_id)
        if file.state is not FileState.QUEUED:
            return
        adapter = await get_adapter(session, file.network)
    with await _spool(job.runtime.db, file_id) as spool, OneThread("sales-file") as thread:
        try:
            rows = await thread.run(_rows, spool, file, adapter)
            while window := await thread.run(_window, rows, adapter):
                await _hand_in(job, file, adapter, window)
        except Malformed as fault:
            await _end(job, file_id, FileState.FAILED, f"The file cannot be read: {fault}.")
            return
    await _end(job, file_id, FileState.DONE, "")


async def give_up(session: WriteSession, file_id: UUID, error: str) -> None:
    """What has been handed in stays; the same file again goes on with the rest."""
    message = f"Given up: {error} The rows so far stay taken in; bring the file again, and if it repeats, report it."
    await _ended(session, file_id, FileState.FAILED, message)


def _rows(spool: IO[bytes], file: SalesFile, adapter: NetworkAdapter) -> Iterator[FileEvent]:
    """Those that have not been handed in. Raises Malformed."""
    format: Format = "csv" if file.format == "csv" else "jsonl"
    return islice(read_file(spool, format, adapter.kind, adapter.settings, file.created_at), file.rows, None)  # type: ignore[arg-type]  # an IO of bytes is one


def _window(rows: Iterator[FileEvent], adapter: NetworkAdapter) -> list[FileEvent]:
    return [FileEvent(row.line, named(adapter, row.adapted)) for row in islice(rows, WINDOW)]


async def _hand_in(job: Job, file: SalesFile, adapter: NetworkAdapter, window: Sequence[FileEvent]) -> None:
    reports = reports_of(adapter, [row.adapted for row in window], Door.FILE, file.created_by)
    order = in_order(reports)
    source = source_of_adapter(adapter)
    async with job.write() as session:
        items = [(source, reports[position]) for position in order]
        answers = await ingest_many(await session.driver(), job.runtime.keys, items)
        results: dict[int, EventResult] = {}
        for position, answer in zip(order, answers, strict=True):
            assert isinstance(answer, EventResult), "a network may report for all of its merchants"
            results[position] = answer
        await _note(session, file.id, window, [results[position] for position in range(len(window))])


async def _note(session: WriteSession, file_id: UUID, window: Sequence[FileEvent], results: list[EventResult]) -> None:
    lines = [
        {
            "file_id": file_id,
            "line": row.line,
            "sale": "" if row.adapted.event is None else row.adapted.event.conversion_id,
            "event_id": result.event_id,
            "outcome": result.outcome,
            "reason": result.reason,
            "message": result.message,
            "repeated": result.repeated,
        }
        for row, result in zip(window, results, strict=True)
    ]
    await session.execute(insert(SalesFileLineRow), lines)
    counts = Counter(result.outcome for result in results)
    await session.execute(
        text(
            "UPDATE sales_files SET rows = rows + :rows, applied = applied + :applied, ignored = ignored + :ignored,"
            " unknown_status = unknown_status + :unknown, refused = refused + :refused,"
            " repeated = repeated + :repeated WHERE id = :id"
        ),
        {
            "id": file_id,
            "rows": len(window),
            "applied": counts[EventOutcome.APPLIED],
            "ignored": counts[EventOutcome.IGNORED],
            "unknown": counts[EventOutcome.UNKNOWN_STATUS],
            "refused": counts[EventOutcome.REFUSED],
            "repeated": sum(result.repeated for result in results),
        },
    )


async def _end(job: Job, file_id: UUID, state: FileState, error: str) -> None:
    async with job.write() as session:
        await _ended(session, file_id, state, error)
        await job.complete(session)
    log.info("sales_file_ended", file_id=str(file_id), state=state)


async def _ended(session: WriteSession, file_id: UUID, state: FileState, error: str) -> None:
    row = await session.get_locked(SalesFileRow, file_id)
    assert row is not None
    row.state, row.error, row.finished_at = state, error, now()
    await session.flush()
    await sales_files.drop_pieces(session, file_id)


async def _spool(db: Database, file_id: UUID) -> IO[bytes]:
    """In a temporary file on disk, at its start."""
    file: IO[bytes] = await asyncio.to_thread(tempfile.TemporaryFile)
    async with db.write() as session:
        for position in await sales_files.pieces_of(session, file_id):
            data = await session.scalar(
                text("SELECT data FROM sales_file_pieces WHERE file_id = :id AND position = :position"),
                {"id": file_id, "position": position},
            )
            await asyncio.to_thread(file.write, data)
    await asyncio.to_thread(file.seek, 0)
    return file
