"""The gRPC server's shell around a servicer of the test's own: errors, permissions, health, limits, shutdown."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from structlog.testing import capture_logs

from wapsi.config import Environment
from wapsi.errors import Category, DomainError, FieldViolation
from wapsi.rpc.errors import reason_of
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc
from wapsi.rpc.server import MAX_MESSAGE_BYTES, RPCServer
from wapsi.rpc.service import RPCService, UndeclaredMethod, current_principal
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission

SECRET = "PK36SCBL0000001123456702"
FEEDS = (("authorization", "Bearer feeds"),)
SERVICE = pb.DESCRIPTOR.services_by_name["OfferSyncService"]
PERMISSIONS = {method.name: Permission.SYNCS_WRITE for method in SERVICE.methods} | {
    "ValidateOffers": Permission.LEDGER_READ
}


class Servicer(pb_grpc.OfferSyncServiceServicer):
    """What to do is what the sync id says: a category of error, "crash", "wait", or else answer."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def _do(self, what: str) -> None:
        if what in Category.__members__:
            kind = type("Failed", (DomainError,), {"category": Category[what], "reason": "IT_FAILED"})
            raise kind("It failed.", violations=[FieldViolation("a.b", "is odd")], merchant="daraz", n=7)
        if what == "crash":
            raise RuntimeError(f"could not parse {SECRET}")
        if what == "wait":
            self.entered.set()
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise

    async def GetSync(self, request: pb.GetSyncRequest, context: Any) -> pb.GetSyncResponse:
        await self._do(request.sync_id)
        return pb.GetSyncResponse(sync=pb.Sync(sync_id=request.sync_id, merchant=str(current_principal())))

    async def WatchSync(self, request: pb.WatchSyncRequest, context: Any) -> AsyncIterator[pb.WatchSyncResponse]:
        yield pb.WatchSyncResponse(sync=pb.Sync(merchant=str(current_principal())))
        await self._do(request.sync_id)

    async def PushOffers(
        self, requests: AsyncIterator[pb.PushOffersRequest], context: Any
    ) -> AsyncIterator[pb.PushOffersResponse]:
        async for request in requests:
            await self._do(request.sync_id)
            yield pb.PushOffersResponse(committed_offset=request.offset + len(request.items))

    async def ValidateOffers(self, request: pb.ValidateOffersRequest, context: Any) -> pb.ValidateOffersResponse:
        return pb.ValidateOffersResponse(accepted=len(request.items))


def service(servicer: Servicer, **update: Any) -> RPCService:
    made = RPCService(SERVICE, pb_grpc.add_OfferSyncServiceServicer_to_server, servicer, PERMISSIONS)
    return replace(made, **update)


def with_settings(runtime: Runtime, **update: Any) -> Runtime:
    return replace(runtime, settings=runtime.settings.model_copy(update=update))


@pytest.fixture
def servicer() -> Servicer:
    return Servicer()


@pytest.fixture
async def server(known: Runtime, servicer: Servicer) -> AsyncIterator[RPCServer]:
    server = RPCServer(with_settings(known, shutdown_grace_s=0.5), [service(servicer)])
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def channel(server: RPCServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return pb_grpc.OfferSyncServiceStub(channel)


async def get(stub: Any, what: str = "s1", metadata: Any = FEEDS) -> pb.GetSyncResponse:
    return await stub.GetSync(pb.GetSyncRequest(sync_id=what), metadata=metadata)


async def watch(stub: Any, what: str = "s1", metadata: Any = FEEDS) -> list[pb.WatchSyncResponse]:
    return [response async for response in stub.WatchSync(pb.WatchSyncRequest(sync_id=what), metadata=metadata)]


async def push(stub: Any, what: str = "s1", metadata: Any = FEEDS) -> list[pb.PushOffersResponse]:
    requests = iter([pb.PushOffersRequest(sync_id=what, items=[pb.OfferItem().SerializeToString()])])
    return [response async for response in stub.PushOffers(requests, metadata=metadata)]


CALLS = pytest.mark.parametrize("call", [get, watch, push], ids=["unary", "server stream", "both stream"])


def details_of(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        assert detail.Unpack(info) or detail.Unpack(bad)
    return info, bad


@pytest.mark.parametrize("category", Category, ids=lambda category: category.name)
async def test_a_domain_error_of_each_category_is_its_row_of_the_table(stub: Any, category: Category) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await get(stub, category.name)
    error = refused.value
    assert error.code().name == category.grpc_code
    assert error.details() == "It failed."
    assert reason_of(error) == "IT_FAILED"
    info, bad = details_of(error)
    assert (info.reason, info.domain, dict(info.metadata)) == ("IT_FAILED", "wapsi", {"merchant": "daraz", "n": "7"})
    assert [(violation.field, violation.description) for violation in bad.field_violations] == [("a.b", "is odd")]


@pytest.mark.parametrize("call", [watch, push], ids=["server stream", "both stream"])
async def test_a_domain_error_ends_a_stream_alike(stub: Any, call: Callable[..., Any]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(stub, "OUT_OF_RANGE")
    assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert reason_of(refused.value) == "IT_FAILED"


@CALLS
async def test_an_unexpected_exception_tells_only_where_to_ask(stub: Any, call: Callable[..., Any]) -> None:
    with capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(stub, "crash")
    error = failed.value
    assert error.code() is grpc.StatusCode.INTERNAL
    for private in (SECRET, "RuntimeError", "could not parse"):
        assert private not in str(error)
        assert private not in str(error.trailing_metadata())
    info, _ = details_of(error)
    correlation_id = info.metadata["correlation_id"]
    assert correlation_id in (error.details() or "")
    [line] = [line for line in logs if line["event"] == "rpc_failed"]
    assert line["correlation_id"] == correlation_id
    assert isinstance(line["exc_info"], RuntimeError)


@CALLS
@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "CREDENTIALS_MISSING"),
        ((("authorization", "feeds"),), "CREDENTIALS_MISSING"),
        ((("authorization", "Bearer nobody"),), "CREDENTIALS_INVALID"),
    ],
    ids=["missing", "without a scheme", "unknown"],
)
async def test_without_good_credentials_no_call_is_made(
    stub: Any, servicer: Servicer, call: Callable[..., Any], metadata: Any, reason: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(stub, "wait", metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason_of(refused.value) == reason
    assert not servicer.entered.is_set()


@CALLS
async def test_without_the_permission_no_call_is_made(stub: Any, servicer: Servicer, call: Callable[..., Any]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(stub, "wait", (("authorization", "Bearer asma"),))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    info, _ = details_of(refused.value)
    assert (info.reason, info.metadata["permission"]) == ("PERMISSION_MISSING", "syncs:write")
    assert not servicer.entered.is_set()


async def test_each_method_has_its_own_permission(stub: Any) -> None:
    request = pb.ValidateOffersRequest(items=[pb.OfferItem()])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ValidateOffers(request, metadata=FEEDS)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    answer = await stub.ValidateOffers(request, metadata=(("authorization", "Bearer admin"),))
    assert answer.accepted == 1


async def test_the_principal_is_the_calls_own(stub: Any) -> None:
    callers = ("feeds", "admin") * 10
    answers = await asyncio.gather(*(get(stub, metadata=(("authorization", f"Bearer {name}"),)) for name in callers))
    kinds = [answer.sync.merchant.partition(":")[0] for answer in answers]
    assert kinds == ["producer", "operator"] * 10
    assert (await watch(stub))[0].sync.merchant.startswith("producer:")


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary("/wapsi.rpc.offers.v1.OfferSyncService/DropEverything")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"", metadata=FEEDS)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "permissions",
    [
        {name: needed for name, needed in PERMISSIONS.items() if name != "CancelSync"},
        PERMISSIONS | {"DropEverything": Permission.SYNCS_WRITE},
        {},
    ],
    ids=["one missing", "one too many", "none"],
)
async def test_a_method_without_a_permission_keeps_the_server_from_starting(
    known: Runtime, servicer: Servicer, permissions: Any
) -> None:
    with pytest.raises(UndeclaredMethod, match=r"OfferSyncService: .*(CancelSync|DropEverything)"):
        RPCServer(known, [service(servicer, permissions=permissions)])


@contextlib.asynccontextmanager
async def running(runtime: Runtime, servicer: Servicer) -> AsyncIterator[tuple[RPCServer, grpc.aio.Channel]]:
    server = RPCServer(runtime, [service(servicer)])
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield server, channel
    await server.stop()


@pytest.mark.parametrize("name", ["", SERVICE.full_name])
async def test_health_says_serving_and_then_not_serving_before_the_server_stops(
    known: Runtime, servicer: Servicer, name: str
) -> None:
    async with running(with_settings(known, shutdown_grace_s=0.3), servicer) as (server, channel):
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=name)
        watching = health.Watch(request)
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.ensure_future(server.stop())
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await stopping


async def test_a_call_in_flight_finishes_when_the_server_stops(known: Runtime, servicer: Servicer) -> None:
    async with running(with_settings(known, shutdown_grace_s=5.0), servicer) as (server, channel):
        stub = pb_grpc.OfferSyncServiceStub(channel)
        call = asyncio.ensure_future(get(stub, "wait"))
        await servicer.entered.wait()
        stopping = asyncio.ensure_future(server.stop())
        await asyncio.sleep(0.1)
        assert not stopping.done(), "it did not wait for the call"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await get(stub)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        servicer.go_on.set()
        assert (await call).sync.sync_id == "wait"
        await asyncio.wait_for(stopping, 2)


async def test_a_call_that_outlasts_the_grace_is_cancelled(known: Runtime, servicer: Servicer) -> None:
    async with running(with_settings(known, shutdown_grace_s=0.1), servicer) as (server, channel):
        call = asyncio.ensure_future(get(pb_grpc.OfferSyncServiceStub(channel), "wait"))
        await servicer.entered.wait()
        await asyncio.wait_for(server.stop(), 2)
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        await asyncio.wait_for(servicer.cancelled.wait(), 2)


async def reflected(channel: grpc.aio.Channel) -> set[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    async for response in stub.ServerReflectionInfo(requests):
        return {found.name for found in response.list_services_response.service}
    return set()


async def test_reflection_lists_the_services(channel: grpc.aio.Channel) -> None:
    assert await reflected(channel) == {
        SERVICE.full_name,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize(
    ("environment", "reflection", "offered"),
    [
        (Environment.PRODUCTION, None, False),
        (Environment.PRODUCTION, True, True),
        (Environment.DEVELOPMENT, None, True),
        (Environment.DEVELOPMENT, False, False),
    ],
)
async def test_reflection_is_off_in_production_unless_asked_for(
    known: Runtime, servicer: Servicer, environment: Environment, reflection: bool | None, offered: bool
) -> None:
    runtime = with_settings(known, environment=environment, grpc_reflection=reflection)
    async with running(runtime, servicer) as (_, channel):
        if offered:
            assert SERVICE.full_name in await reflected(channel)
            return
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await reflected(channel)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def message_of(size_bytes: int) -> pb.PushOffersRequest:
    offer = pb.Offer(offer_id="1", description="x" * size_bytes)
    return pb.PushOffersRequest(sync_id="s1", items=[pb.OfferItem(offer=offer).SerializeToString()])


async def test_a_message_within_the_limit_passes(stub: Any) -> None:
    requests = iter([message_of(MAX_MESSAGE_BYTES - 100)])
    assert [r.committed_offset async for r in stub.PushOffers(requests, metadata=FEEDS)] == [1]


async def test_a_message_over_4_mib_is_refused(stub: Any, servicer: Servicer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for _ in stub.PushOffers(iter([message_of(MAX_MESSAGE_BYTES)]), metadata=FEEDS):
            pass
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await get(stub)).sync.sync_id == "s1", "the server is the worse for it"


async def test_a_message_that_unpacks_to_too_much_is_refused(server: RPCServer) -> None:
    target = f"127.0.0.1:{server.port}"
    async with grpc.aio.insecure_channel(target, compression=grpc.Compression.Gzip) as channel:
        stub = pb_grpc.OfferSyncServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in stub.PushOffers(iter([message_of(MAX_MESSAGE_BYTES * 4)]), metadata=FEEDS):
                pass
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_of_20_kb_is_refused(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await get(stub, metadata=(*FEEDS, ("x-padding", "x" * 20_000)))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("method", ["GetSync", "WatchSync", "PushOffers"])
async def test_garbage_instead_of_a_message_is_the_callers_fault(
    channel: grpc.aio.Channel, stub: Any, method: str
) -> None:
    garbage = b"\xff\xff\xff garbage"
    path = f"/{SERVICE.full_name}/{method}"
    call: Any = {
        "GetSync": lambda: channel.unary_unary(path)(garbage, metadata=FEEDS),
        "WatchSync": lambda: channel.unary_stream(path)(garbage, metadata=FEEDS).read(),
        "PushOffers": lambda: channel.stream_stream(path)(iter([garbage]), metadata=FEEDS).read(),
    }[method]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call()
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused.value) == "MESSAGE_MALFORMED"
    assert "DecodeError" not in str(refused.value)
    assert (await get(stub)).sync.sync_id == "s1"


async def test_a_taken_port_is_said_at_start(known: Runtime, server: RPCServer, servicer: Servicer) -> None:
    other = RPCServer(with_settings(known, grpc_port=server.port), [service(servicer)])
    with pytest.raises(RuntimeError, match=str(server.port)):
        await other.start()
    await other.stop()


async def test_each_call_is_one_line_in_the_log_with_its_code(stub: Any) -> None:
    with capture_logs() as logs:
        await get(stub)
        for what in ("NOT_FOUND", "crash"):
            with pytest.raises(grpc.aio.AioRpcError):
                await get(stub, what)
    lines = [line for line in logs if line["event"] == "rpc"]
    assert [line["code"] for line in lines] == ["OK", "NOT_FOUND", "INTERNAL"]
    assert {line["method"] for line in lines} == {f"/{SERVICE.full_name}/GetSync"}
