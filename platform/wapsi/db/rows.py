"""New rows on the driver's connection, a few or very many."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import asyncpg

# A COPY takes two round trips and an INSERT one; of each row it takes a third of the time, here and in the database.
FEW = 8


async def add_rows(
    driver: asyncpg.Connection, table: str, columns: tuple[str, ...], records: Sequence[tuple[Any, ...]]
) -> None:
    """All or none; `records` are in the order of `columns`."""
    if len(records) > FEW:
        await driver.copy_records_to_table(table, records=records, columns=columns)
    elif records:
        await driver.executemany(_insert(table, columns), records)


@lru_cache
def _insert(table: str, columns: tuple[str, ...]) -> str:
    values = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608  # our own names
