"""Tables without their indexes while they are filled: one sort at the end instead of a search a row."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

# Two sorts at once, as there are two cores; 1 GB each.
AT_ONCE = 2
MAINTENANCE_MEMORY = "1GB"

# Primary keys stay: rows come in the order of their ids, which costs little.
_INDEXES = """
SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS "table",
    pg_get_indexdef(i.indexrelid) AS definition, a.amname AS method,
    c.conname AS "constraint", pg_get_constraintdef(c.oid) AS constraint_definition,
    ARRAY(SELECT ARRAY[relid::text, parentrelid::text, pg_get_indexdef(relid)] FROM pg_partition_tree(i.indexrelid)
        WHERE level > 0 ORDER BY level, relid) AS parts
FROM pg_index i JOIN pg_class o ON o.oid = i.indexrelid JOIN pg_am a ON a.oid = o.relam
LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype = 'u'
WHERE i.indrelid = $1::text::regclass AND NOT i.indisprimary
ORDER BY a.amname DESC, i.indexrelid
"""


@dataclass(frozen=True, slots=True)
class Index:
    name: str
    drop: str
    make: str


async def drop_indexes(connection: asyncpg.Connection, table: str) -> list[Index]:
    """All but the primary key's. `make_indexes` brings them back."""
    indexes = [_index(record) for record in await connection.fetch(_INDEXES, table)]
    for index in indexes:
        await connection.execute(index.drop)
    return indexes


def _index(record: asyncpg.Record) -> Index:
    if record["constraint"]:
        alter, name = f"ALTER TABLE {record['table']}", record["constraint"]
        make = f'{alter} ADD CONSTRAINT "{name}" {record["constraint_definition"]}'
        return Index(name, f'{alter} DROP CONSTRAINT "{name}"', make)
    # Of a partitioned table it is shown, and made, with ONLY; those of the partitions have settings of their own.
    make = [record["definition"]]
    for part, parent, definition in record["parts"]:
        make += [definition, f"ALTER INDEX {parent} ATTACH PARTITION {part}"]
    return Index(record["name"], f"DROP INDEX {record['name']}", "; ".join(make))


async def make_indexes(pool: asyncpg.Pool, indexes: Sequence[Index], made: Callable[[], None]) -> None:
    """The slowest first. `made` is called after each."""
    left = iter(indexes)

    async def make() -> None:
        async with pool.acquire() as connection:
            await connection.execute(f"SET maintenance_work_mem = '{MAINTENANCE_MEMORY}'")
            await connection.execute("SET max_parallel_maintenance_workers = 1")
            for index in left:
                await connection.execute(index.make)
                made()
            await connection.execute("RESET maintenance_work_mem; RESET max_parallel_maintenance_workers")

    await asyncio.gather(*(make() for _ in range(AT_ONCE)))
