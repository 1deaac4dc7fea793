"""`wapsi merchant add`: a merchant that is ready for feeds and clicks, in one line; `rollback` of its last feed."""

import time
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from domains.merchants import service as merchants
from domains.offers import service as offers
from wapsi.cli.work import in_transaction
from wapsi.config import Settings
from wapsi.db import WriteSession
from wapsi.ids import new_id
from wapsi.security.principal import Principal, PrincipalKind

app = typer.Typer(help="The shops.", no_args_is_help=True)
console = Console(stderr=True)


@app.command()
def add(
    slug: Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens.")],
    name: Annotated[str, typer.Option()],
    landing_host: Annotated[list[str], typer.Option(help="Where its offers lead; subdomains too; repeatable.")],
    deep_link: Annotated[str, typer.Option(help="The tracking link, with {link} and {click_id}.")],
    rate_bps: Annotated[int, typer.Option(help="What customers get: 250 is 2.5 %.", min=1)],
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "PKR",
    network: Annotated[str | None, typer.Option(help="Its slug; none: a direct merchant.")] = None,
) -> None:
    """Make a merchant, publish its default rate, and activate it."""

    async def work(session: WriteSession, settings: Settings) -> None:
        new = merchants.NewMerchant(
            slug=slug,
            name=name,
            currency=currency,
            network=network,
            deep_link_template=deep_link,
            allowed_landing_hosts=tuple(landing_host),
        )
        await merchants.create_merchant(session, None, new)
        rate = merchants.Rate(
            rate_category="",
            customer_type=merchants.CustomerType.UNKNOWN,
            kind=merchants.RateKind.PERCENT,
            percent_bps=rate_bps,
            fixed_minor=None,
            currency=currency,
        )
        await merchants.publish_rates(session, None, slug, merchants.NewSchedule(rates=(rate,)))
        await merchants.move_merchant(session, None, slug, merchants.MerchantStatus.ACTIVE)

    in_transaction(work)
    console.print(f"[green]{name} is active[/green] as {slug}.")


@app.command()
def rollback(slug: Annotated[str, typer.Argument(help="The merchant whose last publication is taken back.")]) -> None:
    """Show the offers as they were before the last feed. Doing it again undoes it; the next feed goes on from there."""
    somebody = Principal(PrincipalKind.SYSTEM, new_id(), frozenset())

    async def start(session: WriteSession, settings: Settings) -> UUID:
        return (await offers.start_rollback(session, somebody, slug, request_id=f"rollback-{new_id()}")).id

    async def look(session: WriteSession, settings: Settings) -> offers.SyncView:
        return await offers.get_sync(session, somebody, sync_id)

    sync_id = in_transaction(start)
    with console.status(f"{slug}: the worker takes the last version back"):
        while not (sync := in_transaction(look)).settled:
            time.sleep(0.2)
    if sync.state != "succeeded":
        console.print(f"[red]{sync.state}[/red]: {sync.message}")
        raise typer.Exit(1)
    console.print(f"[green]{sync.message}[/green]")
