from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from tests.security.world import world

__all__ = ["world"]

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]


@pytest.fixture
def everything_stored(admin_sql: SQL) -> Callable[[], Awaitable[dict[str, str]]]:
    """A hash of every table's rows, by table; but for when a key was last used."""

    async def everything_stored() -> dict[str, str]:
        tables = await admin_sql(
            "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        hashed = " UNION ALL ".join(
            f"SELECT '{table['name']}' AS name,"
            " coalesce(md5(string_agg(row, '' ORDER BY row)), '') AS hash FROM"
            f" (SELECT md5((to_jsonb(t) - 'last_used_at')::text) AS row FROM {table['name']} AS t) AS rows"
            for table in tables
        )
        return {row["name"]: row["hash"] for row in await admin_sql(hashed)}

    return everything_stored
