"""What has been published, as the database that reads go to shows it: the clock of every cached read.

Polled and not notified: a poll works through pgbouncer, and on a replica it tells of a publication only when the
replica has its data too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from wapsi.db.polled import Polled
from wapsi.db.reads import Reads

T = TypeVar("T")

REMEMBERED_GENERATIONS = 64
SNAPSHOT_LIFETIME_S = 60.0


@dataclass(slots=True)
class _Snapshot:
    version: tuple[int, int]
    loaded_s: float
    value: object


class Versions(Polled):
    """`generation` grows whenever one of the sources does.

    `sources`: by name, a scalar SQL expression that never falls and grows in the transaction that publishes.
    """

    name = "versions"

    def __init__(self, reads: Reads, sources: Mapping[str, str]) -> None:
        super().__init__()
        self._reads = reads
        self._names = tuple(sources)
        self._sql = "SELECT " + ", ".join(f"({sql})::bigint AS {name}" for name, sql in sources.items())
        self._values: tuple[int, ...] = ()
        self._began_s: dict[int, float] = {}
        self._snapshots: dict[str, _Snapshot] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self.generation = 0

    def outdated_for_s(self, generation: int) -> float:
        """For how long this generation may have been outdated: since it was seen last; infinite where that is no longer
        known."""
        if generation == self.generation:
            return 0.0
        began_s = self._began_s.get(generation + 1)
        return float("inf") if began_s is None else time.monotonic() - began_s

    async def snapshot(self, name: str, source: str, load: Callable[[Reads], Awaitable[T]]) -> T:
        """What `load` gives, loaded again when `source` has changed, and in any case now and then."""
        if not self.is_trusted:
            await self.check()
        found = self._valid(name, source)
        if found is None:
            async with self._locks.setdefault(name, asyncio.Lock()):
                found = self._valid(name, source)
                if found is None:
                    # The version first: what is loaded is then at least as new.
                    version, loaded_s = self._version(source), time.monotonic()
                    found = self._snapshots[name] = _Snapshot(version, loaded_s, await load(self._reads))
        return cast("T", found.value)

    def _valid(self, name: str, source: str) -> _Snapshot | None:
        found = self._snapshots.get(name)
        if found is None or found.version != self._version(source):
            return None
        return found if time.monotonic() - found.loaded_s < SNAPSHOT_LIFETIME_S else None

    def _version(self, source: str) -> tuple[int, int]:
        return self._values[self._names.index(source)], self._values[-1]

    async def _ask(self) -> None:
        asked_s = time.monotonic()
        # It moves with the server that answers: what another one showed may have been ahead of this one.
        epoch = self._reads.epoch
        row = await self._reads.fetchrow(self._sql)
        assert row is not None
        values = (*row, epoch)
        if values != self._values:
            self._values = values
            self.generation += 1
            # The publication may have come right after the last look, and not just now.
            self._began_s[self.generation] = self._seen_s
            self._began_s.pop(self.generation - REMEMBERED_GENERATIONS, None)
        self._seen_s = asked_s
