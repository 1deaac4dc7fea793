"""Versions: what has been published, as the database shows it, and what is kept by it."""

import asyncio
from typing import Any

import pytest

from tests.databases import SQL
from wapsi.db import Reads
from wapsi.db.errors import DatabaseUnavailable
from wapsi.db.versions import Versions
from wapsi.runtime import Runtime

PUBLISH = (
    "INSERT INTO affiliate_networks (id, slug, name, kind, secret_current)"
    " VALUES (uuidv7(), $1, 'n', 'in_house', '\\x00')"
)
SOURCES = {"networks": "SELECT count(*) FROM affiliate_networks", "merchants": "SELECT count(*) FROM merchants"}


@pytest.fixture
def versions(runtime: Runtime) -> Versions:
    return Versions(runtime.db.reads, SOURCES)


async def test_a_generation_ends_with_a_publication_and_not_before(versions: Versions, admin_sql: SQL) -> None:
    await versions.check()
    first = versions.generation
    await versions.check()
    assert versions.generation == first
    assert versions.outdated_for_s(first) == 0
    await admin_sql(PUBLISH, "a")
    await versions.check()
    assert versions.generation == first + 1
    assert 0 <= versions.outdated_for_s(first) < 1
    assert versions.outdated_for_s(first - 5) == float("inf")


async def test_a_publication_may_be_as_old_as_the_last_look_that_did_not_see_it(
    versions: Versions, admin_sql: SQL
) -> None:
    await versions.check()
    first = versions.generation
    await admin_sql(PUBLISH, "a")
    await asyncio.sleep(0.3)
    await versions.check()
    assert versions.generation == first + 1
    assert versions.outdated_for_s(first) >= 0.3


async def test_who_asks_at_the_same_time_asks_once(
    versions: Versions, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[str] = []
    fetch = runtime.db.reads.fetch

    async def counted(sql: str, *arguments: Any, **options: Any) -> Any:
        questions.append(sql)
        return await fetch(sql, *arguments, **options)

    monkeypatch.setattr(runtime.db.reads, "fetch", counted)
    await asyncio.gather(*(versions.check() for _ in range(20)))
    assert len(questions) == 1
    assert versions.generation == 1


async def test_versions_are_trusted_while_they_are_polled(versions: Versions) -> None:
    assert not versions.is_trusted
    async with versions.polling():
        await versions.check()
        assert versions.is_trusted
    assert not versions.is_trusted


async def test_a_snapshot_is_loaded_again_only_when_its_source_has_changed(versions: Versions, admin_sql: SQL) -> None:
    loaded = 0

    async def load(reads: Reads) -> int:
        nonlocal loaded
        loaded += 1
        return int((await reads.fetch("SELECT count(*) FROM affiliate_networks"))[0][0])

    assert [await versions.snapshot("n", "networks", load) for _ in range(3)] == [0, 0, 0]
    assert loaded == 1
    await admin_sql(PUBLISH, "a")
    assert await versions.snapshot("n", "networks", load) == 1
    assert await versions.snapshot("other", "merchants", load) == 1
    await admin_sql(PUBLISH, "b")
    assert await versions.snapshot("other", "merchants", load) == 1, "its source has not changed"
    assert loaded == 3


async def test_many_who_need_a_snapshot_load_it_once(versions: Versions) -> None:
    loaded = 0

    async def load(_reads: Reads) -> str:
        nonlocal loaded
        loaded += 1
        await asyncio.sleep(0.02)
        return "value"

    assert set(await asyncio.gather(*(versions.snapshot("n", "networks", load) for _ in range(20)))) == {"value"}
    assert loaded == 1


async def test_a_snapshot_that_could_not_be_loaded_is_tried_again(versions: Versions) -> None:
    attempts = 0

    async def load(_reads: Reads) -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise DatabaseUnavailable("gone")
        return "value"

    with pytest.raises(DatabaseUnavailable):
        await versions.snapshot("n", "networks", load)
    assert await versions.snapshot("n", "networks", load) == "value"
