"""A collector that keeps what a process's metrics add up to: OTLP over HTTP, on a loopback port."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

Series = tuple[str, tuple[tuple[str, str], ...]]


class Collector:
    """`settings` makes a process send its metrics here, twice a second."""

    def __init__(self, port: int) -> None:
        self.settings = {
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://127.0.0.1:{port}/v1/metrics",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        }
        # By process too: each counts from 0.
        self._sums: dict[tuple[str, Series], float] = {}
        self._lock = threading.Lock()

    def total(self, name: str, **attributes: str) -> float:
        """The sum of a counter over all processes and all series that have these attributes."""
        wanted = set(attributes.items())
        with self._lock:
            return sum(
                value
                for (_process, (metric, having)), value in self._sums.items()
                if metric == name and wanted <= set(having)
            )

    def take(self, body: bytes) -> None:
        request = ExportMetricsServiceRequest.FromString(body)
        with self._lock:
            for resource in request.resource_metrics:
                process = ""
                for attribute in resource.resource.attributes:
                    if attribute.key == "service.instance.id":
                        process = attribute.value.string_value
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        for point in metric.sum.data_points:
                            having = tuple(sorted((a.key, a.value.string_value) for a in point.attributes))
                            self._sums[process, (metric.name, having)] = point.as_int or point.as_double


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not to the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, name="otlp", daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
