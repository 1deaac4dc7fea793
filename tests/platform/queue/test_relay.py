"""Due jobs reach the queue, lost messages are sent again, and a queue that is down loses nothing."""

import asyncio
import contextlib
import time
from typing import Any

import pytest
from dramatiq import Broker
from dramatiq.errors import BrokerConnectionError
from redis.exceptions import ConnectionError as RedisUnreachable

from wapsi.config import Settings
from wapsi.queue import outbox
from wapsi.queue.broker import QueueProbe, make_broker
from wapsi.queue.notices import Notices, job_notices
from wapsi.queue.periodic import bury_unknown, enqueue_due
from wapsi.queue.registry import JOB_KINDS
from wapsi.queue.relay import relay_due, relay_for_ever
from wapsi.runtime import Runtime


async def messages(broker: Any, queue: str) -> list[str]:
    """Job ids that wait in a queue."""
    return await asyncio.to_thread(_consume, broker, queue)


def _consume(broker: Any, queue: str) -> list[str]:
    consumer = broker.consume(queue, prefetch=100, timeout=50)
    found = []
    while (message := next(consumer)) is not None:
        found.append(message.args[0])
        consumer.ack(message)
    consumer.close()
    return found


async def test_a_due_job_is_sent_once_and_again_only_when_nobody_claims_it(
    runtime: Runtime, broker: Broker, admin_sql: Any
) -> None:
    async with runtime.db.write() as session:
        job_id = await outbox.enqueue(session, "test.job", {}, queue="q1")
    assert await relay_due(runtime.db, broker) == 1
    assert await relay_due(runtime.db, broker) == 0
    assert await messages(broker, "q1") == [str(job_id)]

    await admin_sql("UPDATE jobs SET wake_at = now()")  # nobody claimed it in time
    assert await relay_due(runtime.db, broker) == 1
    assert await messages(broker, "q1") == [str(job_id)]
    [row] = await admin_sql("SELECT sends, wake_at BETWEEN now() AND now() + interval '11 s' AS soon FROM jobs")
    assert (row["sends"], row["soon"]) == (2, True)


async def test_pauses_between_sends_grow_to_a_minute(runtime: Runtime, broker: Broker, admin_sql: Any) -> None:
    async with runtime.db.write() as session:
        await outbox.enqueue(session, "test.job", {}, queue="q2")
    pauses = []
    for _ in range(6):
        await relay_due(runtime.db, broker)
        [row] = await admin_sql("SELECT round(extract(epoch FROM wake_at - now())) AS s FROM jobs")
        pauses.append(int(row["s"]))
        await admin_sql("UPDATE jobs SET wake_at = now()")
    assert pauses == [5, 10, 20, 40, 60, 60]


async def test_a_job_that_is_not_due_is_not_sent(runtime: Runtime, broker: Broker, admin_sql: Any) -> None:
    async with runtime.db.write() as session:
        await outbox.enqueue(session, "test.job", {}, queue="q3")
    await admin_sql("UPDATE jobs SET wake_at = now() + interval '1 hour'")
    assert await relay_due(runtime.db, broker) == 0


async def test_with_the_queue_down_the_job_stays_due(
    runtime: Runtime, settings: Settings, broker: Broker, admin_sql: Any
) -> None:
    async with runtime.db.write() as session:
        job_id = await outbox.enqueue(session, "test.job", {}, queue="q4")
    down = make_broker(settings.model_copy(update={"queue_url": "redis://127.0.0.1:1/0"}))
    with pytest.raises((BrokerConnectionError, RedisUnreachable)):
        await relay_due(runtime.db, down)
    [row] = await admin_sql("SELECT sends, wake_at <= now() AS due FROM jobs")
    assert (row["sends"], row["due"]) == (0, True)
    assert await relay_due(runtime.db, broker) == 1
    assert await messages(broker, "q4") == [str(job_id)]


async def test_two_relays_share_the_work(runtime: Runtime, broker: Broker) -> None:
    async with runtime.db.write() as session:
        for number in range(40):
            await outbox.enqueue(session, "test.job", {"n": number}, queue="q5")
    sent = await asyncio.gather(*(relay_due(runtime.db, broker, batch=10) for _ in range(6)))
    assert sum(sent) == 40
    found = await messages(broker, "q5")
    assert len(found) == len(set(found)) == 40


async def test_the_relay_waits_out_a_queue_that_is_down(runtime: Runtime, settings: Settings, admin_sql: Any) -> None:
    async with runtime.db.write() as session:
        await outbox.enqueue(session, "test.job", {}, queue="q6")
    down = make_broker(settings.model_copy(update={"queue_url": "redis://127.0.0.1:1/0"}))
    relay = asyncio.ensure_future(relay_for_ever(runtime.db, down, listen=True))
    await asyncio.sleep(0.5)
    assert not relay.done(), "the relay gave up"
    relay.cancel()


async def test_a_periodic_kind_is_enqueued_once_a_period(runtime: Runtime, admin_sql: Any) -> None:
    periodic = [kind for kind in JOB_KINDS.values() if kind.every_s is not None]
    assert await enqueue_due(runtime.db, 1_000_000.0) == len(periodic)
    assert await enqueue_due(runtime.db, 1_000_000.5) == 0
    assert await enqueue_due(runtime.db, 1_000_000.0 + 10 * 86_400) == 0, "they pile up while the first ones wait"
    await admin_sql("UPDATE jobs SET state = 'done', wake_at = NULL")
    shortest = min(kind.every_s or 0 for kind in periodic)
    assert await enqueue_due(runtime.db, 1_000_000.0 + shortest) >= 1


async def test_a_job_that_no_actor_knows_is_buried_after_a_while(runtime: Runtime, admin_sql: Any) -> None:
    async with runtime.db.write() as session:
        await outbox.enqueue(session, "test.renamed", {})
        await outbox.enqueue(session, "platform.housekeeping", {})
    assert await bury_unknown(runtime.db) == 0, "a newer release may be about to start"
    await admin_sql("UPDATE jobs SET due_at = now() - interval '1 hour'")
    assert await bury_unknown(runtime.db) == 1
    [row] = await admin_sql("SELECT kind, last_error FROM jobs WHERE state = 'dead'")
    assert (row["kind"], row["last_error"]) == ("test.renamed", "no actor has this name")


async def test_a_fast_worker_finds_the_job_it_was_woken_for(runtime: Runtime, broker: Any, admin_sql: Any) -> None:
    """The rows are free before the messages are there: no wake-up is wasted on a locked row."""
    async with runtime.db.write() as session:
        for number in range(50):
            await outbox.enqueue(session, "test.job", {"n": number}, queue="q7")
    locked: list[int] = []
    original = broker.enqueue

    def look(message: Any) -> Any:
        locked.append(len(asyncio.run_coroutine_threadsafe(_free_jobs(admin_sql), loop).result(5)))
        return original(message)

    loop = asyncio.get_running_loop()
    broker.enqueue = look
    assert await relay_due(runtime.db, broker) == 50
    assert set(locked) == {50}


async def _free_jobs(admin_sql: Any) -> Any:
    return await admin_sql("SELECT id FROM jobs FOR UPDATE SKIP LOCKED")


async def test_the_probe_tells_whether_the_queue_answers(settings: Settings) -> None:
    probe = QueueProbe(settings)
    await probe.ping()
    await probe.aclose()
    down = QueueProbe(settings.model_copy(update={"queue_url": "redis://127.0.0.1:1/0"}))
    with pytest.raises(RedisUnreachable):
        await down.ping()
    await down.aclose()


async def test_an_enqueued_job_is_announced_when_its_transaction_commits(runtime: Runtime) -> None:
    async with job_notices(runtime.db) as notices:
        with contextlib.suppress(ZeroDivisionError):
            async with runtime.db.write() as session:
                await outbox.enqueue(session, "test.job", {})
                raise ZeroDivisionError
        assert not await came(notices, within_s=0.2)
        async with runtime.db.write() as session:
            await outbox.enqueue(session, "test.job", {})
            assert not await came(notices, within_s=0.1)
        assert await came(notices, within_s=10)


async def came(notices: Notices, within_s: float) -> bool:
    started_s = time.monotonic()
    await notices.wait(within_s)
    return time.monotonic() - started_s < within_s


async def test_with_its_connection_the_relay_loses_no_job(runtime: Runtime, broker: Any, admin_sql: Any) -> None:
    relay = asyncio.ensure_future(relay_for_ever(runtime.db, broker, listen=True))
    await asyncio.sleep(0.2)
    listening = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    assert len(await admin_sql(listening)) == 1
    async with runtime.db.write() as session:
        job_id = await outbox.enqueue(session, "test.job", {}, queue="q8")
    found: list[str] = []
    async with asyncio.timeout(20):
        while not found:
            found = await messages(broker, "q8")
    assert found == [str(job_id)]
    assert not relay.done(), "the relay gave up"
    relay.cancel()
