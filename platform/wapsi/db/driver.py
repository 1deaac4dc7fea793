"""Connections straight on asyncpg, beside SQLAlchemy's."""

import asyncio
import time
from collections import deque
from enum import Enum
from typing import Any

import asyncpg
import orjson
from sqlalchemy import make_url

from wapsi.config import Settings
from wapsi.db.errors import DatabaseUnavailable, DatabaseUnreachable

STATEMENT_CACHE_SIZE = 300
IDLE_LIFETIME_S = 300.0
CONNECT_LIMIT_S = 5


async def connect(url: str, application_name: str) -> asyncpg.Connection:
    """A connection that prepares nothing for later, so that pgbouncer may be in between; in transactions only."""
    return await _connect(
        plain_url(url), statement_cache_size=0, server_settings={"application_name": application_name}
    )


async def _connect(*arguments: Any, **options: Any) -> asyncpg.Connection:
    """Raises DatabaseUnreachable, whether the socket, the DNS or the server refused."""
    try:
        return await asyncpg.connect(*arguments, **options)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnreachable(str(error) or "no answer in time") from error


def plain_url(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


class Plans(Enum):
    """When a prepared statement is planned, by what a connection is told for it."""

    # Each time, as connections are opened: a filter is worth its index or not depending on its value.
    BY_VALUE = "RESET plan_cache_mode; RESET enable_seqscan; RESET enable_hashjoin; RESET enable_mergejoin"
    # Once, for few rows by their keys or by an index of words: planning takes longer than reading them, and they are
    # few however large the tables were at that moment.
    BY_KEYS = (
        "SET plan_cache_mode = auto; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
    )


class ReadPool:
    """Connections for single statements that only read, opened as they are needed.

    Not the driver's own pool: that takes a third of the time of a listing to lend a connection and to take it back (a
    task, a shield, two timeouts), for what single statements do not need.
    """

    def __init__(self, settings: Settings, url: str, *, role: str) -> None:
        self._settings = settings
        self._url = url
        self._role = role
        # And what each was told last; None where that is not known.
        self._open: dict[asyncpg.Connection, Plans | None] = {}
        self._opening = 0
        # The one that was used last is lent first: the others may be closed after a while.
        self._free: list[tuple[asyncpg.Connection, float]] = []
        # True is a turn; False, that it did not come in time.
        self._waiting: deque[asyncio.Future[bool]] = deque()

    async def fetch(self, sql: str, arguments: tuple[Any, ...], plans: Plans = Plans.BY_VALUE) -> list[asyncpg.Record]:
        """Raises DatabaseUnreachable, DatabaseUnavailable where none is free in time, and the driver's errors."""
        connection = await self._take(plans)
        try:
            return await self._fetch(connection, sql, arguments, plans)
        except asyncpg.PostgresConnectionError:
            if connection not in self._open:
                raise  # dropped: the server does not answer
        finally:
            self._give_back(connection)
        # The server was restarted while the connection lay here; a read can be asked again.
        connection = await self._take(plans)
        try:
            return await self._fetch(connection, sql, arguments, plans)
        finally:
            self._give_back(connection)

    async def _fetch(
        self, connection: asyncpg.Connection, sql: str, arguments: tuple[Any, ...], plans: Plans
    ) -> list[asyncpg.Record]:
        try:
            if self._open.get(connection, plans) is not plans:
                await self._tell(connection, plans)
            # Without a transaction behind pgbouncer too: the driver parses and runs before it syncs, and only then
            # another may get the server's connection.
            return await connection.fetch(sql, *arguments)  # type: ignore[no-any-return]
        except asyncpg.InternalClientError as error:
            # The server said goodbye while the connection lay here, and the driver has only half understood.
            connection.terminate()
            raise asyncpg.ConnectionDoesNotExistError(str(error)) from error

    async def _tell(self, connection: asyncpg.Connection, plans: Plans) -> None:
        # Behind pgbouncer the next statement may be on another connection, and is planned each time in any case.
        if not self._settings.database_through_pgbouncer:
            self._open[connection] = None
            await connection.execute(plans.value)
        if connection in self._open:
            self._open[connection] = plans

    def _take_free(self, plans: Plans) -> asyncpg.Connection | None:
        """One that is told already; another only where no more may be opened."""
        told = [number for number, (one, _) in enumerate(self._free) if self._open.get(one) is plans]
        while told or (self._free and self._is_full):
            connection, since_s = self._free.pop(told.pop() if told else -1)
            if not connection.is_closed() and time.monotonic() - since_s < IDLE_LIFETIME_S:
                return connection
            connection.terminate()
            self._open.pop(connection, None)
        return None

    @property
    def _is_full(self) -> bool:
        return len(self._open) + self._opening >= self._settings.database_reads_pool_size

    async def _take(self, plans: Plans) -> asyncpg.Connection:
        # Nobody overtakes those who wait.
        if not self._waiting and (connection := self._take_free(plans)) is not None:
            return connection
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._settings.database_pool_timeout_s
        while self._is_full:
            turn: asyncio.Future[bool] = loop.create_future()
            self._waiting.append(turn)
            # Not wait_for, which takes as long as all else here.
            timer = loop.call_at(deadline_s, _give_up, turn)
            try:
                if not await turn:
                    raise DatabaseUnavailable("The database did not answer. Try again in a moment.")
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and turn.result():
                    self._wake_next()  # it was our turn, and is another's now
                raise
            finally:
                timer.cancel()
            if (connection := self._take_free(plans)) is not None:
                return connection
        self._opening += 1
        try:
            connection = await self._connect()
        except BaseException:
            self._wake_next()
            raise
        finally:
            self._opening -= 1
        self._open[connection] = Plans.BY_VALUE
        return connection

    def _give_back(self, connection: asyncpg.Connection) -> None:
        if connection not in self._open:
            connection.terminate()
        elif connection.is_closed():
            del self._open[connection]
        else:
            self._free.append((connection, time.monotonic()))
        self._wake_next()

    def _wake_next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return

    async def _connect(self) -> asyncpg.Connection:
        settings = self._settings
        server_settings = {"application_name": f"wapsi-{self._role}-reads"}
        if not settings.database_through_pgbouncer:
            server_settings |= {
                "default_transaction_read_only": "on",
                "plan_cache_mode": "force_custom_plan",
                # A page takes milliseconds; and what a sample gives must not depend on how it was read.
                "max_parallel_workers_per_gather": "0",
                # What takes longer is not waited for, and would keep the others from their turn.
                "statement_timeout": "5000",
            }
        connection = await _connect(
            plain_url(self._url),
            statement_cache_size=0 if settings.database_through_pgbouncer else STATEMENT_CACHE_SIZE,
            server_settings=server_settings,
            timeout=CONNECT_LIMIT_S,
        )
        await _decode_json(connection)
        return connection

    @property
    def size(self) -> int:
        return len(self._open)

    @property
    def in_use(self) -> int:
        return len(self._open) - len(self._free)

    def drop(self) -> None:
        """Cuts all connections off; what runs on them fails as unreachable, and the next use opens new ones."""
        cut, self._open = self._open, {}
        self._free.clear()
        for connection in cut:
            connection.terminate()
        self._wake_next()

    async def close(self) -> None:
        closing = [connection for connection, _since_s in self._free]
        self._free.clear()
        for connection in closing:
            self._open.pop(connection, None)
            await connection.close()
        self.drop()


def _give_up(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)


async def _decode_json(connection: asyncpg.Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=_dump, decoder=orjson.loads, schema="pg_catalog")


def _dump(value: object) -> str:
    return orjson.dumps(value).decode()
