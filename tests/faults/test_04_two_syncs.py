"""4. Two syncs of one merchant at once: serialised or ABORTED, and never a deadlock."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import grpc
import pytest

from tests.faults.calls import Calls, calling
from tests.faults.conftest import MakePlatform
from tests.faults.feeds import Feed, make_item
from tests.faults.processes import Merchant, Platform
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

RUNS = 100
MERCHANTS = 5
COMMON = 150
OWN = 30

# Of the offers that both feeds have: the lowest and the highest price. They differ where two feeds were mixed.
_COMMON_PRICES = (
    "SELECT count(*)::int, min(price_minor)::int, max(price_minor)::int FROM offers"
    " WHERE merchant_id = $1 AND status = 'active' AND offer_id LIKE 'common%'"
)
# Pairs of one run that were being processed at the same time.
_OVERLAPPING = (
    "SELECT count(*)::int FROM syncs a JOIN syncs b ON b.merchant_id = a.merchant_id"
    " AND b.request_id = replace(a.request_id, 'a', 'b') WHERE a.request_id LIKE 'a %'"
    " AND a.started_at < b.finished_at AND b.started_at < a.finished_at"
)


@pytest.mark.timeout(600)
async def test_two_syncs_at_once(make_platform: MakePlatform, tell: Callable[[str], None]) -> None:
    """Overlapping ids in different orders, by two producers, with two workers, on five merchants side by side."""
    seed = random.randrange(2**32)
    tell(f"seed {seed}")
    platform = await make_platform("serve", "worker", "worker-2", "scheduler")
    shops = [await platform.make_merchant(f"shop-{n}") for n in range(MERCHANTS)]
    started_s = time.monotonic()
    outcomes = await asyncio.gather(
        *(run_merchant(platform, shop, random.Random(seed + n)) for n, shop in enumerate(shops))
    )
    deadlocks = await deadlocks_of(platform)
    overlapping = await platform.sql.fetchval(_OVERLAPPING)
    words = sorted(word for outcome in outcomes for word in outcome)
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    took_s = time.monotonic() - started_s
    tell(f"{RUNS} runs in {took_s:.0f} s: {counts}, {overlapping} overlapped, {deadlocks} deadlocks")
    assert overlapping >= RUNS // 5, "they were processed one after the other, which shows nothing"
    assert deadlocks == 0
    assert sum(counts.values()) == 2 * RUNS
    assert set(counts) <= {"succeeded", "ABORTED"}
    dead = await platform.sql.fetch("SELECT kind, last_error FROM jobs WHERE state = 'dead'")
    assert dead == []


async def run_merchant(platform: Platform, shop: Merchant, chance: random.Random) -> list[str]:
    outcomes: list[str] = []
    async with (
        calling(platform.target, shop.key, deadline_s=60) as one,
        calling(platform.target, shop.key, deadline_s=60) as other,
        watching_mixes(platform.dsn, shop.id) as mixes,
    ):
        for run in range(RUNS // MERCHANTS):
            both = await asyncio.gather(
                sync(one, shop, f"a {run}", 2 * run, chance), sync(other, shop, f"b {run}", 2 * run + 1, chance)
            )
            outcomes += both
            # Whichever was published first: the newer message about an offer wins.
            if "ABORTED" not in both:
                row = await platform.sql.fetchrow(_COMMON_PRICES, shop.id)
                assert tuple(row) == (COMMON, price(2 * run + 1), price(2 * run + 1)), run
    assert mixes == []
    return outcomes


def price(revision: int) -> int:
    return 1000 + revision


async def sync(calls: Calls, shop: Merchant, request_id: str, revision: int, chance: random.Random) -> str:
    """One sync of a feed in an order of its own; how it ended."""
    at = Feed(0).as_of + timedelta(minutes=revision)
    items = [make_item(f"common{n}", price(revision), at=at) for n in range(COMMON)]
    items += [make_item(f"{request_id[0]}{n}", price(revision), at=at) for n in range(OWN)]
    chance.shuffle(items)
    mode = chance.choice((pb.SYNC_MODE_FULL, pb.SYNC_MODE_INCREMENTAL))
    try:
        sync_id = (await calls.start(shop.slug, request_id, as_of=at, mode=mode)).sync_id
        await calls.push(sync_id, [(0, items[:70]), (70, items[70:])])
        await calls.finish(sync_id, items)
        state = (await calls.settled(sync_id)).state
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return pb.SyncState.Name(state).removeprefix("SYNC_STATE_").lower()


@contextlib.asynccontextmanager
async def watching_mixes(dsn: str, merchant_id: UUID) -> AsyncIterator[list[tuple[int, int, int]]]:
    """(offers, lowest, highest price) of every moment at which the common offers were not all of one feed."""
    mixes: list[tuple[int, int, int]] = []
    over = asyncio.Event()
    task = asyncio.ensure_future(_look_for_mixes(over, mixes, dsn, merchant_id))
    try:
        yield mixes
    finally:
        over.set()
        await task


async def _look_for_mixes(over: asyncio.Event, mixes: list[tuple[int, int, int]], dsn: str, merchant_id: UUID) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        while not over.is_set():
            count, lowest, highest = await connection.fetchrow(_COMMON_PRICES, merchant_id)
            if count not in (0, COMMON) or lowest != highest:
                mixes.append((count, lowest, highest))
            await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def deadlocks_of(platform: Platform) -> int:
    """As the database server counts them; its counters are up to a second behind."""
    await asyncio.sleep(1.5)
    return int(await platform.sql.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))
