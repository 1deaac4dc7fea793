"""What reads cannot write, what writes cannot commit, and a unit of work is all or nothing."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError

from wapsi.db import Database, ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.queue.models import JobRow


def job_row(kind: str = "test.row") -> JobRow:
    return JobRow(id=new_id(), kind=kind, queue="default", args={}, max_attempts=1)


async def kinds(admin_sql: Any) -> list[str]:
    return [row["kind"] for row in await admin_sql("SELECT kind FROM jobs ORDER BY kind")]


class ChangedMyMind(Exception):
    pass


async def test_a_read_session_cannot_write(db: Database, admin_sql: Any) -> None:
    values = {"id": new_id(), "kind": "test.sneaky", "queue": "default", "args": {}, "max_attempts": 1}
    with pytest.raises(DBAPIError, match="read-only transaction"):
        async with db.read() as session:
            await session.execute(insert(JobRow).values(**values))
    assert await kinds(admin_sql) == []


async def test_a_read_session_cannot_write_past_sqlalchemy_either(db: Database) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with db.read() as session:
            await (await session.driver()).execute("DELETE FROM jobs")


@pytest.mark.parametrize("name", ["add", "add_all", "flush", "delete", "merge", "commit", "rollback", "begin"])
def test_a_read_session_has_no_word_for_changing_things(name: str) -> None:
    assert not hasattr(ReadSession, name)


@pytest.mark.parametrize("name", ["commit", "rollback", "begin", "close"])
def test_a_write_session_cannot_end_its_transaction(name: str) -> None:
    assert not hasattr(WriteSession, name)


async def test_the_connection_of_a_read_serves_a_write_after_it(make_database: Callable[..., Database]) -> None:
    """They share a pool: READ ONLY must not stick to the connection."""
    db = make_database(database_pool_size=1)
    async with db.read() as session:
        assert await session.scalar(text("SHOW transaction_read_only")) == "on"
    async with db.write() as session:
        assert await session.scalar(text("SHOW transaction_read_only")) == "off"
        session.add(job_row())


async def test_public_reads_go_to_the_replica_where_there_is_one(
    make_database: Callable[..., Database], servers: Any, own_database: str
) -> None:
    """Here it is another database of the same server; test_replica has a real one."""
    db = make_database(database_read_url=servers.database(own_database))
    async with db.read_public() as session:
        assert await session.scalar(text("SELECT current_database()")) == own_database
    row = await db.reads.fetchrow("SELECT current_database()")
    assert row is not None
    assert row[0] == own_database
    async with db.read() as session:
        assert await session.scalar(text("SELECT current_database()")) != own_database
    async with db.write() as session:
        assert await session.scalar(text("SELECT current_database()")) != own_database


async def test_a_unit_of_work_commits_at_its_end_and_not_before(db: Database, admin_sql: Any) -> None:
    async with db.write() as session:
        session.add(job_row())
        await session.flush()
        assert await kinds(admin_sql) == [], "others saw it before the commit"
    assert await kinds(admin_sql) == ["test.row"]


async def test_what_was_added_and_not_flushed_is_committed_too(db: Database, admin_sql: Any) -> None:
    async with db.write() as session:
        session.add_all([job_row("test.a"), job_row("test.b")])
    assert await kinds(admin_sql) == ["test.a", "test.b"]


async def test_a_unit_of_work_that_raises_leaves_nothing(db: Database, admin_sql: Any) -> None:
    async def work() -> None:
        async with db.write() as session:
            session.add(job_row())
            await session.flush()
            raise ChangedMyMind

    with pytest.raises(ChangedMyMind):
        await work()
    assert await kinds(admin_sql) == []


async def test_a_cancelled_unit_of_work_leaves_nothing(db: Database, admin_sql: Any) -> None:
    flushed = asyncio.Event()

    async def work() -> None:
        async with db.write() as session:
            session.add(job_row())
            await session.flush()
            flushed.set()
            await asyncio.sleep(30)

    task = asyncio.ensure_future(work())
    await flushed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await kinds(admin_sql) == []
    async with db.write() as session:
        session.add(job_row())  # the pool is none the worse for it


async def test_the_drivers_work_is_part_of_the_transaction(db: Database, admin_sql: Any) -> None:
    records = [(new_id(), "test.copied", "default", "{}", 1)]
    columns = ["id", "kind", "queue", "args", "max_attempts"]

    async def copy(session: WriteSession) -> None:
        await (await session.driver()).copy_records_to_table("jobs", records=records, columns=columns)

    async def work() -> None:
        async with db.write() as session:
            await copy(session)
            raise ChangedMyMind

    with pytest.raises(ChangedMyMind):
        await work()
    assert await kinds(admin_sql) == []
    async with db.write() as session:
        await copy(session)
        assert await session.scalar(select(JobRow.kind)) == "test.copied", "the session does not see it"
    assert await kinds(admin_sql) == ["test.copied"]


async def test_a_locked_row_is_read_anew_and_kept_from_others(db: Database) -> None:
    row = job_row()
    async with db.write() as session:
        session.add(row)
    order: list[str] = []
    held = asyncio.Event()

    async def first(job_id: UUID) -> None:
        async with db.write() as session:
            assert await session.get_locked(JobRow, job_id) is not None
            held.set()
            await asyncio.sleep(0.1)
            await session.execute(update(JobRow).values(queue="changed"))
            order.append("first")

    async def second(job_id: UUID) -> None:
        await held.wait()
        async with db.write() as session:
            seen = await session.get(JobRow, job_id)
            assert seen is not None
            assert seen.queue == "default"
            locked = await session.get_locked(JobRow, job_id)
            order.append("second")
            assert locked is not None
            assert locked.queue == "changed"

    await asyncio.gather(first(row.id), second(row.id))
    assert order == ["first", "second"]
