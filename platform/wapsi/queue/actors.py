"""Binds the registered kinds of job to Dramatiq: one actor each, whose message is a job's id."""

from uuid import UUID

import dramatiq
from dramatiq import Broker, Worker
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import Middleware

from wapsi.db import Database
from wapsi.queue.jobs import run_job
from wapsi.queue.registry import JOB_KINDS
from wapsi.runtime import Runtime

# Each kind has a limit of its own (JobKind.time_limit_s), which counts as a failed attempt. This is a last resort.
TIME_LIMIT_MS = 3_600_000


class CloseDatabase(Middleware):
    """Closes the connections on the loop that they belong to. Behind AsyncIO, so that it still runs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        loop = get_event_loop_thread()
        if loop is not None:
            loop.run_coroutine(self._db.dispose())


def declare_actors(broker: Broker, runtime: Runtime) -> None:
    broker.add_middleware(CloseDatabase(runtime.db))

    async def run(job_id: str) -> None:
        await run_job(runtime, UUID(job_id))

    for kind in JOB_KINDS.values():
        declare = dramatiq.actor(actor_name=kind.name, queue_name=kind.queue, broker=broker, time_limit=TIME_LIMIT_MS)
        declare(run)
