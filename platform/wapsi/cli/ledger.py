"""`wapsi ledger verify`: does every paisa add up? `reconcile`: with what others say, too?"""

import asyncio

import typer
from rich.console import Console
from rich.table import Table

from domains.cashback import service as cashback
from wapsi.cli.settings import load_settings
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.security.signing import Keys

app = typer.Typer(help="The double-entry ledger.", no_args_is_help=True)
console = Console()


@app.command()
def verify() -> None:
    """Walk the seals and every entry; exits with 1 and names the rows where something does not hold.

    Keep the line with the last seal: whoever could remove seals from the database cannot make this one again.
    """
    violations, sealed = asyncio.run(_verify(load_settings()))
    number, last_entry, mac = sealed
    if number:
        console.print(f"Seal {number:,} covers the entries up to {last_entry:,}: {mac.hex()}", highlight=False)
    if not violations:
        console.print("[green]✓ The ledger is sound:[/green] every invariant holds, and every seal fits its rows.")
        return
    first = violations[0]
    table = Table("invariant", "where", "what", title=f"{len(violations)} violations; the first: {first.subject}")
    for violation in violations:
        table.add_row(violation.invariant, violation.subject, violation.message)
    console.print(table)
    raise typer.Exit(1)


async def _verify(settings: Settings) -> tuple[list[cashback.Violation], tuple[int, int, bytes]]:
    db = Database(settings, role="cli")
    try:
        with console.status("Looking at the seals") as status:

            def tell(what: str, count: int) -> None:
                status.update(f"{what}: {count:,}")

            violations = await cashback.verify_everything(db, Keys(settings), tell)
        async with db.read() as session:
            return violations, await cashback.last_seal(session)
    finally:
        await db.dispose()


@app.command()
def reconcile() -> None:
    """Compare what networks owe us and what we owe customers with what was reported; exits with 1 where it differs."""
    lines = asyncio.run(_reconcile(load_settings()))
    table = Table("", "currency", "in the ledger", "reported", "difference")
    for line in lines:
        style = "red" if line.difference_minor else ""
        amounts = (line.booked_minor, line.reported_minor, line.difference_minor)
        table.add_row(line.name, line.currency, *(f"{amount:,}" for amount in amounts), style=style)
    console.print(table)
    if any(line.difference_minor for line in lines):
        raise typer.Exit(1)
    console.print("[green]✓ Everything agrees,[/green] in minor units.")


async def _reconcile(settings: Settings) -> list[cashback.Line]:
    db = Database(settings, role="cli")
    try:
        async with db.read() as session:
            return await cashback.reconcile(session)
    finally:
        await db.dispose()
