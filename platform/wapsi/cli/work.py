"""One unit of work for a command."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer
from rich.console import Console

from wapsi.cli.settings import load_settings
from wapsi.config import Settings
from wapsi.db import Database, WriteSession
from wapsi.errors import DomainError

console = Console(stderr=True)
T = TypeVar("T")


def in_transaction(work: Callable[[WriteSession, Settings], Awaitable[T]]) -> T:
    """Runs one unit of work; a domain error ends in its words and exit code 1."""

    settings = load_settings()

    async def run() -> T:
        db = Database(settings, role="cli")
        try:
            async with db.write() as session:
                return await work(session, settings)
        finally:
            await db.dispose()

    try:
        return asyncio.run(run())
    except DomainError as error:
        console.print(f"[red]{error.reason}[/red]: {error.message}")
        raise typer.Exit(1) from None
