"""A worker with the production's middleware over the real queue, and the spans of everything."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from dramatiq import Worker
from dramatiq.asyncio import get_event_loop_thread
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.queue import registry
from wapsi.queue.actors import declare_actors
from wapsi.queue.broker import make_broker
from wapsi.queue.relay import relay_due
from wapsi.runtime import Runtime
from wapsi.telemetry.dramatiq_middleware import TraceMessages
from wapsi.telemetry.setup import Telemetry

KIND = "test.traced"
QUEUE = "traced"


@pytest.fixture
def finished(spans: InMemorySpanExporter, runtime: Runtime) -> Iterator[Callable[[], list[ReadableSpan]]]:
    """The spans that have ended since the test began."""
    spans.clear()
    yield lambda: list(spans.get_finished_spans())
    spans.clear()


@pytest.fixture
def traced_kind() -> Iterator[list[Callable[[Any], Awaitable[None]]]]:
    """A kind of job, `test.traced`; the test puts what it does into the list."""
    handlers: list[Callable[[Any], Awaitable[None]]] = []

    async def run(job: Any) -> None:
        for handler in handlers:
            await handler(job)

    registry.job(KIND, queue=QUEUE)(run)
    yield handlers
    del registry.JOB_KINDS[KIND]


@pytest.fixture
async def work(
    known: Runtime,
    settings: Settings,
    telemetry: Telemetry,
    clean_queue: None,
    traced_kind: Any,
    admin_sql: Any,
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """`await work()` relays what is due and waits until the worker has ended every job."""
    # The worker's event loop is another one, so its pool is too.
    database = Database(settings, role="worker")
    telemetry.instrument_engines(*database.engines)
    broker = make_broker(settings, [TraceMessages()])
    declare_actors(broker, replace(known, db=database))
    worker = Worker(broker, worker_threads=1, worker_timeout=20)
    worker.start()

    async def work() -> None:
        await relay_due(known.db, broker)
        while await admin_sql("SELECT 1 FROM jobs WHERE state IN ('ready', 'running')"):  # noqa: ASYNC110  # a database's state
            await asyncio.sleep(0.02)
        await asyncio.to_thread(broker.join, QUEUE)

    yield work
    loop = get_event_loop_thread()
    assert loop is not None
    await asyncio.to_thread(loop.run_coroutine, database.dispose())
    await asyncio.to_thread(worker.stop)
    broker.close()
