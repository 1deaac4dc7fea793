"""What COPY reads from our lines is what was written, whatever it is."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from domains.offers.service.copying import copy_lines
from wapsi.db import Database

_CHARACTERS = '\\\t\n\r"{},N. ab\x01\x0b\x08\x7f\u2028کé😀'
_MOMENTS = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=5))),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
)
Row = tuple[Any, ...]


def random_rows(rng: random.Random, count: int) -> list[Row]:
    def text() -> str:
        return "".join(rng.choices(_CHARACTERS, k=rng.randrange(9)))

    def maybe(value: Any) -> Any:
        return rng.choice([value, value, None])

    return [
        (
            text(),
            maybe(text()),
            maybe(rng.choice([0, -1, 2**63 - 1, -(2**63)])),
            rng.random() < 0.5,
            maybe(rng.choice(_MOMENTS)),
            rng.randbytes(rng.randrange(5)),
            [text() for _ in range(rng.randrange(4))],
        )
        for _ in range(count)
    ]


async def copied(db: Database, rows: list[Row]) -> list[Row]:
    async def pieces() -> AsyncIterator[bytes]:
        yield "".join(f"{line}\n" for line in copy_lines(list(zip(*rows, strict=True)))).encode()

    async with db.write() as session:
        driver = await session.driver()
        await driver.execute(
            "CREATE TEMP TABLE copied (place int GENERATED ALWAYS AS IDENTITY, a text, b text, c bigint, d bool,"
            " e timestamptz, f bytea, g text[]) ON COMMIT DROP"
        )
        await driver.copy_to_table("copied", source=pieces(), columns=list("abcdefg"))
        return [tuple(row) for row in await driver.fetch("SELECT a, b, c, d, e, f, g FROM copied ORDER BY place")]


async def test_rows_arrive_as_they_were(db: Database) -> None:
    rows = random_rows(random.Random(1), 2000)
    assert await copied(db, rows) == rows


async def test_plain_rows_do_too(db: Database) -> None:
    rows: list[Row] = [
        ("a", None, None, True, _MOMENTS[0], b"\x00", []),
        ("\\N", None, None, True, None, b"", ["NULL"]),
    ]
    assert await copied(db, rows) == rows


def test_a_value_of_another_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        copy_lines([[1.5]])
