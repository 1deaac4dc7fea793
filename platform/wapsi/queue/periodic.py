"""Periodic jobs: enqueued through the outbox once a period, however many schedulers run."""

import asyncio
import time

import structlog

from wapsi.db import Database
from wapsi.errors import Unavailable
from wapsi.queue import outbox
from wapsi.queue.registry import JOB_KINDS

log = structlog.get_logger(__name__)

_TICK_S = 1.0


async def enqueue_due(db: Database, at_s: float) -> int:
    """Enqueues each periodic kind for the period that `at_s` (Unix seconds) lies in; returns how many were new."""
    new = 0
    async with db.write() as session:
        for kind in JOB_KINDS.values():
            if kind.every_s is None:
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


async def enqueue_for_ever(db: Database) -> None:
    """Until cancelled."""
    while True:
        try:
            await enqueue_due(db, time.time())
        except Unavailable as error:
            log.warning("periodic_waits", cause=repr(error.__cause__))
        await asyncio.sleep(_TICK_S)
