"""`wapsi sales push`: brings a file of sales in, at the server, and waits until each row has its answer."""

import asyncio
from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from domains.cashback import service as cashback
from wapsi.cli.settings import load_settings
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.errors import DomainError

app = typer.Typer(help="Files of sales.", no_args_is_help=True)
console = Console(stderr=True)

_LOOK_S = 0.5
_LINES = 50
_PIECE_BYTES = 512 * 1024
_COUNTS = (
    ("rows", "rows"),
    ("applied", "had an effect"),
    ("ignored", "said nothing new"),
    ("unknown_status", "with a status word that no mapping knows"),
    ("refused", "refused"),
    ("repeated", "had come before"),
)


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


@app.callback()
def _group() -> None:
    """Keeps `push` a subcommand."""


@app.command()
def push(
    file: Annotated[Path, typer.Argument(help="UTF-8, CSV or JSON Lines.", exists=True, dir_okay=False)],
    network: Annotated[str, typer.Option(help="The network's slug; its adapter says how rows are read.")],
    format: Annotated[Format | None, typer.Option(help="Default: as the file's name ends.")] = None,
    wait_s: Annotated[int, typer.Option(help="How long to wait for the worker.", min=0)] = 3600,
) -> None:
    """Take a file of sales in. The same file again changes nothing. Prints what became of the rows; exits with 1 where
    some were refused, or the file could not be read."""
    try:
        found, lines = asyncio.run(_push(load_settings(), file, network, format, wait_s))
    except DomainError as error:
        console.print(f"[red]Refused ({error.reason}):[/red] {error.message}")
        raise typer.Exit(1) from None
    _show(found, lines)
    if found.state is cashback.FileState.QUEUED:
        console.print("The worker is not done yet. Push the file again to see how far it is.")
        raise typer.Exit(3)
    if found.error or found.refused or found.unknown_status:
        raise typer.Exit(1)


async def _push(
    settings: Settings, path: Path, network: str, format: Format | None, wait_s: int
) -> tuple[cashback.SalesFile, list[cashback.FileLine]]:
    db = Database(settings, role="cli")
    try:
        received = await cashback.receive_file(_pieces(path))
        with received.file:
            # The same bytes while a push of them is under way are that push.
            new = cashback.NewFile(await _request_id(db, network, received.sha256), path.name, _format(path, format))
            async with db.write() as session:
                found, _ = await cashback.add_file(session, None, network, new, received)
        with console.status("Waiting for the worker") as status:
            for _ in range(int(wait_s / _LOOK_S)):
                if found.state is not cashback.FileState.QUEUED:
                    break
                await asyncio.sleep(_LOOK_S)
                async with db.write() as session:
                    found = await cashback.get_file(session, found.id)
                status.update(f"{found.rows:,} rows")
        lines: list[cashback.FileLine] = []
        async with db.read() as session:
            for outcome in (cashback.EventOutcome.REFUSED, cashback.EventOutcome.UNKNOWN_STATUS):
                lines += await cashback.list_lines(session, found.id, limit=_LINES, outcome=outcome)
        return found, lines
    finally:
        await db.dispose()


async def _request_id(db: Database, network: str, sha256: bytes) -> str:
    async with db.read() as session:
        before = await cashback.list_files(session, network, limit=200)
    same = [file for file in before if file.sha256 == sha256.hex()]
    under_way = [file for file in same if file.state is cashback.FileState.QUEUED]
    number = len(same) + (0 if under_way else 1)
    return f"push:{sha256.hex()}:{number}"


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece


def _format(path: Path, format: Format | None) -> cashback.FileFormat:
    if format is None:
        return cashback.format_of(path.name)
    return "csv" if format is Format.CSV else "jsonl"


def _show(file: cashback.SalesFile, lines: list[cashback.FileLine]) -> None:
    counts = Table(show_header=False, title=f"{file.network}: {file.name}, {file.state}")
    for name, words in _COUNTS:
        counts.add_row(words, f"{getattr(file, name):,}")
    console.print(counts)
    if file.error:
        console.print(f"[red]{file.error}[/red]", highlight=False)
    if lines:
        table = Table("line", "sale", "reason", "what", title="Rows without an effect")
        for line in lines[:_LINES]:
            table.add_row(str(line.line), line.sale, line.reason, line.message)
        console.print(table)
