"""Kinds of job that only these tests have. What they do is rows, so that what was done twice is seen twice."""

import asyncio
import os
import signal

from sqlalchemy import text

from wapsi.db import WriteSession
from wapsi.queue.jobs import Job, LeaseLost
from wapsi.queue.registry import job

TABLES = """
CREATE TABLE fault_starts (job_id uuid, attempt int, pid int, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE fault_effects (job_id uuid, attempt int, n int, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE fault_refusals (job_id uuid, attempt int, job_state text, at timestamptz DEFAULT clock_timestamp());
GRANT SELECT, INSERT ON fault_starts, fault_effects, fault_refusals TO wapsi_app;
"""
LEASE_S = 4
TIME_LIMIT_S = 2
_LATE_AFTER_S = 60


@job("faults.effect", lease_s=LEASE_S)
async def effect(job: Job) -> None:
    """Works for `work_ms`, then has its effect in the transaction that ends the job."""
    await _say_started(job)
    await asyncio.sleep(int(job.args["work_ms"]) / 1000)
    async with job.write() as session:
        await _have_effect(session, job)
        await job.complete(session)


@job("faults.poison", lease_s=LEASE_S)
async def poison(job: Job) -> None:
    await _say_started(job)
    os.kill(os.getpid(), signal.SIGKILL)


@job("faults.stubborn", lease_s=LEASE_S, time_limit_s=TIME_LIMIT_S)
async def stubborn(job: Job) -> None:
    """The first attempt does not let its time limit end it, and writes when a later one has ended the job."""
    await _say_started(job)
    if job.attempt == 1:
        late = asyncio.ensure_future(_write_late(job, when="done"))
        while not late.done():
            try:
                await asyncio.shield(late)
            except asyncio.CancelledError:
                continue
        return
    async with job.write() as session:
        await _have_effect(session, job)
        await job.complete(session)


_left_behind: set["asyncio.Future[None]"] = set()


@job("faults.detached", lease_s=LEASE_S, time_limit_s=TIME_LIMIT_S)
async def detached(job: Job) -> None:
    """The first attempt ends with its time limit but leaves a task behind, which writes before the next one begins."""
    await _say_started(job)
    if job.attempt == 1:
        _left_behind.add(asyncio.ensure_future(_write_late(job, when="ready")))
        await asyncio.sleep(3600)
    async with job.write() as session:
        await _have_effect(session, job)
        await job.complete(session)


async def _write_late(job: Job, *, when: str) -> None:
    """Waits until the job is in that state, and tries what the fence must refuse."""
    async with asyncio.timeout(_LATE_AFTER_S):
        while (state := await _state(job)) != when:  # noqa: ASYNC110  # another process changes it
            await asyncio.sleep(0.05)
    try:
        async with job.write() as session:
            await _have_effect(session, job)
    except LeaseLost:
        async with job.runtime.db.write() as session:
            await session.execute(
                text("INSERT INTO fault_refusals (job_id, attempt, job_state) VALUES (:id, :attempt, :state)"),
                {"id": job.id, "attempt": job.attempt, "state": state},
            )


async def _state(job: Job) -> str:
    async with job.runtime.db.read() as session:
        return str(await session.scalar(text("SELECT state FROM jobs WHERE id = :id"), {"id": job.id}))


async def _say_started(job: Job) -> None:
    """Not behind the fence: an attempt that dies or is refused has started all the same."""
    async with job.runtime.db.write() as session:
        await session.execute(
            text("INSERT INTO fault_starts (job_id, attempt, pid) VALUES (:id, :attempt, :pid)"),
            {"id": job.id, "attempt": job.attempt, "pid": os.getpid()},
        )


async def _have_effect(session: WriteSession, job: Job) -> None:
    await session.execute(
        text("INSERT INTO fault_effects (job_id, attempt, n) VALUES (:id, :attempt, :n)"),
        {"id": job.id, "attempt": job.attempt, "n": int(job.args["n"])},
    )
