"""When the database is at fault the caller hears so, in one error worth a retry, and the next request works."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from wapsi.config import Settings
from wapsi.db import Database, engine
from wapsi.db.engine import PoolBudgetExceeded
from wapsi.db.errors import DatabaseUnavailable, DatabaseUnreachable, TextInvalid
from wapsi.errors import Category
from wapsi.migrations.grants import APP_ROLE
from wapsi.migrations.run import ROLE_TIMEOUTS

MakeDatabase = Callable[..., Database]
NOT_LISTENING = "postgresql+asyncpg://wapsi_app@127.0.0.1:1/wapsi"
NO_SUCH_HOST = "postgresql+asyncpg://wapsi_app@no-such-host.invalid:5432/wapsi"


async def run(db: Database, *statements: str) -> None:
    async with db.write() as session:
        for statement in statements:
            await session.execute(text(statement))


async def select_one(db: Database) -> Any:
    async with db.write() as session:
        return await session.scalar(text("SELECT 1"))


async def test_a_server_whose_socket_is_missing_is_unavailable(down: Settings, make_database: MakeDatabase) -> None:
    with pytest.raises(DatabaseUnavailable) as refused:
        await select_one(make_database(down))
    assert refused.value.category is Category.UNAVAILABLE
    assert refused.value.message == "The database did not answer. Try again in a moment."
    assert isinstance(refused.value.__cause__, DatabaseUnreachable)


@pytest.mark.parametrize("url", [NOT_LISTENING, NO_SUCH_HOST])
async def test_a_server_that_cannot_be_reached_is_unavailable(make_database: MakeDatabase, url: str) -> None:
    db = make_database(database_url=url)
    with pytest.raises(DatabaseUnavailable):
        await select_one(db)
    with pytest.raises(DatabaseUnavailable):
        async with db.read() as session:
            await session.scalar(text("SELECT 1"))
    with pytest.raises(DatabaseUnreachable):
        await db.ping()


async def test_a_server_that_refuses_us_is_unavailable(make_database: MakeDatabase, servers: Any) -> None:
    db = make_database(database_url=servers.database("no_such_database"))
    with pytest.raises(DatabaseUnavailable) as refused:
        await select_one(db)
    assert 'database "no_such_database" does not exist' in str(refused.value.__cause__)


async def test_a_server_without_free_connections_is_unavailable(
    make_database: MakeDatabase, own_settings: Settings, own_sql: Any, own_database: str
) -> None:
    await own_sql(f"ALTER DATABASE {own_database} CONNECTION LIMIT 0")
    db = make_database(own_settings)
    with pytest.raises(DatabaseUnavailable):
        await select_one(db)
    await own_sql(f"ALTER DATABASE {own_database} CONNECTION LIMIT -1")
    assert await select_one(db) == 1


async def test_an_exhausted_pool_is_unavailable_and_recovers(make_database: MakeDatabase) -> None:
    db = make_database(database_pool_size=1, database_pool_timeout_s=1)
    async with db.write() as session:
        await session.scalar(text("SELECT 1"))
        with pytest.raises(DatabaseUnavailable):
            await select_one(db)
    assert await select_one(db) == 1


async def test_a_connection_killed_mid_way_is_unavailable_and_the_next_request_works(
    make_database: MakeDatabase, admin_sql: Any
) -> None:
    db = make_database(database_pool_size=1)

    async def work() -> None:
        async with db.write() as session:
            await admin_sql("SELECT pg_terminate_backend($1)", await session.scalar(text("SELECT pg_backend_pid()")))
            await session.scalar(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable):
        await work()
    assert await select_one(db) == 1


async def test_a_connection_killed_under_the_driver_is_unavailable_too(
    make_database: MakeDatabase, admin_sql: Any
) -> None:
    db = make_database(database_pool_size=1)

    async def work() -> None:
        async with db.write() as session:
            connection = await session.driver()
            await admin_sql("SELECT pg_terminate_backend($1)", await connection.fetchval("SELECT pg_backend_pid()"))
            await connection.fetchval("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        await work()
    assert await select_one(db) == 1


async def test_an_idle_connection_that_died_is_replaced_before_anybody_notices(
    make_database: MakeDatabase, admin_sql: Any
) -> None:
    db = make_database(database_pool_size=1)
    async with db.write() as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
    # With a timeout: it returns when the server's process has ended.
    await admin_sql("SELECT pg_terminate_backend($1, 5000)", pid)
    await asyncio.sleep(0.05)
    assert await select_one(db) == 1


async def test_a_connection_that_lay_idle_is_asked_whether_it_still_answers(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that was used a moment ago is not: that would cost each request a round trip."""
    db = make_database(database_pool_size=1)
    pings = 0
    ping = db.engine.sync_engine.dialect.do_ping

    def counted(connection: Any) -> bool:
        nonlocal pings
        pings += 1
        return ping(connection)

    monkeypatch.setattr(db.engine.sync_engine.dialect, "do_ping", counted)
    for _ in range(3):
        await select_one(db)
    assert pings == 0
    monkeypatch.setattr(engine, "PING_AFTER_S", 0)
    await select_one(db)
    assert pings == 1


@pytest.mark.parametrize(
    ("limit", "statement"),
    [
        ("statement_timeout", "SELECT pg_sleep(5)"),
        ("lock_timeout", "SELECT pg_advisory_xact_lock(7)"),
    ],
)
async def test_what_takes_too_long_is_unavailable(db: Database, admin_sql: Any, limit: str, statement: str) -> None:
    await admin_sql("SELECT pg_advisory_lock(7)")
    with pytest.raises(DatabaseUnavailable):
        await run(db, f"SET LOCAL {limit} = '50ms'", statement)


async def test_of_two_that_deadlock_one_may_try_again(db: Database) -> None:
    first_holds, second_holds = asyncio.Event(), asyncio.Event()

    async def take(one: int, other: int, mine: asyncio.Event, theirs: asyncio.Event) -> None:
        async with db.write() as session:
            await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": one})
            mine.set()
            await theirs.wait()
            await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": other})

    outcomes = await asyncio.gather(
        take(1, 2, first_holds, second_holds), take(2, 1, second_holds, first_holds), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["DatabaseUnavailable", "NoneType"]


async def test_a_migration_under_a_cached_statement_costs_one_retry(
    make_database: MakeDatabase, own_settings: Settings, own_sql: Any
) -> None:
    db = make_database(own_settings, database_pool_size=1)
    await own_sql("CREATE TABLE grows AS SELECT 1 AS a")
    await own_sql("GRANT SELECT ON grows TO wapsi_app")

    async def look() -> int:
        async with db.write() as session:
            await session.scalar(text("SELECT 1"))
            return len((await session.execute(text("SELECT * FROM grows"))).one())

    assert await look() == 1
    await own_sql("ALTER TABLE grows ADD b int")
    with pytest.raises(DatabaseUnavailable):
        await look()
    assert await look() == 2


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("SELECT no_such_column", None),
        ("SELECT CAST(:value AS int)", 2**40),
        ("SELECT 1 / CAST(:value AS int)", 0),
    ],
    ids=["no such column", "a number that does not fit", "a division by zero"],
)
async def test_a_statement_that_is_wrong_is_our_fault_and_not_the_databases(
    db: Database, statement: str, value: object
) -> None:
    with pytest.raises(DBAPIError):
        async with db.write() as session:
            await session.scalar(text(statement), {} if value is None else {"value": value})


async def test_a_nul_in_a_text_is_the_callers_fault(db: Database) -> None:
    with pytest.raises(TextInvalid):
        async with db.write() as session:
            await session.scalar(text("SELECT CAST(:value AS text)"), {"value": "a\0b"})


async def test_a_broken_constraint_is_not_the_databases_fault(db: Database, admin_sql: Any) -> None:
    statement = text("INSERT INTO jobs (kind, queue, args, max_attempts, state) VALUES ('a', 'b', '{}', 1, 'odd')")
    with pytest.raises(IntegrityError):
        async with db.write() as session:
            await session.execute(statement)
    assert await admin_sql("SELECT 1 FROM jobs") == []


async def test_an_error_of_the_work_itself_passes_as_it_is(db: Database) -> None:
    with pytest.raises(TimeoutError, match="the payout provider"):
        async with db.write():
            raise TimeoutError("the payout provider did not answer")


async def test_statements_in_errors_do_not_show_their_parameters(db: Database) -> None:
    with pytest.raises(DBAPIError) as failed:
        async with db.write() as session:
            await session.scalar(text("SELECT no_such_function(:iban)"), {"iban": "PK36SCBL0000001123456702"})
    assert "PK36SCBL" not in str(failed.value)


async def test_pools_that_could_exceed_the_server_are_refused_in_words(make_database: MakeDatabase) -> None:
    await make_database(database_pool_size=8, database_processes=2).check_pool_budget()
    with pytest.raises(PoolBudgetExceeded) as refused:
        await make_database(database_pool_size=100, database_processes=3).check_pool_budget()
    words = str(refused.value)
    assert "3 processes (WAPSI_DATABASE_PROCESSES)" in words
    assert "100 (WAPSI_DATABASE_POOL_SIZE) and 6 for reads (WAPSI_DATABASE_READS_POOL_SIZE)" in words
    assert "may open 318 connections" in words
    assert "max_connections" in words


async def test_a_replicas_pool_counts_too(make_database: MakeDatabase, settings: Settings) -> None:
    sizes = {"database_pool_size": 60, "database_processes": 2}
    await make_database(**sizes).check_pool_budget()
    with pytest.raises(PoolBudgetExceeded, match=r"2 pool\(s\)"):
        await make_database(**sizes, database_read_url=settings.database_url).check_pool_budget()


async def test_the_application_cannot_change_the_schema(db: Database) -> None:
    for statement in ("CREATE TABLE mine (a int)", "ALTER TABLE jobs ADD mine int", "DROP TABLE jobs", "TRUNCATE jobs"):
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
            await run(db, statement)


async def test_timeouts_stand_on_the_role(db: Database, admin_sql: Any) -> None:
    """On the role, not in the session: a transaction pooler hands sessions around."""
    async with db.write() as session:
        for setting, value in ROLE_TIMEOUTS.items():
            found = await session.scalar(text("SELECT current_setting(:name)"), {"name": setting})
            assert found in (value, value.replace("60s", "1min")), setting
    [row] = await admin_sql("SELECT rolconfig, rolsuper FROM pg_roles WHERE rolname = $1", APP_ROLE)
    assert {item.partition("=")[0] for item in row["rolconfig"]} >= ROLE_TIMEOUTS.keys()
    assert row["rolsuper"] is False


async def test_behind_pgbouncer_nothing_is_prepared_for_later(make_database: MakeDatabase) -> None:
    async def prepared(db: Database) -> int:
        for _ in range(2):
            async with db.write() as session:
                await session.scalar(text("SELECT 41 + 1"))
        async with db.write() as session:
            statements = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT 41%'"
            return int(await session.scalar(text(statements)) or 0)

    assert await prepared(make_database(database_pool_size=1)) == 1
    assert await prepared(make_database(database_pool_size=1, database_through_pgbouncer=True)) == 0
