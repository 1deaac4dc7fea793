"""`wapsi top`: what a person on call looks at first."""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from wapsi.cli.settings import load_settings
from wapsi.cli.top_metrics import Snapshot, frame_between, scrape
from wapsi.cli.top_view import QueueRow, SyncRow, Work, render
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.errors import Unavailable
from wapsi.telemetry.queue_depth import look
from wapsi.telemetry.settings import TARGETS_VARIABLE

errors = Console(stderr=True)
# Ids tell when they were made, so that the newest syncs are found by the primary key.
_SYNCS = text(
    "SELECT m.slug, s.mode, s.state, s.committed_offset, s.processed,"
    " extract(epoch FROM now() - s.created_at)::float8 AS age_s FROM syncs s JOIN merchants m ON m.id = s.merchant_id"
    " WHERE s.id > CAST(:since AS uuid) AND (s.state IN ('open', 'queued', 'processing', 'quarantined')"
    " OR s.finished_at > now() - interval '1 minute') ORDER BY s.id DESC LIMIT 14"
)
_LOOKED_BACK = timedelta(days=1)
# A picture that fetches no font from elsewhere.
_SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def command(
    target: Annotated[
        list[str] | None,
        typer.Option(
            help=f"NAME=URL of a process's metrics; several times. Default: {TARGETS_VARIABLE}, separated by commas."
        ),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One picture as plain text, after one interval.")] = False,
    svg: Annotated[Path | None, typer.Option(help="With --once: the picture as SVG into this file.")] = None,
) -> None:
    """Show requests, latencies, queues, syncs and pools of the running processes, live."""
    settings = load_settings()
    targets = _targets(target)
    if once:
        picture = asyncio.run(_once(settings, targets, interval))
        console = Console(record=svg is not None, width=120 if svg else None)
        console.print(picture)
        if svg is not None:
            svg.write_text(console.export_svg(title="wapsi top", code_format=_SVG_FORMAT))
        return
    try:
        asyncio.run(_live(settings, targets, interval))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _targets(given: list[str] | None) -> dict[str, str]:
    """Exits with 2 where there are none, or one is not NAME=URL."""
    words = given or [part for part in os.environ.get(TARGETS_VARIABLE, "").split(",") if part]
    pairs = [word.partition("=") for word in words]
    if not pairs or not all(name and url.startswith(("http://", "https://")) for name, _, url in pairs):
        errors.print(
            f"[red]Which processes?[/red] Give --target NAME=URL for each, or set {TARGETS_VARIABLE}; a `wapsi up` "
            "that runs here is found by itself. The URL is the one of WAPSI_METRICS_PORT: http://host:port/metrics."
        )
        raise typer.Exit(2)
    return {name.strip(): url.strip() for name, _, url in pairs}


async def _once(settings: Settings, targets: dict[str, str], interval_s: float) -> RenderableType:
    before = await _scraped(targets)
    await asyncio.sleep(interval_s)
    async with _database(settings) as db:
        return render(frame_between(before, await _scraped(targets)), await _work(db), datetime.now(UTC))


async def _live(settings: Settings, targets: dict[str, str], interval_s: float) -> None:
    before = await _scraped(targets)
    async with _database(settings) as db:
        with Live(Text("One moment…"), console=Console(), screen=True, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(interval_s)
                after = await _scraped(targets)
                live.update(render(frame_between(before, after), await _work(db), datetime.now(UTC)), refresh=True)
                before = after


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    db = Database(settings, role="top")
    try:
        yield db
    finally:
        await db.dispose()


async def _scraped(targets: dict[str, str]) -> Snapshot:
    return await asyncio.to_thread(scrape, targets, time.monotonic())


async def _work(db: Database) -> Work:
    try:
        async with db.read() as session:
            queues = [QueueRow(row.queue, row.due, row.running, row.oldest_s) for row in await look(session)]
            since = _first_id_of(datetime.now(UTC) - _LOOKED_BACK)
            rows = (await session.execute(_SYNCS, {"since": since})).all()
            syncs = [
                SyncRow(row.slug, row.mode, row.state, row.committed_offset, row.processed, row.age_s) for row in rows
            ]
        return Work(queues, syncs)
    except (Unavailable, DBAPIError) as error:
        return Work(fault=f"The database does not answer: {error.__cause__ or error}")


def _first_id_of(moment: datetime) -> UUID:
    """Less than any UUIDv7 that was made since."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
