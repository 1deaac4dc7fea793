"""The gRPC server: interceptors, health, reflection, and a shutdown that lets calls finish."""

from collections.abc import Sequence

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection
from opentelemetry.instrumentation.grpc import aio_server_interceptor

from wapsi.rpc.call_limits import CallLimits
from wapsi.rpc.interceptors import Authentication, Errors
from wapsi.rpc.refused_keys import RefusedKeys
from wapsi.rpc.service import RPCService
from wapsi.rpc.tls import ServerCertificates
from wapsi.runtime import Runtime

log = structlog.get_logger(__name__)

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_METADATA_BYTES = 8 * 1024
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class RPCServer:
    """`await start()`, then `await stop()`. `port` is the bound one (useful with port 0).

    Raises CertificateUnusable.
    """

    def __init__(self, runtime: Runtime, services: Sequence[RPCService]) -> None:
        self._settings = runtime.settings
        self._certificates = ServerCertificates.of(runtime.settings)
        limits = CallLimits(runtime.limits, at_once=runtime.settings.grpc_calls_at_once)
        permissions = {
            method: needed for service in services for method, needed in service.method_permissions().items()
        }
        public = frozenset({_HEALTH, *reflection.SERVICE_NAME.split()})
        self._server = grpc.aio.server(
            interceptors=[
                aio_server_interceptor(),  # type: ignore[no-untyped-call]
                Errors(),
                Authentication(runtime.authenticator, permissions, public, limits, RefusedKeys(runtime.limits)),
            ],
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_metadata_size", MAX_METADATA_BYTES),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
            ],
        )
        names = [service.descriptor.full_name for service in services]
        for service in services:
            service.add_to_server(service.servicer, self._server)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names = [*names, ""]
        if self._settings.reflection_enabled:
            reflection.enable_server_reflection([*names, _HEALTH, reflection.SERVICE_NAME], self._server)
        self.port = 0

    async def start(self) -> None:
        """Raises RuntimeError when the port is taken."""
        address = f"{self._settings.grpc_host}:{self._settings.grpc_port}"
        if self._certificates is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, self._certificates.credentials())
        await self._server.start()
        for name in self._names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("grpc_started", port=self.port, tls=self._certificates is not None)

    async def stop(self) -> None:
        """Says NOT_SERVING first, then lets calls in flight finish within the grace."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.shutdown_grace_s)
        log.info("grpc_stopped")
