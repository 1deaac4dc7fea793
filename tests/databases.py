"""The database of each test process, and what it takes to give it empty to the next test."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from copy import copy

import asyncpg
import pytest

from tests.servers import TEMPLATE, Servers
from wapsi.db import Database

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
_numbers = itertools.count(1)


def worker_number() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


async def _clone(servers: Servers, name: str) -> None:
    admin = await asyncpg.connect(_dsn(servers.database("postgres", "postgres")))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
    await admin.close()


async def _drop(servers: Servers, name: str) -> None:
    admin = await asyncpg.connect(_dsn(servers.database("postgres", "postgres")))
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture(scope="session")
async def worker_database(servers: Servers) -> AsyncIterator[str]:
    """The database of this test process, cloned from the migrated template."""
    name = f"worker_{worker_number()}"
    await _clone(servers, name)
    yield name
    await _drop(servers, name)


# Cleaning takes a hundredth of the time of a clone. As superuser and "replica": the append-only triggers of the
# ledger would refuse it, as they should. What another test's processes left open is ended; the connections that tests
# share lie idle between them.
_CLEAN = """
DO $$ DECLARE name text; BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND NOT (state = 'idle' AND application_name IN ('wapsi-test', 'wapsi-test-reads'));
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'alembic_version'
    LOOP EXECUTE 'DELETE FROM ' || name; END LOOP;
END $$
"""


@pytest.fixture(scope="session")
async def superuser(servers: Servers, worker_database: str) -> AsyncIterator[asyncpg.Connection]:
    """To the database of this test process."""
    connection = await asyncpg.connect(_dsn(servers.database(worker_database, "postgres")))
    yield connection
    await connection.close()


@pytest.fixture
async def database_name(superuser: asyncpg.Connection, worker_database: str) -> str:
    """An empty, migrated database."""
    await superuser.execute(_CLEAN)
    return worker_database


@pytest.fixture
async def own_database(servers: Servers) -> AsyncIterator[str]:
    """A clone for a test that changes the schema."""
    name = f"own_{worker_number()}_{next(_numbers)}"
    await _clone(servers, name)
    yield name
    await _drop(servers, name)


def _dsn(url: str) -> str:
    return url.replace("postgresql+asyncpg://", "postgresql://")


@pytest.fixture
async def admin_sql(
    servers: Servers, superuser: asyncpg.Connection, worker_database: str, database_name: str
) -> AsyncIterator[SQL]:
    """Runs SQL as the superuser on this test's database: `await admin_sql("SELECT $1::int", 1)`."""
    if database_name == worker_database:
        yield superuser.fetch
        await superuser.reset()
        return
    connection = await asyncpg.connect(_dsn(servers.database(database_name, "postgres")))
    yield connection.fetch
    await connection.close()


@pytest.fixture(scope="session")
async def shared_databases() -> AsyncIterator[list[Database]]:
    """The one of this test process, while no test has it: to connect and to compile statements takes longer than most
    tests do."""
    shared: list[Database] = []
    yield shared
    for database in shared:
        await database.dispose()


def as_new(database: Database) -> Database:
    """The same pools, and nothing of what is remembered for a database, or what hears of its commits."""
    new = copy(database)
    new.reads = copy(database.reads)
    new._listeners = {}
    return new
