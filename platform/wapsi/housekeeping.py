"""The platform's own periodic jobs."""

from datetime import timedelta

from sqlalchemy import text

from wapsi.clock import now
from wapsi.http.idempotency import forget_answers
from wapsi.queue.jobs import Job
from wapsi.queue.registry import job

KEEP_DONE_JOBS_DAYS = 7
KEEP_ANSWERS_HOURS = 48


@job("platform.housekeeping", every_s=3600)
async def housekeeping(job: Job) -> None:
    """Forgets finished jobs and old idempotent answers. Dead jobs stay until someone has looked at them."""
    async with job.write() as session:
        await session.execute(
            text("DELETE FROM jobs WHERE state = 'done' AND finished_at < now() - make_interval(days => :days)"),
            {"days": KEEP_DONE_JOBS_DAYS},
        )
        await forget_answers(session, now() - timedelta(hours=KEEP_ANSWERS_HOURS))
        await job.complete(session)
