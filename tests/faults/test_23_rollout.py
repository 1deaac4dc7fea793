"""23. A migration under load, with the code of the release before it serving: neither notices the other."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from tests.faults.conftest import MakePlatform
from tests.faults.feeds import Feed
from tests.faults.load import Load
from tests.faults.processes import ROOT, Platform, Process, free_port
from tests.platform.migrations.releases import PREVIOUS_COMMIT, PREVIOUS_REVISION
from wapsi.migrations import run as migrations


def code_of(commit: str, folder: Path) -> Path:
    """The repository as it was then."""
    try:
        made = subprocess.run(
            ["git", "-C", ROOT, "archive", commit], capture_output=True, check=True, timeout=60
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"the history of this checkout does not reach back to {commit}: fetch all of it")
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", folder], input=made, check=True, timeout=60)
    return folder


def start_old(platform: Platform, root: Path, role: str, **settings: str) -> Process:
    process = Process(f"{role}-old", ["-m", "tests.faults.role", role], platform.settings | settings, platform.folder)
    process._environment["PYTHONPATH"] = f"{root}{os.pathsep}{root / 'platform'}"
    platform.processes[process.name] = process
    process.launch()
    return process


@contextlib.asynccontextmanager
async def somebody_reading_for_long(platform: Platform) -> AsyncIterator[None]:
    """Transactions that hold what a migration wants for a second at a time."""

    async def read() -> None:
        connection = await asyncpg.connect(platform.dsn)
        try:
            while True:
                async with connection.transaction():
                    await connection.fetch("SELECT * FROM customers LIMIT 1")
                    await connection.fetch("SELECT * FROM jobs LIMIT 1")
                    await asyncio.sleep(1)
        finally:
            connection.terminate()

    task = asyncio.ensure_future(read())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.timeout(300)
async def test_migrating_while_the_release_before_serves(
    make_platform: MakePlatform, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    root = await asyncio.to_thread(code_of, PREVIOUS_COMMIT, tmp_path / "previous")
    platform = await make_platform("scheduler")
    await platform.scheduler.terminate(20)
    shop = await platform.make_merchant()
    url = platform.settings["WAPSI_DATABASE_MIGRATION_URL"]
    await migrations.downgrade(url, PREVIOUS_REVISION)
    old = [start_old(platform, root, role) for role in ("serve", "worker", "scheduler")]
    for process in old:
        await process.until_started()
    feed = Feed(2_000)
    load = Load(platform, shop, int(platform.settings["WAPSI_HTTP_PORT"]))
    await load.prepare()
    async with load.running():
        await platform.push(shop, "before", feed)
        before = len(load.outcomes)
        async with somebody_reading_for_long(platform):
            _from, to = await migrations.upgrade(url)
        during = len(load.outcomes) - before
        assert to == migrations.head_revision()
        await platform.push(shop, "after", Feed(2_000, revision=1))
        await asyncio.sleep(5)
    slowest = max(outcome.took_s for outcome in load.outcomes)
    tell(f"{len(load.outcomes)} requests, {during} during the migration, slowest {slowest:.1f} s")
    assert load.failures() == {}
    assert len(load.fine()) == 8
    assert await platform.prices(shop) == Feed(2_000, revision=1).prices()

    # This release, beside the one before.
    ports = {"WAPSI_HTTP_PORT": str(free_port()), "WAPSI_GRPC_PORT": str(free_port())}
    new = Process("serve-new", ["-m", "tests.faults.role", "serve"], platform.settings | ports, platform.folder)
    platform.processes[new.name] = new
    await new.start()
    both = [load, Load(platform, shop, int(ports["WAPSI_HTTP_PORT"]))]
    load.outcomes.clear()
    await both[1].prepare()
    async with both[0].running(), both[1].running():
        await platform.push(shop, "together", Feed(2_000, revision=2))
        await asyncio.sleep(5)
    assert [each.failures() for each in both] == [{}, {}]
    assert [len(each.fine()) for each in both] == [8, 8]
    assert all(process.is_running and process.starts == 1 for process in old)
