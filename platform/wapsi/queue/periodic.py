"""Periodic jobs: enqueued through the outbox once a period, however many schedulers run."""

import asyncio
import time

import structlog
from sqlalchemy import text

from wapsi.db import Database
from wapsi.errors import Unavailable
from wapsi.queue import outbox
from wapsi.queue.jobs import dead_jobs
from wapsi.queue.registry import JOB_KINDS
from wapsi.queue.stalled import end_stalled_sessions

log = structlog.get_logger(__name__)

_TICK_S = 1.0
UNKNOWN_AFTER_S = 1800
_UNFINISHED = text("SELECT DISTINCT kind FROM jobs WHERE wake_at IS NOT NULL AND dedupe_key IS NOT NULL")
_BURY_UNKNOWN = text(
    "UPDATE jobs SET state = 'dead', wake_at = NULL, finished_at = now(), last_error = 'no actor has this name'"
    " WHERE wake_at IS NOT NULL AND state = 'ready' AND kind <> ALL(:kinds)"
    " AND due_at < now() - make_interval(secs => :wait_s) RETURNING id, kind"
)


async def enqueue_due(db: Database, at_s: float) -> int:
    """Enqueues each periodic kind for the period that `at_s` (Unix seconds) lies in; returns how many were new."""
    new = 0
    async with db.write() as session:
        # One at a time: after an outage, or while one takes long, they must not pile up.
        unfinished = set(await session.scalars(_UNFINISHED))
        for kind in JOB_KINDS.values():
            if kind.every_s is None or kind.name in unfinished:
                continue
            period = int(at_s) // kind.every_s
            job_id = await outbox.enqueue(
                session,
                kind.name,
                {},
                queue=kind.queue,
                max_attempts=kind.max_attempts,
                dedupe_key=f"{kind.name} every {kind.every_s} s, period {period}",
            )
            new += job_id is not None
    return new


async def bury_unknown(db: Database) -> int:
    """Ends jobs of kinds that no actor has (renamed or removed), so that they are noticed; returns how many.

    After a while only: during a deployment, newer processes enqueue what older ones do not know yet.
    """
    async with db.write() as session:
        rows = (await session.execute(_BURY_UNKNOWN, {"kinds": sorted(JOB_KINDS), "wait_s": UNKNOWN_AFTER_S})).all()
    for row in rows:
        log.error("job_dead", job_id=str(row.id), job_kind=row.kind, error="no actor has this name")
        dead_jobs.add(1, {"kind": row.kind})
    return len(rows)


async def enqueue_for_ever(db: Database) -> None:
    """Until cancelled."""
    while True:
        try:
            await enqueue_due(db, time.time())
            await bury_unknown(db)
            await end_stalled_sessions(db)
        except Unavailable as error:
            log.warning("periodic_waits", cause=repr(error.__cause__))
        await asyncio.sleep(_TICK_S)
