"""docs/personal-data.md says of every column what it is to a person, and what becomes of it."""

import re
from pathlib import Path
from typing import Any

import pytest

ROW = re.compile(r"^\| `(\w+)` \| ((?:`[\w*]+`(?:, )?)+) \|", re.M)
# What tells a person from others: a table with one of these is listed column by column.
PERSONAL = {"customer_id", "subject_id", "email", "phone", "recipient", "user_agent", "address", "display_name"}
_COLUMNS = """
SELECT c.relname AS table, a.attname AS column FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> 'alembic_version'
"""


def classified(page: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, columns in ROW.findall(page):
        found.setdefault(table, []).extend(re.findall(r"`([\w*]+)`", columns))
    return found


def faults(schema: dict[str, set[str]], listed: dict[str, list[str]]) -> list[str]:
    found = [f"{table} is listed, but is no table" for table in listed.keys() - schema.keys()]
    for table, columns in schema.items():
        known = listed.get(table, [])
        if known == ["*"]:
            found += [f"{table}.{column} is personal: list the table's columns" for column in columns & PERSONAL]
            continue
        found += [f"{table}.{column} is not classified" for column in columns - set(known)]
        found += [f"{table}.{column} is listed, but is no column" for column in set(known) - columns]
        found += [f"{table}.{column} is listed twice" for column in set(known) if known.count(column) > 1]
    return sorted(found)


async def schema_of(sql: Any) -> dict[str, set[str]]:
    schema: dict[str, set[str]] = {}
    for row in await sql(_COLUMNS):
        schema.setdefault(row["table"], set()).add(row["column"])
    return schema


@pytest.fixture
def page() -> str:
    return (Path(__file__).parents[3] / "docs" / "personal-data.md").read_text(encoding="utf-8")


async def test_every_column_is_classified(own_sql: Any, page: str) -> None:
    schema = await schema_of(own_sql)
    assert len(schema) > 35
    assert faults(schema, classified(page)) == [], "say in docs/personal-data.md what it is, and erase it if need be"


async def test_a_new_column_would_be_noticed(own_sql: Any, page: str) -> None:
    await own_sql("ALTER TABLE customers ADD nickname text")
    await own_sql("ALTER TABLE merchants ADD email text")
    await own_sql("CREATE TABLE diaries (id int)")
    await own_sql("ALTER TABLE favourites DROP COLUMN created_at")
    assert faults(await schema_of(own_sql), classified(page)) == [
        "customers.nickname is not classified",
        "diaries.id is not classified",
        "favourites.created_at is listed, but is no column",
        "merchants.email is personal: list the table's columns",
    ]
