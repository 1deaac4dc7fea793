"""The pool of reads: it lends what is free, lets nobody be overtaken, and loses no connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.databases import SQL
from wapsi.config import Settings
from wapsi.db.driver import Plans, ReadPool
from wapsi.db.errors import DatabaseUnavailable, DatabaseUnreachable

Make = Callable[..., ReadPool]


@pytest.fixture
async def make_pool(settings: Settings) -> AsyncIterator[Make]:
    made: list[ReadPool] = []

    def make(**changes: Any) -> ReadPool:
        changed = settings.model_copy(update=changes)
        made.append(ReadPool(changed, changed.database_url, role="test"))
        return made[-1]

    yield make
    for pool in made:
        await pool.close()


async def sleep(pool: ReadPool, seconds: float) -> int:
    rows = await pool.fetch("SELECT pg_backend_pid() AS pid FROM pg_sleep($1)", (seconds,))
    return int(rows[0]["pid"])


async def test_one_caller_uses_one_connection(make_pool: Make) -> None:
    pool = make_pool()
    assert len({await sleep(pool, 0) for _ in range(5)}) == 1
    assert (pool.size, pool.in_use) == (1, 0)


SETTINGS = (
    "SELECT pg_backend_pid(), current_setting('plan_cache_mode'), current_setting('enable_seqscan'),"
    " current_setting('enable_hashjoin'), current_setting('enable_mergejoin')"
)
BY_KEYS, BY_VALUE = ("auto", "off", "off", "off"), ("force_custom_plan", "on", "on", "on")


async def told(pool: ReadPool, plans: Plans) -> tuple[Any, ...]:
    [row] = await pool.fetch(SETTINGS, (), plans)
    return tuple(row)


async def test_what_is_read_by_keys_has_a_connection_whose_plans_are_kept(make_pool: Make) -> None:
    pool = make_pool(database_reads_pool_size=2)
    for _ in range(3):
        (one, *by_keys), (other, *by_value) = await told(pool, Plans.BY_KEYS), await told(pool, Plans.BY_VALUE)
        assert (tuple(by_keys), tuple(by_value)) == (BY_KEYS, BY_VALUE)
        assert one != other
    assert (pool.size, pool.in_use) == (2, 0)


async def test_where_no_more_may_be_opened_a_connection_is_told_anew(make_pool: Make) -> None:
    pool = make_pool(database_reads_pool_size=1)
    for plans, wanted in ((Plans.BY_VALUE, BY_VALUE), (Plans.BY_KEYS, BY_KEYS)) * 2:
        _pid, *settings = await told(pool, plans)
        assert tuple(settings) == wanted
    assert (pool.size, pool.in_use) == (1, 0)


async def test_one_that_goes_away_while_it_is_told_leaves_nobody_the_wrong_plans(make_pool: Make) -> None:
    pool = make_pool(database_reads_pool_size=1)
    for turns in range(1, 12):
        reading = asyncio.ensure_future(told(pool, Plans.BY_KEYS))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        _pid, *settings = await told(pool, Plans.BY_VALUE)
        assert tuple(settings) == BY_VALUE


async def test_it_never_has_more_connections_than_it_may(make_pool: Make) -> None:
    pool = make_pool(database_reads_pool_size=3)
    pids = await asyncio.gather(*(sleep(pool, 0.01) for _ in range(30)))
    assert len(set(pids)) == 3
    assert (pool.size, pool.in_use) == (3, 0)


async def test_who_waits_first_is_served_first(make_pool: Make) -> None:
    pool = make_pool(database_reads_pool_size=1)
    served: list[int] = []

    async def one(number: int) -> None:
        await sleep(pool, 0.005)
        served.append(number)

    await asyncio.gather(*(one(number) for number in range(8)))
    assert served == list(range(8))


async def test_who_gets_none_in_time_hears_so(make_pool: Make) -> None:
    pool = make_pool(database_reads_pool_size=1, database_pool_timeout_s=1)
    busy = asyncio.ensure_future(sleep(pool, 1.5))
    await asyncio.sleep(0.05)
    with pytest.raises(DatabaseUnavailable):
        await sleep(pool, 0)
    await busy
    await sleep(pool, 0)


async def test_one_that_goes_away_while_it_waits_takes_no_connection_along(make_pool: Make) -> None:
    pool = make_pool(database_reads_pool_size=1)
    busy = asyncio.ensure_future(sleep(pool, 0.1))
    await asyncio.sleep(0.02)
    waiting = [asyncio.ensure_future(sleep(pool, 0)) for _ in range(3)]
    await asyncio.sleep(0.02)
    waiting[0].cancel()
    assert len(set(await asyncio.gather(busy, *waiting[1:]))) == 1
    assert (pool.size, pool.in_use) == (1, 0)


async def test_one_that_goes_away_while_it_reads_leaves_a_connection_that_works(make_pool: Make) -> None:
    pool = make_pool(database_reads_pool_size=1)
    reading = asyncio.ensure_future(sleep(pool, 30))
    await asyncio.sleep(0.1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with asyncio.timeout(5):
        await sleep(pool, 0)
    assert pool.in_use == 0


async def test_a_connection_that_was_killed_is_replaced_and_the_read_asked_again(
    make_pool: Make, admin_sql: SQL
) -> None:
    pool = make_pool()
    pid = await sleep(pool, 0)
    await admin_sql("SELECT pg_terminate_backend($1)", pid)
    assert await sleep(pool, 0) != pid
    assert pool.size == 1


async def test_a_fault_of_the_statement_keeps_the_connection(make_pool: Make) -> None:
    pool = make_pool()
    pid = await sleep(pool, 0)
    with pytest.raises(Exception, match="division by zero"):
        await pool.fetch("SELECT 1 / $1::int", (0,))
    assert await sleep(pool, 0) == pid


async def test_it_cannot_write(make_pool: Make) -> None:
    with pytest.raises(Exception, match="read-only"):
        await make_pool().fetch("DELETE FROM jobs", ())


async def test_what_was_dropped_fails_and_the_next_read_has_a_new_connection(make_pool: Make) -> None:
    pool = make_pool(database_reads_pool_size=1)
    pid = await sleep(pool, 0)
    reading = asyncio.ensure_future(sleep(pool, 30))
    await asyncio.sleep(0.05)
    pool.drop()
    with pytest.raises(Exception, match="connection"):
        await reading
    assert await sleep(pool, 0) != pid
    assert (pool.size, pool.in_use) == (1, 0)


async def test_where_nobody_answers_everybody_hears_so(settings: Settings) -> None:
    pool = ReadPool(settings, "postgresql+asyncpg://wapsi_app@127.0.0.1:1/wapsi", role="test")
    results = await asyncio.gather(*(sleep(pool, 0) for _ in range(12)), return_exceptions=True)
    assert {type(result) for result in results} == {DatabaseUnreachable}
