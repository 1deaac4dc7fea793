"""How much work waits, and for how long: looked up in the jobs table by the scheduler."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from sqlalchemy import text

from wapsi.db import Database, ReadSession
from wapsi.errors import Unavailable
from wapsi.queue.registry import JOB_KINDS

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
# Of more than so many unfinished jobs the number is not worth what it costs to count them.
COUNTED_MAX = 20_000
# ix_jobs_wake_at holds the unfinished jobs and no others.
LOOK = text(
    "WITH unfinished AS (SELECT queue, state, due_at FROM jobs WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT :most)"
    " SELECT queue, count(*) FILTER (WHERE state = 'ready' AND due_at <= now()) AS due,"
    " count(*) FILTER (WHERE state = 'running') AS running,"
    " coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE state = 'ready' AND due_at <= now())), 0)::float8"
    " AS oldest_s FROM unfinished GROUP BY queue"
)


async def look(session: ReadSession) -> Sequence[Any]:
    """Rows of `queue`, `due`, `running` and `oldest_s`, which is 0 where nothing waits."""
    return (await session.execute(LOOK, {"most": COUNTED_MAX})).all()


class QueueDepth:
    """Gauges of each queue that a kind of job has, or that was seen once, for as long as the process runs."""

    def __init__(self, meters: MeterProvider) -> None:
        self._seen = {kind.queue: (0, 0, 0.0) for kind in JOB_KINDS.values()}
        self._looked_s: float | None = None
        meter = meters.get_meter(__name__)
        due: Callable[[tuple[int, int, float]], float] = lambda row: row[0]  # noqa: E731
        running: Callable[[tuple[int, int, float]], float] = lambda row: row[1]  # noqa: E731
        oldest: Callable[[tuple[int, int, float]], float] = lambda row: row[2]  # noqa: E731
        for name, unit, of, description in (
            ("wapsi.queue.depth", "{job}", due, "Jobs that are due and not begun."),
            ("wapsi.queue.running", "{job}", running, "Jobs that a worker holds."),
            ("wapsi.queue.oldest", "s", oldest, "For how long the oldest of those that are due has been."),
        ):
            meter.create_observable_gauge(name, [self._observer(of)], unit=unit, description=description)

    def take(self, rows: Iterable[Any]) -> None:
        seen = dict.fromkeys(self._seen, (0, 0, 0.0))
        seen.update({row.queue: (row.due, row.running, row.oldest_s) for row in rows})
        self._seen, self._looked_s = seen, time.monotonic()

    def _observer(self, of: Callable[[tuple[int, int, float]], float]) -> Callable[..., Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            # What nobody has looked up lately is unknown, and not what it was.
            if self._looked_s is None or time.monotonic() - self._looked_s > 4 * LOOK_EVERY_S:
                return
            for queue, row in self._seen.items():
                yield Observation(of(row), {"queue": queue})

        return observe


async def watch_queues(db: Database, meters: MeterProvider) -> None:
    """Until cancelled."""
    depth = QueueDepth(meters)
    while True:
        try:
            async with db.read() as session:
                rows = await look(session)
            depth.take(rows)
        except Unavailable as error:
            log.warning("queue_watch_waits", cause=repr(error.__cause__))
        await asyncio.sleep(LOOK_EVERY_S)
