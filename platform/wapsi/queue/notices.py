"""Postgres says when a job was enqueued, so that the relay need not look all the time.

A notice may be lost with the connection: who waits for one has to look from time to time nevertheless.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg

from wapsi.db import Database

# A trigger on the jobs table notifies it (migration 0006).
CHANNEL = "wapsi_jobs"


class Notices:
    """`wait` returns at a notice, or after the given time."""

    def __init__(self) -> None:
        self._came = asyncio.Event()
        self.lost = False

    def announce(self, *_of_what: Any) -> None:
        self._came.set()

    def lose(self, *_connection: Any) -> None:
        self.lost = True
        self._came.set()

    async def wait(self, limit_s: float) -> None:
        """At once, where a notice has come since the last wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._came.wait()
        self._came.clear()


@contextlib.asynccontextmanager
async def job_notices(db: Database) -> AsyncIterator[Notices]:
    """Listens on a connection of its own, until the block ends or the connection does (`lost`)."""
    notices = Notices()
    async with db.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver = cast("asyncpg.Connection", raw.driver_connection)
        driver.add_termination_listener(notices.lose)
        await driver.add_listener(CHANNEL, notices.announce)
        try:
            yield notices
        finally:
            driver.remove_termination_listener(notices.lose)
            if not driver.is_closed():
                await driver.remove_listener(CHANNEL, notices.announce)
