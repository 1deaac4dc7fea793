"""How full a process is: its pools of database connections, and how late its event loop comes to what is due."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from sqlalchemy.pool import QueuePool

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.telemetry.setup import Telemetry

LAG_EVERY_S = 0.25
_POOL = "db.client.connection.pool.name"


@dataclass(frozen=True, slots=True)
class _Use:
    pool: str
    used: int
    idle: int
    most: int
    waiting: int


def watch_pools(db: Database, settings: Settings, meters: MeterProvider) -> None:
    """Read when they are collected; nothing is counted at a checkout."""
    meter = meters.get_meter(__name__)

    def observing(of: Callable[[_Use], Iterable[Observation]]) -> list[Callable[[CallbackOptions], list[Observation]]]:
        return [lambda _options: [observation for use in _uses(db, settings) for observation in of(use)]]

    meter.create_observable_up_down_counter(
        "db.client.connection.count",
        observing(
            lambda use: [
                Observation(use.used, {_POOL: use.pool, "db.client.connection.state": "used"}),
                Observation(use.idle, {_POOL: use.pool, "db.client.connection.state": "idle"}),
            ]
        ),
        unit="{connection}",
        description="Connections of the pool by state.",
    )
    meter.create_observable_up_down_counter(
        "db.client.connection.max",
        observing(lambda use: [Observation(use.most, {_POOL: use.pool})]),
        unit="{connection}",
        description="Connections that the pool may hold.",
    )
    meter.create_observable_up_down_counter(
        "db.client.connection.pending_requests",
        observing(lambda use: [Observation(use.waiting, {_POOL: use.pool})]),
        unit="{request}",
        description="Units of work that wait for a connection.",
    )


def _uses(db: Database, settings: Settings) -> Iterable[_Use]:
    for name, engine in zip(("main", "replica"), db.engines, strict=False):
        pool = engine.sync_engine.pool
        assert isinstance(pool, QueuePool)
        yield _Use(name, pool.checkedout(), pool.checkedin(), pool.size(), _waiting(pool))
    reads = db.reads
    # One on the replica, and one on the primary for when that fails.
    most = settings.database_reads_pool_size * (1 if db.replica is None else 2)
    yield _Use("reads", reads.pool_in_use, reads.pool_size - reads.pool_in_use, most, 0)


def _waiting(pool: QueuePool) -> int:
    """SQLAlchemy does not say; its queue is asyncio's, whose waiters are counted. 0 where that is not so."""
    queue = getattr(getattr(pool, "_pool", None), "_queue", None)
    return sum(1 for waiter in getattr(queue, "_getters", ()) if not waiter.done())


class LoopLag:
    """Asks the running loop to be called every quarter of a second, and measures how much later it was."""

    def __init__(self, loop: asyncio.AbstractEventLoop, meters: MeterProvider) -> None:
        self._loop = loop
        self._lag = meters.get_meter(__name__).create_histogram(
            "wapsi.loop.lag", unit="s", description="How late the event loop came to what was due."
        )
        self._handle: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    def start(self) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._schedule)

    def stop(self) -> None:
        """On the loop."""
        if self._handle is not None:
            self._handle.cancel()

    def _schedule(self) -> None:
        self._due_s = self._loop.time() + LAG_EVERY_S
        self._handle = self._loop.call_at(self._due_s, self._measure)

    def _measure(self) -> None:
        self._lag.record(max(0.0, self._loop.time() - self._due_s))
        self._schedule()


def watch_process(loop: asyncio.AbstractEventLoop, db: Database, settings: Settings, telemetry: Telemetry) -> None:
    """The pools and the loop of a process, from now until it ends."""
    if telemetry.is_enabled:
        watch_pools(db, settings, telemetry.meters)
        LoopLag(loop, telemetry.meters).start()
