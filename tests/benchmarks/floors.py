"""The floor of ingestion: a bare COPY of finished rows into a table with the same indexes."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import asyncpg

# As domains/offers/service/search.py makes it, without product_types: array_to_string may not stand in a generated
# column, and the COPY is to have less to do than we, not more.
_DOCUMENT = (
    "setweight(to_tsvector('simple', title), 'A') ||"
    " setweight(to_tsvector('simple', brand || ' ' || mpn || ' ' || offer_id), 'B') ||"
    " setweight(to_tsvector('simple', google_product_category || ' ' || color || ' ' || size), 'C') ||"
    " setweight(to_tsvector('simple', left(description, 1000)), 'D')"
)


@dataclass(frozen=True, slots=True)
class CopyTimes:
    """`indexed_s` is the floor; `plain_s` is the same without the search column and its index."""

    indexed_s: float
    plain_s: float


class CopyFloor:
    NAME = "COPY into the indexed table"

    def __init__(self, admin: asyncpg.Pool, columns: Sequence[str], rows: bytes) -> None:
        self._admin = admin
        self._columns = columns
        self._rows = rows

    @classmethod
    async def of_merchant(cls, admin: asyncpg.Pool, slug: str) -> Self:
        """Takes the merchant's rows as the product finished them, in PostgreSQL's own binary form."""
        columns = [
            record["attname"]
            for record in await admin.fetch(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'offers'::regclass AND attnum > 0"
                " AND NOT attisdropped AND attgenerated = '' AND attidentity = '' ORDER BY attnum"
            )
        ]
        rows = io.BytesIO()
        names = ", ".join(f'o."{column}"' for column in columns)
        query = f"SELECT {names} FROM offers o JOIN merchants m ON m.id = o.merchant_id WHERE m.slug = $1 ORDER BY o.id"
        await admin.copy_from_query(query, slug, output=rows, format="binary")
        await admin.execute(
            "CREATE TABLE floor_plain (LIKE offers INCLUDING ALL);"
            "CREATE TABLE floor_indexed (LIKE offers INCLUDING ALL);"
            f"ALTER TABLE floor_indexed ADD COLUMN floor_document tsvector GENERATED ALWAYS AS ({_DOCUMENT}) STORED;"
            "CREATE INDEX ON floor_indexed USING gin (floor_document)"
        )
        return cls(admin, columns, rows.getvalue())

    async def measure(self) -> CopyTimes:
        return CopyTimes(await self._copy("floor_indexed"), await self._copy("floor_plain"))

    async def _copy(self, table: str) -> float:
        await self._admin.execute(f"TRUNCATE {table}")
        await self._admin.execute("CHECKPOINT")
        source = io.BytesIO(self._rows)
        started_s = time.perf_counter()
        await self._admin.copy_to_table(table, source=source, columns=self._columns, format="binary")
        return time.perf_counter() - started_s
