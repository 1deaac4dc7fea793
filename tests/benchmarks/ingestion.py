"""ING1, ING2: one merchant's feed against a bare COPY of the same rows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.benchmarks.bench import Bench, median
from tests.benchmarks.feeds import Feed, require_real_feed
from tests.benchmarks.floors import CopyFloor, CopyTimes
from tests.benchmarks.product import Product
from tests.benchmarks.registry import Row, at_least, at_most, bar
from tests.benchmarks.syncing import ProducerProcess, Timing, timed_push


@bar("ING1")
async def first_load(bench: Bench) -> Sequence[Row]:
    """An empty table, a new merchant, all offers new."""
    require_real_feed()
    size = bench.options.size
    copies: list[CopyTimes] = []
    loads: list[Timing] = []
    async with bench.product() as product, loaded_merchant(bench, product, "warm-up") as (_, floor):
        for run in bench.runs():
            copies.append(await floor.measure())
            await product.empty_offers()
            slug = f"shop-{run}"
            feed = Feed(size, seed=run)
            with ProducerProcess(product, await product.add_merchant(slug)) as producer:
                producer.prepare(feed)
                await product.settle()
                loads.append(await timed_push(product, producer, slug, feed, created=size))
            await product.settle()
            bench.say(f"COPY {copies[-1].indexed_s:.2f} s, first load {loads[-1].listed_s:.2f} s")
    value, floor_s = median([load.listed_s for load in loads]), median([copy.indexed_s for copy in copies])
    words, holds = at_most(1.6, value / floor_s)
    return [
        Row(
            "ING1",
            f"first load of {size:,} offers, durable and listed",
            value,
            "s",
            floor_s,
            CopyFloor.NAME,
            value / floor_s,
            words,
            holds,
            notes=_beside(value, copies, loads),
        )
    ]


@bar("ING2")
async def same_feed_again(bench: Bench) -> Sequence[Row]:
    """The feed that is stored already, and the feed with 5 % of its prices changed, in turn."""
    require_real_feed()
    size = bench.options.size
    copies: list[CopyTimes] = []
    unchanged: list[Timing] = []
    changed: list[Timing] = []
    slug = "shop"
    async with bench.product() as product, loaded_merchant(bench, product, slug) as (producer, floor):
        for run in bench.runs():
            copies.append(await floor.measure())
            await product.settle()
            before, after = Feed(size, revision=run - 1), Feed(size, revision=run)
            unchanged.append(await timed_push(product, producer, slug, before, unchanged=size))
            producer.prepare(after)
            await product.settle()
            few = size * 5 // 100
            changed.append(await timed_push(product, producer, slug, after, updated=few, unchanged=size - few))
            bench.say(
                f"COPY {copies[-1].indexed_s:.2f} s, unchanged {unchanged[-1].listed_s:.2f} s,"
                f" 5 % changed {changed[-1].listed_s:.2f} s"
            )
    floor_s = median([copy.indexed_s for copy in copies])
    rows = []
    for id, what, limit, timings in (
        ("ING2", "the same feed again", 2.0, unchanged),
        ("ING2-5pct", "the same feed, 5 % changed", 1.5, changed),
    ):
        value = median([timing.listed_s for timing in timings])
        words, holds = at_least(limit, floor_s / value)
        notes = _beside(value, copies, timings)
        rows.append(
            Row(
                id,
                what,
                size / value,
                "offers/s",
                size / floor_s,
                CopyFloor.NAME,
                floor_s / value,
                words,
                holds,
                notes=notes,
            )
        )
    return rows


@asynccontextmanager
async def loaded_merchant(
    bench: Bench, product: Product, slug: str
) -> AsyncIterator[tuple[ProducerProcess, CopyFloor]]:
    """A merchant with the feed of seed 1 loaded, its producer, and the floor made of its finished rows.

    This load is not measured: it is the first thing that the processes do at all.
    """
    feed = Feed(bench.options.size)
    bench.say("loading once, for the rows that COPY is given")
    with ProducerProcess(product, await product.add_merchant(slug)) as producer:
        producer.prepare(feed)
        await timed_push(product, producer, slug, feed, created=feed.size)
        await product.settle()
        yield producer, await CopyFloor.of_merchant(product.admin, slug)


def _beside(value_s: float, copies: Sequence[CopyTimes], timings: Sequence[Timing]) -> list[str]:
    plain_s = median([copy.plain_s for copy in copies])
    searchable_s = median([timing.searchable_s for timing in timings])
    settled_s = median([timing.settled_s for timing in timings])
    return [
        f"COPY without the search column and its index: {plain_s:.2f} s, {value_s / plain_s:.2f} of its time",
        f"settled after {settled_s:.2f} s, listed after {value_s:.2f} s, found by search after {searchable_s:.2f} s",
    ]
