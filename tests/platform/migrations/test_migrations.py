"""The schema goes up and down without a rest, says the same as the models, and grants no more than is needed."""

import importlib
import pkgutil
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

import domains
import wapsi.http.idempotency
import wapsi.queue.models
import wapsi.security.audit  # noqa: F401  # tables of the platform
from wapsi.config import Settings
from wapsi.db import metadata
from wapsi.db.errors import DatabaseUnreachable
from wapsi.migrations import run as migrations
from wapsi.migrations import versions
from wapsi.migrations.grants import APP_ROLE

for domain in pkgutil.iter_modules(domains.__path__, "domains."):
    importlib.import_module(f"{domain.name}.models")

# Counted, since their numbers may have gaps.
STEPS = sum(module.name[:4].isdigit() for module in pkgutil.iter_modules(versions.__path__))
# What is written once: nobody may change or delete it, whatever the code tries.
APPEND_ONLY = {"audit_log", "ledger_transactions", "ledger_entries", "payout_approvals"}


@pytest.fixture
async def engine(own_settings: Settings) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(own_settings.migration_url, poolclass=NullPool)
    yield engine
    await engine.dispose()


@pytest.fixture
async def empty_database(servers: Any) -> AsyncIterator[str]:
    """The URL of a database that was never migrated."""
    admin = await asyncpg.connect(servers.database("postgres", "postgres").replace("+asyncpg", ""))
    await admin.execute("DROP DATABASE IF EXISTS from_nothing WITH (FORCE)")
    await admin.execute("CREATE DATABASE from_nothing")
    yield servers.database("from_nothing", "postgres")
    await admin.execute("DROP DATABASE from_nothing WITH (FORCE)")
    await admin.close()


_OBJECTS = """
SELECT 'relation ' || oid::regclass AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype <> 'b'
    AND typrelid = 0
UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$|^public$'
UNION ALL SELECT 'grant on public' FROM pg_namespace, aclexplode(nspacl) acl
    WHERE nspname = 'public' AND acl.grantee = 'wapsi_app'::regrole
"""


async def objects(url: str) -> set[str]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    found = {row["name"] for row in await connection.fetch(_OBJECTS)}
    await connection.close()
    return {name for name in found if "alembic_version" not in name}


async def test_up_from_nothing_down_to_nothing_and_up_again(empty_database: str) -> None:
    head = migrations.head_revision()
    assert await migrations.upgrade(empty_database) == (None, head)
    full = await objects(empty_database)
    assert {"relation jobs", "relation merchants", "relation ledger_entries", "grant on public"} <= full
    assert await migrations.upgrade(empty_database) == (head, head)

    assert await migrations.downgrade(empty_database, "base") == (head, None)
    assert await objects(empty_database) == set()

    assert await migrations.upgrade(empty_database) == (None, head)
    assert await objects(empty_database) == full


async def test_each_step_goes_down_and_up_alone(own_settings: Settings) -> None:
    url = own_settings.migration_url
    before = await objects(url)
    for _ in range(STEPS):
        await migrations.downgrade(url, "-1")
        await migrations.upgrade(url, "+1")
        await migrations.downgrade(url, "-1")
    assert await objects(url) == set()
    await migrations.upgrade(url)
    assert await objects(url) == before


async def test_the_application_cannot_migrate(own_settings: Settings) -> None:
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        await migrations.downgrade(own_settings.database_url, "base")


async def test_a_server_that_refuses_is_one_error_in_words(servers: Any) -> None:
    with pytest.raises(DatabaseUnreachable, match="does not exist"):
        await migrations.upgrade(servers.database("no_such_database", "postgres"))


def ours(_object: Any, name: str | None, kind: str, reflected: bool, _compare_to: Any) -> bool:
    """All but the partitions, which come and go by the month and have no models."""
    return not (kind == "table" and reflected and re.search(r"_(p|y)?\d{4}|_default$", name or ""))


def differences(connection: Connection) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True, "include_object": ours}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def test_the_models_say_what_the_schema_is(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_difference_would_be_found(engine: AsyncEngine) -> None:
    for change in (
        "ALTER TABLE merchants ADD odd int",
        "ALTER TABLE jobs ALTER COLUMN attempt TYPE bigint, ALTER COLUMN attempt SET DEFAULT 1",
        "ALTER TABLE jobs DROP CONSTRAINT uq_jobs_dedupe_key",
        "DROP INDEX ix_jobs_wake_at",
    ):
        async with engine.connect() as connection:
            await connection.exec_driver_sql(change)
            assert await connection.run_sync(differences) != [], change


async def test_every_check_constraint_of_the_models_is_in_the_schema(own_sql: Any) -> None:
    """alembic does not compare these."""
    in_schema = {
        row["name"]
        for row in await own_sql(
            "SELECT DISTINCT conname AS name FROM pg_constraint"
            " WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        )
    }
    in_models = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if constraint.__visit_name__.endswith("check_constraint")
    }
    assert in_models
    assert in_models == in_schema


_PRIVILEGES = """
SELECT c.relname AS name, array_agg(acl.privilege_type) FILTER (WHERE acl.grantee = 'wapsi_app'::regrole) AS granted,
    bool_or(acl.grantee = 0) AS to_everyone
FROM pg_class c LEFT JOIN LATERAL aclexplode(c.relacl) acl ON true
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.relname
"""


async def privileges(own_sql: Any) -> dict[str, set[str]]:
    rows = await own_sql(_PRIVILEGES)
    assert not [row["name"] for row in rows if row["to_everyone"]]
    return {row["name"]: set(row["granted"] or ()) for row in rows if row["name"] != "alembic_version"}


async def test_the_application_can_read_every_table_and_own_none(own_sql: Any) -> None:
    granted = await privileges(own_sql)
    assert granted.keys() == set(metadata.tables)
    for table, what in granted.items():
        assert "SELECT" in what, table
        assert what <= {"SELECT", "INSERT", "UPDATE", "DELETE"}, table
    assert await own_sql("SELECT 1 FROM pg_class WHERE relowner = $1::regrole", APP_ROLE) == []


async def test_what_is_written_once_cannot_be_changed_by_the_application(own_sql: Any) -> None:
    granted = await privileges(own_sql)
    assert granted.keys() >= APPEND_ONLY
    for table in APPEND_ONLY:
        assert granted[table] == {"SELECT", "INSERT"}, table


@pytest.mark.parametrize("table", sorted(APPEND_ONLY))
async def test_what_is_written_once_stops_even_its_owner(own_sql: Any, table: str) -> None:
    """A trigger refuses what the grants do not cover: a slip at the superuser's prompt."""
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await own_sql(statement)


async def test_columns_granted_alone_do_not_slip_past_the_tables_grants(own_sql: Any) -> None:
    rows = await own_sql(
        "SELECT DISTINCT attrelid::regclass::text AS name FROM pg_attribute, aclexplode(attacl) acl"
        " WHERE acl.privilege_type = 'UPDATE' AND acl.grantee = $1::regrole",
        APP_ROLE,
    )
    assert not {row["name"] for row in rows} & APPEND_ONLY


async def test_a_migration_gives_up_on_a_lock_instead_of_queueing_the_traffic(
    own_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[str] = []
    real = migrations.current_revision

    def note(connection: Connection) -> str | None:
        limits.append(str(connection.exec_driver_sql("SHOW lock_timeout").scalar_one()))
        return real(connection)

    monkeypatch.setattr(migrations, "current_revision", note)
    await migrations.downgrade(own_settings.migration_url, "-1")
    assert limits[-1] == "5s", "the migration did not run under the limit"
