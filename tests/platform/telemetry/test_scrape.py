"""The page that Prometheus reads, and what is on it of a process's own state."""

import asyncio
import socket
import time
import urllib.request

import pytest
from sqlalchemy import text

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.telemetry.saturation import LAG_EVERY_S, LoopLag, watch_pools
from wapsi.telemetry.scrape import MetricsPortTaken, serve_metrics
from wapsi.telemetry.settings import TelemetrySettings
from wapsi.telemetry.setup import Telemetry


def read(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def test_no_port_is_no_page() -> None:
    telemetry = Telemetry("test", TelemetrySettings())
    assert serve_metrics(telemetry) is None
    telemetry.shutdown()


def test_the_page_is_there_until_the_process_ends() -> None:
    telemetry = Telemetry("test", TelemetrySettings(metrics_port=0))
    port = serve_metrics(telemetry)
    assert port is not None
    telemetry.requests.series({"http.route": "/v1/offers"}).add(0.003)
    page = read(port)
    assert 'http_server_request_duration_seconds_bucket{http_route="/v1/offers",le="0.005"} 1.0' in page
    assert 'http_server_request_duration_seconds_bucket{http_route="/v1/offers",le="0.0025"} 0.0' in page
    assert "process_resident_memory_bytes" in page
    telemetry.shutdown()
    with pytest.raises(OSError, match="refused"):
        read(port)


def test_a_taken_port_is_said_with_the_setting_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        telemetry = Telemetry("test", TelemetrySettings(metrics_port=taken.getsockname()[1]))
        with pytest.raises(MetricsPortTaken, match="WAPSI_METRICS_PORT"):
            serve_metrics(telemetry)
        telemetry.shutdown()


async def test_pools_tell_how_full_they_are_and_who_waits(settings: Settings) -> None:
    telemetry = Telemetry("test", TelemetrySettings(metrics_port=0))
    small = settings.model_copy(update={"database_pool_size": 2})
    db = Database(small, role="test")
    watch_pools(db, small, telemetry.meters)
    port = await asyncio.to_thread(serve_metrics, telemetry)
    assert port is not None
    begun = asyncio.Semaphore(0)
    go_on = asyncio.Event()

    async def hold() -> None:
        async with db.read() as session:
            await session.scalar(text("SELECT 1"))
            begun.release()
            await go_on.wait()

    holding = [asyncio.ensure_future(hold()) for _ in range(3)]
    for _ in range(2):
        await begun.acquire()
    await asyncio.sleep(0.05)
    page = await asyncio.to_thread(read, port)
    go_on.set()
    await asyncio.gather(*holding)
    name = 'db_client_connection_pool_name="main"'
    assert f'db_client_connection_count{{{name},db_client_connection_state="used"}} 2.0' in page
    assert f"db_client_connection_max{{{name}}} 2.0" in page
    assert f"db_client_connection_pending_requests{{{name}}} 1.0" in page
    await db.dispose()
    await asyncio.to_thread(telemetry.shutdown)


def test_a_loop_that_is_held_up_is_late() -> None:
    telemetry = Telemetry("test", TelemetrySettings(metrics_port=0))
    port = serve_metrics(telemetry)
    assert port is not None

    async def run() -> None:
        lag = LoopLag(asyncio.get_running_loop(), telemetry.meters)
        lag.start()
        await asyncio.sleep(LAG_EVERY_S / 2)
        # The loop stands still while its next measurement becomes due.
        until_s = time.perf_counter() + LAG_EVERY_S
        while time.perf_counter() < until_s:
            pass
        await asyncio.sleep(0.01)
        lag.stop()

    asyncio.run(run())
    page = read(port)
    assert 'wapsi_loop_lag_seconds_bucket{le="0.1"} 0.0' in page
    assert 'wapsi_loop_lag_seconds_bucket{le="0.25"} 1.0' in page
    telemetry.shutdown()
