"""`wapsi feed push`: a real gRPC producer for feed files."""

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from domains.offers.feeds import FeedError, FeedOptions, open_feed, parse_column_mapping
from wapsi.cli.demo import read_demo
from wapsi.cli.server import Server, credentials_of
from wapsi.producer import FeedChanged, ProgressReport, SyncRejected
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

app = typer.Typer(help="Bring a merchant's feed in.", no_args_is_help=True)
console = Console(stderr=True)

STATES = {value: name.removeprefix("SYNC_STATE_").lower() for name, value in pb.SyncState.items()}
_LOOKED_AT = 1000
_COUNTERS = (
    ("received", "rows received"),
    ("created", "new offers"),
    ("updated", "changed offers"),
    ("unchanged", "unchanged offers"),
    ("withdrawn_by_item", "deleted by a row"),
    ("stale", "older than what is stored"),
    ("duplicates", "repeated rows of one offer"),
    ("rejected", "rejected rows"),
    ("withdrawn_unseen", "withdrawn, no longer in the feed"),
    ("warnings", "warnings"),
)


class Mode(StrEnum):
    FULL = "full"
    INCREMENTAL = "incremental"


_FILE: Any = {"exists": True, "dir_okay": False}


@app.callback()
def _group() -> None:
    """Keeps `push` a subcommand."""


@app.command()
def push(
    file: Annotated[
        Path, typer.Argument(help="Any known format; plain, .gz, .zip or .zst.", exists=True, dir_okay=False)
    ],
    merchant: Annotated[str, typer.Option(help="The merchant's slug.")],
    mode: Annotated[Mode, typer.Option(help="full withdraws what the feed does not contain.")] = Mode.FULL,
    map: Annotated[
        list[str] | None, typer.Option("--map", help="target=source, for feeds with columns of their own; repeatable.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="Where the content does not tell.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Where the feed does not say.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Where the content does not tell.")] = None,
    availability: Annotated[str | None, typer.Option(help="For feeds without it, such as in_stock.")] = None,
    link_base: Annotated[str | None, typer.Option(help="The shop's address, for Shopify exports.")] = None,
    currency: Annotated[str | None, typer.Option(help="For prices without one; default PKR.")] = None,
    target: Annotated[str | None, typer.Option(help="host:port of the gRPC server.")] = None,
    key: Annotated[str | None, typer.Option(envvar="WAPSI_PRODUCER_KEY", help="The producer key, wpk_….")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="The server has a certificate of a public CA.")] = False,
    tls_ca: Annotated[Path | None, typer.Option(help="PEM of the CA of the server's certificate.", **_FILE)] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM of the certificate to show.", **_FILE)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM of its key.", **_FILE)] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Repeat it to go on with an interrupted push; default: from the file's bytes.")
    ] = None,
    reread: Annotated[
        bool, typer.Option("--reread", help="Read and compare every row, even of the file that is published already.")
    ] = False,
) -> None:
    """Push a feed file as a sync, and wait until it is published."""
    demo = read_demo()
    target = target or os.environ.get("WAPSI_GRPC_TARGET") or demo.get("grpc_target")
    key = key or demo.get("producer_key")
    if not target or not key:
        console.print(
            "[red]Where to?[/red] Give --target and --key (or WAPSI_PRODUCER_KEY), or run this beside `wapsi up`."
        )
        raise typer.Exit(2)
    server = Server(target, key, credentials_of(tls, tls_ca, tls_cert, tls_key))
    try:
        options = FeedOptions(
            column_mapping=parse_column_mapping(map) if map else None,
            format=format,
            encoding=encoding,
            delimiter=delimiter,
            default_availability=availability,
            link_base=link_base,
            default_currency=currency or "PKR",
            source_time=datetime.now(UTC),
        )
        sync, seconds = asyncio.run(_push(file, merchant, mode, options, server, request_id, reread))
    except FeedError as error:
        where = f", line {error.line}" if error.line else ""
        console.print(f"[red]The feed cannot be read[/red] ({error.reason}{where}): {error.message}")
        console.print("Nothing was published.")
        raise typer.Exit(1) from None
    except (SyncRejected, FeedChanged) as error:
        reason = f" ({error.reason or error.code})" if isinstance(error, SyncRejected) else ""
        console.print(f"[red]The sync was refused{reason}:[/red] {error}")
        raise typer.Exit(1) from None
    print_summary(sync, seconds)
    if sync.counters.rejected or sync.counters.warnings:
        asyncio.run(_show_issues(sync.sync_id, server))
    if STATES[sync.state] not in ("succeeded", "partial"):
        raise typer.Exit(1)


async def _push(
    file: Path,
    merchant: str,
    mode: Mode,
    options: FeedOptions,
    server: Server,
    request_id: str | None,
    reread: bool,
) -> tuple[pb.Sync, float]:
    digest = await asyncio.to_thread(_digest, file)
    started_s = time.perf_counter()
    with feed_progress() as progress:
        view = ProgressView(progress, f"{merchant}: {file.name}")
        async with server.producer() as producer:
            sync = await producer.push(
                merchant,
                lambda: read_items(file, options),
                request_id=request_id or f"file-{digest[:16]}-{datetime.now(UTC):%Y%m%dT%H%M%S}",
                mode=pb.SYNC_MODE_FULL if mode is Mode.FULL else pb.SYNC_MODE_INCREMENTAL,
                source=file.name,
                as_of=options.source_time,
                feed_digest=options.digest_with(digest) if mode is Mode.FULL and not reread else b"",
                on_progress=view.show,
            )
    return sync, time.perf_counter() - started_s


async def _show_issues(sync_id: str, server: Server) -> None:
    """One example of each kind, errors before warnings, and where the others are."""
    async with server.producer() as producer:
        issues = await producer.issues(sync_id, limit=_LOOKED_AT)
    kinds: dict[tuple[bool, str, str], list[pb.SyncIssue]] = {}
    for entry in issues:
        is_warning = entry.issue.severity != pb.SEVERITY_ERROR
        kinds.setdefault((is_warning, entry.issue.code, entry.issue.field), []).append(entry)
    table = Table("rows", "first line", "offer", "field", "code", "what to do", "value", box=None, pad_edge=False)
    for (is_warning, code, field), entries in sorted(kinds.items(), key=lambda kind: (kind[0][0], -len(kind[1]))):
        first = entries[0]
        colour = "yellow" if is_warning else "red"
        # Where there are more issues than were looked at, there may be more rows of each kind.
        count = f"{len(entries):,}" + ("+" if len(issues) == _LOOKED_AT else "")
        table.add_row(
            count,
            str(first.line or first.offset),
            escape(first.offer_id),
            field,
            f"[{colour}]{code}[/{colour}]",
            escape(first.issue.message),
            escape(first.issue.value),
        )
    console.print(table)
    if len(issues) > len(kinds):
        console.print("All of them, as CSV (with the key that pushed the feed):")
        line = f"curl -s URL/v1/syncs/{sync_id}/issues -H 'Accept: text/csv' -H 'Authorization: Bearer KEY'"
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def read_items(file: Path, options: FeedOptions) -> Iterator[pb.OfferItem]:
    """Raises FeedError."""
    with file.open("rb") as stream, open_feed(stream, name=file.name, options=options) as feed:
        yield from feed.items()


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def feed_progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


class ProgressView:
    """One bar: items pushed, then items processed."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._task = progress.add_task(f"{name} · pushing", total=None)

    def show(self, report: ProgressReport) -> None:
        words = report.phase if not report.resumed else f"{report.phase} (resumed {report.resumed}x)"
        if report.phase == "processing":
            words = STATES[report.sync.state]
        self._progress.update(
            self._task, description=f"{self._name} · {words}", completed=report.done, total=report.total
        )


def print_summary(sync: pb.Sync, seconds: float) -> None:
    """What became of every row, in words."""
    state = STATES[sync.state]
    colour = {"succeeded": "green", "partial": "yellow"}.get(state, "red")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right", no_wrap=True)
    table.add_row("sync", sync.sync_id)
    table.add_row("state", f"[{colour}]{state}[/{colour}]")
    for name, words in _COUNTERS:
        value = getattr(sync.counters, name)
        if value or name in ("received", "created", "updated", "unchanged"):
            table.add_row(words, f"{value:,}")
    table.add_row("time", f"{seconds:.1f} s")
    table.add_row("speed", f"{sync.counters.received / seconds:,.0f} rows/s")
    console.print(table)
    if sync.message:
        console.print(sync.message)
