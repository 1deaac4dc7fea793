"""Old rows are forgotten a part at a time: one statement for all would be cut off, and be longer each hour."""

from typing import Any

import pytest

from wapsi import housekeeping
from wapsi.http import idempotency
from wapsi.queue.jobs import run_job
from wapsi.queue.outbox import enqueue
from wapsi.runtime import Runtime


async def run(runtime: Runtime) -> None:
    async with runtime.db.write() as session:
        job_id = await enqueue(session, "platform.housekeeping", {})
    assert job_id is not None
    await run_job(runtime, job_id)


async def test_what_is_old_is_forgotten_in_parts_and_the_rest_is_kept(
    runtime: Runtime, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "FORGET_AT_ONCE", 2)
    monkeypatch.setattr(idempotency, "FORGET_AT_ONCE", 2)
    for age in ("9 days", "9 days", "9 days", "9 days", "9 days", "1 hour"):
        await admin_sql(
            "INSERT INTO jobs (kind, queue, args, state, max_attempts, finished_at)"
            f" VALUES ('test.old', 'default', '{{}}', 'done', 1, now() - interval '{age}')"
        )
        await admin_sql(
            "INSERT INTO idempotent_answers (scope, key, fingerprint, status, body, created_at)"
            f" VALUES ('anonymous', gen_random_uuid()::text, '', 201, '', now() - interval '{age}')"
        )
    await run(runtime)
    assert len(await admin_sql("SELECT 1 FROM jobs WHERE kind = 'test.old'")) == 1
    assert len(await admin_sql("SELECT 1 FROM idempotent_answers")) == 1
    [job] = await admin_sql("SELECT state FROM jobs WHERE kind = 'platform.housekeeping'")
    assert job["state"] == "done"


async def test_no_part_is_larger_than_it_may_be(
    runtime: Runtime, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "FORGET_AT_ONCE", 2)
    await admin_sql(
        "INSERT INTO idempotent_answers (scope, key, fingerprint, status, body, created_at)"
        " SELECT 'anonymous', n::text, '', 201, '', now() - interval '9 days' FROM generate_series(1, 5) AS n"
    )
    gone = []
    for _ in range(4):
        async with runtime.db.write() as session:
            gone.append(await idempotency.forget_answers(session, housekeeping.now()))
    assert gone == [2, 2, 1, 0]
