"""`wapsi serve`: REST and gRPC in one process, or one of them alone."""

import asyncio
import contextlib
import math
import signal
import socket
from collections.abc import AsyncIterator

import structlog
import uvicorn

from wapsi.config import Settings
from wapsi.garbage import calm_collector
from wapsi.http.protocol import GuardedProtocol, close_slow_clients
from wapsi.roots.container import checked, make_runtime
from wapsi.roots.errors import CannotListen
from wapsi.roots.grpc_app import make_rpc_server
from wapsi.roots.http_app import make_front, make_http_app
from wapsi.rpc.tls import CertificateUnusable
from wapsi.runtime import Runtime
from wapsi.telemetry.saturation import watch_process
from wapsi.telemetry.setup import Telemetry

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has two servers, and one of ours stops both."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()


async def serve(settings: Settings, telemetry: Telemetry, *, rest: bool, grpc: bool) -> None:
    """Until SIGTERM or SIGINT; then requests and calls in flight have the grace to finish.

    Raises PoolBudgetExceeded, CannotListen, and what the database raises when it does not answer.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    runtime = make_runtime(settings, telemetry, role="serve")
    watch_process(loop, runtime.db, settings, telemetry)
    async with checked(runtime), contextlib.AsyncExitStack() as running:
        await running.enter_async_context(runtime.authenticator.polling())
        if grpc:
            await running.enter_async_context(_serving_grpc(runtime, stop))
        if rest:
            await running.enter_async_context(_serving_rest(runtime, telemetry, stop))
        calm_collector(serving=True)
        await stop.wait()


@contextlib.asynccontextmanager
async def _serving_grpc(runtime: Runtime, stop: asyncio.Event) -> AsyncIterator[None]:
    try:
        server = make_rpc_server(runtime)
        await server.start()
    except CertificateUnusable as error:
        raise CannotListen(str(error)) from error
    except RuntimeError as error:
        settings = runtime.settings
        raise _cannot_listen(settings.grpc_host, settings.grpc_port, "WAPSI_GRPC_PORT") from error

    async def stop_with_the_process() -> None:
        # Beside the REST server and not after it: requests may take the whole grace, and so may calls.
        await stop.wait()
        await server.stop()

    stopping = asyncio.ensure_future(stop_with_the_process())
    try:
        yield
    finally:
        stop.set()
        await stopping


@contextlib.asynccontextmanager
async def _serving_rest(runtime: Runtime, telemetry: Telemetry, stop: asyncio.Event) -> AsyncIterator[None]:
    settings = runtime.settings
    config = uvicorn.Config(
        make_front(make_http_app(runtime, telemetry), runtime),
        loop="uvloop",
        http=GuardedProtocol,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # wapsi.limits.client_address reads them
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace_s),
    )
    try:
        listening = socket.create_server((settings.http_host, settings.http_port), backlog=config.backlog)
    except OSError as error:
        raise _cannot_listen(settings.http_host, settings.http_port, "WAPSI_HTTP_PORT") from error
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    # Should it end by itself, the process ends with it, and says why.
    serving.add_done_callback(lambda _: stop.set())
    sweeping = asyncio.ensure_future(close_slow_clients(server.server_state.connections))
    log.info("http_started", port=listening.getsockname()[1])
    try:
        yield
    finally:
        server.should_exit = True
        await serving
        sweeping.cancel()
        log.info("http_stopped")


def _cannot_listen(host: str, port: int, setting: str) -> CannotListen:
    return CannotListen(f"{host}:{port} cannot be listened on: it is taken, or not allowed. Change {setting}.")
