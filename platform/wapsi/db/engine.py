"""One engine a process (two with a read replica), and the unit of work."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)

from wapsi.config import Settings
from wapsi.db.sessions import ReadSession, WriteSession
from wapsi.errors import Invalid, Unavailable

POOL_RECYCLE_S = 1800


# SQLSTATE classes and codes that are faults of the database and not of the statement: no connection, no resources,
# an operator's shutdown, an idle transaction ended; a statement or a lock that took too long; a deadlock or a
# serialization failure, of which one transaction must begin anew.
_OPERATIONAL_STATES = ("08", "53", "57P", "25P03", "57014", "55P03", "40P01", "40001")


class DatabaseUnreachable(ConnectionError):
    """No connection could be made: nobody answers, or the server refuses us."""


_CHARACTER_NOT_IN_REPERTOIRE = "22021"


class TextInvalid(Invalid):
    """The one fault of a value that every text can have, wherever it comes in."""

    reason = "TEXT_INVALID"


class PoolBudgetExceeded(Exception):
    """The pools of all processes could together ask for more connections than the server has."""


class DatabaseUnavailable(Unavailable):
    reason = "DATABASE_UNAVAILABLE"


class Database:
    """Hands out units of work. Sessions are short: opened at the edge, one transaction, closed."""

    def __init__(self, settings: Settings, *, role: str) -> None:
        self._settings = settings
        self.engine = self._make_engine(settings.database_url, role)
        read_url = settings.database_read_url
        self.read_engine = self.engine if read_url is None else self._make_engine(read_url, role)
        self._write = async_sessionmaker(self.engine, expire_on_commit=False, autoflush=False)
        self._read = async_sessionmaker(
            self.read_engine.execution_options(postgresql_readonly=True),
            expire_on_commit=False,
            autoflush=False,
        )

    @property
    def engines(self) -> tuple[AsyncEngine, ...]:
        return (self.engine,) if self.read_engine is self.engine else (self.engine, self.read_engine)

    def _make_engine(self, url: str, role: str) -> AsyncEngine:
        settings = self._settings
        connect_args: dict[str, Any] = {
            "timeout": 5,
            "server_settings": {"application_name": f"wapsi-{role}"},
        }
        if settings.database_through_pgbouncer:
            # Prepared statements belong to one server connection; pgbouncer hands out another each transaction.
            connect_args |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
        engine = create_async_engine(
            url,
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=settings.database_pool_timeout_s,
            pool_pre_ping=True,
            pool_recycle=POOL_RECYCLE_S,
            pool_use_lifo=True,
            connect_args=connect_args,
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
            hide_parameters=True,
        )
        unreachable_in_words(engine)
        return engine

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """Commits when the block ends, rolls back when it raises."""
        async with _operational_errors_in_words(), self._write() as session, session.begin():
            yield WriteSession(session)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        async with _operational_errors_in_words(), self._read() as session, session.begin():
            yield ReadSession(session)

    async def ping(self) -> None:
        """Raises DatabaseUnreachable or what the driver raises when the database does not answer."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def check_pool_budget(self) -> None:
        """Raises PoolBudgetExceeded, saying which settings to change."""
        async with self.engine.connect() as connection:
            limit = await _usable_connections(connection)
        pools = len(self.engines)
        wanted = self._settings.database_processes * self._settings.database_pool_size * pools
        if wanted > limit:
            raise PoolBudgetExceeded(
                f"{self._settings.database_processes} processes (WAPSI_DATABASE_PROCESSES) with {pools} pool(s) of "
                f"{self._settings.database_pool_size} (WAPSI_DATABASE_POOL_SIZE) may open {wanted} connections, but "
                f"the server leaves {limit}. Lower one of them or raise the server's max_connections."
            )

    async def dispose(self) -> None:
        for engine in self.engines:
            await engine.dispose()


async def _usable_connections(connection: AsyncConnection) -> int:
    row = await connection.execute(
        text(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
            " - current_setting('reserved_connections')::int"
        )
    )
    return int(row.scalar_one())


def unreachable_in_words(engine: AsyncEngine) -> None:
    """Makes every fault of connecting one DatabaseUnreachable, whether the socket, the DNS or the server refused."""

    @event.listens_for(engine.sync_engine, "do_connect")
    def connect(dialect: Any, _record: Any, arguments: Any, keywords: Any) -> Any:
        try:
            return dialect.connect(*arguments, **keywords)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, dialect.loaded_dbapi.Error) as error:
            raise DatabaseUnreachable(str(error) or "no answer in time") from error


@contextlib.asynccontextmanager
async def _operational_errors_in_words() -> AsyncIterator[None]:
    """Faults of the database, not of the request, become one error that is a 503 and worth a retry."""
    try:
        yield
    except (DatabaseUnreachable, PoolTimeout, DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if _state_of(error) == _CHARACTER_NOT_IN_REPERTOIRE:
            raise TextInvalid("A text has a NUL character, which no text may have. Leave it out.") from None
        if not _is_operational(error):
            raise
        raise DatabaseUnavailable("The database did not answer. Try again in a moment.") from error


def _state_of(error: BaseException) -> str | None:
    driver = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig is not None else error
    return getattr(driver, "sqlstate", None)


def _is_operational(error: Exception) -> bool:
    """A statement that is wrong is not among them, nor a value that does not fit: those are our bugs, and a 500."""
    if isinstance(error, (DatabaseUnreachable, PoolTimeout)):
        return True
    driver: BaseException | None = error
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        driver = error.orig.__cause__ if error.orig is not None else None
    if isinstance(driver, asyncpg.InvalidCachedStatementError):
        return True  # planned before a migration; the next transaction plans it anew
    if isinstance(driver, asyncpg.PostgresError):
        return str(driver.sqlstate).startswith(_OPERATIONAL_STATES)
    return isinstance(driver, asyncpg.InterfaceError) and not isinstance(driver, asyncpg.DataError)
