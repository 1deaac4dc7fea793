"""`wapsi operator add` and `wapsi producer add`: accounts that no web page makes."""

from typing import Annotated

import typer
from rich.console import Console

from domains.customers import service as customers
from domains.merchants import service as merchants
from wapsi.cli.work import in_transaction
from wapsi.config import Settings
from wapsi.db import WriteSession
from wapsi.security.permissions import OperatorRole

operator_app = typer.Typer(help="People who run the platform.", no_args_is_help=True)
producer_app = typer.Typer(help="Systems that push feeds and sales.", no_args_is_help=True)
console = Console(stderr=True)


@operator_app.callback()
def _operators() -> None:
    """Keeps `add` a subcommand."""


@operator_app.command("add")
def add_operator(
    email: str,
    role: Annotated[OperatorRole, typer.Option()],
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)],
) -> None:
    """Make an operator account."""
    in_transaction(lambda session, settings: customers.create_operator(session, email, password, role))
    console.print(f"[green]{email} is an operator with the role {role}.[/green]")


@producer_app.callback()
def _producers() -> None:
    """Keeps `add` a subcommand."""


@producer_app.command("add")
def add_producer(
    name: str,
    merchant: Annotated[list[str], typer.Option(help="A merchant's slug; repeatable.")],
) -> None:
    """Make a producer key for some merchants. The key is printed once, on standard output."""

    async def work(session: WriteSession, settings: Settings) -> str:
        ids = [(await merchants.get_merchant(session, slug)).id for slug in merchant]
        _producer, key = await customers.create_producer(session, name, ids)
        return key

    print(in_transaction(work))
