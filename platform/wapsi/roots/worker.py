"""`wapsi worker`: runs jobs. One process without forks: run several for more."""

import asyncio
import signal
import threading

import structlog
from dramatiq import Worker
from dramatiq.asyncio import get_event_loop_thread

from wapsi.config import Settings
from wapsi.db.engine import PoolBudgetExceeded
from wapsi.garbage import calm_collector
from wapsi.heartbeat import Heartbeat
from wapsi.queue.actors import declare_actors
from wapsi.queue.broker import make_broker
from wapsi.roots import jobs
from wapsi.roots.container import check_budget, make_runtime
from wapsi.scheduling import give_way
from wapsi.telemetry.dramatiq_middleware import TraceMessages
from wapsi.telemetry.saturation import watch_process
from wapsi.telemetry.setup import Telemetry
from wapsi.threads import give_way_soon

log = structlog.get_logger(__name__)


def work(settings: Settings, telemetry: Telemetry) -> None:
    """Until SIGTERM or SIGINT. Jobs under way are handed back, for the next worker to begin anew at once."""
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda _signum, _frame: stop.set())
    if settings.database_pool_size < 2 * settings.worker_threads:
        # A job writes in one transaction while its lease is renewed in another.
        raise PoolBudgetExceeded(
            f"WAPSI_DATABASE_POOL_SIZE ({settings.database_pool_size}) must be at least twice WAPSI_WORKER_THREADS "
            f"({settings.worker_threads})."
        )
    give_way(settings.worker_nice)
    jobs.import_all()
    asyncio.run(check_budget(settings))
    runtime = make_runtime(settings, telemetry, role="worker")
    broker = make_broker(settings, [TraceMessages()])
    declare_actors(broker, runtime)
    worker = Worker(broker, worker_threads=settings.worker_threads, worker_timeout=200)
    worker.start()
    jobs_thread = get_event_loop_thread()
    assert jobs_thread is not None
    watch_process(jobs_thread.loop, runtime.db, settings, telemetry)
    calm_collector()
    give_way_soon()
    heartbeat = Heartbeat(settings.heartbeat_file)
    heartbeat.start()
    log.info("worker_started", threads=settings.worker_threads, actors=sorted(broker.get_declared_actors()))
    stop.wait()
    heartbeat.stop()
    worker.stop(timeout=int(settings.shutdown_grace_s * 1000))
    broker.close()
    log.info("worker_stopped")
