"""Fault tests: real processes that are killed, stopped and cut off, one test a line of the reliability list.

`make faults` runs them; they take minutes. A durable PostgreSQL of their own for the run; for each test a database, a
queue server behind a proxy that fails on demand, and the roles as processes. Only processes that were started here
are ever signalled, each by its id, and they end with pytest however that ends.
"""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.faults.jobs import TABLES
from tests.faults.processes import Platform, Queue, free_port
from tests.faults.proxy import FaultProxy
from wapsi.embedded import EmbeddedPostgres
from wapsi.limits import POLICIES
from wapsi.migrations import run as migrations
from wapsi.migrations.grants import APP_ROLE
from wapsi.security.signing import new_signing_key

MakePlatform = Callable[..., Awaitable[Platform]]
_TEMPLATE = "template_faults"
_SHUTDOWN_GRACE_S = "3"
_numbers = itertools.count(1)
_failed_key = pytest.StashKey[bool]()
_table_key = pytest.StashKey[list[tuple[str, str]]]()


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedPostgres]:
    """With fsync on, and a migrated template."""
    folder = Path(tempfile.mkdtemp(prefix="wapsi-faults-"))
    postgres = EmbeddedPostgres(folder, durable=True, max_connections=200)
    try:
        postgres.start()
        postgres.ensure_database(_TEMPLATE)
        asyncio.run(migrations.upgrade(postgres.url(_TEMPLATE)))
        postgres.admin_execute(TABLES, database=_TEMPLATE)
        yield postgres
    finally:
        postgres.remove()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def make_platform(
    request: pytest.FixtureRequest, cluster: EmbeddedPostgres, tmp_path: Path
) -> AsyncIterator[MakePlatform]:
    """`await make_platform("serve", "worker", persist=False, WAPSI_SHUTDOWN_GRACE_S="2")`; all roles by default."""
    made: list[Platform] = []

    async def make(*roles: str, persist: bool = True, **settings: str) -> Platform:
        name = f"faults_{next(_numbers)}"
        await asyncio.to_thread(
            cluster.admin_execute, 'CREATE DATABASE :"name" TEMPLATE :"template";', name=name, template=_TEMPLATE
        )
        queue = Queue(tmp_path, persist=persist)
        await queue.start()
        proxy = FaultProxy(queue.socket_path, free_port())
        proxy.start()
        values = {
            "WAPSI_ENVIRONMENT": "test",
            "WAPSI_DATABASE_URL": cluster.url(name, APP_ROLE),
            "WAPSI_DATABASE_MIGRATION_URL": cluster.url(name),
            "WAPSI_QUEUE_URL": f"redis://127.0.0.1:{proxy.port}/0",
            "WAPSI_HTTP_PORT": str(free_port()),
            "WAPSI_GRPC_PORT": str(free_port()),
            "WAPSI_SHUTDOWN_GRACE_S": _SHUTDOWN_GRACE_S,
            "WAPSI_SECRET_KEY": "a secret for tests, of 32 characters or more",
            "WAPSI_SIGNING_KEY": new_signing_key(),
            # All of a test's load comes from one address.
            **{f"WAPSI_RATE_LIMIT_{name.upper()}": "999999999/60" for name in POLICIES},
            **settings,
        }
        dsn = cluster.url(name).replace("postgresql+asyncpg://", "postgresql://")
        sql = await asyncpg.create_pool(dsn, min_size=1, max_size=4)
        platform = Platform(tmp_path, values, sql, queue, proxy)
        made.append(platform)
        await platform.start(*(roles or ("serve", "worker", "scheduler")))
        return platform

    yield make
    for platform in made:
        await platform.stop()
        if request.node.stash.get(_failed_key, False):
            for process in platform.processes.values():
                print(f"--- {process.name}, {process.starts} starts, last status {process.status}\n{process.tail()}")


@pytest.fixture
async def platform(make_platform: MakePlatform) -> Platform:
    """With one process of each role."""
    return await make_platform()


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says what a test saw: at once with -s, and in the table at the end."""

    def tell(words: str) -> None:
        print(words)
        request.config.stash.setdefault(_table_key, []).append((request.node.name, words))

    return tell


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> None:
    """The rule of the other tests, whose conftest may be loaded too; here the loop serves nobody but the test."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report: pytest.TestReport = yield
    if report.failed:
        item.stash[_failed_key] = True
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash.get(_table_key, [])
    if rows:
        terminalreporter.section("what the faults did")
        width = max(len(name) for name, _words in rows)
        for name, words in rows:
            terminalreporter.write_line(f"{name:<{width}}  {words}")
