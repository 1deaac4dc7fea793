"""`wapsi operator`: accounts that no web page makes."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from domains.customers import service as customers
from wapsi.cli.demo import read_demo
from wapsi.cli.work import in_transaction
from wapsi.config import Settings
from wapsi.db import WriteSession
from wapsi.security.permissions import OperatorRole
from wapsi.security.signing import Keys

operator_app = typer.Typer(help="People who run the platform.", no_args_is_help=True)
console = Console(stderr=True)
_LISTED_AT_ONCE = 1000
NewPassword = Annotated[str, typer.Option("--password", prompt=True, hide_input=True, confirmation_prompt=True)]


@operator_app.command("add")
def add_operator(
    email: str,
    role: Annotated[OperatorRole, typer.Option()],
    password: NewPassword,
) -> None:
    """Make an operator account."""
    in_transaction(lambda session, settings: customers.create_operator(session, email, password, role))
    console.print(f"[green]{email} is an operator with the role {role}.[/green]")


@operator_app.command("list")
def list_operators() -> None:
    """Show all operators, the newest first."""
    found = in_transaction(lambda session, settings: customers.list_operators(session, limit=_LISTED_AT_ONCE))
    table = Table("e-mail", "role", "status", "since", "id")
    for operator in found:
        since = f"{operator.created_at:%Y-%m-%d}"
        table.add_row(operator.email, operator.role, operator.status, since, str(operator.id))
    Console().print(table)


@operator_app.command("disable")
def disable_operator(email: str) -> None:
    """Sign an operator out everywhere, and let them in no more."""
    _change(email, status=customers.OperatorStatus.DISABLED)


@operator_app.command("enable")
def enable_operator(email: str) -> None:
    """Let a disabled operator in again."""
    _change(email, status=customers.OperatorStatus.ACTIVE)


@operator_app.command("role")
def change_role(email: str, role: OperatorRole) -> None:
    """Give an operator another role; they sign in again."""
    _change(email, role=role)


@operator_app.command("reset-password")
def reset_password(email: str, password: NewPassword) -> None:
    """Set a new password, and sign the operator out everywhere."""

    async def work(session: WriteSession, settings: Settings) -> None:
        operator = await customers.find_operator(session, email)
        await customers.reset_operator_password(session, Keys(settings), operator.id, password)

    in_transaction(work)
    console.print(f"[green]{email} has a new password.[/green]")


@operator_app.command("reset-factor")
def reset_factor(email: str) -> None:
    """Remove an operator's second factors and passkeys, for who has lost them, and sign them out everywhere."""

    async def work(session: WriteSession, settings: Settings) -> None:
        operator = await customers.find_operator(session, email)
        await customers.reset_operator_factors(session, Keys(settings), operator.id, principal=None)

    in_transaction(work)
    console.print(f"[green]{email} signs in with the password alone, and can add a second factor.[/green]")


@operator_app.command("code")
def show_code() -> None:
    """Print the current code of the sample operator of the `wapsi up` that runs here. Each code counts once."""
    secret = read_demo().get("operator_totp_secret")
    if not secret:
        console.print("[red]There is no sample operator here: `wapsi up` makes one.[/red]")
        raise typer.Exit(1)
    print(customers.totp_code(secret))


def _change(email: str, *, role: OperatorRole | None = None, status: customers.OperatorStatus | None = None) -> None:
    async def work(session: WriteSession, settings: Settings) -> customers.OperatorRef:
        operator = await customers.find_operator(session, email)
        return await customers.change_operator(session, operator.id, role=role, status=status)

    changed = in_transaction(work)
    console.print(f"[green]{changed.email} has the role {changed.role} and is {changed.status}.[/green]")
