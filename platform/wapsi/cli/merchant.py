"""`wapsi merchant add`: a merchant that is ready for feeds and clicks, in one line."""

from typing import Annotated

import typer
from rich.console import Console

from domains.merchants import service as merchants
from wapsi.cli.work import in_transaction
from wapsi.config import Settings
from wapsi.db import WriteSession

app = typer.Typer(help="The shops.", no_args_is_help=True)
console = Console(stderr=True)


@app.callback()
def _group() -> None:
    """Keeps `add` a subcommand."""


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
