"""Running a job: claim a lease with an attempt number, keep it, and fence every write with it.

A message in the queue is only a hint that a job may be due. Duplicated, late and lost messages are harmless:
the claim decides, and a worker that lost its lease cannot write any more.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from opentelemetry import metrics
from sqlalchemy import text

from wapsi.db import WriteSession
from wapsi.errors import DomainError, Unavailable
from wapsi.queue.registry import JobKind, kind_of
from wapsi.runtime import Runtime
from wapsi.telemetry.redaction import clean

log = structlog.get_logger(__name__)
dead_jobs = metrics.get_meter(__name__).create_counter("wapsi.jobs.dead", unit="{job}")

_BACKOFF_BASE_S = 2
_BACKOFF_LIMIT_S = 300
_ERROR_LENGTH = 1000


_EXTEND_LEASE = text(
    "UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => :lease_s),"
    " wake_at = clock_timestamp() + make_interval(secs => :lease_s) WHERE id = :id AND state = 'running'"
)


class LeaseLost(Exception):
    """Another worker has claimed the job since, or it has ended: whatever this one still had in mind is void."""


class Permanent(Exception):
    """Raise from an actor: trying again would end the same way."""


@dataclass(slots=True)
class Job:
    """One attempt at one job. `args` holds ids; the actor loads the rest."""

    id: UUID
    kind: JobKind
    args: Mapping[str, Any]
    attempt: int
    max_attempts: int
    runtime: Runtime
    completed: bool = field(default=False)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """A unit of work that commits only while this attempt holds the lease. Raises LeaseLost."""
        async with self.runtime.db.write() as session:
            await self._lock(session)
            yield session
            if not self.completed:
                # A long transaction outlives the lease; nobody could claim the job meanwhile, nor may at its commit.
                await session.execute(_EXTEND_LEASE, {"id": self.id, "lease_s": self.kind.lease_s})

    async def complete(self, session: WriteSession) -> None:
        """Marks the job done in the transaction that did its last work: both happen, or neither."""
        await session.execute(
            text(
                "UPDATE jobs SET state = 'done', wake_at = NULL, finished_at = now(), last_error = NULL WHERE id = :id"
            ),
            {"id": self.id},
        )
        self.completed = True

    async def _lock(self, session: WriteSession) -> None:
        # Locked until commit: nobody can claim the job between this look and the commit.
        held = await session.scalar(
            text("SELECT 1 FROM jobs WHERE id = :id AND attempt = :attempt AND state = 'running' FOR UPDATE"),
            {"id": self.id, "attempt": self.attempt},
        )
        if held is None:
            raise LeaseLost(f"attempt {self.attempt} of job {self.id}")

    async def keep_lease(self) -> None:
        """Renews the lease until cancelled. Raises LeaseLost."""
        while True:
            await asyncio.sleep(self.kind.lease_s / 3)
            try:
                await self._renew()
            except Unavailable as error:
                # The lease may outlast the fault; if it does not, the fence decides.
                log.warning("lease_renewal_failed", job_id=str(self.id), cause=repr(error.__cause__))

    async def _renew(self) -> None:
        async with self.runtime.db.write() as session:
            state = await session.scalar(
                text("SELECT 1 FROM jobs WHERE id = :id AND attempt = :attempt AND state = 'running'"),
                {"id": self.id, "attempt": self.attempt},
            )
            if state is None:
                raise LeaseLost(f"attempt {self.attempt} of job {self.id}")
            # SKIP LOCKED: while the actor's own write holds the row, nobody else can claim it either.
            await session.execute(
                text(
                    "UPDATE jobs SET lease_until = now() + make_interval(secs => :lease_s),"
                    " wake_at = now() + make_interval(secs => :lease_s) WHERE id IN ("
                    "SELECT id FROM jobs WHERE id = :id AND attempt = :attempt AND state = 'running' "
                    "FOR UPDATE SKIP LOCKED)"
                ),
                {"id": self.id, "attempt": self.attempt, "lease_s": self.kind.lease_s},
            )


_CLAIM = text(
    "WITH claimable AS (SELECT id FROM jobs WHERE id = :id AND attempt < max_attempts"
    " AND (state = 'ready' AND due_at <= now() OR state = 'running' AND lease_until <= now()) FOR UPDATE SKIP LOCKED) "
    "UPDATE jobs SET state = 'running', attempt = attempt + 1, started_at = now(), sends = 0,"
    " lease_until = now() + make_interval(secs => :lease_s), wake_at = now() + make_interval(secs => :lease_s) "
    "FROM claimable WHERE jobs.id = claimable.id RETURNING jobs.args, jobs.attempt, jobs.max_attempts"
)
_EXHAUSTED = text(
    "SELECT kind, args, last_error FROM jobs WHERE id = :id AND attempt >= max_attempts"
    " AND state = 'running' AND lease_until <= now() FOR UPDATE SKIP LOCKED"
)


async def run_job(runtime: Runtime, job_id: UUID) -> None:
    """What an actor does with a message: nothing, where the job is not due, is held by another, or has ended."""
    async with runtime.db.write() as session:
        name = await session.scalar(text("SELECT kind FROM jobs WHERE id = :id"), {"id": job_id})
        if name is None:
            return
        kind = kind_of(name)
        claimed = (await session.execute(_CLAIM, {"id": job_id, "lease_s": kind.lease_s})).one_or_none()
        if claimed is None:
            await _bury_if_exhausted(session, kind, job_id)
            return
    job = Job(job_id, kind, claimed.args, claimed.attempt, claimed.max_attempts, runtime)
    with structlog.contextvars.bound_contextvars(job_id=str(job_id), job_kind=name, attempt=job.attempt):
        await _attempt(job)


async def _attempt(job: Job) -> None:
    try:
        await _run_while_leased(job)
        if not job.completed:
            async with job.write() as session:
                await job.complete(session)
    except LeaseLost:
        log.warning("job_lease_lost")
    except asyncio.CancelledError:
        if not _is_stopping():
            # Cancelled from inside: as good a failure as any, and it must not go on for ever.
            await _fail(job, RuntimeError("the handler cancelled itself"), retry=True)
            return
        # The process is stopping: hand the job to the next worker now, not when the lease ends.
        await asyncio.shield(_release(job))
        raise
    except (Permanent, DomainError) as error:
        # A domain error is an answer, not a fault: only what is unavailable is worth another attempt.
        await _fail(job, error, retry=isinstance(error, Unavailable))
    except Exception as error:  # the job table is where any other failure must be recorded
        await _fail(job, error, retry=True)
    else:
        log.info("job_done")


async def _run_while_leased(job: Job) -> None:
    """Runs the handler; cancels it when the lease is lost, or its time is over (TimeoutError)."""
    work = asyncio.ensure_future(job.kind.handler(job))
    lease = asyncio.ensure_future(job.keep_lease())
    try:
        async with asyncio.timeout(job.kind.time_limit_s):
            await asyncio.wait({work, lease}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
            await lease  # raises what ended it
        await work
    finally:
        for task in (work, lease):
            task.cancel()
        await asyncio.gather(work, lease, return_exceptions=True)


def _is_stopping() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _fail(job: Job, error: Exception, *, retry: bool) -> None:
    words = str(clean(f"{type(error).__name__}: {error}"))[:_ERROR_LENGTH]
    last = not retry or job.attempt >= job.max_attempts
    log.warning("job_attempt_failed", exc_info=error, will_retry=not last)
    with contextlib.suppress(LeaseLost):
        async with job.write() as session:
            if last:
                await _bury(session, job.kind, job.id, job.args, words)
                return
            pause_s = min(_BACKOFF_LIMIT_S, _BACKOFF_BASE_S**job.attempt)
            await session.execute(
                text(
                    "UPDATE jobs SET state = 'ready', last_error = :error,"
                    " due_at = now() + make_interval(secs => :pause), wake_at = now() + make_interval(secs => :pause)"
                    " WHERE id = :id"
                ),
                {"id": job.id, "error": words, "pause": pause_s},
            )


async def _release(job: Job) -> None:
    with contextlib.suppress(LeaseLost, Unavailable):
        async with job.write() as session:
            # Attempt numbers fence and are never used twice, so an interrupted one is made up for at the other end.
            await session.execute(
                text(
                    "UPDATE jobs SET state = 'ready', max_attempts = max_attempts + 1, due_at = now(), wake_at = now()"
                    " WHERE id = :id"
                ),
                {"id": job.id},
            )
    log.info("job_released")


async def _bury_if_exhausted(session: WriteSession, kind: JobKind, job_id: UUID) -> None:
    """A job whose worker died at every attempt has nobody left to report it: the next claim does."""
    row = (await session.execute(_EXHAUSTED, {"id": job_id})).one_or_none()
    if row is not None:
        await _bury(session, kind, job_id, row.args, row.last_error or "the worker died at every attempt")


async def _bury(session: WriteSession, kind: JobKind, job_id: UUID, args: Mapping[str, Any], words: str) -> None:
    await session.execute(
        text("UPDATE jobs SET state = 'dead', wake_at = NULL, finished_at = now(), last_error = :error WHERE id = :id"),
        {"id": job_id, "error": words},
    )
    if kind.on_dead is not None:
        await kind.on_dead(session, args, words)
    dead_jobs.add(1, {"kind": kind.name})
    log.error("job_dead", job_id=str(job_id), job_kind=kind.name, error=words)
