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

from domains.offers.feeds import FeedError, FeedOptions, open_feed, parse_column_mapping
from wapsi.cli.demo import read_demo
from wapsi.cli.feed_view import LOOKED_AT, STATES, console, print_issues, print_summary, shown
from wapsi.cli.server import Server, credentials_of
from wapsi.producer import FeedChanged, SyncRejected
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

app = typer.Typer(help="Bring a merchant's feed in.", no_args_is_help=True)


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
        print_issues(sync.sync_id, asyncio.run(_issues(sync.sync_id, server)))
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
    with shown(f"{merchant}: {file.name}") as show:
        async with server.producer() as producer:
            sync = await producer.push(
                merchant,
                lambda: read_items(file, options),
                request_id=request_id or f"file-{digest[:16]}-{datetime.now(UTC):%Y%m%dT%H%M%S}",
                mode=pb.SYNC_MODE_FULL if mode is Mode.FULL else pb.SYNC_MODE_INCREMENTAL,
                source=file.name,
                as_of=options.source_time,
                feed_digest=options.digest_with(digest) if mode is Mode.FULL and not reread else b"",
                on_progress=show,
            )
    return sync, time.perf_counter() - started_s


async def _issues(sync_id: str, server: Server) -> list[pb.SyncIssue]:
    async with server.producer() as producer:
        return await producer.issues(sync_id, limit=LOOKED_AT)


def read_items(file: Path, options: FeedOptions) -> Iterator[bytes]:
    """Raises FeedError."""
    with file.open("rb") as stream, open_feed(stream, name=file.name, options=options) as feed:
        yield from feed.serialised()


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
