"""17. PostgreSQL restarted under load, and the queue away: what fails is told so, and all of it heals by itself."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from domains.cashback import service as cashback
from tests.faults.conftest import MakePlatform
from tests.faults.load import Load
from tests.faults.processes import Platform, until
from wapsi.embedded import EmbeddedPostgres

# From when the server is back until everything is answered again.
HEAL_LIMIT_S = 15.0
# What a request that fails while the database is away may be told.
FIT_TO_FAIL = {"503", "UNAVAILABLE"}
DRAINED_LIMIT_S = 60.0


async def get(platform: Platform, path: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{platform.settings['WAPSI_HTTP_PORT']}") as client:
        return await client.get(path, timeout=20)


async def make_load(platform: Platform) -> Load:
    load = Load(platform, await platform.make_merchant(), int(platform.settings["WAPSI_HTTP_PORT"]))
    await load.prepare()
    return load


async def is_ready(platform: Platform) -> bool:
    return (await get(platform, "/readyz")).status_code == 200


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", ["restarted", "killed"])
async def test_postgres_goes_away_under_load(
    make_platform: MakePlatform, cluster: EmbeddedPostgres, tell: Callable[[str], None], how: str
) -> None:
    platform = await make_platform()
    load = await make_load(platform)
    jobs = await platform.enqueue("faults.effect", 30, work_ms=200)
    async with load.running():
        await asyncio.sleep(5)
        away_s = time.monotonic()
        if how == "killed":
            assert cluster.pid is not None
            os.kill(cluster.pid, signal.SIGKILL)
        await asyncio.to_thread(cluster.stop)
        await asyncio.sleep(2)
        alive = [await get(platform, path) for path in ("/livez", "/readyz")]
        await asyncio.to_thread(cluster.start)
        back_s = time.monotonic()
        await until(lambda: is_ready(platform), HEAL_LIMIT_S, "the server is ready again")
        healed_s = time.monotonic()
        await asyncio.sleep(8)
    assert [answer.status_code for answer in alive] == [200, 503]
    assert list(alive[1].json()["failed"]) == ["database"]
    failed = load.failures()
    tell(
        f"{how}: away for {back_s - away_s:.1f} s, healed {healed_s - back_s:.1f} s later;"
        f" {len(load.outcomes)} requests, failed: {dict(failed)}"
    )
    assert load.failures(until_s=away_s - 1) == {}
    crashes = [entry["exception"] for entry in platform.serve.events("request_failed")]
    assert {told for _name, told in failed} <= FIT_TO_FAIL, "\n".join(crashes)
    assert failed, "nothing noticed that the database was away"
    assert load.failures(since_s=healed_s + 1) == {}
    assert min(load.fine(since_s=healed_s + 1).values()) > 0
    assert len(load.fine(since_s=healed_s + 1)) == 8
    for process in platform.processes.values():
        assert process.is_running, f"{process.name} did not survive"
        assert process.starts == 1
    await platform.until_done(jobs, DRAINED_LIMIT_S)
    assert set((await platform.effects(jobs)).values()) == {1}
    async with platform.db.read() as session:
        assert await cashback.verify_ledger(session) == []


@pytest.mark.timeout(180)
async def test_the_queue_is_away_and_reads_go_on(platform: Platform, tell: Callable[[str], None]) -> None:
    load = await make_load(platform)
    async with load.running():
        await asyncio.sleep(2)
        away_s = time.monotonic()
        await platform.queue.kill()
        await asyncio.sleep(5)
        answers: dict[str, Any] = {path: await get(platform, path) for path in ("/readyz", "/livez", "/healthz")}
        await platform.queue.start()
        await until(lambda: is_ready(platform), HEAL_LIMIT_S, "the server is ready again")
        healed_s = time.monotonic()
        await asyncio.sleep(3)
    tell(f"{sum(load.fine().values())} requests answered, {healed_s - away_s:.1f} s from away to healed")
    assert {path: answer.status_code for path, answer in answers.items()} == {
        "/readyz": 503,
        "/livez": 200,
        "/healthz": 200,
    }
    assert list(answers["/readyz"].json()["failed"]) == ["queue"]
    assert load.failures() == {}
    assert len(load.fine(since_s=away_s)) == 8
