"""`wapsi ledger verify`: does every paisa add up?"""

import asyncio

import typer
from rich.console import Console
from rich.table import Table

from domains.cashback import service as cashback
from wapsi.cli.settings import load_settings
from wapsi.config import Settings
from wapsi.db import Database

app = typer.Typer(help="The double-entry ledger.", no_args_is_help=True)
console = Console()


@app.callback()
def _group() -> None:
    """Keeps `verify` a subcommand."""


@app.command()
def verify() -> None:
    """Check the ledger's invariants over all entries; exits with 1 and names the rows where one does not hold."""
    violations = asyncio.run(_verify(load_settings()))
    if not violations:
        console.print("[green]✓ The ledger is sound:[/green] every invariant holds.")
        return
    table = Table("invariant", "where", "what", title=f"{len(violations)} violations")
    for violation in violations:
        table.add_row(violation.invariant, violation.subject, violation.message)
    console.print(table)
    raise typer.Exit(1)


async def _verify(settings: Settings) -> list[cashback.Violation]:
    db = Database(settings, role="cli")
    try:
        async with db.read() as session:
            return list(await cashback.verify_ledger(session))
    finally:
        await db.dispose()
