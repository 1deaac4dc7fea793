"""Faults that have a remedy end in words and a non-zero exit, not in a traceback."""

import sys

import typer
from rich.console import Console

errors = Console(stderr=True)


def run(commands: typer.Typer) -> None:
    try:
        commands()
    except Exception as error:
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Prints what is wrong and returns the exit code; raises what has no remedy."""
    # Imported here: a command that works need not wait for the database's library.
    from sqlalchemy.exc import DBAPIError

    from wapsi.db.engine import PoolBudgetExceeded
    from wapsi.roots.errors import CannotListen

    if isinstance(error, (PoolBudgetExceeded, CannotListen)):
        errors.print(f"[red]Refused to start:[/red] {error}")
        return 2
    if isinstance(error, (ConnectionError, DBAPIError)):
        errors.print(f"[red]A server that this needs did not answer:[/red] {getattr(error, 'orig', error)}")
        errors.print("[bold]wapsi doctor[/bold] says which one and what to look at.")
        return 3
    raise error
