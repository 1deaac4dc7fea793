"""Sends wake-ups for jobs that are due: new ones at once, unanswered ones again, abandoned ones after their lease."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import structlog
from dramatiq import Broker, Message
from dramatiq.errors import BrokerConnectionError
from opentelemetry import metrics
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from wapsi.db import Database
from wapsi.errors import Unavailable
from wapsi.queue.notices import Notices, job_notices

log = structlog.get_logger(__name__)
_sent = metrics.get_meter(__name__).create_counter("wapsi.jobs.wakeups", unit="{message}")

BATCH = 500
# Jobs that become due by the clock (retries, expired leases) are found by looking.
IDLE_LISTENING_S = 0.5
IDLE_S = 0.1
FAULT_PAUSE_S = 1.0

# A message may be lost; it is sent again after 5, 10, 20, 40 and then every 60 seconds until someone claims the job.
_TAKE_DUE = text(
    "UPDATE jobs SET sends = sends + 1,"
    " wake_at = now() + make_interval(secs => least(60, 5 * 2 ^ least(sends, 6))) "
    "WHERE id IN (SELECT id FROM jobs WHERE wake_at <= now() ORDER BY wake_at LIMIT :batch FOR UPDATE SKIP LOCKED) "
    "RETURNING id, kind, queue, trace_context"
)


_DUE_AGAIN = text(
    "UPDATE jobs SET wake_at = now(), sends = greatest(0, sends - 1) WHERE id = ANY(:ids) AND state = 'ready'"
)


async def relay_due(db: Database, broker: Broker, *, batch: int = BATCH) -> int:
    """One pass. Sent after the commit, since a worker that is faster would find the rows locked and turn away.

    What is lost in between is sent again when `wake_at`, which has moved on a few seconds, has come.
    """
    async with db.write() as session:
        rows = (await session.execute(_TAKE_DUE, {"batch": batch})).all()
    if not rows:
        return 0
    try:
        await asyncio.to_thread(_send, broker, rows)
    except (RedisError, BrokerConnectionError, OSError):
        # Due again at once: the queue may be back any moment. (Some may be sent twice, which is harmless.)
        async with db.write() as session:
            await session.execute(_DUE_AGAIN, {"ids": [row.id for row in rows]})
        raise
    _sent.add(len(rows))
    return len(rows)


def _send(broker: Broker, rows: Sequence[Any]) -> None:
    for row in rows:
        broker.declare_queue(row.queue)
        options = {"trace_context": dict(row.trace_context)}
        broker.enqueue(
            Message(queue_name=row.queue, actor_name=row.kind, args=(str(row.id),), kwargs={}, options=options)
        )


async def relay_for_ever(db: Database, broker: Broker, *, listen: bool) -> None:
    """Until cancelled. Faults of the database or the queue are waited out.

    `listen=False` looks more often instead: a transaction pooler forwards no notices.
    """
    faulty = False

    def passed() -> None:
        nonlocal faulty
        if faulty:
            log.info("relay_resumed")
        faulty = False

    if not listen:
        log.info("relay_does_not_listen", why=f"A pooler forwards no notices: looking every {IDLE_S} s instead.")
    while True:
        try:
            async with job_notices(db) if listen else contextlib.nullcontext(Notices()) as notices:
                await _relay(db, broker, notices, IDLE_LISTENING_S if listen else IDLE_S, passed)
        except (Unavailable, RedisError, BrokerConnectionError, OSError, asyncpg.InterfaceError, DBAPIError) as error:
            if not faulty:
                log.warning("relay_waits", cause=repr(error.__cause__ or error))
            faulty = True
            await asyncio.sleep(FAULT_PAUSE_S)


async def _relay(db: Database, broker: Broker, notices: Notices, idle_s: float, passed: Callable[[], None]) -> None:
    """Until the notices are lost. Raises what is at fault."""
    while not notices.lost:
        sent = await relay_due(db, broker)
        passed()
        if sent < BATCH:
            await notices.wait(idle_s)
