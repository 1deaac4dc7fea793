"""9. The queue server killed, flushed, restarted, cut off; its replies lost: every effect once, nobody restarts us."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from tests.faults.conftest import MakePlatform
from tests.faults.feeds import Feed
from tests.faults.processes import Platform, until

LIMIT_S = 120.0
BEFORE = 16
DURING = 4
WORK_MS = 700
# A worker with 4 threads prefetches 8 messages: were every lost reply to cost it one for good, it would stop.
LOST_REPLIES = 10

Fault = Callable[[Platform], Awaitable[None]]


async def kill(platform: Platform) -> None:
    """SIGKILL, and it is back after 2 s with what it had written."""
    await platform.queue.kill()
    await asyncio.sleep(2)
    await platform.queue.start()


async def flush(platform: Platform) -> None:
    assert await platform.queue.command("FLUSHALL") == b"+OK\r\n"


async def restart(platform: Platform) -> None:
    await platform.queue.stop()
    await asyncio.sleep(1)
    await platform.queue.start()


def cut(seconds: float) -> Fault:
    async def fault(platform: Platform) -> None:
        platform.proxy.cut()
        await asyncio.sleep(seconds)
        platform.proxy.heal()

    return fault


def hold(seconds: float) -> Fault:
    async def fault(platform: Platform) -> None:
        platform.proxy.hold()
        await asyncio.sleep(seconds)
        platform.proxy.heal()

    return fault


FAULTS = [
    pytest.param(kill, True, id="killed"),
    pytest.param(kill, False, id="killed-and-emptied"),
    pytest.param(flush, True, id="flushed"),
    pytest.param(restart, True, id="restarted"),
    pytest.param(cut(5), True, id="cut-5s"),
    pytest.param(cut(30), True, id="cut-30s"),
    pytest.param(hold(5), True, id="silent-5s"),
    pytest.param(hold(30), True, id="silent-30s"),
]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("fault", "persist"), FAULTS)
async def test_the_queue_server_fails_in_the_middle(
    make_platform: MakePlatform, tell: Callable[[str], None], fault: Fault, persist: bool
) -> None:
    """Jobs are running, others wait in the queue, more are committed during the fault, and so is a sync."""
    platform = await make_platform(persist=persist)
    shop = await platform.make_merchant()
    pids = {name: platform.processes[name].pid for name in ("serve", "worker", "scheduler")}
    ids = await platform.enqueue("faults.effect", BEFORE, work_ms=WORK_MS)
    await some_running(platform, ids)

    failing = asyncio.ensure_future(fault(platform))
    await asyncio.sleep(0.3)
    ids += await platform.enqueue("faults.effect", DURING, work_ms=WORK_MS)
    feed = Feed(500)
    client = platform.client(shop, "during", feed)
    await failing
    healed_s = time.monotonic()

    await platform.until_done(ids, LIMIT_S)
    assert await client.wait(LIMIT_S) == 0, client.tail()
    recovered_s = time.monotonic() - healed_s
    assert await platform.prices(shop) == feed.prices()
    await prove_health(platform, ids, pids)
    starts = await platform.sql.fetchval("SELECT count(*) FROM fault_starts WHERE job_id = ANY($1)", ids)
    tell(f"{len(ids)} effects and a sync, each once, {recovered_s:.1f} s after it was over ({starts} starts)")
    assert recovered_s < LIMIT_S


@pytest.mark.timeout(240)
@pytest.mark.parametrize("command", ["fetch", "ack", "enqueue"])
async def test_replies_are_lost(make_platform: MakePlatform, tell: Callable[[str], None], command: str) -> None:
    """The queue server has done what it was asked and the answer never comes; more often than a worker prefetches."""
    times = LOST_REPLIES
    platform = await make_platform()
    shop = await platform.make_merchant()
    pids = {name: platform.processes[name].pid for name in ("serve", "worker", "scheduler")}
    platform.proxy.lose_replies(command, times)
    started_s = time.monotonic()
    ids: list[UUID] = []
    while platform.proxy.left_to_lose() and time.monotonic() - started_s < LIMIT_S:
        ids += await platform.enqueue("faults.effect", 5, work_ms=50)
        await asyncio.sleep(0.5)
    assert platform.proxy.lost[command] == times
    lost_s = time.monotonic()
    feed = Feed(500)
    client = platform.client(shop, "after", feed)

    await platform.until_done(ids, LIMIT_S)
    assert await client.wait(LIMIT_S) == 0, client.tail()
    recovered_s = time.monotonic() - lost_s
    assert await platform.prices(shop) == feed.prices()
    await prove_health(platform, ids, pids)
    tell(
        f"{times} replies lost in {lost_s - started_s:.0f} s; {len(ids)} effects and a sync,"
        f" each once, {recovered_s:.1f} s after the last"
    )
    assert recovered_s < LIMIT_S


async def some_running(platform: Platform, ids: list[UUID]) -> None:
    async def running() -> bool:
        query = "SELECT count(*) FROM jobs WHERE id = ANY($1) AND state = 'running'"
        return bool(await platform.sql.fetchval(query, ids) >= 3)

    await until(running, 20, "jobs are running")


async def prove_health(platform: Platform, ids: list[UUID], pids: dict[str, int]) -> None:
    """Every effect once, the processes are those that there were, and new work is done as if nothing had happened."""
    fresh = await platform.enqueue("faults.effect", 20, work_ms=10)
    await platform.until_done(fresh, 15)
    await asyncio.sleep(1)
    everything = [*ids, *fresh]
    assert await platform.effects(everything) == dict.fromkeys(everything, 1)
    assert {name: platform.processes[name].pid for name in pids} == pids
    for name in pids:
        assert platform.processes[name].is_running, platform.processes[name].tail()
    versions = await platform.sql.fetch("SELECT version FROM catalogues")
    assert [row["version"] for row in versions] == [1], "the sync was published more than once"
    unfinished = "SELECT state, last_error FROM jobs WHERE id = ANY($1) AND state <> 'done'"
    assert await platform.sql.fetch(unfinished, everything) == []
