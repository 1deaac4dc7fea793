"""The catalogue's reads: prepared statements straight on the driver, in a small pool of their own.

A session costs more than the query of a listing does (checkout, ping, BEGIN, COMMIT, result objects). Here one
statement is one round trip and one snapshot; what needs two that agree is a session's work.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import asyncpg
import orjson
from opentelemetry import trace
from sqlalchemy import make_url

from wapsi.config import Settings
from wapsi.db.errors import DatabaseUnreachable, operational_errors_in_words

_tracer = trace.get_tracer(__name__)
STATEMENT_CACHE_SIZE = 300
IDLE_LIFETIME_S = 300.0


class Reads:
    """Runs one read-only statement at a time, on the read replica where one is configured.

    Connections are made when first needed. Raises DatabaseUnavailable as sessions do.
    """

    def __init__(self, settings: Settings, *, role: str) -> None:
        self._settings = settings
        self._role = role
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def fetch(self, sql: str, *arguments: Any) -> Sequence[asyncpg.Record]:
        async with operational_errors_in_words():
            pool = self._pool or await self._open()
            if not trace.get_current_span().is_recording():
                return await self._run(pool, sql, arguments)
            with _tracer.start_as_current_span(
                "SELECT",
                kind=trace.SpanKind.CLIENT,
                attributes={"db.system.name": "postgresql", "db.query.text": sql},
            ):
                return await self._run(pool, sql, arguments)

    async def fetchrow(self, sql: str, *arguments: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        rows = await self.fetch(sql, *arguments)
        return rows[0] if rows else None

    async def _run(self, pool: asyncpg.Pool, sql: str, arguments: Sequence[Any]) -> Sequence[asyncpg.Record]:
        try:
            return await self._once(pool, sql, arguments)
        except asyncpg.PostgresConnectionError:
            # The server was restarted while the connection lay in the pool; a read can be asked again.
            return await self._once(pool, sql, arguments)

    async def _once(self, pool: asyncpg.Pool, sql: str, arguments: Sequence[Any]) -> Sequence[asyncpg.Record]:
        async with pool.acquire(timeout=self._settings.database_pool_timeout_s) as connection:
            return cast("Sequence[asyncpg.Record]", await connection.fetch(sql, *arguments))

    @property
    def pool_size(self) -> int:
        return 0 if self._pool is None else int(self._pool.get_size())

    @property
    def pool_in_use(self) -> int:
        return 0 if self._pool is None else int(self._pool.get_size() - self._pool.get_idle_size())

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await self._make_pool()
            return self._pool

    async def _make_pool(self) -> asyncpg.Pool:
        settings = self._settings
        server_settings = {"application_name": f"wapsi-{self._role}-reads"}
        if not settings.database_through_pgbouncer:
            # Prepared once, planned each time: a filter is worth its index or not depending on its value.
            server_settings |= {"default_transaction_read_only": "on", "plan_cache_mode": "force_custom_plan"}
        url = make_url(settings.database_read_url or settings.database_url)
        try:
            return await asyncpg.create_pool(
                url.set(drivername="postgresql").render_as_string(hide_password=False),
                min_size=1,
                max_size=settings.database_reads_pool_size,
                max_inactive_connection_lifetime=IDLE_LIFETIME_S,
                statement_cache_size=0 if settings.database_through_pgbouncer else STATEMENT_CACHE_SIZE,
                server_settings=server_settings,
                init=_decode_json,
                # Nothing sets session state through it, and a reset is a round trip.
                reset=_no_reset,
                timeout=5,
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise DatabaseUnreachable(str(error) or "no answer in time") from error

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
