"""`wapsi secrets re-encrypt`: after WAPSI_SECRET_KEY was changed, before the one before it is given up."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from wapsi.cli.settings import load_settings
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.roots.secrets import ENCRYPTED
from wapsi.security.reencryption import Renewal, renew
from wapsi.security.signing import Keys

app = typer.Typer(help="The secrets that this installation runs with.", no_args_is_help=True)
console = Console()


@app.callback()
def _group() -> None:
    """Keeps `re-encrypt` a word of its own while it is the only command."""


@app.command("re-encrypt")
def reencrypt(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit with 1 if something is left.")] = False,
) -> None:
    """Encrypt with WAPSI_SECRET_KEY what one of WAPSI_SECRET_KEYS_PREVIOUS has encrypted.

    It may run beside everything else, be broken off and started again. Exits with 1 where a row cannot be read.
    """
    found = asyncio.run(_renew_all(load_settings(), change=not check))
    table = Table("", "rows", "of an earlier key" if check else "encrypted anew", "cannot be read")
    for column in found:
        table.add_row(column.name, *(f"{count:,}" for count in (column.seen, column.renewed, column.unreadable)))
    console.print(table)
    unreadable = [f"{column.name} of {row}" for column in found for row in column.examples]
    if unreadable:
        console.print("[red]✗ Written with a secret that is not given here:[/red]", *unreadable, sep="\n  ")
        console.print("Add the secret it was written with to WAPSI_SECRET_KEYS_PREVIOUS, and run this again.")
        raise typer.Exit(1)
    if check and any(column.renewed for column in found):
        console.print("[red]✗ An earlier key is still needed:[/red] run this without --check.")
        raise typer.Exit(1)
    console.print("[green]✓ All that is encrypted is encrypted with the current key.[/green]")


async def _renew_all(settings: Settings, *, change: bool) -> list[Renewal]:
    db, keys = Database(settings, role="cli"), Keys(settings)
    try:
        with console.status("Looking at what is encrypted") as status:

            def tell(so_far: Renewal) -> None:
                status.update(f"{so_far.name}: {so_far.seen:,} rows, {so_far.renewed:,} of an earlier key")

            return [await renew(db, keys, column, tell, change=change) for column in ENCRYPTED]
    finally:
        await db.dispose()
