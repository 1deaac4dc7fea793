"""Arrays as texts: what the database reads is what was written, whatever is in it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from wapsi.db import Database
from wapsi.db.arrays import Element, array
from wapsi.db.transactions import Transactions
from wapsi.ids import new_id

_MOMENT = datetime(2026, 11, 30, 13, 45, 1, 234567, UTC)
_ID = new_id()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        pytest.param("text", [], id="nothing"),
        pytest.param("text", ["a", None, "", "null", "NULL", "{a,b}", " a, b ", "چائے", "🛍"], id="plain texts"),
        pytest.param("text", ['say "a"', "a\\b", "\\", '\\"', None, "", "NULL"], id="quotation marks and backslashes"),
        pytest.param("text", ["two\nlines", "a\ttab", "\x01\x1f\x7f", "\\n", None], id="control characters"),
        pytest.param("bigint", [0, -1, 2**63 - 1, -(2**63), None], id="numbers"),
        pytest.param("uuid", [_ID, None, UUID(int=0)], id="ids"),
        pytest.param("timestamptz", [_MOMENT, None], id="moments"),
    ],
)
async def test_array_is_read_as_it_was(db: Database, kind: str, values: Sequence[Element]) -> None:
    async with Transactions(db).write() as driver:
        assert await driver.fetchval(f"SELECT $1::text::{kind}[]", array(values)) == values
        # The driver's own ids are of another class.
        again = await driver.fetchval(f"SELECT $1::{kind}[]", values)
        assert await driver.fetchval(f"SELECT $1::text::{kind}[]", array(again)) == values
