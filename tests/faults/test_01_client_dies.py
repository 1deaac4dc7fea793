"""1. The client dies at message k of 50,000, 20 times at random k: nothing visible changes, the sync resumes."""

import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.feeds import Feed
from tests.faults.processes import Merchant, Platform, until
from tests.faults.watcher import watching

SIZE = 50_000
DEATHS = 20


@pytest.mark.timeout(900)
async def test_a_client_that_is_killed(platform: Platform, tell: Callable[[str], None]) -> None:
    """Each time a new sync of a changed feed: killed at item k, watched, resumed by a new process, published."""
    seed = random.randrange(2**32)
    tell(f"seed {seed}")
    chance = random.Random(seed)
    shop = await platform.make_merchant()
    feed = Feed(SIZE, change_every=50)
    await platform.push(shop, "first", feed)
    started_s = time.monotonic()
    resumed_at = []
    for death in range(DEATHS):
        feed = Feed(SIZE, revision=death + 1, change_every=50)
        k = chance.randrange(SIZE)
        where = f"death {death} at item {k} (seed {seed})"
        async with watching(platform.dsn, shop.id) as watch:
            victim = platform.client(shop, f"sync {death}", feed, die_at=k)
            assert await victim.wait(60) == -signal.SIGKILL, where
            acknowledged = max(victim.acknowledged(), default=0)
            # The server may still be storing what had reached it.
            committed = await settled_offset(platform, shop, f"sync {death}")
        assert watch.changes == 0, (where, watch.states)
        sync = await platform.sync(shop, f"sync {death}")
        assert sync is not None, where
        assert sync["state"] == "open", where
        assert acknowledged <= committed <= k, where

        client = platform.client(shop, f"sync {death}", feed)
        assert await client.wait(90) == 0, (where, client.tail())
        streams = [line["offset"] for line in client.lines() if line["event"] == "stream"]
        assert streams == ([committed] if committed < SIZE else []), where
        resumed_at.append(committed)
        assert client.lines()[-1]["state"] == "succeeded", (where, client.lines()[-1])
        assert await platform.prices(shop) == feed.prices(), where
    tell(f"{DEATHS} deaths, 0 visible changes, resumed at {sorted(resumed_at)} in {time.monotonic() - started_s:.0f} s")


async def settled_offset(platform: Platform, shop: Merchant, request_id: str) -> int:
    """The committed offset once it has not moved for a moment."""
    last = -1

    async def has_settled() -> bool:
        nonlocal last
        sync = await platform.sync(shop, request_id)
        assert sync is not None
        before, last = last, sync["committed_offset"]
        return bool(before == last)

    await until(has_settled, 20, "the server has stored what it had received", every_s=0.3)
    return last
