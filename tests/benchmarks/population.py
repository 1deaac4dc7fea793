"""Databases full of offers, made once and kept: in `.bench/population/SIZE`, for all benchmarks of that size.

    python -m tests.benchmarks.population [--offers N] [--again] [--database URL]

With a URL it fills that database instead, which must be migrated and empty (`wapsi` makes it with its migrations).
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
from rich.console import Console

from domains.offers.service import documents
from tests.benchmarks import population_fill
from tests.benchmarks.bench import Bench, Options
from tests.benchmarks.feeds import FeedsMissing
from tests.benchmarks.paths import BENCH, ROOT
from tests.benchmarks.population_fill import Amounts, fill
from tests.benchmarks.registry import Skipped
from tests.benchmarks.servers import MAX_CONNECTIONS, SHARED_BUFFERS_MB, Servers
from wapsi.embedded import EmbeddedError, EmbeddedPostgres
from wapsi.migrations import run as migrations

DATABASE = "wapsi"
_FOLDER = BENCH / "population"
# Heap and indexes of an offer with its share of customers and clicks, and what the write-ahead log may take.
BYTES_AN_OFFER = 3300
SPARE_BYTES = 6 * 2**30


class KeptServers(Servers):
    """As Servers, but the database is one that stays; `folder` and the queue are removed as ever."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres) -> None:
        super().__init__(folder)
        self.postgres = postgres

    def remove(self) -> None:
        # A checkpoint first: a server that takes long to end would be killed, and recover at its next start.
        with contextlib.suppress(Exception):
            self.postgres.admin_execute("CHECKPOINT")
        self.postgres.stop()
        self.valkey.remove()


@contextlib.asynccontextmanager
async def populated(folder: Path, offers: int, console: Console) -> AsyncIterator[KeptServers]:
    """Servers whose database DATABASE is full; made where it is not there yet or was made by another version.

    `folder` is where the run itself lies. Raises Skipped (no space), FeedsMissing, EmbeddedError.
    """
    amounts = Amounts(offers)
    home = _FOLDER / str(offers)
    mark = home / "made.json"
    wanted = _mark_of(amounts)
    if not (mark.exists() and json.loads(mark.read_text())["made_by"] == wanted):
        _remove(home)
        _require_space(offers)
    home.mkdir(parents=True, exist_ok=True)
    for place in (_FOLDER, home):
        place.chmod(0o711)
    servers = KeptServers(folder, _postgres(home))
    try:
        servers.start()
        if servers.postgres.ensure_database(DATABASE):
            await _make(servers, amounts, console, mark, wanted)
        await migrations.upgrade(servers.postgres.url(DATABASE))
        yield servers
    finally:
        servers.remove()


def _postgres(home: Path) -> EmbeddedPostgres:
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return EmbeddedPostgres(
        home,
        durable=True,
        max_connections=MAX_CONNECTIONS,
        shared_buffers_mb=min(SHARED_BUFFERS_MB, memory_mb // 8),
    )


async def _make(servers: KeptServers, amounts: Amounts, console: Console, mark: Path, made_by: str) -> None:
    started_s = time.monotonic()
    await migrations.upgrade(servers.postgres.url(DATABASE))
    await fill(servers.postgres.url(DATABASE).replace("postgresql+asyncpg", "postgresql"), amounts, console)
    size = int(servers.postgres.admin_execute(f"SELECT pg_database_size('{DATABASE}')"))
    took_s = time.monotonic() - started_s
    console.print(f"[dim]{amounts.offers:,} offers made in {took_s / 60:.1f} minutes, {size / 2**30:.1f} GiB[/dim]")
    mark.write_text(json.dumps({"made_by": made_by, "seconds": round(took_s), "bytes": size}) + "\n")


_OF_SYNCS = ("sync_chunks", "sync_uploads", "sync_issues")
_OF_MERCHANTS = """
SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'merchant_id'
"""


async def remove_merchants(pool: asyncpg.Pool, slugs: Sequence[str]) -> None:
    """With all that hangs on them: what a benchmark brought into a database that stays. Takes minutes at full size."""
    async with pool.acquire() as connection:
        async with connection.transaction():
            # As superuser, past the triggers that forbid it.
            await connection.execute("SET LOCAL session_replication_role = replica; SET LOCAL statement_timeout = 0")
            ids = await connection.fetchval(
                "SELECT coalesce(array_agg(id), '{}') FROM merchants WHERE slug = ANY ($1)", slugs
            )
            await connection.execute(
                "DELETE FROM rates USING rate_schedules s WHERE s.id = schedule_id AND s.merchant_id = ANY ($1)", ids
            )
            for table in _OF_SYNCS:
                await connection.execute(
                    f"DELETE FROM {table} USING syncs s WHERE s.id = sync_id AND s.merchant_id = ANY ($1)", ids
                )
            await connection.execute(
                "DELETE FROM offer_documents d USING offer_listings l WHERE l.id = d.id AND l.merchant_id = ANY ($1)",
                ids,
            )
            for record in await connection.fetch(_OF_MERCHANTS):
                await connection.execute(f"DELETE FROM {record['relname']} WHERE merchant_id = ANY ($1)", ids)
            await connection.execute("DELETE FROM merchants WHERE id = ANY ($1)", ids)
        await connection.execute("VACUUM (ANALYZE) offers")
        await connection.execute("VACUUM (ANALYZE) offer_listings")
        await connection.execute("VACUUM (ANALYZE) offer_documents")


def _mark_of(amounts: Amounts) -> str:
    """Another one when it is filled in another way. A schema that is older is migrated when the product starts."""
    ways = documents.INDEX_BATCH + documents.COUNT_FACETS + Path(population_fill.__file__).read_text()
    return hashlib.sha256(f"{amounts} {ways}".encode()).hexdigest()


def _remove(home: Path) -> None:
    if home.exists():
        # Its data may lie elsewhere, where the database's user can get in.
        _postgres(home).remove()
        shutil.rmtree(home, ignore_errors=True)


def _require_space(offers: int) -> None:
    """Raises Skipped."""
    BENCH.mkdir(exist_ok=True)
    wanted, free = offers * BYTES_AN_OFFER + SPARE_BYTES, shutil.disk_usage(BENCH).free
    if free < wanted:
        raise Skipped(f"{wanted / 2**30:.0f} GiB must be free in {BENCH}, and {free / 2**30:.0f} are")


async def _main() -> int:
    console = Console()
    parser = argparse.ArgumentParser(description="Makes a database full of offers, or fills an empty one.")
    parser.add_argument("--offers", type=int, default=Amounts().offers, help="default 15,000,000")
    parser.add_argument("--merchants", type=int, default=Amounts().merchants, help="default 300; with --database")
    parser.add_argument("--customers", type=int, help="default: a 15th of the offers; with --database")
    parser.add_argument("--clicks", type=int, help="default: two thirds of the offers; with --database")
    parser.add_argument("--database", help="postgresql://... of a migrated, empty database, as superuser")
    parser.add_argument("--again", action="store_true", help="make it anew even when there is one")
    arguments = parser.parse_args()
    if arguments.database:
        amounts = Amounts(arguments.offers, arguments.merchants, arguments.customers, arguments.clicks)
        await fill(arguments.database, amounts, console)
        return 0
    home = _FOLDER / str(arguments.offers)
    if arguments.again:
        _remove(home)
    with Bench("POP", Options(), console).folder() as folder:
        async with populated(folder, arguments.offers, console):
            pass
    console.print(f"It is in {home.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(_main()))
    except (Skipped, FeedsMissing, EmbeddedError) as reason:
        sys.exit(str(reason))
