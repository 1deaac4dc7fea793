"""Group commit: who waits is answered after the commit, and only by what concerns them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from wapsi.db import Database
from wapsi.db.errors import DatabaseUnavailable
from wapsi.db.groups import GroupCommit, Work
from wapsi.db.transactions import Transactions


class Refused(Exception):
    pass


async def write(driver: asyncpg.Connection, items: Sequence[str]) -> Sequence[str | Exception]:
    good = [item for item in items if not item.startswith("bad")]
    await driver.executemany(
        "INSERT INTO idempotent_answers (scope, key, fingerprint, status, body) VALUES ('test', $1, '', 201, '')",
        [(item,) for item in good],
    )
    return [Refused(item) if item.startswith("bad") else item for item in items]


def grouped(
    db: Database, work: Work[str, str], *, limit: int = 256, groups_at_once: int = 1, least: int = 1
) -> GroupCommit[str, str]:
    return GroupCommit(Transactions(db), work, limit=limit, groups_at_once=groups_at_once, least=least)


async def keys(admin_sql: Any) -> set[str]:
    return {row["key"] for row in await admin_sql("SELECT key FROM idempotent_answers")}


@pytest.mark.parametrize(("groups_at_once", "least"), [(1, 1), (2, 1), (2, 3), (2, 8)])
async def test_nobody_waits_for_ever(db: Database, admin_sql: Any, groups_at_once: int, least: int) -> None:
    """Callers that come back at once, at the very moment at which a group ends."""
    groups = grouped(db, write, groups_at_once=groups_at_once, limit=4, least=least)

    async def caller(number: int) -> None:
        for turn in range(20):
            assert await groups.submit(f"{number}-{turn}") == f"{number}-{turn}"

    async with asyncio.timeout(30):
        await asyncio.gather(*(caller(number) for number in range(10)))
    assert len(await keys(admin_sql)) == 200


@pytest.mark.parametrize(("late", "sizes_meanwhile"), [(2, [1]), (3, [1, 3])])
async def test_few_wait_for_the_group_that_is_written_and_many_begin_another(
    db: Database, late: int, sizes_meanwhile: list[int]
) -> None:
    sizes: list[int] = []
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def held(driver: asyncpg.Connection, items: Sequence[str]) -> Sequence[str | Exception]:
        sizes.append(len(items))
        begun.set()
        await goes_on.wait()
        return await write(driver, items)

    groups = grouped(db, held, groups_at_once=2, least=3)
    first = asyncio.ensure_future(groups.submit("first"))
    await begun.wait()
    names = [f"late-{number}" for number in range(late)]
    others = [asyncio.ensure_future(groups.submit(name)) for name in names]
    await asyncio.sleep(0.1)
    assert sizes == sizes_meanwhile
    goes_on.set()
    assert await asyncio.gather(first, *others) == ["first", *names]
    assert sizes == [1, late]


async def test_answered_means_committed(db: Database, admin_sql: Any) -> None:
    groups = grouped(db, write)

    async def caller(name: str) -> None:
        await groups.submit(name)
        assert name in await keys(admin_sql)

    for number in range(20):
        await caller(f"k-{number}")


async def test_refused_member_does_not_harm_the_others(db: Database, admin_sql: Any) -> None:
    groups = grouped(db, write)
    answers = await asyncio.gather(*(groups.submit(name) for name in ("a", "bad", "b")), return_exceptions=True)
    assert [type(answer) for answer in answers] == [str, Refused, str]
    assert await keys(admin_sql) == {"a", "b"}


async def test_broken_group_writes_nothing_and_the_next_one_does(db: Database, admin_sql: Any) -> None:
    groups = grouped(db, write)
    await groups.submit("a")
    broken = await asyncio.gather(*(groups.submit(name) for name in ("b", "a", "c")), return_exceptions=True)
    assert [type(answer) for answer in broken] == [asyncpg.UniqueViolationError] * 3
    assert await keys(admin_sql) == {"a"}
    assert await groups.submit("d") == "d"
    assert await keys(admin_sql) == {"a", "d"}


async def test_lost_connection_is_unavailable_and_the_next_group_gets_another(db: Database, admin_sql: Any) -> None:
    async def cut(driver: asyncpg.Connection, items: Sequence[str]) -> Sequence[str | Exception]:
        if "cut" in items:
            await admin_sql("SELECT pg_terminate_backend($1)", driver.get_server_pid())
        return await write(driver, items)

    groups = grouped(db, cut)
    with pytest.raises(DatabaseUnavailable):
        await groups.submit("cut")
    assert await groups.submit("a") == "a"
    assert await keys(admin_sql) == {"a"}


async def test_caller_that_left_does_not_keep_the_others(db: Database, admin_sql: Any) -> None:
    groups = grouped(db, write)
    tasks = [asyncio.ensure_future(groups.submit(name)) for name in ("a", "b")]
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await tasks[1] == "b"
    assert await groups.submit("c") == "c"


async def test_its_connection_is_back_in_the_pool_afterwards(db: Database) -> None:
    groups = grouped(db, write)
    await asyncio.gather(*(groups.submit(f"k-{number}") for number in range(10)))
    await asyncio.sleep(0.05)
    assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
