"""OpenTelemetry for a process: providers, exporters, the database's spans, and what must not leave it."""

import os
from uuid import uuid4

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from sqlalchemy.ext.asyncio import AsyncEngine

# The stable database conventions (db.query.text, …) instead of the old names.
os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "database")


# Behind it stands a token that leads on a customer's behalf.
_CLICK_PATH = "/r/"


class RedactQueries(SpanProcessor):
    """The native HTTP telemetry records query strings as they come; they carry tokens and search terms."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.attributes and span.attributes.get("url.query"):
            span.set_attribute("url.query", "REDACTED")
        path = span.attributes and span.attributes.get("url.path")
        if isinstance(path, str) and path.startswith(_CLICK_PATH):
            span.set_attribute("url.path", f"{_CLICK_PATH}REDACTED")


class Telemetry:
    """The providers of one process. Call `shutdown` last: it sends what is still held."""

    def __init__(
        self,
        role: str,
        *,
        extra_processors: tuple[SpanProcessor, ...] = (),
        extra_readers: tuple[MetricReader, ...] = (),
    ) -> None:
        resource = Resource.create(
            {"service.name": "wapsi", "service.namespace": role, "service.instance.id": str(uuid4())}
        )
        self.tracers = TracerProvider(resource=resource)
        self.tracers.add_span_processor(RedactQueries())
        for processor in extra_processors:
            self.tracers.add_span_processor(processor)
        readers = [*extra_readers]
        if _otlp_configured():
            self.tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
        self.meters = MeterProvider(resource=resource, metric_readers=readers)

    def install(self) -> None:
        """Makes them the process's global providers."""
        trace.set_tracer_provider(self.tracers)
        metrics.set_meter_provider(self.meters)

    def instrument_engines(self, *engines: AsyncEngine) -> None:
        """Spans for their statements. The library's pin predates SQLAlchemy 2.1; a test asserts that spans come."""
        instrumentor = SQLAlchemyInstrumentor()
        if instrumentor.is_instrumented_by_opentelemetry:
            # A second call would be ignored, and these engines left without spans.
            instrumentor.uninstrument()
        instrumentor.instrument(
            engines=[engine.sync_engine for engine in engines],
            tracer_provider=self.tracers,
            meter_provider=self.meters,
            skip_dep_check=True,
        )

    def shutdown(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()


def _otlp_configured() -> bool:
    return any(
        os.environ.get(name)
        for name in (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        )
    )


def current_trace_id() -> str | None:
    """The trace that is under way, 32 hexadecimal digits, to be stored beside what it did."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None
