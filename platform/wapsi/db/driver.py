"""Connections straight on asyncpg, beside SQLAlchemy's."""

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


class ReadPool:
    """A pool of connections for single read-only statements; the first use opens it."""

    def __init__(self, settings: Settings, url: str, *, role: str) -> None:
        self._settings = settings
        self._url = url
        self._role = role
        self._pool: asyncpg.Pool | None = None

    async def fetch(self, sql: str, arguments: tuple[Any, ...]) -> list[asyncpg.Record]:
        """Raises DatabaseUnreachable, DatabaseUnavailable where none is free in time, and the driver's errors."""
        pool = self._pool or await self._open()
        try:
            return await self._once(pool, sql, arguments)
        except asyncpg.PostgresConnectionError:
            if pool is not self._pool:
                raise  # dropped: the server does not answer
            # The server was restarted while the connection lay in the pool; a read can be asked again.
            return await self._once(pool, sql, arguments)

    async def _once(self, pool: asyncpg.Pool, sql: str, arguments: tuple[Any, ...]) -> list[asyncpg.Record]:
        try:
            async with pool.acquire(timeout=self._settings.database_pool_timeout_s) as connection:
                try:
                    # Without a transaction behind pgbouncer too: the driver parses and runs before it syncs, and only
                    # then another may get the server's connection.
                    return await connection.fetch(sql, *arguments)  # type: ignore[no-any-return]
                except asyncpg.InternalClientError as error:
                    # The server said goodbye while the connection lay in the pool, and the driver has only half
                    # understood.
                    connection.terminate()
                    raise asyncpg.ConnectionDoesNotExistError(str(error)) from error
        except TimeoutError as error:
            # The pool's own; a statement takes as long as the role allows it.
            raise DatabaseUnavailable("The database did not answer. Try again in a moment.") from error

    async def _open(self) -> asyncpg.Pool:
        """Whoever comes meanwhile waits for a connection of the same pool."""
        settings = self._settings
        server_settings = {"application_name": f"wapsi-{self._role}-reads"}
        if not settings.database_through_pgbouncer:
            server_settings |= {
                "default_transaction_read_only": "on",
                # Prepared once, planned each time: a filter is worth its index or not depending on its value.
                "plan_cache_mode": "force_custom_plan",
                # A page takes milliseconds; and what a sample gives must not depend on how it was read.
                "max_parallel_workers_per_gather": "0",
            }
        pool = asyncpg.create_pool(
            plain_url(self._url),
            # Opened without a connection, and so without waiting: no lock, and no pool that is made twice.
            min_size=0,
            max_size=settings.database_reads_pool_size,
            max_inactive_connection_lifetime=IDLE_LIFETIME_S,
            statement_cache_size=0 if settings.database_through_pgbouncer else STATEMENT_CACHE_SIZE,
            server_settings=server_settings,
            init=_decode_json,
            # Nothing sets session state through it, and a reset is a round trip.
            reset=_no_reset,
            connect=_connect,
            timeout=CONNECT_LIMIT_S,
        )
        self._pool = pool
        await pool
        return pool

    @property
    def size(self) -> int:
        return 0 if self._pool is None else int(self._pool.get_size())

    @property
    def in_use(self) -> int:
        return 0 if self._pool is None else int(self._pool.get_size() - self._pool.get_idle_size())

    def drop(self) -> None:
        """Cuts all connections off; what runs on them fails as unreachable, and the next use opens new ones."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.terminate()

    async def close(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()


async def _decode_json(connection: asyncpg.Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=_dump, decoder=orjson.loads, schema="pg_catalog")


def _dump(value: object) -> str:
    return orjson.dumps(value).decode()


async def _no_reset(_connection: object) -> None:
    pass
