"""The catalogue's reads: prepared statements straight on the driver, in a small pool of their own.

A session costs more than the query of a listing does (checkout, ping, BEGIN, COMMIT, result objects). Here one
statement is one round trip and one snapshot; what needs two that agree is a session's work.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg

from wapsi.config import Settings
from wapsi.db.driver import Plans, ReadPool
from wapsi.db.errors import is_for_the_primary, is_unreachable, operational_errors_in_words
from wapsi.db.replica import Replica
from wapsi.telemetry.statements import noted


class Reads:
    """Runs one read-only statement at a time, on the read replica where there is one that keeps up.

    Connections are made when first needed. Raises DatabaseUnavailable as sessions do.
    """

    def __init__(self, settings: Settings, *, role: str, replica: Replica | None = None) -> None:
        self._primary = ReadPool(settings, settings.database_url, role=role)
        self._replica = replica
        self._standby = ReadPool(settings, settings.database_read_url or settings.database_url, role=role)
        if replica is not None:
            # What hangs on a server that does not answer is asked again on the other.
            replica.on_unreachable = self._standby.drop

    @property
    def epoch(self) -> int:
        """Grows whenever reads move to the other server, which may be older: see Replica."""
        return 0 if self._replica is None else self._replica.epoch

    async def fetch(self, sql: str, *arguments: Any, plans: Plans = Plans.BY_VALUE) -> Sequence[asyncpg.Record]:
        """`plans`: whether the values that are asked for decide how."""
        async with operational_errors_in_words():
            return await noted(self._run(sql, arguments, plans), sql)

    async def fetch_current(self, sql: str, *arguments: Any) -> Sequence[asyncpg.Record]:
        """From the primary, by keys: for what callers have written themselves."""
        async with operational_errors_in_words():
            return await noted(self._primary.fetch(sql, arguments, Plans.BY_KEYS), sql)

    async def fetchrow(self, sql: str, *arguments: Any, plans: Plans = Plans.BY_VALUE) -> asyncpg.Record | None:
        """The first row, or None."""
        rows = await self.fetch(sql, *arguments, plans=plans)
        return rows[0] if rows else None

    async def _run(self, sql: str, arguments: tuple[Any, ...], plans: Plans) -> Sequence[asyncpg.Record]:
        replica = self._replica
        if replica is None:
            return await self._primary.fetch(sql, arguments, plans)
        if await replica.is_usable():
            try:
                return await self._standby.fetch(sql, arguments, plans)
            except Exception as error:
                if not is_for_the_primary(error):
                    raise
                if is_unreachable(error):
                    replica.lose(error)
        replica.fell_back()
        return await self._primary.fetch(sql, arguments, plans)

    @property
    def pool_size(self) -> int:
        return self._primary.size + self._standby.size

    @property
    def pool_in_use(self) -> int:
        return self._primary.in_use + self._standby.in_use

    async def close(self) -> None:
        await self._primary.close()
        await self._standby.close()
