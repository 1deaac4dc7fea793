"""gRPC calls, timed by method and status; those that failed on our side or were slow are traced in any case."""

import time

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from wapsi.telemetry import tracing
from wapsi.telemetry.durations import Durations, Series

# Streams stay open for as long as a feed is pushed.
BOUNDARIES_S = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
calls = Durations("rpc.server.call.duration", "Duration of an incoming gRPC call.", BOUNDARIES_S)
_series: dict[tuple[str, str], Series] = {}
# What the conventions count as the server's own errors.
SERVER_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


def record_call(method: str, code: str, duration_s: float, *, is_stream: bool) -> None:
    """`method` as gRPC names it, "/package.Service/Method"; `code` is the status's name, "OK" …"""
    series = _series.get((method, code))
    if series is None:
        series = _series[method, code] = calls.series(_attributes(method, code))
    series.add(duration_s)
    span = trace.get_current_span()
    context = span.get_span_context()
    if span.is_recording():
        series.add_example(duration_s, time.time_ns(), context)
        return
    installed = tracing.installed
    if installed is None or not context.is_valid:
        return
    failed = code in SERVER_ERRORS
    if failed or (duration_s >= installed.slow_s and not is_stream):
        ended_ns = time.time_ns()
        installed.keep(
            tracing.LateSpan(
                name=method.lstrip("/"),
                kind=SpanKind.SERVER,
                context=context,
                parent=None,
                attributes=_attributes(method, code),
                started_ns=ended_ns - int(duration_s * 1e9),
                ended_ns=ended_ns,
                failed=failed,
            )
        )


def _attributes(method: str, code: str) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "rpc.system.name": "grpc",
        "rpc.method": method.lstrip("/"),
        "rpc.response.status_code": code,
    }
    if code in SERVER_ERRORS:
        attributes["error.type"] = code
    return attributes
