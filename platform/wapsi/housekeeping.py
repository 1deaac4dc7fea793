"""The platform's own periodic jobs."""

from datetime import timedelta

from sqlalchemy import text

from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.http.idempotency import forget_answers
from wapsi.queue.jobs import Job
from wapsi.queue.registry import job
from wapsi.queue.rounds import in_rounds

KEEP_DONE_JOBS_DAYS = 7
KEEP_ANSWERS_HOURS = 48
FORGET_AT_ONCE = 20_000


@job("platform.housekeeping", every_s=3600)
async def housekeeping(job: Job) -> None:
    """Forgets finished jobs and old idempotent answers. Dead jobs stay until someone has looked at them."""
    before = now() - timedelta(hours=KEEP_ANSWERS_HOURS)
    await in_rounds(job, _forget_jobs)
    await in_rounds(job, lambda session: forget_answers(session, before))
    async with job.write() as session:
        await job.complete(session)


async def _forget_jobs(session: WriteSession) -> int:
    gone = await session.scalar(
        text(
            "WITH old AS (SELECT id FROM jobs WHERE state = 'done'"
            " AND finished_at < now() - make_interval(days => :days) LIMIT :most),"
            " gone AS (DELETE FROM jobs USING old WHERE jobs.id = old.id RETURNING 1) SELECT count(*) FROM gone"
        ),
        {"days": KEEP_DONE_JOBS_DAYS, "most": FORGET_AT_ONCE},
    )
    return int(gone or 0)
