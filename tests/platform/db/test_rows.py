"""New rows, whichever way is the faster one."""

from typing import Any

import asyncpg
import pytest

from wapsi.db import Database
from wapsi.db.rows import FEW, add_rows
from wapsi.db.transactions import Transactions

COLUMNS = ("scope", "key", "fingerprint", "status", "body", "location")


def row(number: int) -> tuple[Any, ...]:
    return ("test", f"key-{number}", b"\0f", 200 + number, b'{"a":"b"}', None if number % 2 else "/here")


@pytest.mark.parametrize("count", [0, 1, FEW, FEW + 1, 100])
async def test_rows_are_as_they_were_given(db: Database, admin_sql: Any, count: int) -> None:
    given = [row(number) for number in range(count)]
    async with Transactions(db).write() as driver:
        await add_rows(driver, "idempotent_answers", COLUMNS, given)
    found = await admin_sql(f"SELECT {', '.join(COLUMNS)} FROM idempotent_answers ORDER BY status")
    assert [tuple(one) for one in found] == given


@pytest.mark.parametrize("count", [FEW, FEW + 1])
async def test_of_rows_one_of_which_is_there_already_none_is_added(db: Database, admin_sql: Any, count: int) -> None:
    async with Transactions(db).write() as driver:
        await add_rows(driver, "idempotent_answers", COLUMNS, [row(count - 1)])
    with pytest.raises(asyncpg.UniqueViolationError):
        async with Transactions(db).write() as driver:
            await add_rows(driver, "idempotent_answers", COLUMNS, [row(number) for number in range(count)])
    assert len(await admin_sql("SELECT 1 FROM idempotent_answers")) == 1


async def test_a_transaction_begins_with_its_settings_and_leaves_none_behind(db: Database) -> None:
    async with Transactions(db, "SET LOCAL enable_seqscan = off").write() as driver:
        assert await driver.fetchval("SHOW enable_seqscan") == "off"
    async with Transactions(db).write() as driver:
        assert await driver.fetchval("SHOW enable_seqscan") == "on"
