"""Public reads go to a replica that keeps up, and nobody notices one that does not."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any

import asyncpg
import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import text
from structlog.testing import capture_logs

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.db.errors import DatabaseUnavailable
from wapsi.http.deps import PublicDep, ReadDep, requires
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

LAG_LIMIT_S = 2.0
_IN_RECOVERY = "SELECT pg_is_in_recovery()"

router = APIRouter()


@router.get("/public", dependencies=[PublicDep])
async def public(session: ReadDep) -> bool:
    return bool(await session.scalar(text(_IN_RECOVERY)))


@router.get("/mine")
async def mine(session: ReadDep, _principal: Annotated[Principal, requires(Permission.OWN_ACCOUNT)]) -> bool:
    return bool(await session.scalar(text(_IN_RECOVERY)))


@router.get("/undeclared")
async def undeclared(session: ReadDep) -> bool:
    return bool(await session.scalar(text(_IN_RECOVERY)))


@pytest.fixture
async def replica_sql(replica_server: Any, settings: Settings, caught_up: None) -> AsyncIterator[Any]:
    """Runs SQL on the replica as its superuser; replay goes on after the test."""
    connection = await asyncpg.connect(replica_server.url(settings.migration_url).replace("+asyncpg", ""))
    yield connection.fetch
    if not connection.is_closed():
        await connection.execute("SELECT pg_wal_replay_resume()")
        await connection.close()


@pytest.fixture
def read_settings(settings: Settings, replica_server: Any) -> Settings:
    read_url = replica_server.url(settings.database_url)
    return settings.model_copy(update={"database_read_url": read_url, "database_read_lag_limit_s": LAG_LIMIT_S})


@pytest.fixture
async def read_db(read_settings: Settings, make_database: Callable[..., Database], caught_up: None) -> Database:
    return make_database(read_settings)


@pytest.fixture
async def caught_up(replica_server: Any, settings: Settings, admin_sql: Any) -> None:
    """The replica has replayed all that the primary has, this process's database too."""
    [row] = await admin_sql("SELECT pg_current_wal_flush_lsn()::text AS position")
    url = replica_server.url(settings.migration_url).replace("+asyncpg", "")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            connection = await asyncpg.connect(url)
        except asyncpg.InvalidCatalogNameError:
            await asyncio.sleep(0.1)
            continue
        done = await connection.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", row["position"])
        await connection.close()
        if done:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the replica does not follow")


async def on_replica(db: Database) -> bool:
    """Where both ways of public reads go, which is the same place."""
    async with db.read_public() as session:
        by_session = bool(await session.scalar(text(_IN_RECOVERY)))
    row = await db.reads.fetchrow(_IN_RECOVERY)
    assert row is not None
    # Where they differ, reads have moved in between.
    return by_session if row[0] == by_session else await on_replica(db)


async def until(wanted: bool, look: Callable[[], Awaitable[bool]], limit_s: float) -> float:
    began = time.monotonic()
    while await look() is not wanted:
        assert time.monotonic() - began < limit_s, f"not {wanted} in {limit_s} s"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def write_something(admin_sql: Any) -> None:
    await admin_sql("SELECT pg_logical_emit_message(true, 'test', 'a record')")


async def test_public_reads_go_to_the_replica_and_all_others_to_the_primary(read_db: Database) -> None:
    assert await on_replica(read_db)
    async with read_db.read() as session:
        assert await session.scalar(text(_IN_RECOVERY)) is False
    async with read_db.write() as session:
        assert await session.scalar(text(_IN_RECOVERY)) is False


async def test_only_a_route_that_says_it_is_public_is_answered_from_the_replica(
    known: Runtime, read_db: Database
) -> None:
    """What needs a principal reads what that principal wrote; what says nothing is not trusted with old data."""
    # Its own telemetry would measure under the names of ours.
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
    app.state.runtime = replace(known, db=read_db)
    app.include_router(router)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://wapsi.test") as client:
        answers = {}
        for path in ("/public", "/mine", "/undeclared"):
            answers[path] = (await client.get(path, headers={"Authorization": "Bearer asma"})).json()
    assert answers == {"/public": True, "/mine": False, "/undeclared": False}


async def test_a_replica_that_falls_behind_is_left_and_used_again_once_it_has_caught_up(
    read_db: Database, replica_sql: Any, admin_sql: Any, metric_reader: InMemoryMetricReader
) -> None:
    with capture_logs() as logs:
        assert await on_replica(read_db)
        epoch = read_db.reads.epoch
        await replica_sql("SELECT pg_wal_replay_pause()")
        await write_something(admin_sql)
        took_s = await until(False, lambda: on_replica(read_db), 5)
        assert took_s > LAG_LIMIT_S / 2
        assert read_db.reads.epoch == epoch + 1
        assert lag_measured(metric_reader) > LAG_LIMIT_S
        await replica_sql("SELECT pg_wal_replay_resume()")
        await until(True, lambda: on_replica(read_db), 15)
    assert read_db.reads.epoch == epoch + 2, "what was seen on the other server counts no more"
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("replica_left", "warning"),
        ("replica_back", "info"),
    ]
    assert lag_measured(metric_reader) < LAG_LIMIT_S


def lag_measured(metric_reader: InMemoryMetricReader) -> float:
    data: Any = metric_reader.get_metrics_data()
    [value] = [
        point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "wapsi.db.replica.lag"
        for point in metric.data.data_points
    ]
    return float(value)


async def test_an_idle_primary_is_no_lag(read_db: Database, admin_sql: Any) -> None:
    assert await on_replica(read_db)
    await asyncio.sleep(2.5 * LAG_LIMIT_S)
    assert await on_replica(read_db)


async def test_a_replica_that_was_behind_before_we_came_is_not_used(
    read_settings: Settings, caught_up: None, replica_sql: Any, admin_sql: Any, make_database: Callable[..., Database]
) -> None:
    await write_something(admin_sql)
    await asyncio.sleep(0.2)
    await replica_sql("SELECT pg_wal_replay_pause()")
    await write_something(admin_sql)
    await asyncio.sleep(1.2 * LAG_LIMIT_S)
    assert not await on_replica(make_database(read_settings))


async def test_a_read_in_the_way_of_the_replay_is_asked_again_on_the_primary(
    read_db: Database, admin_sql: Any, replica_sql: Any
) -> None:
    await admin_sql("INSERT INTO jobs (kind, queue, args, max_attempts) VALUES ('test.row', 'default', '{}', 1)")
    await asyncio.sleep(0.3)
    slow = asyncio.ensure_future(
        read_db.reads.fetchrow("SELECT pg_is_in_recovery(), count(*), pg_sleep(1.5) FROM jobs GROUP BY kind")
    )
    await asyncio.sleep(0.3)
    await admin_sql("DELETE FROM jobs")
    await admin_sql("VACUUM jobs")
    await slow
    assert await on_replica(read_db), "only that one read, and not the replica, was given up"


async def test_a_replica_that_hangs_is_left_and_what_hangs_on_it_is_answered(
    read_db: Database, replica_server: Any
) -> None:
    assert await on_replica(read_db)
    with capture_logs():
        os.kill(replica_server.pid, signal.SIGSTOP)
        backends = await children_of(replica_server.pid)
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        try:
            row = await asyncio.wait_for(read_db.reads.fetchrow(_IN_RECOVERY), 5)
        finally:
            for pid in (*backends, replica_server.pid):
                os.kill(pid, signal.SIGCONT)
        assert row is not None
        assert row[0] is False
        await until(True, lambda: on_replica(read_db), 15)


async def children_of(pid: int) -> list[int]:
    def read() -> list[int]:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]

    return await asyncio.to_thread(read)


async def test_a_replica_that_is_gone_costs_nothing_but_the_session_in_the_middle_of_a_statement(
    read_db: Database, replica_server: Any
) -> None:
    assert await on_replica(read_db)
    reading = asyncio.ensure_future(read_all_the_time(read_db, 3.0))
    with capture_logs() as logs:
        await asyncio.to_thread(replica_server.stop)
        await until(False, lambda: on_replica(read_db), 3)
        count, cut_off = await reading
        assert count > 50
        assert cut_off <= 1
        await asyncio.to_thread(replica_server.start)
        await until(True, lambda: on_replica(read_db), 15)
    assert [line["event"] for line in logs] == ["replica_left", "replica_back"]


async def read_all_the_time(db: Database, duration_s: float) -> tuple[int, int]:
    """How many reads there were, and how many sessions were cut off; of single statements none may fail.

    A session may have read before: what it reads next cannot come from another server, so it is a 503.
    """
    end, count, cut_off = time.monotonic() + duration_s, 0, 0
    while time.monotonic() < end:
        await db.reads.fetch("SELECT 1")
        try:
            async with db.read_public() as session:
                await session.scalar(text("SELECT 1"))
        except DatabaseUnavailable:
            cut_off += 1
        count += 2
        await asyncio.sleep(0.01)
    return count, cut_off


async def test_a_process_that_starts_without_its_replica_serves(
    make_database: Callable[..., Database], settings: Settings
) -> None:
    db = make_database(settings, database_read_url="postgresql+asyncpg://wapsi_app@127.0.0.1:1/wapsi")
    with capture_logs() as logs:
        assert not await on_replica(db)
    assert [line["event"] for line in logs] == ["replica_left"]
