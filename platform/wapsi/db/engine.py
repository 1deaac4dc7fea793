"""One engine a process (two with a read replica), and the unit of work."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import orjson
from sqlalchemy import event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from wapsi.config import Settings
from wapsi.db.errors import DatabaseUnreachable, operational_errors_in_words
from wapsi.db.reads import Reads
from wapsi.db.replica import Replica
from wapsi.db.sessions import ReadSession, WriteSession

POOL_RECYCLE_S = 1800


class PoolBudgetExceeded(Exception):
    """The pools of all processes could together ask for more connections than the server has."""


class Database:
    """Hands out units of work. Sessions are short: opened at the edge, one transaction, closed."""

    def __init__(self, settings: Settings, *, role: str) -> None:
        self._settings = settings
        self._listeners: dict[str, list[Callable[[Any], None]]] = {}
        self.engine = self._make_engine(settings.database_url, role)
        read_url = settings.database_read_url
        self.read_engine = self.engine if read_url is None else self._make_engine(read_url, role)
        self.replica = None if read_url is None else Replica(settings, role=role)
        self.reads = Reads(settings, role=role, replica=self.replica)
        self._write = async_sessionmaker(self.engine, expire_on_commit=False, autoflush=False)
        self._read = self._reading_from(self.engine)
        self._read_replica = self._reading_from(self.read_engine)

    @property
    def engines(self) -> tuple[AsyncEngine, ...]:
        return (self.engine,) if self.read_engine is self.engine else (self.engine, self.read_engine)

    def _reading_from(self, engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
        read_only = engine.execution_options(postgresql_readonly=True)
        return async_sessionmaker(read_only, expire_on_commit=False, autoflush=False)

    def _make_engine(self, url: str, role: str) -> AsyncEngine:
        settings = self._settings
        connect_args: dict[str, Any] = {
            "timeout": 5,
            "server_settings": {"application_name": f"wapsi-{role}"},
        }
        if settings.database_through_pgbouncer:
            # Prepared statements belong to one server connection; pgbouncer hands out another each transaction.
            # Without caches the driver gives them no names either, which those of another process could have too.
            connect_args |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
        engine = create_async_engine(
            url,
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=settings.database_pool_timeout_s,
            pool_recycle=POOL_RECYCLE_S,
            pool_use_lifo=True,
            connect_args=connect_args,
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
            hide_parameters=True,
        )
        unreachable_in_words(engine)
        _check_connections(engine)
        return engine

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """Commits when the block ends, rolls back when it raises."""
        async with operational_errors_in_words(), self._write() as session:
            writing = WriteSession(session)
            async with session.begin():
                yield writing
            for topic, what in writing.told:
                for listener in self._listeners.get(topic, ()):
                    listener(what)

    def hear(self, topic: str, listener: Callable[[Any], None]) -> None:
        """Calls it with what a write session of this process told, as soon as that is committed."""
        self._listeners.setdefault(topic, []).append(listener)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        """On the primary: it sees all that was committed before, the caller's own writes too."""
        async with operational_errors_in_words(), self._read() as session, session.begin():
            yield ReadSession(session)

    @contextlib.asynccontextmanager
    async def read_public(self) -> AsyncIterator[ReadSession]:
        """For what anybody may see: on the replica while it keeps up, so it may be a few seconds old."""
        async with operational_errors_in_words(), await self._public_session() as session:
            yield ReadSession(session)

    async def _public_session(self) -> AsyncSession:
        replica = self.replica
        if replica is None:
            return self._read()
        if await replica.is_usable():
            session = self._read_replica()
            try:
                # Connected here and not with the first statement: only now the primary can still take its place.
                await session.connection()
                return session
            except DatabaseUnreachable as error:
                await session.close()
                replica.lose(error)
            except BaseException:
                await session.close()
                raise
        replica.fell_back()
        return self._read()

    async def ping(self) -> None:
        """Raises DatabaseUnreachable or what the driver raises when the database does not answer."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def check_pool_budget(self) -> None:
        """Raises PoolBudgetExceeded, saying which settings to change."""
        async with self.engine.connect() as connection:
            limit = await _usable_connections(connection)
        pools = len(self.engines)
        settings = self._settings
        each = settings.database_pool_size * pools + settings.database_reads_pool_size
        wanted = settings.database_processes * each
        if wanted > limit:
            raise PoolBudgetExceeded(
                f"{settings.database_processes} processes (WAPSI_DATABASE_PROCESSES) with {pools} pool(s) of "
                f"{settings.database_pool_size} (WAPSI_DATABASE_POOL_SIZE) and {settings.database_reads_pool_size} for "
                f"reads (WAPSI_DATABASE_READS_POOL_SIZE) may open {wanted} connections, but the server leaves {limit}. "
                "Lower one of them or raise the server's max_connections."
            )

    async def dispose(self) -> None:
        if self.replica is not None:
            await self.replica.close()
        await self.reads.close()
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


PING_AFTER_S = 1.0


def _check_connections(engine: AsyncEngine) -> None:
    """As pool_pre_ping, for a connection that lay idle: one that was used a moment ago is not asked again.

    When the server was restarted, the driver knows that a connection is closed; only a network that went silent must be
    asked.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def returned(_connection: Any, record: Any) -> None:
        record.info["returned_s"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def taken(connection: Any, record: Any, _proxy: Any) -> None:
        returned_s = record.info.get("returned_s")
        if returned_s is None:
            return
        try:
            if not connection.driver_connection.is_closed():
                if time.monotonic() - returned_s > PING_AFTER_S:
                    engine.sync_engine.dialect.do_ping(connection)
                return
        except engine.sync_engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError("it did not answer") from error
        raise DisconnectionError("it was closed")
