"""`wapsi scheduler`: relays due jobs to the queue and enqueues the periodic ones. Several may run."""

import asyncio
import signal

import structlog

from wapsi.config import Settings
from wapsi.heartbeat import Heartbeat
from wapsi.queue.broker import make_broker
from wapsi.queue.periodic import enqueue_for_ever
from wapsi.queue.relay import relay_for_ever
from wapsi.roots import jobs
from wapsi.roots.container import checked, make_runtime
from wapsi.telemetry.queue_depth import watch_queues
from wapsi.telemetry.saturation import watch_process
from wapsi.telemetry.setup import Telemetry

log = structlog.get_logger(__name__)


async def schedule(settings: Settings, telemetry: Telemetry) -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    jobs.import_all()
    runtime = make_runtime(settings, telemetry, role="scheduler")
    watch_process(loop, runtime.db, settings, telemetry)
    broker = make_broker(settings)
    async with checked(runtime), asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(relay_for_ever(runtime.db, broker, listen=not settings.database_through_pgbouncer)),
            group.create_task(enqueue_for_ever(runtime.db)),
        ]
        if telemetry.is_enabled:
            tasks.append(group.create_task(watch_queues(runtime.db, telemetry.meters)))
        heartbeat = Heartbeat(settings.heartbeat_file)
        heartbeat.start()
        log.info("scheduler_started")
        await stop.wait()
        heartbeat.stop()
        for task in tasks:
            task.cancel()
    broker.close()
    log.info("scheduler_stopped")
