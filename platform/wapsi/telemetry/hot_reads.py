"""Requests that are answered from memory in front of the application: counted as others are, for a microsecond each."""

import random
import time
from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import NonRecordingSpan, SpanKind
from starlette.types import Scope

from wapsi.telemetry.durations import Series
from wapsi.telemetry.redaction import safe_path
from wapsi.telemetry.setup import Telemetry
from wapsi.telemetry.tracing import parse_traceparent


class HotReads:
    """`record` goes into http.server.request.duration, and a share of the answers becomes spans after the fact;
    `count` says how the cache came to its answer."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._tracing = telemetry.tracing
        self._tracer = telemetry.tracers.get_tracer(__name__)
        self._series: dict[tuple[str, int], Series] = {}
        self._ratio = telemetry.tracing.ratio
        self._enabled = telemetry.is_enabled
        self._outcomes = dict.fromkeys(("hit", "miss", "stale", "stale_on_error", "coalesced"), 0)
        if self._enabled:
            telemetry.meters.get_meter(__name__).create_observable_counter(
                "wapsi.cache.requests",
                [self._observe],
                unit="{request}",
                description="Requests for cached routes, by how they were answered.",
            )

    def count(self, outcome: str) -> None:
        """One of hit, miss, stale, stale_on_error and coalesced (waited for the answer to another request)."""
        self._outcomes[outcome] += 1

    def record(self, scope: Scope, route: str, status: int, started_s: float) -> None:
        """Of a GET that has just been answered; `started_s` by time.perf_counter."""
        if not self._enabled:
            return
        duration_s = time.perf_counter() - started_s
        try:
            series = self._series[route, status]
        except KeyError:
            series = self._series[route, status] = self._new_series(route, status)
        series.add(duration_s)
        for name, value in scope["headers"]:
            if name == b"traceparent":
                self._continue(series, scope, route, duration_s, value)
                return
        if random.random() < self._ratio:  # noqa: S311  # a sample, not a secret
            self._trace(series, scope, route, duration_s, self._tracing.new_sampled_trace(), Context())

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        for outcome, count in self._outcomes.items():
            yield Observation(count, {"outcome": outcome})

    def _new_series(self, route: str, status: int) -> Series:
        return self._telemetry.requests.series(
            {
                "http.request.method": "GET",
                "url.scheme": "http",
                "http.route": route,
                "http.response.status_code": status,
            }
        )

    def _continue(self, series: Series, scope: Scope, route: str, duration_s: float, traceparent: bytes) -> None:
        """Does as the caller has decided; what is no trace is not sampled."""
        parent = parse_traceparent(traceparent)
        if parent is not None and parent.trace_flags.sampled:
            context = trace.set_span_in_context(NonRecordingSpan(parent), Context())
            self._trace(series, scope, route, duration_s, parent.trace_id, context)

    def _trace(
        self, series: Series, scope: Scope, route: str, duration_s: float, trace_id: int, context: Context
    ) -> None:
        ended_ns = time.time_ns()
        attributes = {**series.attributes, "url.path": safe_path(scope["path"]), "wapsi.cache.hit": True}
        with self._tracing.ids.giving(trace_id):
            span = self._tracer.start_span(
                f"GET {route}", context, SpanKind.SERVER, attributes, start_time=ended_ns - int(duration_s * 1e9)
            )
        span.end(ended_ns)
        series.add_example(duration_s, ended_ns, span.get_span_context())
