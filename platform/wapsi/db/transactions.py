"""A transaction straight on the driver, over a connection of the engine's pool.

A session costs more than the statements of a small transaction do: for paths that write for hundreds of requests a
second, and have no use for the ORM.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import cast

import asyncpg
from sqlalchemy.util import greenlet_spawn

from wapsi.db.engine import Database
from wapsi.db.errors import operational_errors_in_words


class Transactions:
    """`write` as a Database's, but it yields the driver's connection."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[asyncpg.Connection]:
        """Commits when the block ends, rolls back when it raises. Raises DatabaseUnavailable as sessions do."""
        async with operational_errors_in_words():
            pooled = await self._db.engine.raw_connection()
            try:
                driver = cast("asyncpg.Connection", pooled.driver_connection)
                async with driver.transaction():
                    yield driver
            finally:
                # Back into the pool, which may take a round trip.
                await greenlet_spawn(pooled.close)
