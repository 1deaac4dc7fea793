"""A job runs at most once at a time, its effects happen once, and nothing that goes wrong loses it."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from dramatiq import Worker

from wapsi.config import Settings
from wapsi.db import WriteSession
from wapsi.errors import Invalid, Unavailable
from wapsi.queue import outbox, registry
from wapsi.queue.actors import declare_actors
from wapsi.queue.broker import make_broker
from wapsi.queue.jobs import Job, LeaseLost, Permanent, run_job
from wapsi.queue.registry import QUEUES, DuplicateJobKind, QueueTraits, UnknownJobKind, job
from wapsi.queue.relay import relay_due
from wapsi.runtime import Runtime


class Kinds:
    """Registers kinds of job for one test."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add(self, name: str, handler: registry.Handler, **options: Any) -> None:
        job(name, **options)(handler)
        self.names.append(name)


@pytest.fixture
def kinds() -> Iterator[Kinds]:
    kinds = Kinds()
    yield kinds
    for name in kinds.names:
        del registry.JOB_KINDS[name]


async def enqueue(runtime: Runtime, kind: str, **options: Any) -> UUID:
    async with runtime.db.write() as session:
        job_id = await outbox.enqueue(session, kind, {"n": 1}, **options)
    assert job_id is not None
    return job_id


async def test_a_job_runs_once_however_often_it_is_woken(runtime: Runtime, kinds: Kinds, admin_sql: Any) -> None:
    runs: list[int] = []

    async def handler(job: Job) -> None:
        runs.append(job.args["n"])

    kinds.add("test.once", handler)
    job_id = await enqueue(runtime, "test.once")
    await run_job(runtime, job_id)
    await run_job(runtime, job_id)
    assert runs == [1]
    [row] = await admin_sql("SELECT state, wake_at, attempt FROM jobs WHERE id = $1", job_id)
    assert (row["state"], row["wake_at"], row["attempt"]) == ("done", None, 1)


async def test_two_workers_woken_at_once_run_it_once(runtime: Runtime, kinds: Kinds) -> None:
    runs: list[int] = []

    async def handler(job: Job) -> None:
        runs.append(job.attempt)
        await asyncio.sleep(0.2)

    kinds.add("test.race", handler)
    job_id = await enqueue(runtime, "test.race")
    await asyncio.gather(*(run_job(runtime, job_id) for _ in range(5)))
    assert runs == [1]


async def test_a_rolled_back_job_never_existed(runtime: Runtime, admin_sql: Any) -> None:
    async def change_of_mind() -> None:
        async with runtime.db.write() as session:
            await outbox.enqueue(session, "test.never", {})
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        await change_of_mind()
    assert await admin_sql("SELECT 1 FROM jobs") == []


async def test_a_dedupe_key_enqueues_once(runtime: Runtime) -> None:
    async with runtime.db.write() as session:
        first = await outbox.enqueue(session, "test.dedupe", {}, dedupe_key="today")
        second = await outbox.enqueue(session, "test.dedupe", {}, dedupe_key="today")
    assert first is not None
    assert second is None


async def test_a_failed_attempt_is_retried_later(runtime: Runtime, kinds: Kinds, admin_sql: Any) -> None:
    async def handler(job: Job) -> None:
        raise RuntimeError("the network hiccuped")

    kinds.add("test.retry", handler)
    job_id = await enqueue(runtime, "test.retry", max_attempts=2)
    await run_job(runtime, job_id)
    [row] = await admin_sql("SELECT state, last_error, due_at > now() AS later FROM jobs")
    assert (row["state"], row["last_error"], row["later"]) == ("ready", "RuntimeError: the network hiccuped", True)

    await run_job(runtime, job_id)
    [row] = await admin_sql("SELECT attempt FROM jobs")
    assert row["attempt"] == 1, "it ran before it was due"

    await admin_sql("UPDATE jobs SET due_at = now()")
    await run_job(runtime, job_id)
    [row] = await admin_sql("SELECT state, attempt, wake_at FROM jobs")
    assert (row["state"], row["attempt"], row["wake_at"]) == ("dead", 2, None)


@pytest.mark.parametrize("error", [Permanent("no such thing"), type("Refused", (Invalid,), {"reason": "R"})("no")])
async def test_what_cannot_succeed_is_not_retried(
    runtime: Runtime, kinds: Kinds, admin_sql: Any, error: Exception
) -> None:
    async def handler(job: Job) -> None:
        raise error

    kinds.add("test.permanent", handler)
    await run_job(runtime, await enqueue(runtime, "test.permanent"))
    [row] = await admin_sql("SELECT state FROM jobs")
    assert row["state"] == "dead"


async def test_what_is_only_unavailable_is_retried(runtime: Runtime, kinds: Kinds, admin_sql: Any) -> None:
    async def handler(job: Job) -> None:
        raise type("Down", (Unavailable,), {"reason": "DOWN"})("down")

    kinds.add("test.unavailable", handler)
    await run_job(runtime, await enqueue(runtime, "test.unavailable"))
    [row] = await admin_sql("SELECT state FROM jobs")
    assert row["state"] == "ready"


async def test_the_burial_of_a_job_tells_its_domain(runtime: Runtime, kinds: Kinds) -> None:
    told: list[tuple[Mapping[str, Any], str]] = []

    async def handler(job: Job) -> None:
        raise Permanent("hopeless")

    async def on_dead(session: WriteSession, args: Mapping[str, Any], error: str) -> None:
        told.append((args, error))

    kinds.add("test.buried", handler, on_dead=on_dead)
    await run_job(runtime, await enqueue(runtime, "test.buried"))
    assert told == [({"n": 1}, "Permanent: hopeless")]


async def test_a_job_that_kills_every_worker_ends_dead(runtime: Runtime, kinds: Kinds, admin_sql: Any) -> None:
    """The workers of its three attempts died without a word; the fourth wake-up buries it."""
    told: list[str] = []

    async def handler(job: Job) -> None:
        raise AssertionError("a fourth attempt")

    async def on_dead(session: WriteSession, args: Mapping[str, Any], error: str) -> None:
        told.append(error)

    kinds.add("test.poison", handler, on_dead=on_dead)
    job_id = await enqueue(runtime, "test.poison", max_attempts=3)
    await admin_sql("UPDATE jobs SET state = 'running', attempt = 3, lease_until = now() - interval '1 second'")
    await run_job(runtime, job_id)
    [row] = await admin_sql("SELECT state FROM jobs")
    assert row["state"] == "dead"
    assert told == ["the worker died at every attempt"]


async def test_an_abandoned_job_is_taken_over_when_its_lease_ends(
    runtime: Runtime, kinds: Kinds, admin_sql: Any
) -> None:
    attempts: list[int] = []

    async def handler(job: Job) -> None:
        attempts.append(job.attempt)

    kinds.add("test.abandoned", handler)
    job_id = await enqueue(runtime, "test.abandoned")
    await admin_sql("UPDATE jobs SET state = 'running', attempt = 1, lease_until = now() + interval '1 minute'")
    await run_job(runtime, job_id)
    assert attempts == [], "it was taken from a worker that held its lease"
    await admin_sql("UPDATE jobs SET lease_until = now() - interval '1 second'")
    await run_job(runtime, job_id)
    assert attempts == [2]


async def test_the_fence_refuses_writes_of_an_overtaken_attempt(runtime: Runtime, kinds: Kinds, admin_sql: Any) -> None:
    """A worker that was only slow wakes up when another has taken over: its write must not land."""
    outcome: list[str] = []

    async def handler(job: Job) -> None:
        await admin_sql("UPDATE jobs SET attempt = attempt + 1")  # another worker claims it
        try:
            async with job.write() as session:
                await outbox.enqueue(session, "test.effect", {})
        except LeaseLost:
            outcome.append("refused")
            raise

    kinds.add("test.slow", handler)
    await run_job(runtime, await enqueue(runtime, "test.slow"))
    assert outcome == ["refused"]
    assert await admin_sql("SELECT 1 FROM jobs WHERE kind = 'test.effect'") == []
    [row] = await admin_sql("SELECT state FROM jobs WHERE kind = 'test.slow'")
    assert row["state"] == "running", "the attempt that lost its lease changed the job"


async def test_a_handler_is_cancelled_when_its_lease_is_lost(runtime: Runtime, kinds: Kinds, admin_sql: Any) -> None:
    cancelled = asyncio.Event()

    async def handler(job: Job) -> None:
        await admin_sql("UPDATE jobs SET attempt = attempt + 1")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    kinds.add("test.lost", handler, lease_s=1)
    await asyncio.wait_for(run_job(runtime, await enqueue(runtime, "test.lost")), 10)
    assert cancelled.is_set()


async def test_a_long_job_keeps_its_lease(runtime: Runtime, kinds: Kinds, admin_sql: Any) -> None:
    async def handler(job: Job) -> None:
        await asyncio.sleep(1.6)
        [row] = await admin_sql("SELECT lease_until > now() AS held FROM jobs")
        assert row["held"]

    kinds.add("test.long", handler, lease_s=1)
    await run_job(runtime, await enqueue(runtime, "test.long"))
    [row] = await admin_sql("SELECT state, last_error FROM jobs")
    assert (row["state"], row["last_error"]) == ("done", None)


async def test_work_and_completion_commit_together(runtime: Runtime, kinds: Kinds, admin_sql: Any) -> None:
    async def handler(job: Job) -> None:
        async with job.write() as session:
            await outbox.enqueue(session, "test.followup", {})
            await job.complete(session)
            raise RuntimeError("the process died before the commit")

    kinds.add("test.together", handler)
    await run_job(runtime, await enqueue(runtime, "test.together"))
    rows = await admin_sql("SELECT kind, state FROM jobs")
    assert [(row["kind"], row["state"]) for row in rows] == [("test.together", "ready")]


async def test_a_stopping_worker_hands_its_job_back_at_once(runtime: Runtime, kinds: Kinds, admin_sql: Any) -> None:
    started = asyncio.Event()

    async def handler(job: Job) -> None:
        started.set()
        await asyncio.sleep(30)

    kinds.add("test.stopping", handler)
    task = asyncio.ensure_future(run_job(runtime, await enqueue(runtime, "test.stopping", max_attempts=1)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [row] = await admin_sql("SELECT state, wake_at <= now() AS due, max_attempts - attempt AS left FROM jobs")
    assert (row["state"], row["due"], row["left"]) == ("ready", True, 1)


async def test_a_handler_that_hangs_fails_when_its_time_is_over(runtime: Runtime, kinds: Kinds, admin_sql: Any) -> None:
    async def handler(job: Job) -> None:
        await asyncio.sleep(60)

    kinds.add("test.hangs", handler, time_limit_s=1)
    await asyncio.wait_for(run_job(runtime, await enqueue(runtime, "test.hangs", max_attempts=1)), 10)
    [row] = await admin_sql("SELECT state, last_error FROM jobs")
    assert (row["state"], row["last_error"]) == ("dead", "TimeoutError: ")


async def test_a_handler_that_cancels_itself_fails_and_does_not_go_on_for_ever(
    runtime: Runtime, kinds: Kinds, admin_sql: Any
) -> None:
    async def handler(job: Job) -> None:
        raise asyncio.CancelledError

    kinds.add("test.cancels", handler)
    await run_job(runtime, await enqueue(runtime, "test.cancels", max_attempts=1))
    [row] = await admin_sql("SELECT state, max_attempts FROM jobs")
    assert (row["state"], row["max_attempts"]) == ("dead", 1)


async def test_a_worker_that_is_stopped_hands_its_job_back(
    runtime: Runtime, settings: Settings, clean_queue: None, kinds: Kinds, admin_sql: Any
) -> None:
    """The real worker of Dramatiq, as SIGTERM stops it."""
    started = threading.Event()

    async def handler(job: Job) -> None:
        started.set()
        await asyncio.sleep(60)

    kinds.add("test.sigterm", handler, queue="sigterm")
    await enqueue(runtime, "test.sigterm", queue="sigterm", max_attempts=3)
    await runtime.db.dispose()  # its connections belong to this loop, and the worker has one of its own
    broker = make_broker(settings)
    declare_actors(broker, runtime)
    await relay_due(runtime.db, broker)
    await runtime.db.dispose()
    worker = Worker(broker, queues={"sigterm"}, worker_threads=1, worker_timeout=50)
    await asyncio.to_thread(worker.start)
    assert await asyncio.to_thread(started.wait, 10)
    await asyncio.to_thread(worker.stop, 3000)
    [row] = await admin_sql("SELECT state, attempt, max_attempts, wake_at <= now() AS due FROM jobs")
    assert tuple(row) == ("ready", 1, 4, True)


async def test_an_unknown_kind_is_said_and_not_lost(runtime: Runtime, admin_sql: Any) -> None:
    job_id = await enqueue(runtime, "test.from_a_newer_release")
    with pytest.raises(UnknownJobKind, match=r"test\.from_a_newer_release"):
        await run_job(runtime, job_id)
    [row] = await admin_sql("SELECT state FROM jobs")
    assert row["state"] == "ready"


async def test_a_message_without_a_job_is_dropped(runtime: Runtime) -> None:
    await run_job(runtime, UUID(int=1))


def test_two_actors_cannot_share_a_name(kinds: Kinds) -> None:
    async def handler(job: Job) -> None: ...

    kinds.add("test.name", handler)
    with pytest.raises(DuplicateJobKind):
        job("test.name")(handler)


async def test_a_limited_queue_gives_a_worker_no_more_than_may_run_at_once(
    runtime: Runtime, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(QUEUES, "limited", QueueTraits(at_once=2))
    async with runtime.db.write() as session:
        for number in range(5):
            await outbox.enqueue(session, "test.job", {"n": number}, queue="limited")
    await relay_due(runtime.db, broker)

    def take() -> tuple[int, int]:
        consumer = broker.consume("limited", prefetch=10, timeout=20)
        first = [message for message in (next(consumer) for _ in range(4)) if message is not None]
        consumer.ack(first[0])
        more = [message for message in (next(consumer) for _ in range(4)) if message is not None]
        for message in [*first[1:], *more]:
            consumer.ack(message)
        consumer.close()
        return len(first), len(more)

    assert await asyncio.to_thread(take) == (2, 1)
