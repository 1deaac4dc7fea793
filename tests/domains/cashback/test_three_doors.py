"""A shop's real orders, twelve statuses, cancellations and all, leave the same books by whichever door they come."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import grpc
import httpx2
import pytest

from domains.cashback import rpc, service
from domains.customers import service as customers
from domains.merchants import service as merchants
from tests.domains.cashback import three_doors as doors
from wapsi.rpc.cashback.v1 import conversion_pb2_grpc as pb_grpc
from wapsi.rpc.server import RPCServer
from wapsi.runtime import Runtime
from wapsi.security.permissions import OperatorRole

# Every hundred and fiftieth line, and one of each status that is rare.
EACH = 150


@pytest.fixture
def orders() -> list[doors.Order]:
    file = doors.real_orders()
    if file is None:
        pytest.skip("no real orders beside the repository; set WAPSI_SHARED_DATA to run this test")
    return doors.read_orders(file, EACH)


@pytest.fixture
async def stub(runtime: Runtime, world: Any) -> AsyncIterator[Any]:
    server = RPCServer(runtime, [rpc.rpc_service(runtime)])
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield pb_grpc.ConversionServiceStub(channel)
    await server.stop()


async def _address(api: httpx2.AsyncClient, shop: doors.Shop, headers: dict[str, str]) -> str:
    path = f"/v1/admin/networks/{shop.network}/adapter"
    mapping = {"fields": doors.FIELDS, "constants": {"merchant": shop.merchant}}
    settings = {"kind": "generic", "currency": doors.CURRENCY, "mapping": mapping}
    assert (await api.put(path, json=settings, headers=headers)).status_code == 200
    answer = await api.post(f"{path}:rotate-address", headers=headers | {"Idempotency-Key": uuid4().hex})
    return "/v1" + str(answer.json()["secret"]).partition("/v1")[2]


async def _push(api: httpx2.AsyncClient, world: Any, shop: doors.Shop, content: bytes, headers: dict[str, str]) -> Any:
    path = f"/v1/admin/networks/{shop.network}/sales-files"
    headers = headers | {"Idempotency-Key": uuid4().hex, "X-File-Name": "report.csv"}
    answer = await api.post(path, content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    assert await world.run_jobs(service.TAKE_IN_FILE) == 1
    return (await api.get(answer.headers["location"], headers=headers)).json()


async def test_real_orders_leave_the_same_books_by_every_door(
    api: httpx2.AsyncClient, world: Any, stub: Any, orders: list[doors.Order], operator: Any
) -> None:
    assert len({order.status for order in orders}) == 12
    admin = await operator(OperatorRole.ADMIN)
    by_call, by_rpc, by_file = [await doors.open_shop(world, door) for door in ("call", "rpc", "file")]
    address = await _address(api, by_call, admin)
    await _address(api, by_file, admin)
    async with world.db.write() as session:
        network = await merchants.get_network(session, by_rpc.network)
        _, key = await customers.create_producer(session, "sales", [by_rpc.merchant_id], network_id=network.id)
    credentials = (("authorization", f"Bearer {key}"),)
    begun = datetime.now(UTC)
    kept: list[list[dict[str, Any]]] = []
    # The second time, everything has come before.
    for _ in range(2):
        await doors.call(api, address, by_call, orders, begun)
        await doors.report(stub, credentials, by_rpc, orders, begun)
        file = await _push(api, world, by_file, doors.as_table(by_file, orders, begun), admin)
        assert (file["state"], file["refused"], file["unknown_status"]) == ("done", 0, 0), file
        kept.append([await doors.books(world, shop) for shop in (by_call, by_rpc, by_file)])
        assert await world.violations() == []
    first, again = kept
    assert first[0] == first[1] == first[2]
    assert again == first
    assert doors.found(first[0]) == doors.expected(orders)
    assert {state for _, state, *_ in first[0]["sales"]} == {"unattributed", "pending", "approved", "declined"}
