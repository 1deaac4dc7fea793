"""24. Half an hour of everything at once: memory and connections stay as they are, and nothing fails.

FAULTS_LOAD_S says how long, in seconds.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from domains.cashback import service as cashback
from tests.faults.feeds import Feed
from tests.faults.load import Load
from tests.faults.processes import Platform, Process

DURATION_S = float(os.environ.get("FAULTS_LOAD_S", "1800"))
# Caches fill, and interpreters settle, in the beginning.
WARM_UP_SHARE = 0.25
SAMPLE_EVERY_S = 2.0
FEED_EVERY_S = 15.0
# Between the first and the last third of what is measured.
GROWTH_LIMIT = 1.05
GROWTH_ALLOWED_MB = 8.0


@dataclass(frozen=True, slots=True)
class Sample:
    memory_mb: dict[str, float]
    connections: int


def memory_mb(process: Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


async def sample(platform: Platform) -> Sample:
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'wapsi_app'"
    names = ("serve", "worker", "scheduler")
    return Sample({name: memory_mb(platform.processes[name]) for name in names}, await platform.sql.fetchval(count))


def thirds(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the first and the last third."""
    third = len(values) // 3
    return median(values[:third]), median(values[-third:])


@pytest.mark.timeout(DURATION_S + 300)
async def test_mixed_load(platform: Platform, tell: Callable[[str], None]) -> None:
    shop = await platform.make_merchant()
    load = Load(platform, shop, int(platform.settings["WAPSI_HTTP_PORT"]))
    await load.prepare()
    samples: list[Sample] = []
    revisions = 0
    async with load.running():
        started_s = next_feed_s = time.monotonic()
        while time.monotonic() - started_s < DURATION_S:
            if time.monotonic() >= next_feed_s:
                await platform.push(shop, f"feed-{revisions}", Feed(3_000, revisions, change_every=3, shift=5))
                await platform.enqueue("faults.effect", 20, work_ms=5)
                revisions += 1
                next_feed_s = time.monotonic() + FEED_EVERY_S
            samples.append(await sample(platform))
            await asyncio.sleep(SAMPLE_EVERY_S)

    warm = samples[int(len(samples) * WARM_UP_SHARE) :]
    assert len(warm) >= 9, "too short to tell anything"
    tell(f"{len(load.outcomes)} requests, {revisions} feeds, failures {dict(load.failures())}")
    for name in warm[0].memory_mb:
        first, last = thirds([one.memory_mb[name] for one in warm])
        tell(f"{name}: {first:.0f} MB, later {last:.0f} MB")
        assert last <= first * GROWTH_LIMIT + GROWTH_ALLOWED_MB, name
    first, last = thirds([one.connections for one in warm])
    tell(f"connections: {first:g}, later {last:g}")
    assert last <= first + 2
    assert load.failures() == {}
    assert len(load.fine()) == 8
    roles = [platform.serve, platform.worker, platform.scheduler]
    assert all(process.is_running and process.starts == 1 for process in roles)
    async with platform.db.read() as session:
        assert await cashback.verify_ledger(session) == []
