"""Every request, timed and traced, by wapsi.http.door.

FastAPI's own telemetry costs 70 µs a request where the trace is not sampled (docs/observability.md has the figures);
this one a tenth of that, with the same names, and it keeps the traces of what failed or was slow.
"""

import time
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue
from starlette.types import Scope

from wapsi.telemetry.durations import Series
from wapsi.telemetry.redaction import safe_path
from wapsi.telemetry.setup import Telemetry
from wapsi.telemetry.tracing import LateSpan, Statement, noted_statements, parse_traceparent

_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
_SCHEMES = frozenset({"http", "https"})


class Measured:
    """One request that is under way."""

    __slots__ = ("_noting", "_of", "_parent", "_span", "_started_ns", "_started_s", "_statements", "_token")

    def __init__(self, of: "MeasuredRequests", scope: Scope) -> None:
        self._of = of
        self._started_ns, self._started_s = time.time_ns(), time.perf_counter()
        self._parent = parent = _parent(scope)
        tracing = of.tracing
        if parent is None:
            trace_id, sampled = tracing.new_trace()
        else:
            trace_id, sampled = parent.trace_id, parent.trace_flags.sampled
        self._span: trace.Span
        # None where it is sampled.
        self._statements: list[Statement] | None
        if sampled:
            self._span, self._statements = of.start(scope, parent, trace_id, self._started_ns), None
        else:
            self._span, self._statements = tracing.unsampled(trace_id), []
        of.telemetry.active_requests += 1
        self._noting = noted_statements.set(self._statements)
        self._token = otel_context.attach(trace.set_span_in_context(self._span, Context()))

    def end(self, scope: Scope, status: int, error: BaseException | None) -> None:
        """`status` is 0 where nothing was answered."""
        of, span = self._of, self._span
        duration_s = time.perf_counter() - self._started_s
        otel_context.detach(self._token)
        noted_statements.reset(self._noting)
        of.telemetry.active_requests -= 1
        error_type = _error_type(status, error)
        series = of.series_of(scope, status, error_type)
        series.add(duration_s)
        if self._statements is None:
            of.end(span, scope, status, error_type)
            series.add_example(duration_s, time.time_ns(), span.get_span_context())
        elif error_type is not None or duration_s >= of.tracing.slow_s:
            started_ns, statements = self._started_ns, self._statements
            of.keep(span, scope, self._parent, status, error_type, started_ns, duration_s, statements)


class MeasuredRequests:
    """Of a process: `begin` and the `end` of what it gives stand around a request, in one task."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.tracing = telemetry.tracing
        self._tracer = telemetry.tracers.get_tracer(__name__)
        self._series: dict[tuple[str, str, str | None, int, str | None], Series] = {}

    def begin(self, scope: Scope) -> Measured:
        return Measured(self, scope)

    def start(self, scope: Scope, parent: SpanContext | None, trace_id: int, started_ns: int) -> trace.Span:
        context = Context()
        if parent is not None:
            context = trace.set_span_in_context(NonRecordingSpan(parent), context)
        with self.tracing.ids.giving(trace_id):
            return self._tracer.start_span(
                _method(scope), context, SpanKind.SERVER, _request_attributes(scope), start_time=started_ns
            )

    def end(self, span: trace.Span, scope: Scope, status: int, error_type: str | None) -> None:
        span.update_name(_name(scope))
        span.set_attributes(_answer_attributes(scope, status, error_type))
        if error_type is not None:
            span.set_status(StatusCode.ERROR)
        span.end()

    def keep(
        self,
        span: trace.Span,
        scope: Scope,
        parent: SpanContext | None,
        status: int,
        error_type: str | None,
        started_ns: int,
        duration_s: float,
        statements: Any,
    ) -> None:
        attributes = _request_attributes(scope) | _answer_attributes(scope, status, error_type)
        late = LateSpan(
            name=_name(scope),
            kind=SpanKind.SERVER,
            context=span.get_span_context(),
            parent=parent,
            attributes=attributes,
            started_ns=started_ns,
            ended_ns=started_ns + int(duration_s * 1e9),
            failed=error_type is not None,
            statements=statements,
        )
        self.tracing.keep(late)

    def series_of(self, scope: Scope, status: int, error_type: str | None) -> Series:
        key = (scope["method"], scope.get("scheme", "http"), _route(scope), status, error_type)
        found = self._series.get(key)
        if found is None:
            attributes: dict[str, str | int] = {
                "http.request.method": _method(scope),
                # Not whatever a caller may say it is.
                "url.scheme": key[1] if key[1] in _SCHEMES else "http",
            }
            if key[2] is not None:
                attributes["http.route"] = key[2]
            if status:
                attributes["http.response.status_code"] = status
            if error_type is not None:
                attributes["error.type"] = error_type
            found = self.telemetry.requests.series(attributes)
            if scope["method"] in _METHODS:
                self._series[key] = found
        return found


def _parent(scope: Scope) -> SpanContext | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return parse_traceparent(value)
    return None


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "_OTHER"


def _route(scope: Scope) -> str | None:
    return getattr(scope.get("route"), "path", None)


def _name(scope: Scope) -> str:
    route = _route(scope)
    return _method(scope) if route is None else f"{_method(scope)} {route}"


def _error_type(status: int, error: BaseException | None) -> str | None:
    if error is not None:
        return type(error).__qualname__
    if status >= 500:
        return str(status)
    # Nothing was answered: the client went away.
    return None if status else "incomplete_response"


def _request_attributes(scope: Scope) -> dict[str, AttributeValue]:
    """No query string: it carries tokens and search terms."""
    attributes: dict[str, AttributeValue] = {
        "http.request.method": _method(scope),
        "url.scheme": scope.get("scheme", "http"),
        "url.path": safe_path(scope["path"]),
        "network.protocol.version": scope.get("http_version", "1.1"),
    }
    server = scope.get("server")
    if server is not None:
        attributes["server.address"] = server[0]
        if server[1] is not None:
            attributes["server.port"] = server[1]
    return attributes


def _answer_attributes(scope: Scope, status: int, error_type: str | None) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {}
    route = _route(scope)
    if route is not None:
        attributes["http.route"] = route
    if status:
        attributes["http.response.status_code"] = status
    if error_type is not None:
        attributes["error.type"] = error_type
    return attributes
