"""ConversionService over a real gRPC server: items succeed or fail one by one."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, error_details_pb2, status_pb2

from domains.cashback import rpc
from domains.customers import service as customers
from domains.merchants import service as merchants
from wapsi.rpc.cashback.v1 import conversion_pb2 as pb
from wapsi.rpc.cashback.v1 import conversion_pb2_grpc as pb_grpc
from wapsi.rpc.errors import reason_of
from wapsi.rpc.server import RPCServer
from wapsi.runtime import Runtime


@pytest.fixture
async def stub(runtime: Runtime, world: Any) -> AsyncIterator[Any]:
    server = RPCServer(runtime, [rpc.rpc_service(runtime)])
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield pb_grpc.ConversionServiceStub(channel)
    await server.stop()


@pytest.fixture
async def key(world: Any) -> Any:
    async with world.db.write() as session:
        network = await merchants.get_network(session, "impact")
        _, key = await customers.create_producer(session, "sales", [world.merchant_id], network_id=network.id)
    return (("authorization", f"Bearer {key}"),)


def event(event_id: str, **changes: Any) -> pb.ConversionEvent:
    moment = Timestamp()
    moment.GetCurrentTime()
    fields: dict[str, Any] = {
        "event_id": event_id,
        "conversion_id": "sale-1",
        "merchant": "daraz",
        "status": "pending",
        "order_amount": pb.Money(amount_minor=100_000, currency="PKR"),
        "commission": pb.Money(amount_minor=10_000, currency="PKR"),
        "occurred_at": moment,
    }
    return pb.ConversionEvent(**(fields | changes))


def reason(status: status_pb2.Status) -> tuple[str, str]:
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return info.reason, info.metadata.get("cause", "")


async def test_items_of_a_batch_stand_alone(world: Any, stub: Any, key: Any) -> None:
    await world.merchant("foreign", network="impact")
    click = await world.click(await world.customer())
    request = pb.ReportConversionsRequest(
        network="impact",
        events=[
            event("e-1", click_id=str(click.id)),
            event("e-2", conversion_id="sale-2", merchant="foreign"),
            event("e-3", conversion_id="sale-3", commission=pb.Money(amount_minor=1, currency="USD")),
            event("e-4", conversion_id="sale-4", status="hmm"),
            event("e-5", conversion_id="sale-5", merchant="nobody"),
            event("e-1", click_id=str(click.id)),
            event("e-6", status="approved"),
            event("", conversion_id="sale-6"),
        ],
    )
    results = (await stub.ReportConversions(request, metadata=key)).results
    codes = [code_pb2.Code.Name(result.status.code) for result in results]
    assert codes == [
        "OK",
        "PERMISSION_DENIED",
        "INVALID_ARGUMENT",
        "FAILED_PRECONDITION",
        "PERMISSION_DENIED",
        "OK",
        "OK",
        "INVALID_ARGUMENT",
    ]
    assert [result.repeated_event for result in results] == [False, False, False, False, False, True, False, False]
    assert results[0].id == results[5].id == results[6].id != ""
    assert reason(results[1].status) == ("MERCHANT_NOT_REPORTABLE", "")
    assert reason(results[2].status) == ("EVENT_MALFORMED", "")
    assert reason(results[3].status) == ("EVENT_REFUSED", "UNKNOWN_STATUS")
    stored = await world.sql("SELECT external_event_id, door FROM conversion_events ORDER BY external_event_id")
    assert [tuple(row) for row in stored] == [("e-1", "grpc"), ("e-4", "grpc"), ("e-6", "grpc")]
    assert await world.violations() == []


async def test_refused_event_is_answered_like_the_first_time(world: Any, stub: Any, key: Any) -> None:
    request = pb.ReportConversionsRequest(network="impact", events=[event("e-1", status="hmm")])
    first, again = [(await stub.ReportConversions(request, metadata=key)).results[0] for _ in range(2)]
    assert (first.repeated_event, again.repeated_event) == (False, True)
    assert first.status == again.status


async def test_event_that_came_as_a_postback_has_no_second_effect(world: Any, stub: Any, key: Any) -> None:
    click = await world.click(await world.customer())
    await world.report("e-1", click_id=str(click.id))
    request = pb.ReportConversionsRequest(network="impact", events=[event("e-1", click_id=str(click.id))])
    assert (await stub.ReportConversions(request, metadata=key)).results[0].repeated_event


async def test_conversion_can_be_read_back_by_its_own_producer_only(world: Any, stub: Any, key: Any) -> None:
    click = await world.click(await world.customer())
    await world.report(click_id=str(click.id), status="approved")
    wanted = pb.GetConversionRequest(network="impact", conversion_id="sale-1")
    sale = (await stub.GetConversion(wanted, metadata=key)).conversion
    assert (sale.merchant, sale.state, sale.reward) == (
        "daraz",
        pb.CONVERSION_STATE_APPROVED,
        pb.Money(amount_minor=5_000, currency="PKR"),
    )
    foreign = await world.merchant("foreign")
    async with world.db.write() as session:
        _, other = await customers.create_producer(session, "others", [foreign.id])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetConversion(wanted, metadata=(("authorization", f"Bearer {other}"),))
    missing = pb.GetConversionRequest(network="impact", conversion_id="sale-9")
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await stub.GetConversion(missing, metadata=key)
    # A stranger cannot tell a foreign sale from none.
    assert reason_of(refused.value) == reason_of(unknown.value) == "CONVERSION_NOT_FOUND"


@pytest.mark.parametrize("count", [0, 501])
async def test_batch_has_a_size(stub: Any, key: Any, count: int) -> None:
    request = pb.ReportConversionsRequest(network="impact", events=[event(f"e-{n}") for n in range(count)])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ReportConversions(request, metadata=key)
    assert reason_of(refused.value) == "BATCH_INVALID"


async def test_producer_reports_for_its_own_network_only(world: Any, stub: Any, key: Any) -> None:
    async with world.db.write() as session:
        await merchants.create_network(session, None, world.runtime.keys, slug="cj", name="CJ")
        _, without = await customers.create_producer(session, "no network", [world.merchant_id])
    for network, metadata in (("cj", key), ("impact", (("authorization", f"Bearer {without}"),))):
        request = pb.ReportConversionsRequest(network=network, events=[event("e-1")])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ReportConversions(request, metadata=metadata)
        assert reason_of(refused.value) == "NETWORK_NOT_REPORTABLE"
    assert await world.sql("SELECT 1 FROM conversion_events") == []


async def test_direct_merchant_reports_without_network(world: Any, stub: Any) -> None:
    direct = await world.merchant("direct-shop")
    async with world.db.write() as session:
        _, key = await customers.create_producer(session, "direct", [direct.id])
    request = pb.ReportConversionsRequest(events=[event("e-1", merchant="direct-shop")])
    result = (await stub.ReportConversions(request, metadata=(("authorization", f"Bearer {key}"),))).results[0]
    assert result.status.code == code_pb2.OK
    rows = await world.sql("SELECT source, network_id FROM conversions")
    assert [tuple(row) for row in rows] == [("direct:direct-shop", None)]


async def test_lines_are_priced_by_their_categories_and_changed_one_by_one(world: Any, stub: Any, key: Any) -> None:
    customer = await world.customer()
    click = await world.click(customer)
    phone = pb.LineItem(sku="p", category="phones", quantity=1, amount_minor=60_000)
    shoes = pb.LineItem(sku="s", quantity=2, amount_minor=40_000)
    lines = event(
        "evt-1", click_id=str(click.id), order_amount=None, commission=None, currency="PKR", line_items=[phone, shoes]
    )
    change = event(
        "evt-2",
        order_amount=pb.Money(amount_minor=-40_000, currency="PKR"),
        commission=None,
        line_items=[pb.LineItem(sku="s", quantity=2, amount_minor=-40_000)],
        amounts_meaning=pb.AMOUNTS_MEANING_CHANGE,
    )
    for sent, pending in ((lines, 1_200 + 2_000), (change, 1_200)):
        answer = await stub.ReportConversions(
            pb.ReportConversionsRequest(network="impact", events=[sent]), metadata=key
        )
        assert answer.results[0].status.code == code_pb2.OK, answer
        assert (await world.balance(customer))["pending"] == pending


async def test_amounts_below_zero_and_in_two_currencies_are_refused(world: Any, stub: Any, key: Any) -> None:
    below = event("evt-1", order_amount=pb.Money(amount_minor=-1, currency="PKR"))
    mixed = event("evt-2", currency="USD")
    request = pb.ReportConversionsRequest(network="impact", events=[below, mixed])
    results = (await stub.ReportConversions(request, metadata=key)).results
    assert [reason(result.status)[0] for result in results] == ["EVENT_MALFORMED"] * 2
    assert await world.sql("SELECT 1 FROM conversion_events") == []
