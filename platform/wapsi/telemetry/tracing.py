"""Which traces are kept: a share of all, decided at their beginning, and what failed or was slow, decided at its end.

Recording every span in case it is wanted costs 90 µs a request (SDK spans) where not recording costs under 10. So a
request that is not sampled leaves a few tuples behind, its statements among them, and becomes spans, with the ids that
its log lines have, only where it turns out to be worth keeping. What is below such a request in other processes (its
jobs) decides for itself in the same way.
"""

import contextlib
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)
STATEMENTS_KEPT_MAX = 100


@dataclass(frozen=True, slots=True)
class Statement:
    """What became of one statement. Times are Unix nanoseconds; `error` is the SQLSTATE or the exception's class."""

    sql: str
    started_ns: int
    ended_ns: int
    error: str | None = None


# The statements of the unsampled request that is being handled; None where nobody would want them.
noted_statements: ContextVar[list[Statement] | None] = ContextVar("noted_statements", default=None)


def statement_attributes(statement: Statement) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "db.system.name": "postgresql",
        "db.operation.name": operation_of(statement.sql),
        "db.query.text": statement.sql,
    }
    if statement.error is not None:
        attributes["error.type"] = statement.error
    return attributes


def operation_of(sql: str) -> str:
    return sql.lstrip("( \n")[:16].split(maxsplit=1)[0].upper() if sql.strip() else "?"


class GivenIDs(RandomIdGenerator):
    """Random ids, or those that the present thread was given: for spans whose ids are in the world already."""

    def __init__(self) -> None:
        self._given = threading.local()

    @contextlib.contextmanager
    def giving(self, trace_id: int, span_id: int | None = None) -> Iterator[None]:
        self._given.trace_id, self._given.span_id = trace_id, span_id
        try:
            yield
        finally:
            self._given.trace_id = self._given.span_id = None

    def generate_trace_id(self) -> int:
        return getattr(self._given, "trace_id", None) or super().generate_trace_id()

    def generate_span_id(self) -> int:
        given, self._given.span_id = getattr(self._given, "span_id", None), None
        return given or super().generate_span_id()


@dataclass(frozen=True, slots=True)
class LateSpan:
    """A span to be made after the fact. `context` has its ids; `parent`, of another process, may be missing."""

    name: str
    kind: SpanKind
    context: SpanContext
    parent: SpanContext | None
    attributes: Mapping[str, AttributeValue]
    started_ns: int
    ended_ns: int
    failed: bool
    statements: Sequence[Statement] = ()


class Tracing:
    """The tracer providers of a process: `provider` for everybody, and one for spans that are made after the fact."""

    def __init__(self, resource: Resource, processors: Sequence[SpanProcessor], *, ratio: float, slow_s: float) -> None:
        self.slow_s = slow_s
        self.ratio = ratio
        root = TraceIdRatioBased(ratio)
        self._bound = root.bound
        together = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
        for processor in processors:
            together.add_span_processor(processor)
        self.ids = GivenIDs()
        self.provider = TracerProvider(
            sampler=ParentBased(root), resource=resource, id_generator=self.ids, active_span_processor=together
        )
        late = TracerProvider(
            sampler=ALWAYS_ON,
            resource=resource,
            id_generator=self.ids,
            active_span_processor=together,
            shutdown_on_exit=False,
        )
        self._late = late.get_tracer(__name__)

    def new_trace(self) -> tuple[int, bool]:
        """A trace id, and whether its trace is sampled: as the provider's sampler would decide."""
        trace_id = random.getrandbits(128) or 1  # an id, not a secret
        return trace_id, trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._bound

    def new_sampled_trace(self) -> int:
        """A trace id that the provider's sampler takes; for a decision that was made before."""
        low = random.randrange(max(1, self._bound))  # noqa: S311
        return (random.getrandbits(64) or 1) << 64 | low

    def unsampled(self, trace_id: int) -> NonRecordingSpan:
        span_id = random.getrandbits(64) or 1
        return NonRecordingSpan(SpanContext(trace_id, span_id, False, _UNSAMPLED))

    def keep(self, late: LateSpan) -> None:
        """Makes the span, and one for each of its statements, as if they had been sampled."""
        parent = late.parent or trace.INVALID_SPAN_CONTEXT
        context = Context() if not parent.is_valid else _as_parent(parent)
        with self.ids.giving(late.context.trace_id, late.context.span_id):
            span = self._late.start_span(
                late.name, context, late.kind, dict(late.attributes), start_time=late.started_ns
            )
        below = _as_parent(span.get_span_context())
        for statement in late.statements:
            make_statement_span(self._late, statement, below)
        if late.failed:
            span.set_status(StatusCode.ERROR)
        span.end(late.ended_ns)


def make_statement_span(tracer: trace.Tracer, statement: Statement, context: Context | None = None) -> None:
    span = tracer.start_span(
        operation_of(statement.sql),
        context,
        SpanKind.CLIENT,
        statement_attributes(statement),
        start_time=statement.started_ns,
    )
    if statement.error is not None:
        span.set_status(StatusCode.ERROR)
    span.end(statement.ended_ns)


def note_statement(tracer: trace.Tracer, statement: Statement) -> None:
    """A span below a span that is recorded; else remembered, in case the request is kept after all."""
    if trace.get_current_span().is_recording():
        make_statement_span(tracer, statement)
        return
    noted = noted_statements.get()
    if noted is not None and len(noted) < STATEMENTS_KEPT_MAX:
        noted.append(statement)


def _as_parent(context: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(context), Context())


def parse_traceparent(header: bytes) -> SpanContext | None:
    """The caller's span; None for what is not one. W3C Trace Context, any version's first four fields."""
    parts = header.split(b"-")
    if len(parts) < 4 or (len(parts[0]), len(parts[1]), len(parts[2]), len(parts[3])) != (2, 32, 16, 2):
        return None
    try:
        version, trace_id, span_id, flags = (int(part, 16) for part in parts[:4])
    except ValueError:
        return None
    context = SpanContext(trace_id, span_id, True, _SAMPLED if flags & 1 else _UNSAMPLED)
    return context if context.is_valid and version != 255 else None


# The process's own, for what is not handed one: set by Telemetry.install.
installed: Tracing | None = None


def install(tracing: Tracing) -> None:
    global installed
    installed = tracing
