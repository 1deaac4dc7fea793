"""ING6: a sync beside 15,000,000 offers of others, against the same on an empty table."""

import asyncio
import shutil
from collections.abc import Sequence

from tests.benchmarks.bench import Bench, median
from tests.benchmarks.feeds import Feed, require_real_feed
from tests.benchmarks.product import Product
from tests.benchmarks.registry import Row, Skipped, at_most, bar
from tests.benchmarks.servers import Servers
from tests.benchmarks.syncing import ProducerProcess, Timing, timed_push

MERCHANTS = 300
LIMIT = 2.0
_AT_ONCE = 2
# Heap and indexes of one offer, with a margin, and what the write-ahead log may take.
_BYTES_AN_OFFER = 1400
_SPARE_BYTES = 8 * 2**30


@bar("ING6")
async def beside_many(bench: Bench) -> Sequence[Row]:
    """Two databases on one server, each with processes of its own, measured in turn."""
    require_real_feed()
    size, scale = bench.options.size, bench.options.scale
    first: dict[str, list[Timing]] = {"empty": [], "full": []}
    again: dict[str, list[Timing]] = {"empty": [], "full": []}
    async with bench.servers() as servers:
        _require_space(servers, scale)
        async with Product(servers, "empty") as empty, Product(servers, "full", queue=1) as full:
            await _fill(bench, full, scale)
            await _first_and_again(empty, "warm-up", Feed(size))
            await _first_and_again(full, "warm-up", Feed(size))
            for run in bench.runs():
                for name, product in (("empty", empty), ("full", full)):
                    if product is empty:
                        await product.empty_offers()
                    load, reload = await _first_and_again(product, f"new-{run}", Feed(size, seed=run))
                    first[name].append(load)
                    again[name].append(reload)
                    bench.say(f"{name} table: first load {load.listed_s:.2f} s, unchanged {reload.listed_s:.2f} s")
    return [
        _row("ING6", f"first load beside {scale:,} offers", first),
        _row("ING6-unchanged", f"the same feed again beside {scale:,} offers", again),
    ]


def _row(id: str, what: str, timings: dict[str, list[Timing]]) -> Row:
    value, floor = (median([timing.listed_s for timing in timings[name]]) for name in ("full", "empty"))
    words, holds = at_most(LIMIT, value / floor)
    searchable = {name: median([timing.searchable_s for timing in timings[name]]) for name in timings}
    notes = [f"search finds it after {searchable['full']:.2f} s, on the empty table after {searchable['empty']:.2f} s"]
    return Row(id, what, value, "s", floor, "the same on an empty table", value / floor, words, holds, notes)


async def _first_and_again(product: Product, slug: str, feed: Feed) -> tuple[Timing, Timing]:
    with ProducerProcess(product, await product.add_merchant(slug)) as producer:
        producer.prepare(feed)
        await product.settle()
        load = await timed_push(product, producer, slug, feed, created=feed.size)
        await product.settle()
        reload = await timed_push(product, producer, slug, feed, unchanged=feed.size)
        await product.settle()
    return load, reload


def _require_space(servers: Servers, scale: int) -> None:
    """Raises Skipped."""
    wanted, free = scale * _BYTES_AN_OFFER + _SPARE_BYTES, shutil.disk_usage(servers.folder).free
    if free < wanted:
        raise Skipped(f"{wanted / 2**30:.0f} GiB must be free in {servers.folder.parent}, and {free / 2**30:.0f} are")


async def _fill(bench: Bench, product: Product, scale: int) -> None:
    """One merchant's feed comes by the product; its rows are copied to the others, with ids of their own.

    Search documents are not made: what is measured ends before search follows.
    """
    each = scale // MERCHANTS
    slug, feed = "others-1", Feed(each)
    with ProducerProcess(product, await product.add_merchant(slug)) as producer:
        producer.prepare(feed)
        await timed_push(product, producer, slug, feed, created=each)
    await product.settle()
    others = [f"others-{number}" for number in range(2, MERCHANTS + 1)]
    for other in others:
        await product.add_merchant(other)
    offers = await _copying(product, "offers", id="uuidv7()", merchant_id="other.id")
    catalogues = await _copying(product, "catalogues", merchant_id="other.id")
    left = iter(enumerate(others, 2))

    async def copy() -> None:
        async with product.admin.acquire() as connection:
            # The rows are copies of ones that were checked: no foreign key needs another look.
            await connection.execute("SET session_replication_role = replica")
            for number, other in left:
                await connection.execute(catalogues, slug, other)
                await connection.execute(offers, slug, other)
                if number % 30 == 0:
                    bench.say(f"{number * each:,} of {scale:,} offers are in the table")
            await connection.execute("RESET session_replication_role")

    await asyncio.gather(*(copy() for _ in range(_AT_ONCE)))
    bench.say("VACUUM, ANALYZE")
    await product.admin.execute("VACUUM (ANALYZE) offers")
    await product.admin.execute("ANALYZE")
    await product.settle()


async def _copying(product: Product, table: str, **changed: str) -> str:
    """SQL that copies the rows of one merchant ($1) to another ($2), by slug; `changed` columns by expression."""
    columns = [
        record["attname"]
        for record in await product.admin.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attgenerated = '' AND attidentity = '' ORDER BY attnum",
            table,
        )
    ]
    values = ", ".join(changed.get(column, f'one."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} one"
        " JOIN merchants of ON of.id = one.merchant_id AND of.slug = $1 JOIN merchants other ON other.slug = $2"
    )
