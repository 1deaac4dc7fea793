"""The page that Prometheus reads: on a port of its own, apart from the public one, from a thread of its own."""

from typing import TYPE_CHECKING

import structlog

from wapsi.telemetry.setup import Telemetry

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = structlog.get_logger(__name__)


class MetricsPortTaken(Exception):
    """The port of the metrics is taken, or may not be used; in words, with the setting to change."""


def add_prometheus(telemetry: Telemetry) -> "CollectorRegistry":
    """A registry of the process's metrics, under the names that Prometheus gives them."""
    # Imported here: a deployment without Prometheus need not load it.
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from prometheus_client import CollectorRegistry, ProcessCollector

    registry = CollectorRegistry(auto_describe=False)
    # Its memory, processor time and open files.
    ProcessCollector(registry=registry)
    telemetry.add_reader(PrometheusMetricReader(scope_info_enabled=False, registry=registry))
    return registry


def serve_metrics(telemetry: Telemetry) -> int | None:
    """Until the telemetry's shutdown. Returns the port; None where none is configured. Raises MetricsPortTaken."""
    settings = telemetry.settings
    if settings.metrics_port is None or not telemetry.is_enabled:
        return None
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host, add_prometheus(telemetry))
    except OSError as error:
        raise MetricsPortTaken(
            f"{settings.metrics_host}:{settings.metrics_port} cannot be listened on: it is taken, or not allowed. "
            "Change WAPSI_METRICS_PORT."
        ) from error

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    telemetry.at_shutdown.append(stop)
    port = int(server.server_address[1])
    log.info("metrics_served", port=port)
    return port
