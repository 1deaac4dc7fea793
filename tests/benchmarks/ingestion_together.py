"""ING3: five merchants at once, while shoppers go on reading."""

import asyncio
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.benchmarks.bench import Bench, median
from tests.benchmarks.feeds import CURRENCY, Feed, require_real_feed
from tests.benchmarks.floors import CopyFloor
from tests.benchmarks.ingestion import loaded_merchant
from tests.benchmarks.processes import Helper
from tests.benchmarks.product import Product
from tests.benchmarks.registry import Row, at_least, bar
from tests.benchmarks.syncing import ProducerProcess, Timing, timed_push

MERCHANTS = 5
# REST apart from gRPC: what producers push must not wait in the same process as what shoppers read.
ROLES = ("serve --rest", "serve --grpc", "worker", "scheduler")
P99_LIMIT = 3.0
_FIRST_IDLE_S = 8.0
_LATIN_WORD = re.compile(r"[A-Za-z]{4,}")


@bar("ING3")
async def five_at_once(bench: Bench) -> Sequence[Row]:
    """Beside a catalogue of one merchant, whose listings are read before and during the load."""
    require_real_feed()
    size, shop = bench.options.size, "shop"
    copies_s: list[float] = []
    rates: list[float] = []
    idle: list[Mapping[str, Any]] = []
    busy: list[Mapping[str, Any]] = []
    idle_s = _FIRST_IDLE_S
    async with (
        bench.product(roles=ROLES) as product,
        loaded_merchant(bench, product, shop) as (producer, floor),
    ):
        with _shoppers(bench, product, shop) as shoppers:
            for run in bench.runs():
                copies_s.append((await floor.measure()).indexed_s)
                await product.empty_offers()
                await timed_push(product, producer, shop, Feed(size), created=size)
                await product.admin.execute("ANALYZE")
                await product.settle()
                idle.append(await asyncio.to_thread(shoppers.ask, {"seconds": idle_s}))
                took_s, during = await _load_all(product, shoppers, size, run)
                idle_s = took_s
                rates.append(MERCHANTS * size / took_s)
                busy.append(during)
                bench.say(
                    f"COPY {copies_s[-1]:.2f} s, {rates[-1]:,.0f} offers/s, p99 idle {idle[-1]['p99_ms']:.1f} ms,"
                    f" during {busy[-1]['p99_ms']:.1f} ms, {busy[-1]['failures']} of {busy[-1]['requests']} failed"
                )
    copy_rate = size / median(copies_s)
    value = median(rates)
    words, holds = at_least(0.6, value / copy_rate)
    return [
        Row(
            "ING3",
            f"{MERCHANTS} merchants at once, {MERCHANTS * size:,} offers, first load",
            value,
            "offers/s",
            copy_rate,
            CopyFloor.NAME,
            value / copy_rate,
            words,
            holds,
            notes=[f"{', '.join(ROLES)}; {MERCHANTS * size / value:.1f} s in all"],
        ),
        _p99_row(bench, idle, busy),
    ]


async def _load_all(product: Product, shoppers: Helper, size: int, run: int) -> tuple[float, Mapping[str, Any]]:
    """Seconds from the first producer's first message until the last feed is listed; what shoppers saw meanwhile."""
    with ExitStack() as stack:
        pushes = []
        for number in range(1, MERCHANTS + 1):
            slug, feed = f"shop-{run}-{number}", Feed(size, seed=10 * run + number)
            producer = stack.enter_context(ProducerProcess(product, await product.add_merchant(slug)))
            await asyncio.to_thread(producer.prepare, feed)
            pushes.append((producer, slug, feed))
            await asyncio.to_thread(feed.landmark)
        await product.settle()
        shoppers.tell({"seconds": None})
        timings: list[Timing] = await asyncio.gather(
            *(timed_push(product, producer, slug, feed, search=False, created=size) for producer, slug, feed in pushes)
        )
        during = await asyncio.to_thread(shoppers.ask, {})
        await product.settle()
    return max(t.listed_at_s for t in timings) - min(t.started_at_s for t in timings), during


def _p99_row(bench: Bench, idle: Sequence[Mapping[str, Any]], busy: Sequence[Mapping[str, Any]]) -> Row:
    floor, value = (median([run["p99_ms"] for run in runs]) for runs in (idle, busy))
    failures = sum(run["failures"] for run in (*idle, *busy))
    by_kind = [
        f"{kind} {median([run['p99_ms_by_kind'][kind] for run in idle]):.1f} / "
        f"{median([run['p99_ms_by_kind'][kind] for run in busy]):.1f}"
        for kind in idle[0]["p99_ms_by_kind"]
    ]
    requests = sum(run["requests"] for run in busy)
    rate = f"{bench.options.rate_per_s} requests/s, {requests:,} of them while loading"
    notes = [f"{rate}; p99 in ms, idle / during: {', '.join(by_kind)}"]
    failed = [run["first_failure"] for run in (*idle, *busy) if run["failures"]]
    if failed:
        notes.append(f"{failures} requests failed, such as {failed[0]}")
    return Row(
        "ING3-p99",
        "p99 of GET /v1/offers meanwhile, no request fails",
        value,
        "ms",
        floor,
        "the same, idle",
        value / floor,
        f"< {P99_LIMIT:g}",
        value / floor < P99_LIMIT and not failures,
        notes,
    )


@contextmanager
def _shoppers(bench: Bench, product: Product, slug: str) -> Iterator[Helper]:
    address = urlsplit(product.url)
    arguments = [str(address.hostname), str(address.port), str(bench.options.rate_per_s)]
    # They come from elsewhere: what they measure is not to be how busy the producers beside them are.
    with Helper(["tests.benchmarks.load_process", *arguments], product.environment, own_session=True) as shoppers:
        shoppers.tell(list(listings(slug)))
        yield shoppers


def listings(slug: str) -> Iterator[tuple[str, str]]:
    """(kind, path) of different pages of GET /v1/offers, the kinds in turn."""
    rng = random.Random(7)
    rows = list(islice(Feed().rows(), 5000))
    for row in rng.sample(rows, 500):
        words = _LATIN_WORD.findall(row.name)
        limit = rng.randint(10, 30)
        low = row.price_minor
        kinds: dict[str, dict[str, object]] = {
            "newest": {},
            "merchant": {"merchant": slug},
            "price": {"currency": CURRENCY, "price_min": low, "price_max": low * 2, "sort": "price"},
            "brand": {"merchant": slug, "brand": row.brand},
        }
        if words:
            kinds["search"] = {"q": rng.choice(words)}
        for kind, query in kinds.items():
            yield kind, f"/v1/offers?{urlencode({**query, 'limit': limit})}"
