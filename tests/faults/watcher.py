"""What shoppers could see of a merchant at any moment, straight from the database."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

# Watching must not become the load: at most a third of its time is spent asking.
_SHARE = 2.0
_PAUSE_MIN_S = 0.003

State = tuple[int, str]
_STATE = (
    "SELECT count(*)::int AS offers, coalesce(sum(hashtextextended(concat_ws('|', offer_id, price_minor, title), 0)),"
    " 0)::text AS digest FROM offers WHERE merchant_id = $1 AND status = 'active'"
)


@dataclass(slots=True)
class Watch:
    """Every distinct state in the order in which it was seen: (number of active offers, digest of them)."""

    states: list[State] = field(default_factory=list)
    looks: int = 0

    @property
    def changes(self) -> int:
        return len(self.states) - 1


@contextlib.asynccontextmanager
async def watching(dsn: str, merchant_id: UUID) -> AsyncIterator[Watch]:
    """Looks every few milliseconds until the block ends, and once more then."""
    watch = Watch()
    first = asyncio.Event()
    over = asyncio.Event()
    task = asyncio.ensure_future(_look_until(over, first, watch, dsn, merchant_id))
    try:
        await first.wait()
        yield watch
    finally:
        over.set()
        await task  # raises what ended it: a watch that saw nothing must not pass for one that saw no change


async def _look_until(over: asyncio.Event, first: asyncio.Event, watch: Watch, dsn: str, merchant_id: UUID) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        last = False
        while True:
            started_s = time.perf_counter()
            row = await connection.fetchrow(_STATE, merchant_id)
            state = (row["offers"], row["digest"])
            watch.looks += 1
            if not watch.states or watch.states[-1] != state:
                watch.states.append(state)
            first.set()
            if last:
                return
            pause_s = max(_PAUSE_MIN_S, _SHARE * (time.perf_counter() - started_s))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), pause_s)
            last = over.is_set()
    finally:
        first.set()
        await connection.close()
