"""A session that stands still in the middle of a COPY is ended; one that works, or waits between statements, is not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.queue import stalled
from wapsi.queue.stalled import end_stalled_sessions

Copying = tuple["asyncio.Future[str]", asyncio.Event]


async def connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://"))


async def until(admin_sql: Any, query: str) -> None:
    async with asyncio.timeout(10):
        while not await admin_sql(query):  # noqa: ASYNC110  # the server is another process
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def copying(url: str, admin_sql: Any) -> AsyncIterator[Copying]:
    """A COPY whose client has sent a row, and sends no more until the event is set."""
    connection = await connect(url)
    await connection.execute("CREATE TEMP TABLE stuck (n int)")
    go_on = asyncio.Event()

    async def rows() -> AsyncIterator[bytes]:
        yield b"1\n"
        await go_on.wait()

    task = asyncio.ensure_future(connection.copy_to_table("stuck", source=rows()))
    await until(admin_sql, "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%' AND wait_event = 'ClientRead'")
    yield task, go_on
    go_on.set()
    await asyncio.gather(task, return_exceptions=True)
    connection.terminate()


async def test_a_copy_that_stands_still_is_ended(
    db: Database, settings: Settings, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had locked is free, and its process finds out when it goes on."""
    monkeypatch.setattr(stalled, "STALLED_AFTER_S", 0)
    async with copying(settings.database_url, admin_sql) as (task, go_on):
        assert await end_stalled_sessions(db) == 1
        await until(
            admin_sql,
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active')",
        )
        assert await end_stalled_sessions(db) == 0
        go_on.set()
        with pytest.raises(asyncpg.PostgresConnectionError):
            await task


async def test_a_copy_that_has_only_begun_is_left_alone(db: Database, settings: Settings, admin_sql: Any) -> None:
    async with copying(settings.database_url, admin_sql) as (task, go_on):
        assert await end_stalled_sessions(db) == 0
        go_on.set()
        assert await task == "COPY 1"


async def test_other_roles_are_left_alone(
    db: Database, settings: Settings, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone's import by hand may take its time."""
    monkeypatch.setattr(stalled, "STALLED_AFTER_S", 0)
    async with copying(settings.migration_url, admin_sql) as (task, go_on):
        assert await end_stalled_sessions(db) == 0
        go_on.set()
        assert await task == "COPY 1"


async def test_a_session_between_statements_is_left_alone(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role's idle_in_transaction_session_timeout is there for it."""
    monkeypatch.setattr(stalled, "STALLED_AFTER_S", 0)
    connection = await connect(settings.database_url)
    async with connection.transaction():
        await connection.execute("SELECT 1")
        assert await end_stalled_sessions(db) == 0
        assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
