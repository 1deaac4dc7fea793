"""ING6: a sync beside 15,000,000 offers of others, against the same on an empty table."""

from collections.abc import Sequence

from rich.console import Console

from tests.benchmarks.bench import Bench, median
from tests.benchmarks.feeds import Feed, require_real_feed
from tests.benchmarks.population import DATABASE, populated, remove_merchants
from tests.benchmarks.product import Product
from tests.benchmarks.registry import Row, at_most, bar
from tests.benchmarks.syncing import ProducerProcess, Timing, timed_push

LIMIT = 2.0


@bar("ING6")
async def beside_many(bench: Bench) -> Sequence[Row]:
    """Two databases on one server, each with processes of its own, measured in turn.

    The full one is kept for other bars (see population.py): what is brought into it is taken out again.
    """
    require_real_feed()
    size, scale = bench.options.size, bench.options.scale
    first: dict[str, list[Timing]] = {"empty": [], "full": []}
    again: dict[str, list[Timing]] = {"empty": [], "full": []}
    slugs = ["warm-up", *(f"new-{run}" for run in range(1, bench.options.runs + 1))]
    with bench.folder() as folder:
        async with populated(folder, scale, Console()) as servers:
            servers.postgres.admin_execute("DROP DATABASE IF EXISTS empty WITH (FORCE)")
            async with Product(servers, "empty") as empty, Product(servers, DATABASE, queue=1) as full:
                # Of a run that was killed.
                await remove_merchants(full.admin, slugs)
                for product in (empty, full):
                    await _first_and_again(product, "warm-up", Feed(size))
                for run in bench.runs():
                    for name, product in (("empty", empty), ("full", full)):
                        if product is empty:
                            await product.empty_offers()
                        load, reload = await _first_and_again(product, f"new-{run}", Feed(size, seed=run))
                        first[name].append(load)
                        again[name].append(reload)
                        bench.say(f"{name} table: first load {load.listed_s:.2f} s, unchanged {reload.listed_s:.2f} s")
                await remove_merchants(full.admin, slugs)
            servers.postgres.admin_execute("DROP DATABASE IF EXISTS empty WITH (FORCE)")
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
