"""OpenTelemetry for a process: providers, exporters, what is measured of it, and what must not leave it."""

import os
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from sqlalchemy.ext.asyncio import AsyncEngine

from wapsi.telemetry import tracing
from wapsi.telemetry.calls import calls
from wapsi.telemetry.durations import Durations
from wapsi.telemetry.log_records import LogRecords
from wapsi.telemetry.redaction import Redacting, RedactQueries
from wapsi.telemetry.settings import TelemetrySettings
from wapsi.telemetry.statements import trace_statements

# The SDK's own boundaries are milliseconds; these are for work that takes from one of them to hours.
_WORK_BOUNDARIES_S = (
    *(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0),
)
_LAG_BOUNDARIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_BOUNDARIES = {
    "wapsi.loop.lag": _LAG_BOUNDARIES_S,
    "messaging.process.duration": _WORK_BOUNDARIES_S,
    "wapsi.sync.stage.duration": _WORK_BOUNDARIES_S,
    "wapsi.search.lag": _WORK_BOUNDARIES_S,
    "wapsi.offers.freshness": _WORK_BOUNDARIES_S,
    "wapsi.offers.feed_fetch.duration": _WORK_BOUNDARIES_S,
}
# Tests, and whoever makes telemetry without a configuration, see everything.
_EVERYTHING = TelemetrySettings(trace_sample_ratio=1.0)


class Telemetry:
    """The providers of one process. Call `shutdown` last: it sends what is still held."""

    def __init__(
        self,
        role: str,
        settings: TelemetrySettings = _EVERYTHING,
        *,
        extra_processors: tuple[SpanProcessor, ...] = (),
        extra_readers: tuple[MetricReader, ...] = (),
    ) -> None:
        self.settings = settings
        self.at_shutdown: list[Callable[[], None]] = []
        self.is_enabled = settings.telemetry_enabled
        resource = Resource.create(
            {"service.name": "wapsi", "service.namespace": role, "service.instance.id": str(uuid4())}
        )
        self.resource = resource
        readers = [*extra_readers]
        processors: list[SpanProcessor] = [RedactQueries(), *extra_processors]
        if self.is_enabled and otlp_configured("TRACES"):
            processors.append(BatchSpanProcessor(Redacting(OTLPSpanExporter())))
        if self.is_enabled and otlp_configured("METRICS"):
            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
        self.tracing = tracing.Tracing(
            resource,
            processors,
            ratio=settings.trace_sample_ratio if self.is_enabled else 0.0,
            slow_s=settings.trace_slow_ms / 1000 if self.is_enabled else float("inf"),
        )
        self.tracers = self.tracing.provider
        self.meters = MeterProvider(resource=resource, views=_views())
        self.requests = Durations("http.server.request.duration", "Duration of HTTP server requests.")
        self.active_requests = 0
        self.meters.get_meter(__name__).create_observable_up_down_counter(
            "http.server.active_requests",
            [self._observe_active],
            unit="{request}",
            description="Number of active HTTP server requests.",
        )
        for reader in readers:
            self.add_reader(reader)
        self.logs = LogRecords(resource) if self.is_enabled and otlp_configured("LOGS") else None

    def add_reader(self, reader: MetricReader) -> None:
        self.meters.add_metric_reader(reader)
        # Its declared types are of another age.
        collect: Any = reader._collect

        def collect_all(*arguments: Any, **keywords: Any) -> MetricsData:
            return self._with_durations(collect(*arguments, **keywords))

        # The SDK has no way to take in a histogram that was counted elsewhere; a test asserts that this one works.
        reader._set_collect_callback(collect_all)

    def install(self) -> None:
        """Makes them the process's global providers."""
        trace.set_tracer_provider(self.tracers)
        metrics.set_meter_provider(self.meters)
        tracing.install(self.tracing)
        if self.logs is not None:
            self.logs.install()

    def instrument_engines(self, *engines: AsyncEngine) -> None:
        """Spans for their statements; once an engine."""
        if self.is_enabled:
            tracer = self.tracers.get_tracer(__name__)
            for engine in engines:
                trace_statements(engine, tracer)

    def shutdown(self) -> None:
        while self.at_shutdown:
            self.at_shutdown.pop()()
        self.tracers.shutdown()
        self.meters.shutdown()
        if self.logs is not None:
            self.logs.shutdown()

    def _observe_active(self, _options: CallbackOptions) -> Iterable[Observation]:
        # Of a process that serves; -1 would be a request that ended here and began elsewhere.
        yield Observation(max(0, self.active_requests))

    def _with_durations(self, data: MetricsData | None) -> MetricsData:
        own = [metric for source in (self.requests, calls) if (metric := source.metric()) is not None]
        resource_metrics = list(data.resource_metrics) if data is not None else []
        if own:
            scope = ScopeMetrics(scope=InstrumentationScope("wapsi.telemetry"), metrics=own, schema_url="")
            resource_metrics.append(ResourceMetrics(resource=self.resource, scope_metrics=[scope], schema_url=""))
        return MetricsData(resource_metrics=resource_metrics)


def _views() -> list[View]:
    return [
        View(
            instrument_type=Histogram,
            instrument_name=name,
            aggregation=ExplicitBucketHistogramAggregation(boundaries=boundaries),
        )
        for name, boundaries in _BOUNDARIES.items()
    ]


def otlp_configured(signal: str) -> bool:
    """Whether it is said where to send TRACES, METRICS or LOGS."""
    return any(os.environ.get(f"OTEL_EXPORTER_OTLP_{middle}ENDPOINT") for middle in ("", f"{signal}_"))


def current_trace_id() -> str | None:
    """The trace that is under way, 32 hexadecimal digits, to be stored beside what it did."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None
