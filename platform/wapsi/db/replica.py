"""Whether the read replica may be read: it answers, and it is not further behind the primary than allowed.

How far behind is measured by positions in the log and not by clocks: whoever has replayed what the primary had written
at a moment is behind by no more than the time since then. So an idle primary is no lag, and a replica that has lost its
primary and knows nothing of what it misses is found out.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import asyncpg
import structlog
from opentelemetry import metrics

from wapsi.config import Settings
from wapsi.db.driver import connect
from wapsi.db.errors import DatabaseUnreachable

log = structlog.get_logger(__name__)
_meter = metrics.get_meter(__name__)
_lag = _meter.create_gauge("wapsi.db.replica.lag", unit="s", description="At most so far behind, in steps of a look.")
_fallbacks = _meter.create_counter(
    "wapsi.db.replica.fallbacks", unit="{read}", description="Reads for the replica that the primary answered."
)

LOOK_S = 1.0
ANSWER_LIMIT_S = 1.0
REMEMBERED_LOOKS = 600

_WRITTEN = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint AS position"
_REPLAYED = """SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint AS position,
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS since_last_commit_s
    WHERE pg_is_in_recovery()"""


class Replica:
    """Looks once a second, from the first use until `close`, on a connection of its own to each of the two.

    `epoch` grows whenever reads move between the two servers: what was seen in another epoch may be newer than what is
    seen now.
    """

    def __init__(self, settings: Settings, *, role: str) -> None:
        assert settings.database_read_url is not None
        self._primary = _Probe(settings.database_url, role)
        self._replica = _Probe(settings.database_read_url, role)
        self._lag_limit_s = settings.database_read_lag_limit_s
        self._written: deque[tuple[float, int]] = deque(maxlen=REMEMBERED_LOOKS)
        self._starting = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._is_usable = True
        self.epoch = 0
        self.on_unreachable: Callable[[], None] = lambda: None

    async def is_usable(self) -> bool:
        """The first caller waits for the first look; it never raises."""
        if self._watching is None:
            async with self._starting:
                if self._watching is None:
                    await self._look()
                    self._watching = asyncio.ensure_future(self._watch())
        return self._is_usable

    def lose(self, error: BaseException) -> None:
        """Whoever reads from it has found it gone: nobody else shall have to, until a look finds it back."""
        self._leave("does not answer", cause=repr(error))
        self.on_unreachable()

    def fell_back(self) -> None:
        """Counts a read that the primary answers instead."""
        _fallbacks.add(1)

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None
        self._primary.close()
        self._replica.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        asked_s = time.monotonic()
        # One after the other: what the primary had written by then, the replica may have replayed by now.
        with contextlib.suppress(DatabaseUnreachable):
            # Where the primary does not answer, nothing new is known, and the replica is all there is.
            self._written.append((asked_s, (await self._primary.ask(_WRITTEN))["position"]))
        try:
            replayed = await self._replica.ask(_REPLAYED)
        except DatabaseUnreachable as error:
            self.lose(error)
            return
        lag_s = 0.0 if replayed is None else self._lag_s(replayed["position"], replayed["since_last_commit_s"])
        _lag.set(lag_s)
        if lag_s > self._lag_limit_s:
            self._leave("is too far behind", lag_s=round(lag_s, 1))
        elif lag_s <= self._lag_limit_s / 2:
            # Half of it, or it would come and go at the limit.
            self._return(lag_s)

    def _lag_s(self, position: int | None, since_last_commit_s: float | None) -> float:
        """Seconds since the newest look whose position it has replayed."""
        if position is None:
            return float("inf")
        if not self._written or self._written[-1][1] <= position:
            return 0.0
        now_s = time.monotonic()
        for asked_s, written in reversed(self._written):
            if written <= position:
                return now_s - asked_s
        return max(now_s - self._written[0][0], since_last_commit_s or 0.0)

    def _leave(self, why: str, **details: Any) -> None:
        if self._is_usable:
            self._is_usable = False
            self.epoch += 1
            log.warning("replica_left", why=f"The replica {why}: reads go to the primary.", **details)

    def _return(self, lag_s: float) -> None:
        if not self._is_usable:
            self._is_usable = True
            self.epoch += 1
            log.info("replica_back", lag_s=round(lag_s, 1))


class _Probe:
    """One connection that is asked one thing at a time, and made anew after a fault."""

    def __init__(self, url: str, role: str) -> None:
        self._url = url
        self._role = role
        self._connection: asyncpg.Connection | None = None

    async def ask(self, sql: str) -> Any:
        """The first row, or None. Raises DatabaseUnreachable, at the latest after ANSWER_LIMIT_S."""
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                if self._connection is None:
                    self._connection = await connect(self._url, f"wapsi-{self._role}-replica-watch")
                # In a transaction, as pgbouncer may be in between.
                async with self._connection.transaction(readonly=True):
                    return await self._connection.fetchrow(sql)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self.close()
            raise DatabaseUnreachable(str(error) or "no answer in time") from error

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()
