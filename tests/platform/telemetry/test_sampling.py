"""Which requests leave a trace: a share of all, and in any case what failed or was slow, with the ids of its logs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
from dramatiq import Message
from dramatiq.broker import MessageProxy
from dramatiq.brokers.stub import StubBroker
from fastapi import APIRouter, FastAPI, Response
from fastapi.middleware import Middleware
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import text
from structlog.testing import capture_logs

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.http.door import Door
from wapsi.http.middleware import AccessLog
from wapsi.telemetry import tracing
from wapsi.telemetry.calls import record_call
from wapsi.telemetry.dramatiq_middleware import TraceMessages
from wapsi.telemetry.hot_reads import HotReads
from wapsi.telemetry.redaction import Redacting
from wapsi.telemetry.requests import MeasuredRequests
from wapsi.telemetry.settings import TelemetrySettings
from wapsi.telemetry.setup import Telemetry, current_trace_id
from wapsi.telemetry.tracing import parse_traceparent

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SLOW_MS = 50.0
Made = tuple[Telemetry, InMemorySpanExporter, InMemoryMetricReader]


@pytest.fixture
def make() -> Iterator[Callable[..., Made]]:
    """Telemetry with this ratio of sampled traces, its spans as they would be exported, and its metrics."""
    made: list[Telemetry] = []

    def make(ratio: float, **settings: Any) -> Made:
        spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
        telemetry = Telemetry(
            "test",
            TelemetrySettings(trace_sample_ratio=ratio, trace_slow_ms=SLOW_MS, **settings),
            extra_processors=(SimpleSpanProcessor(Redacting(spans)),),
            extra_readers=(reader,),
        )
        made.append(telemetry)
        return telemetry, spans, reader

    yield make
    for telemetry in made:
        telemetry.shutdown()


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:
    """With statements that only the test's own telemetry sees."""
    db = Database(settings, role="test")
    yield db
    await db.dispose()


def client(telemetry: Telemetry, db: Database | None = None) -> httpx2.AsyncClient:
    router = APIRouter()

    @router.get("/offers/{number}")
    async def offers(number: int) -> str | None:
        return current_trace_id()

    @router.get("/slow")
    async def slow() -> str | None:
        await asyncio.sleep(1.2 * SLOW_MS / 1000)
        return current_trace_id()

    @router.get("/broken")
    async def broken() -> Response:
        if db is not None:
            async with db.read() as session:
                await session.scalar(text("SELECT 'before it broke'"))
        return Response(current_trace_id(), status_code=503)

    @router.post("/offers")
    async def make() -> None:
        return None

    app = FastAPI(
        telemetry={"tracing": False, "metrics": False, "logs": False},
        middleware=[Middleware(Door, measured=MeasuredRequests(telemetry), log=AccessLog(sample=True, slow_s=0.05))],
    )
    app.include_router(router)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://wapsi.test")


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return format(span.context.trace_id, "032x")


def counts(reader: InMemoryMetricReader, name: str) -> dict[Any, Any]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        tuple(sorted(point.attributes.items())): point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    }


async def test_a_request_that_is_not_sampled_leaves_no_span_but_has_a_trace_id_and_is_counted(make: Any) -> None:
    telemetry, spans, reader = make(0.0)
    async with client(telemetry) as api:
        trace_id = (await api.get("/offers/1")).json()
    assert len(trace_id) == 32
    assert not spans.get_finished_spans()
    [(attributes, point)] = counts(reader, "http.server.request.duration").items()
    assert dict(attributes)["http.route"] == "/offers/{number}"
    assert point.count == 1
    assert 0 < point.sum < 1


async def test_about_the_configured_share_is_sampled(make: Any) -> None:
    telemetry, spans, _ = make(0.5)
    async with client(telemetry) as api:
        for _ in range(200):
            await api.get("/offers/1")
    assert 60 < len(spans.get_finished_spans()) < 140


async def test_what_fails_is_kept_with_the_statements_that_led_there(make: Any, db: Database) -> None:
    telemetry, spans, _ = make(0.0)
    telemetry.instrument_engines(*db.engines)
    async with client(telemetry, db) as api:
        trace_id = (await api.get("/broken?token=s3cret")).text
    [root] = [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]
    below = [span for span in spans.get_finished_spans() if span.kind is SpanKind.CLIENT]
    assert (root.name, root.status.status_code) == ("GET /broken", StatusCode.ERROR)
    assert trace_of(root) == trace_id, "its log lines and what was stored would name another trace"
    statements = [str((span.attributes or {})["db.query.text"]) for span in below]
    assert "SELECT 'before it broke'" in statements
    for span in below:
        assert span.parent is not None
        assert root.context is not None
        assert span.parent.span_id == root.context.span_id
        assert root.start_time is not None
        assert root.start_time <= (span.start_time or 0) <= (span.end_time or 0) <= (root.end_time or 0)
    assert "s3cret" not in root.to_json()


async def test_what_is_slow_is_kept(make: Any) -> None:
    telemetry, spans, _ = make(0.0)
    async with client(telemetry) as api:
        trace_id = (await api.get("/slow")).json()
    [root] = spans.get_finished_spans()
    assert (root.name, trace_of(root)) == ("GET /slow", trace_id)
    assert (root.end_time or 0) - (root.start_time or 0) >= SLOW_MS * 1e6


@pytest.mark.parametrize(("flags", "ratio", "sampled"), [("01", 0.0, True), ("00", 1.0, False)])
async def test_a_caller_has_decided_already(make: Any, flags: str, ratio: float, sampled: bool) -> None:
    telemetry, spans, _ = make(ratio)
    async with client(telemetry) as api:
        answer = await api.get("/offers/1", headers={"traceparent": f"00-{TRACE}-{CALLER}-{flags}"})
    assert answer.json() == TRACE
    assert [trace_of(span) for span in spans.get_finished_spans()] == ([TRACE] if sampled else [])


async def test_a_failure_below_an_unsampled_caller_is_kept_as_its_child(make: Any) -> None:
    telemetry, spans, _ = make(0.0)
    async with client(telemetry) as api:
        await api.get("/broken", headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})
    [root] = spans.get_finished_spans()
    assert root.parent is not None
    assert (trace_of(root), format(root.parent.span_id, "016x")) == (TRACE, CALLER)


@pytest.mark.parametrize(
    "header",
    [b"", b"00", b"00-zz-aa-01", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01", b"ff-%s-b7ad6b7169203331-01", b"-" * 55],
)
def test_what_is_no_traceparent_is_none(header: bytes) -> None:
    assert parse_traceparent(header.replace(b"%s", TRACE.encode())) is None


async def test_the_successes_of_unsampled_requests_have_no_access_line_and_all_else_has(make: Any) -> None:
    telemetry, _, _ = make(0.0)
    async with client(telemetry) as api:
        with capture_logs() as logs:
            await api.get("/offers/1")
            await api.get("/offers/none")
            await api.get("/slow")
            await api.post("/offers")
            await api.get("/offers/2", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    lines = [(line["route"], line["status"]) for line in logs if line["event"] == "http_request"]
    assert lines == [("/offers/{number}", 422), ("/slow", 200), ("/offers", 200), ("/offers/{number}", 200)]


def test_a_message_whose_processing_fails_is_kept(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry, spans, _ = make(0.0)
    monkeypatch.setattr(tracing, "installed", telemetry.tracing)
    middleware, broker = TraceMessages(), StubBroker()
    middleware._tracer = telemetry.tracers.get_tracer("test")
    options = {"trace_context": {"traceparent": f"00-{TRACE}-{CALLER}-00"}}
    for error in (None, RuntimeError("no such job")):
        message = MessageProxy(Message(queue_name="ingest", actor_name="x", args=(), kwargs={}, options=options))
        middleware.before_process_message(broker, message)
        middleware.after_process_message(broker, message, exception=error)
    [span] = spans.get_finished_spans()
    assert (trace_of(span), span.kind, span.status.status_code) == (TRACE, SpanKind.CONSUMER, StatusCode.ERROR)
    assert span.parent is not None
    assert format(span.parent.span_id, "016x") == CALLER


async def test_switched_off_nothing_is_measured(make: Any) -> None:
    telemetry, spans, reader = make(1.0, telemetry_enabled=False)
    HotReads(telemetry).record(scope(), "/v1/offers", 200, 0.0)
    assert not spans.get_finished_spans()
    assert not counts(reader, "http.server.request.duration")


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/v1/offers", "headers": [(b"host", b"x"), *headers]}


def test_answers_from_memory_are_counted_with_the_others(make: Any) -> None:
    telemetry, spans, reader = make(0.0)
    hot = HotReads(telemetry)
    for _ in range(3):
        hot.record(scope(), "/v1/offers", 200, 0.0)
    hot.record(scope(), "/v1/offers", 304, 0.0)
    for outcome in ("hit", "hit", "miss"):
        hot.count(outcome)
    found = counts(reader, "http.server.request.duration")
    by_status = {dict(attributes)["http.response.status_code"]: point.count for attributes, point in found.items()}
    assert by_status == {200: 3, 304: 1}
    cache = {dict(a)["outcome"]: point.value for a, point in counts(reader, "wapsi.cache.requests").items()}
    assert (cache["hit"], cache["miss"], cache["stale"]) == (2, 1, 0)
    assert not spans.get_finished_spans()


def test_a_sampled_answer_from_memory_is_a_span_of_its_duration_and_an_exemplar(make: Any) -> None:
    telemetry, spans, reader = make(0.0)
    traceparent = (b"traceparent", f"00-{TRACE}-{CALLER}-01".encode())
    HotReads(telemetry).record(scope(traceparent), "/v1/offers", 200, 0.0)
    [span] = spans.get_finished_spans()
    assert (span.name, trace_of(span)) == ("GET /v1/offers", TRACE)
    assert (span.end_time or 0) > (span.start_time or 0)
    [point] = counts(reader, "http.server.request.duration").values()
    assert [format(example.trace_id, "032x") for example in point.exemplars] == [TRACE]


def test_with_a_ratio_of_one_every_answer_from_memory_is_a_span(make: Any) -> None:
    telemetry, spans, _ = make(1.0)
    for _ in range(20):
        HotReads(telemetry).record(scope(), "/v1/offers", 200, 0.0)
    assert len({trace_of(span) for span in spans.get_finished_spans()}) == 20


def test_a_call_that_fails_on_our_side_is_kept(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry, spans, _ = make(0.0)
    monkeypatch.setattr(tracing, "installed", telemetry.tracing)
    with telemetry.tracers.get_tracer("test").start_as_current_span("call"):
        record_call("/package.Service/Fine", "OK", 0.01, is_stream=False)
        record_call("/package.Service/Theirs", "NOT_FOUND", 0.01, is_stream=False)
        record_call("/package.Service/Pushing", "OK", 30.0, is_stream=True)
        record_call("/package.Service/Slow", "OK", 0.2, is_stream=False)
        record_call("/package.Service/Broken", "INTERNAL", 0.01, is_stream=False)
    kept = {(span.name, span.status.status_code) for span in spans.get_finished_spans()}
    assert kept == {("package.Service/Slow", StatusCode.UNSET), ("package.Service/Broken", StatusCode.ERROR)}
