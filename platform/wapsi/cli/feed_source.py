"""`wapsi feed-source`: where a merchant's feed is fetched from, and when it is late."""

from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from domains.offers.service import source_fetch, sources
from domains.offers.source_schemas import FeedSourceIn
from wapsi.cli.work import in_transaction
from wapsi.security.signing import Keys

app = typer.Typer(help="Where a merchant's feed is fetched from.", no_args_is_help=True)
console = Console(stderr=True)
Merchant = Annotated[str, typer.Argument(help="The merchant's slug.")]


@app.command("set")
def set_source(
    merchant: Merchant,
    url: Annotated[
        str | None, typer.Option(envvar="WAPSI_FEED_URL", help="https; none: the feed is pushed, and only watched.")
    ] = None,
    every_s: Annotated[int, typer.Option(help="How often it is fetched.")] = 3600,
    late_after_s: Annotated[int | None, typer.Option(help="How long without a feed is too long.")] = None,
    mode: Annotated[str, typer.Option(help="full or incremental.")] = "full",
    read: Annotated[
        list[str] | None, typer.Option(help="How it is read, as name=value: format, encoding, …; repeatable.")
    ] = None,
    map: Annotated[list[str] | None, typer.Option("--map", help="target=source, for columns; repeatable.")] = None,
    enabled: Annotated[bool, typer.Option()] = True,
) -> None:
    """Set it, or replace it. It is fetched at once."""
    options: dict[str, object] = {name: value for name, _, value in (text.partition("=") for text in read or [])}
    try:
        body = FeedSourceIn.model_validate(
            {
                "url": url,
                "every_s": every_s,
                "late_after_s": late_after_s,
                "mode": mode,
                "options": options | {"map": map or []},
                "enabled": enabled,
            }
        )
    except ValidationError as error:
        for problem in error.errors():
            console.print(f"[red]{'.'.join(str(part) for part in problem['loc'])}[/red]: {problem['msg']}")
        raise typer.Exit(2) from None
    source = in_transaction(
        lambda session, settings: sources.set_source(
            session, None, Keys(settings), sources.make_fetcher(settings), merchant, body.to_source()
        )
    )
    _print(source)


@app.command()
def show(merchant: Merchant) -> None:
    """Show it, and how the last fetch went."""
    _print(in_transaction(lambda session, _settings: sources.get_source(session, merchant)))


@app.command()
def fetch(
    merchant: Merchant,
    force: Annotated[bool, typer.Option(help="Bring a file that has not changed in as well.")] = False,
) -> None:
    """Fetch now: a worker does it."""
    in_transaction(lambda session, _settings: source_fetch.fetch_now(session, None, merchant, force=force))
    console.print(f"[green]The feed of {merchant} is being fetched.[/green] wapsi feed-source show {merchant}")


def _print(source: sources.SourceView) -> None:
    table = Table("", source.merchant, title="Feed source")
    for name in ("url", "mode", "every_s", "late_after_s", "enabled", "next_fetch_at", "last_fetched_at"):
        table.add_row(name, escape(str(getattr(source, name))))
    for name in ("last_outcome", "last_reason", "last_message", "last_sync_id", "failures", "late_since"):
        table.add_row(name, escape(str(getattr(source, name) or "-")))
    console.print(table)
