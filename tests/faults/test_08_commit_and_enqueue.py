"""8. A crash between commit and enqueue: the job runs within 30 s. A rollback: it never runs."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import pytest

from tests.faults.calls import calling
from tests.faults.conftest import MakePlatform
from tests.faults.feeds import Feed
from tests.faults.processes import Platform, Process, until
from wapsi.queue import outbox

LIMIT_S = 30.0
JOBS = 20


class ChangedMyMind(Exception):
    """What rolls a transaction back."""


async def once_each(platform: Platform, ids: list[UUID]) -> None:
    """Waits until duplicates would have shown themselves, and looks."""
    await asyncio.sleep(1)
    assert await platform.effects(ids) == dict.fromkeys(ids, 1)


@pytest.mark.timeout(120)
async def test_the_relay_is_dead_when_jobs_are_committed(platform: Platform, tell: Callable[[str], None]) -> None:
    """Jobs, and a whole sync, whose wake-ups nobody has sent: they run once there is a relay again."""
    shop = await platform.make_merchant()
    feed = Feed(100)
    await platform.scheduler.kill()
    ids = await platform.enqueue("faults.effect", JOBS)
    items = list(feed.items())
    async with calling(platform.target, shop.key) as calls:
        sync_id = (await calls.start(shop.slug, "unsent", as_of=feed.as_of)).sync_id
        await calls.push(sync_id, [(0, items)])
        await calls.finish(sync_id, items)
    # The one that committed them dies too: nothing of them is in anyone's memory.
    await platform.serve.kill()
    crashed_s = time.monotonic()
    await asyncio.sleep(1.5)
    assert await platform.effects(ids) == {}, "there was a relay after all"
    await platform.scheduler.start()
    await platform.until_done(ids, LIMIT_S)

    async def is_published() -> bool:
        return await platform.prices(shop) == feed.prices()

    await until(is_published, LIMIT_S, "the sync was published")
    took_s = time.monotonic() - crashed_s
    tell(f"{JOBS} jobs and a sync {took_s:.1f} s after the crash")
    assert took_s < LIMIT_S
    await once_each(platform, ids)


@pytest.mark.timeout(120)
async def test_the_relay_dies_between_its_commit_and_its_send(platform: Platform, tell: Callable[[str], None]) -> None:
    """The database says that they were sent, and the queue never got them."""
    platform.proxy.hold()
    ids = await platform.enqueue("faults.effect", JOBS)

    async def all_taken() -> bool:
        query = "SELECT count(*) FROM jobs WHERE id = ANY($1) AND sends > 0"
        return bool(await platform.sql.fetchval(query, ids) == JOBS)

    await until(all_taken, 10, "the relay has taken the jobs")
    await platform.scheduler.kill()
    crashed_s = time.monotonic()
    # What was on its way when the process died, and got through: at most one command a connection.
    platform.proxy.cut()
    platform.proxy.heal()
    assert await platform.effects(ids) == {}
    await platform.scheduler.start()
    await platform.until_done(ids, LIMIT_S)
    took_s = time.monotonic() - crashed_s
    tell(f"{JOBS} jobs {took_s:.1f} s after the crash")
    assert took_s < LIMIT_S
    await once_each(platform, ids)


@pytest.mark.timeout(120)
async def test_the_queue_is_flushed_with_messages_in_it(
    make_platform: MakePlatform, tell: Callable[[str], None]
) -> None:
    """All jobs have been sent, no worker has fetched them, FLUSHALL."""
    platform = await make_platform("scheduler")
    ids = await platform.enqueue("faults.effect", JOBS)

    async def all_sent() -> bool:
        return await platform.queue.command("LLEN", "dramatiq:default") >= b":%d" % JOBS

    await until(all_sent, 10, "the messages are in the queue")
    assert await platform.queue.command("FLUSHALL") == b"+OK\r\n"
    flushed_s = time.monotonic()
    assert await platform.queue.command("LLEN", "dramatiq:default") == b":0\r\n"
    await platform.start("worker")
    await platform.until_done(ids, LIMIT_S)
    took_s = time.monotonic() - flushed_s
    tell(f"{JOBS} jobs {took_s:.1f} s after FLUSHALL")
    assert took_s < LIMIT_S
    await once_each(platform, ids)


@pytest.mark.timeout(120)
async def test_what_was_rolled_back_never_runs(make_platform: MakePlatform, tell: Callable[[str], None]) -> None:
    """By an exception, by kill -9 of the process, and by the database ending its session."""
    platform = await make_platform("worker", "scheduler")
    ids: list[UUID] = []

    async def change_my_mind(n: int) -> None:
        async with platform.db.write() as session:
            job_id = await outbox.enqueue(session, "faults.effect", {"n": n, "work_ms": 0})
            assert job_id is not None
            ids.append(job_id)
            raise ChangedMyMind

    for n in range(5):
        with pytest.raises(ChangedMyMind):
            await change_my_mind(n)

    for end in ("kill", "terminate the session"):
        arguments = ["-m", "tests.faults.enqueuer", "0"]
        process = Process(f"enqueuer-{end[:4]}", arguments, platform.settings, platform.folder)
        platform.processes[process.name] = process
        process.launch()
        [line] = await until(process.lines, 20, "the job is written and not committed")
        ids.append(UUID(line["job_id"]))
        await asyncio.sleep(1)  # the relay must not see it
        if end == "kill":
            await process.kill()
        else:
            await platform.sql.fetchval("SELECT pg_terminate_backend($1)", line["backend"])

    # The platform is at work all the same.
    others = await platform.enqueue("faults.effect", 3)
    await platform.until_done(others, LIMIT_S)
    await asyncio.sleep(6)  # longer than the first pause before a wake-up is sent again
    assert await platform.effects(ids) == {}
    assert await platform.sql.fetchval("SELECT count(*) FROM jobs WHERE id = ANY($1)", ids) == 0
    assert await platform.sql.fetchval("SELECT count(*) FROM fault_starts WHERE job_id = ANY($1)", ids) == 0
    tell(f"{len(ids)} jobs rolled back, none ran")
