"""One trace from a request to the last statement of the job that it asked for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import httpx2
import pytest
from dramatiq import Message
from dramatiq.broker import MessageProxy
from dramatiq.brokers.stub import StubBroker
from fastapi import APIRouter, FastAPI
from fastapi.middleware import Middleware
from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from wapsi.http.deps import WriteDep
from wapsi.http.door import Door
from wapsi.queue import outbox, registry
from wapsi.queue.jobs import Job
from wapsi.rpc.merchants.v1 import merchant_pb2, merchant_pb2_grpc
from wapsi.rpc.server import RPCServer
from wapsi.rpc.service import RPCService
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.telemetry.dramatiq_middleware import TraceMessages
from wapsi.telemetry.requests import MeasuredRequests
from wapsi.telemetry.setup import Telemetry, current_trace_id

KIND, QUEUE = "test.traced", "traced"
Finished = Callable[[], list[ReadableSpan]]
Work = Callable[[], Awaitable[None]]
UNMEASURED: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
router = APIRouter()


@router.post("/orders/{number}")
async def order(number: int, session: WriteDep) -> str | None:
    await session.scalar(text("SELECT 'in the request'"))
    await outbox.enqueue(session, KIND, {"number": number}, queue=QUEUE)
    return current_trace_id()


async def handler(job: Job) -> None:
    async with job.write() as session:
        await session.scalar(text("SELECT 'in the actor'"))


class Servicer(merchant_pb2_grpc.MerchantServiceServicer):
    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def GetMerchant(self, request: Any, context: Any) -> merchant_pb2.GetMerchantResponse:
        async with self.runtime.db.write() as session:
            await session.scalar(text("SELECT 'in the request'"))
            await outbox.enqueue(session, KIND, {"number": 1}, queue=QUEUE)
        return merchant_pb2.GetMerchantResponse(merchant=merchant_pb2.Merchant(name=current_trace_id() or ""))


@pytest.fixture
async def api(known: Runtime, telemetry: Telemetry) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI(telemetry=UNMEASURED, middleware=[Middleware(Door, measured=MeasuredRequests(telemetry))])
    app.state.runtime = known
    app.include_router(router)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://wapsi.test") as client:
        yield client


def trace_id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return format(span.context.trace_id, "032x")


def statement_of(span: ReadableSpan) -> str:
    attributes = span.attributes or {}
    return str(attributes.get("db.query.text", ""))


def assert_one_trace(spans: list[ReadableSpan], trace_id: str) -> None:
    ours = [span for span in spans if trace_id_of(span) == trace_id]
    by_id = {span.context.span_id: span for span in ours if span.context is not None}

    def one(matches: Callable[[ReadableSpan], bool]) -> ReadableSpan:
        found = [span for span in ours if matches(span)]
        assert len(found) == 1, [span.name for span in ours]
        return found[0]

    server = one(lambda span: span.kind is SpanKind.SERVER)
    producer = one(lambda span: span.kind is SpanKind.PRODUCER)
    consumer = one(lambda span: span.kind is SpanKind.CONSUMER)
    before = one(lambda span: "in the request" in statement_of(span))
    after = one(lambda span: "in the actor" in statement_of(span))

    def above(span: ReadableSpan) -> list[str]:
        names = []
        while span.parent is not None and span.parent.span_id in by_id:
            span = by_id[span.parent.span_id]
            names.append(span.name)
        return names

    assert server.name in above(before)
    assert above(producer)[-1] == server.name
    assert above(consumer)[:1] == [producer.name], "the job is not a child of what enqueued it"
    assert above(after)[-3:] == [consumer.name, producer.name, server.name]
    assert dict(consumer.attributes or {}) == {
        "messaging.system": "dramatiq",
        "messaging.destination.name": QUEUE,
        "messaging.operation.type": "process",
        "messaging.operation.name": KIND,
    }


async def test_from_an_http_request_to_the_statements_of_its_job(
    api: httpx2.AsyncClient, work: Work, traced_kind: Any, finished: Finished
) -> None:
    seen: list[str | None] = []

    async def note(job: Job) -> None:
        seen.append(current_trace_id())

    traced_kind += [handler, note]
    trace_id = (await api.post("/orders/7")).json()
    await work()
    assert seen == [trace_id]
    assert_one_trace(finished(), trace_id)


async def test_from_a_grpc_call_to_the_statements_of_its_job(
    known: Runtime, work: Work, traced_kind: Any, finished: Finished
) -> None:
    traced_kind.append(handler)
    descriptor = merchant_pb2.DESCRIPTOR.services_by_name["MerchantService"]
    permissions = {method.name: Permission.MERCHANTS_READ for method in descriptor.methods}
    add = merchant_pb2_grpc.add_MerchantServiceServicer_to_server
    server = RPCServer(known, [RPCService(descriptor, add, Servicer(known), permissions)])
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = merchant_pb2_grpc.MerchantServiceStub(channel)
        request = merchant_pb2.GetMerchantRequest(slug="daraz")
        answer = await stub.GetMerchant(request, metadata=(("authorization", "Bearer feeds"),))
    await server.stop()
    await work()
    assert_one_trace(finished(), answer.merchant.name)


async def test_a_callers_trace_is_gone_on_with(api: httpx2.AsyncClient) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    answer = await api.post("/orders/7", headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
    assert answer.json() == trace_id


async def test_jobs_of_two_requests_stay_apart(api: httpx2.AsyncClient, work: Work, traced_kind: Any) -> None:
    """One worker thread runs both: the second must not inherit what the first left."""
    seen: dict[int, str | None] = {}

    async def note(job: Job) -> None:
        seen[job.args["number"]] = current_trace_id()

    traced_kind.append(note)
    expected = {number: (await api.post(f"/orders/{number}")).json() for number in (1, 2, 3)}
    await work()
    assert seen == expected
    assert len(set(expected.values())) == 3


async def test_a_job_that_nobody_asked_for_has_a_trace_of_its_own(
    runtime: Runtime, work: Work, traced_kind: Any, admin_sql: Any
) -> None:
    seen: list[str | None] = []

    async def note(job: Job) -> None:
        seen.append(current_trace_id())

    traced_kind.append(note)
    async with runtime.db.write() as session:
        await outbox.enqueue(session, KIND, {"number": 1}, queue=QUEUE)
    await admin_sql("UPDATE jobs SET trace_context = '{}'")
    await work()
    assert len(seen) == 1
    assert seen[0] is not None


async def test_a_message_whose_processing_fails_is_an_error_in_its_trace(
    known: Runtime, work: Work, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the job's own failures, which the jobs table records: here the job cannot even be claimed."""
    monkeypatch.delitem(registry.JOB_KINDS, KIND)
    async with known.db.write() as session:
        await outbox.enqueue(session, KIND, {"number": 1}, queue=QUEUE)
    working = asyncio.ensure_future(work())
    async with asyncio.timeout(10):
        while not (consumers := [span for span in finished() if span.kind is SpanKind.CONSUMER]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    async with known.db.write() as session:
        await session.execute(text("DELETE FROM jobs"))
    await working
    [consumer] = consumers
    assert consumer.status.status_code is StatusCode.ERROR
    assert consumer.status.description == "UnknownJobKind"


async def test_statements_are_spans_without_their_parameters(
    runtime: Runtime, telemetry: Telemetry, finished: Finished
) -> None:
    with telemetry.tracers.get_tracer("test").start_as_current_span("request"):
        async with runtime.db.read() as session:
            await session.scalar(text("SELECT CAST(:iban AS text)"), {"iban": "PK36SCBL0000001123456702"})
    [span] = [span for span in finished() if "CAST" in statement_of(span)]
    assert span.kind is SpanKind.CLIENT
    assert (span.attributes or {})["db.system.name"] == "postgresql"
    assert "PK36SCBL" not in span.to_json()


async def test_a_failed_statement_is_an_error_in_its_span(
    runtime: Runtime, telemetry: Telemetry, finished: Finished
) -> None:
    with telemetry.tracers.get_tracer("test").start_as_current_span("request"), pytest.raises(DBAPIError):
        async with runtime.db.read() as session:
            await session.scalar(text("SELECT no_such_column"))
    [span] = [span for span in finished() if "no_such_column" in statement_of(span)]
    assert span.status.status_code is StatusCode.ERROR


async def test_query_strings_do_not_leave_in_spans(api: httpx2.AsyncClient, finished: Finished) -> None:
    await api.post("/orders/7?token=s3cret&q=ring")
    [span] = [span for span in finished() if span.kind is SpanKind.SERVER]
    assert "url.query" not in (span.attributes or {})
    assert (span.attributes or {})["http.route"] == "/orders/{number}"
    assert not [one.name for one in finished() if "s3cret" in one.to_json()]


def test_click_tokens_do_not_leave_in_spans(telemetry: Telemetry, finished: Finished) -> None:
    tracer = telemetry.tracers.get_tracer("test")
    with tracer.start_as_current_span("GET", attributes={"url.path": "/r/AaQOUrUxdmqFGIWaBAZNUw"}):
        pass
    with tracer.start_as_current_span("GET", attributes={"url.path": "/readyz"}):
        pass
    assert [(span.attributes or {})["url.path"] for span in finished()] == ["/r/REDACTED", "/readyz"]


def test_outside_of_any_trace_there_is_no_trace_id() -> None:
    assert current_trace_id() is None


@pytest.mark.parametrize("ended", ["processed", "skipped"])
def test_a_worker_thread_is_left_as_it_was(telemetry: Telemetry, ended: str) -> None:
    middleware, broker = TraceMessages(), StubBroker()
    message = MessageProxy(Message(queue_name=QUEUE, actor_name=KIND, args=(), kwargs={}, options={}))
    middleware.before_process_message(broker, message)
    assert current_trace_id() is not None
    if ended == "processed":
        middleware.after_process_message(broker, message)
    else:
        middleware.after_skip_message(broker, message)
    assert current_trace_id() is None


def test_inside_of_one_it_is_32_hexadecimal_digits(telemetry: Telemetry) -> None:
    with telemetry.tracers.get_tracer("test").start_as_current_span("outer"):
        outer = current_trace_id()
        with trace.get_tracer("test").start_as_current_span("inner"):
            assert current_trace_id() == outer
    assert outer is not None
    assert len(outer) == 32
