"""10. A poison job ends dead, with an alert, after N attempts; an attempt that was overtaken cannot write."""

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests.faults.conftest import MakePlatform
from tests.faults.feeds import Feed
from tests.faults.jobs import LEASE_S
from tests.faults.otlp import collecting
from tests.faults.processes import Platform, kept_running, until

ATTEMPTS = 3
SIZE = 20_000
TAKE_OVER_LIMIT_S = 120.0
# The session that has written offers and has not committed.
_MERGING = (
    "SELECT a.state, a.wait_event, left(a.query, 13) AS query FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE l.relation = 'offers'::regclass AND l.mode = 'RowExclusiveLock' AND a.datname = current_database()"
)


async def job_row(platform: Platform, job_id: UUID) -> Any:
    return await platform.sql.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)


async def in_state(platform: Platform, job_id: UUID, state: str, limit_s: float) -> None:
    async def is_there() -> bool:
        return bool((await job_row(platform, job_id))["state"] == state)

    await until(is_there, limit_s, f"job {job_id} is {state}")


async def attempts_with(platform: Platform, table: str, job_id: UUID) -> list[int]:
    rows = await platform.sql.fetch(f"SELECT attempt FROM {table} WHERE job_id = $1 ORDER BY at", job_id)
    return [row["attempt"] for row in rows]


@pytest.mark.timeout(180)
async def test_a_poison_job(make_platform: MakePlatform, tell: Callable[[str], None]) -> None:
    """It kills every worker that takes it. Jobs beside it are done once each, and someone is told."""
    with collecting() as collector:
        platform = await make_platform("scheduler", **collector.settings)
        await platform.start("worker")
        async with kept_running(platform.worker):
            [poison] = await platform.enqueue("faults.poison", max_attempts=ATTEMPTS)
            beside = await platform.enqueue("faults.effect", 20, work_ms=300, max_attempts=20)
            started_s = time.monotonic()
            await in_state(platform, poison, "dead", 90)
            dead_s = time.monotonic() - started_s
            await platform.until_done(beside, 60)
            await asyncio.sleep(2 * LEASE_S)  # nobody takes it up again

            starts = await attempts_with(platform, "fault_starts", poison)
            assert starts == list(range(1, ATTEMPTS + 1))
            row = await job_row(platform, poison)
            assert (row["state"], row["attempt"], row["wake_at"]) == ("dead", ATTEMPTS, None)
            assert row["finished_at"] is not None
            assert "worker died" in row["last_error"]
            assert await platform.effects(beside) == dict.fromkeys(beside, 1)

            alerts = platform.worker.events("job_dead")
            assert [(entry["level"], entry["job_id"]) for entry in alerts] == [("error", str(poison))]
            assert alerts[0]["job_kind"] == "faults.poison"
            await until(lambda: collector.total("wapsi.jobs.dead", kind="faults.poison"), 10, "the metric says so")
            assert collector.total("wapsi.jobs.dead", kind="faults.poison") == 1
        deaths = platform.worker.starts - 1
    tell(f"{len(starts)} attempts, {deaths} workers died, dead after {dead_s:.0f} s, logged once, counted once")
    assert deaths == ATTEMPTS


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("kind", "written_when"), [("faults.stubborn", "done"), ("faults.detached", "ready")])
async def test_a_timed_out_attempt_that_still_runs(
    make_platform: MakePlatform, tell: Callable[[str], None], kind: str, written_when: str
) -> None:
    """Its time is over and it goes on all the same: what it writes later is refused, whatever the job does by then."""
    platform = await make_platform("worker", "scheduler")
    [job_id] = await platform.enqueue(kind)
    await in_state(platform, job_id, "done", 60)

    async def was_refused() -> Any:
        return await platform.sql.fetchrow("SELECT * FROM fault_refusals WHERE job_id = $1", job_id)

    refused = await until(was_refused, 30, "the late write has been tried and refused")
    assert (refused["attempt"], refused["job_state"]) == (1, written_when)
    assert await attempts_with(platform, "fault_starts", job_id) == [1, 2]
    assert await attempts_with(platform, "fault_effects", job_id) == [2]
    row = await job_row(platform, job_id)
    assert (row["state"], row["attempt"]) == ("done", 2)
    tell(f"attempt 1 refused while the job was {written_when}, attempt 2 has the effect")


@pytest.mark.timeout(120)
async def test_a_worker_that_was_stopped_and_goes_on(make_platform: MakePlatform, tell: Callable[[str], None]) -> None:
    """SIGSTOP in the middle of a job, long enough for another worker to take it over; then SIGCONT."""
    platform = await make_platform("worker", "worker-2", "scheduler")
    by_pid = {platform.processes[name].pid: platform.processes[name] for name in ("worker", "worker-2")}
    [job_id] = await platform.enqueue("faults.effect", work_ms=2500)

    async def first_start() -> Any:
        return await platform.sql.fetchrow("SELECT * FROM fault_starts WHERE job_id = $1", job_id)

    stopped = by_pid[(await until(first_start, 20, "the job has started"))["pid"]]
    stopped.send_signal(signal.SIGSTOP)
    stopped_s = time.monotonic()
    await in_state(platform, job_id, "done", 60)
    took_over_s = time.monotonic() - stopped_s
    stopped.send_signal(signal.SIGCONT)
    await until(lambda: stopped.events("job_lease_lost"), 20, "the worker has noticed")
    await asyncio.sleep(3)

    assert await attempts_with(platform, "fault_starts", job_id) == [1, 2]
    assert await attempts_with(platform, "fault_effects", job_id) == [2]
    assert (await job_row(platform, job_id))["attempt"] == 2
    # The worker itself is none the worse for it.
    others = await platform.enqueue("faults.effect", 20, work_ms=100)
    await platform.until_done(others, 30)
    assert await platform.effects(others) == dict.fromkeys(others, 1)
    tell(f"taken over after {took_over_s:.0f} s (lease {LEASE_S} s), the late write refused")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("first_load", [True, False], ids=["copying", "updating"])
async def test_a_worker_that_is_stopped_in_the_middle_of_a_merge(
    make_platform: MakePlatform, tell: Callable[[str], None], first_load: bool
) -> None:
    """With the merchant's lock in its hands. Another publishes the sync, once; the first one's transaction is void."""
    platform = await make_platform(FAULTS_LEASE_S=str(LEASE_S), FAULTS_STALLED_AFTER_S="10")
    # The role's own 60 s, shortened: it applies to connections made from now on, so the worker starts anew.
    database = await platform.sql.fetchval("SELECT quote_ident(current_database())")
    await platform.sql.execute(
        f"ALTER ROLE wapsi_app IN DATABASE {database} SET idle_in_transaction_session_timeout = '10s'"
    )
    await platform.worker.kill()
    await platform.worker.start()
    shop = await platform.make_merchant()
    if not first_load:
        await platform.push(shop, "old", Feed(SIZE))
    before = await platform.sql.fetchval("SELECT coalesce(max(version), 0) FROM catalogues")
    new = Feed(SIZE, revision=1)
    client = platform.client(shop, "new", new)

    async def merging() -> Any:
        return await platform.sql.fetchrow(_MERGING)

    await until(merging, 30, "the merge is under way", every_s=0.002)
    platform.worker.send_signal(signal.SIGSTOP)
    stopped_s = time.monotonic()
    await asyncio.sleep(1)  # what Postgres was doing for it at that moment is done
    held = await merging()
    assert held is not None, "the merge was over before the worker was stopped"
    await platform.start("worker-2")
    assert await client.wait(TAKE_OVER_LIMIT_S) == 0, client.tail()
    took_over_s = time.monotonic() - stopped_s
    assert client.lines()[-1]["state"] == "succeeded", client.lines()[-1]
    assert await platform.prices(shop) == new.prices()

    platform.worker.send_signal(signal.SIGCONT)
    await asyncio.sleep(5)
    assert platform.worker.is_running
    assert await platform.prices(shop) == new.prices()
    assert await platform.sql.fetchval("SELECT version FROM catalogues") == before + 1
    sync = await platform.sync(shop, "new")
    assert sync is not None
    assert (sync["state"], sync["created"] + sync["updated"]) == ("succeeded", SIZE)
    tell(f"stopped in {held['query']!r} ({held['state']}), taken over after {took_over_s:.0f} s, published once")
