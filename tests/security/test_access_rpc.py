"""The authorisation matrix of gRPC: every method of all protos, called by everybody; access.toml says what is right."""

import asyncio
import importlib
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToJson, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import wapsi.rpc
from tests.security.access import BAD_CREDENTIALS, NO_CREDENTIALS, TURNED_AWAY, Row, rows
from tests.security.world import World
from wapsi.roots.grpc_app import make_rpc_server
from wapsi.rpc.cashback.v1 import conversion_pb2
from wapsi.rpc.errors import reason_of
from wapsi.runtime import Runtime

ROWS = rows("rpc")
CALL_LIMIT_S = 10.0
Everything = Callable[[], Awaitable[dict[str, str]]]


def methods() -> dict[str, MethodDescriptor]:
    """{"/package.Service/Method": descriptor} of all our protos, and of the two services that come with gRPC."""
    modules: list[Any] = [health_pb2, reflection_pb2]
    for module in pkgutil.walk_packages(wapsi.rpc.__path__, "wapsi.rpc."):
        if module.name.endswith("_pb2"):
            modules.append(importlib.import_module(module.name))
    return {
        f"/{service.full_name}/{method.name}": method
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


METHODS = methods()


@dataclass(frozen=True)
class Answer:
    """`text` is the first message of a stream; the reason is the one of the error's details."""

    code: str
    reason: str
    text: str

    @property
    def told(self) -> str:
        return f"{self.code} {self.reason}".strip()


@pytest.fixture
async def channel(runtime: Runtime) -> AsyncIterator[grpc.aio.Channel]:
    server = make_rpc_server(runtime)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
    await server.stop()


class Call:
    """One row, ready to be called: its things are made, the same for every caller."""

    def __init__(self, world: World, channel: grpc.aio.Channel, row: Row) -> None:
        self.world = world
        self.row = row
        self.method = METHODS[row.name]
        kinds = self.method.client_streaming, self.method.server_streaming
        make = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, True): channel.stream_stream,
        }[kinds]
        self._call: Any = make(
            row.name,
            request_serializer=lambda message: message.SerializeToString(deterministic=True),
            response_deserializer=GetMessageClass(self.method.output_type).FromString,
        )
        self.things: dict[str, str] = {}

    async def prepare(self) -> None:
        if self.row.shows:
            await self.world.filled(f"{{{self.row.shows}}}", self.things)
        fields = await self.world.filled(self.row.body or {}, self.things)
        self.request = ParseDict(fields, GetMessageClass(self.method.input_type)())

    async def __call__(self, bearer: str | None) -> Answer:
        metadata = () if bearer is None else (("authorization", f"Bearer {bearer}"),)
        request = iter([self.request]) if self.method.client_streaming else self.request
        call = self._call(request, metadata=metadata, timeout=CALL_LIMIT_S)
        try:
            response = await (call.read() if self.method.server_streaming else call)
        except grpc.aio.AioRpcError as error:
            return Answer(error.code().name, reason_of(error) or "", error.details() or "")
        finally:
            call.cancel()
        return Answer("OK", "", MessageToJson(response))


def test_every_method_has_a_row_and_every_row_a_method() -> None:
    assert len(METHODS) >= 17
    named = {row.name for row in ROWS}
    assert METHODS.keys() - named == set(), "methods without a row in tests/security/access.toml"
    assert named - METHODS.keys() == set(), "rows of tests/security/access.toml without a method"


async def test_nobody_does_what_they_may_not(
    world: World, channel: grpc.aio.Channel, everything_stored: Everything
) -> None:
    faults = []
    checked = 0
    for row in ROWS:
        if row.is_public:
            continue
        call = Call(world, channel, row)
        await call.prepare()
        before = await everything_stored()
        expected = [
            (None, "nobody", f"UNAUTHENTICATED {NO_CREDENTIALS}"),
            ("nonsense", "nonsense", f"UNAUTHENTICATED {BAD_CREDENTIALS}"),
            *((world.bearers[name], name, f"PERMISSION_DENIED {row.refusal(name)}") for name in row.may_not),
        ]
        for bearer, caller, words in expected:
            answer = await call(bearer)
            checked += 1
            if answer.told != words:
                faults.append(f"{row.name} by {caller}: {answer.told} and not {words}")
        if await everything_stored() != before:
            faults.append(f"{row.name}: something changed, though all were turned away")
    assert faults == []
    assert checked > 60


async def test_nobody_reaches_what_is_anothers(
    world: World, channel: grpc.aio.Channel, everything_stored: Everything
) -> None:
    faults = []
    checked = 0
    for row in ROWS:
        if not row.whose:
            continue
        call = Call(world, channel, row)
        await call.prepare()
        before = await everything_stored()
        answer = await call(world.bearers[row.other])
        checked += 1
        if await everything_stored() != before:
            faults.append(f"{row.name} by {row.other}: something changed")
        if row.stranger:
            if answer.reason != row.stranger or answer.code not in ("NOT_FOUND", "PERMISSION_DENIED"):
                faults.append(f"{row.name} by {row.other}: {answer.told} and not {row.stranger}")
            continue
        shown = call.things[row.shows]
        if answer.code != "OK" or shown in answer.text:
            faults.append(f"{row.name} by {row.other}: {answer.told}, and {row.shows} is not theirs to see")
        owned = await call(world.bearers[row.whose])
        if owned.code != "OK" or shown not in owned.text:
            faults.append(f"{row.name} by {row.whose}: {owned.told}, without its {row.shows}")
    assert faults == []
    assert checked >= 13


async def test_everybody_does_what_they_may(world: World, channel: grpc.aio.Channel) -> None:
    """The first one gets what the row says; for the others, what they ask for may have been done by then."""
    faults = []
    for row in ROWS:
        call = Call(world, channel, row)
        await call.prepare()
        callers: Sequence[str | None] = [*([None] if row.is_public else []), *row.in_order()]
        for position, caller in enumerate(callers):
            answer = await call(None if caller is None else world.bearers[caller])
            right = answer.code == (row.answer or "OK") if position == 0 else True
            if not right or answer.reason in TURNED_AWAY or answer.code in ("INTERNAL", "UNKNOWN"):
                faults.append(f"{row.name} by {caller or 'nobody'}: {answer}")
    assert faults == []


async def test_a_sale_of_anothers_merchant_is_refused_within_its_batch(world: World, channel: grpc.aio.Channel) -> None:
    """Events succeed or fail one by one, so this refusal is not the call's."""
    report = channel.unary_unary(
        "/wapsi.rpc.cashback.v1.ConversionService/ReportConversions",
        request_serializer=conversion_pb2.ReportConversionsRequest.SerializeToString,
        response_deserializer=conversion_pb2.ReportConversionsResponse.FromString,
    )
    click_id = await world.thing("click_id")
    reasons = {}
    for caller in ("producer_b", "producer_a"):
        event = conversion_pb2.ConversionEvent(
            event_id=uuid4().hex,
            conversion_id=uuid4().hex,
            click_id=click_id,
            merchant="shop",
            status="pending",
            order_amount=conversion_pb2.Money(amount_minor=100_000, currency="PKR"),
            commission=conversion_pb2.Money(amount_minor=10_000, currency="PKR"),
        )
        event.occurred_at.GetCurrentTime()
        metadata = (("authorization", f"Bearer {world.bearers[caller]}"),)
        async with asyncio.timeout(CALL_LIMIT_S):
            response = await report(conversion_pb2.ReportConversionsRequest(events=[event]), metadata=metadata)
        [result] = response.results
        reasons[caller] = (result.status.code, bool(result.id))
    denied, fine = grpc.StatusCode.PERMISSION_DENIED.value[0], grpc.StatusCode.OK.value[0]
    assert reasons == {"producer_b": (denied, False), "producer_a": (fine, True)}
    assert [row["n"] for row in await world.sql("SELECT count(*) AS n FROM conversions")] == [1]
