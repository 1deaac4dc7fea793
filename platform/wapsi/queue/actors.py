"""Binds the registered kinds of job to Dramatiq: one actor each, whose message is a job's id."""

from uuid import UUID

import dramatiq
from dramatiq import Broker

from wapsi.queue.jobs import run_job
from wapsi.queue.registry import JOB_KINDS
from wapsi.runtime import Runtime

# The lease ends a job that hangs, and the fence its late writes; Dramatiq's own limit is only a last resort.
TIME_LIMIT_MS = 3_600_000


def declare_actors(broker: Broker, runtime: Runtime) -> None:
    async def run(job_id: str) -> None:
        await run_job(runtime, UUID(job_id))

    for kind in JOB_KINDS.values():
        declare = dramatiq.actor(actor_name=kind.name, queue_name=kind.queue, broker=broker, time_limit=TIME_LIMIT_MS)
        declare(run)
