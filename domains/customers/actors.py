"""Periodic work of the customers domain."""

from domains.customers.service import forget_sessions
from wapsi.queue.jobs import Job
from wapsi.queue.registry import job


@job("customers.forget_sessions", every_s=3600)
async def forget(job: Job) -> None:
    """Deletes refresh tokens that expired long ago; the table would grow with every rotation."""
    async with job.write() as session:
        await forget_sessions(session)
        await job.complete(session)
