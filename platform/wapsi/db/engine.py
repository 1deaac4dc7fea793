"""One engine a process (two with a read replica), and the unit of work."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)

from wapsi.config import Settings
from wapsi.db.sessions import ReadSession, WriteSession
from wapsi.errors import Unavailable

POOL_RECYCLE_S = 1800


# Faults of the database or the way to it. A statement that is wrong is not among them: that is our bug, and a 500.
_OPERATIONAL = (
    OperationalError,
    InterfaceError,
    PoolTimeout,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    ConnectionError,
    TimeoutError,
)


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
        return create_async_engine(
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
        """Raises when the database does not answer."""
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


@contextlib.asynccontextmanager
async def _operational_errors_in_words() -> AsyncIterator[None]:
    """Faults of the database, not of the request, become one error that is a 503 and worth a retry."""
    try:
        yield
    except _OPERATIONAL as error:
        raise DatabaseUnavailable("The database did not answer. Try again in a moment.") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseUnavailable("The database connection was lost. Try again in a moment.") from error
        raise
