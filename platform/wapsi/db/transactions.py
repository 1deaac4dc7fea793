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
    """`write` as a Database's, but it yields the driver's connection. `setup`: what each begins with, by SET LOCAL."""

    def __init__(self, db: Database, setup: str = "") -> None:
        self._db = db
        self._begin = f"BEGIN; {setup}"

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[asyncpg.Connection]:
        """Commits when the block ends, rolls back when it raises. Raises DatabaseUnavailable as sessions do."""
        async with _connection(self._db) as driver:
            try:
                # One round trip, of which the driver's own transactions would make two.
                await driver.execute(self._begin)
                yield driver
                await driver.execute("COMMIT")
            except asyncpg.InternalClientError as error:
                # The server said goodbye, and the driver has only half understood.
                driver.terminate()
                raise asyncpg.ConnectionDoesNotExistError(str(error)) from error
            except BaseException:
                if not driver.is_closed() and driver.is_in_transaction():
                    await driver.execute("ROLLBACK")
                raise


class Statements:
    """`write` as that of Transactions, but each statement is a transaction of its own unless one is begun."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def write(self) -> contextlib.AbstractAsyncContextManager[asyncpg.Connection]:
        """Raises DatabaseUnavailable as sessions do."""
        return _connection(self._db)


@contextlib.asynccontextmanager
async def _connection(db: Database) -> AsyncIterator[asyncpg.Connection]:
    async with operational_errors_in_words():
        pooled = await db.engine.raw_connection()
        try:
            yield cast("asyncpg.Connection", pooled.driver_connection)
        finally:
            # Back into the pool, which may take a round trip.
            await greenlet_spawn(pooled.close)
