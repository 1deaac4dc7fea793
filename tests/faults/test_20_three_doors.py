"""20. A real shop's orders, all of them, through three doors of real processes, a worker killed: the same books."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import httpx2
import pytest

from domains.cashback import service
from domains.customers import service as customers
from domains.merchants import service as merchants
from tests.domains.cashback import three_doors as doors
from tests.domains.cashback.conftest import World
from tests.faults.conftest import MakePlatform
from tests.faults.processes import Platform, settings_of, until
from wapsi.ids import new_id
from wapsi.roots.container import make_runtime
from wapsi.rpc.cashback.v1 import conversion_pb2_grpc as pb_grpc
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.telemetry.setup import Telemetry

FILE_LIMIT_S = 1200.0
# Every line of the report; more is for trying the test out.
EACH = int(os.environ.get("WAPSI_ORDERS_EACH", "1"))
OPERATOR = Principal(PrincipalKind.OPERATOR, new_id(), frozenset())


@pytest.fixture
def orders() -> list[doors.Order]:
    file = doors.real_orders()
    if file is None:
        pytest.skip("no real orders beside the repository; set WAPSI_SHARED_DATA to run this test")
    return doors.read_orders(file, EACH)


@pytest.fixture
async def world(make_platform: MakePlatform) -> AsyncIterator[tuple[Platform, World]]:
    platform = await make_platform()
    settings = settings_of(platform.settings)
    runtime = make_runtime(settings, Telemetry("faults"), role="faults", db=platform.db)
    yield platform, World(runtime, platform.sql.fetch)
    await runtime.limits.aclose()


async def address_of(world: World, shop: doors.Shop) -> str:
    mapping = {"fields": doors.FIELDS, "constants": {"merchant": shop.merchant}}
    settings = service.AdapterSettings(currency=doors.CURRENCY, mapping=mapping)
    async with world.db.write() as session:
        await service.set_adapter(session, OPERATOR, shop.network, service.NewAdapter("generic", settings))
        _, token = await service.rotate_address(session, OPERATOR, shop.network, timedelta(0))
    return f"/v1/postbacks/{shop.network}/{token}"


async def push(world: World, shop: doors.Shop, content: bytes, key: str) -> service.SalesFile:
    """As the command line does."""

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    received = await service.receive_file(pieces())
    with received.file:
        async with world.db.write() as session:
            new = service.NewFile(key, "report.csv", "csv")
            file, _ = await service.add_file(session, None, shop.network, new, received)
    return file


async def taken_in(world: World, file: service.SalesFile, rows: int = 0) -> service.SalesFile:
    """The file, once so many rows have been handed in; 0: once it has ended."""

    async def look() -> service.SalesFile | None:
        async with world.db.write() as session:
            found = await service.get_file(session, file.id)
        ended = found.state is not service.FileState.QUEUED
        return found if ended or (rows and found.rows >= rows) else None

    found: service.SalesFile = await until(look, FILE_LIMIT_S, f"{rows or 'all'} rows of the file", every_s=0.1)
    return found


@pytest.mark.timeout(3600)
async def test_all_orders_leave_the_same_books_by_every_door(
    world: tuple[Platform, World], orders: list[doors.Order], tell: Callable[[str], None]
) -> None:
    platform, world_ = world
    by_call, by_rpc, by_file = [await doors.open_shop(world_, door) for door in ("call", "rpc", "file")]
    address = await address_of(world_, by_call)
    await address_of(world_, by_file)
    async with world_.db.write() as session:
        network = await merchants.get_network(session, by_rpc.network)
        _, key = await customers.create_producer(session, "sales", [by_rpc.merchant_id], network_id=network.id)
    begun = datetime.now(UTC)
    kept: list[list[dict[str, Any]]] = []
    events = 0
    for time_round in ("first", "second"):
        started_s = time.monotonic()
        base = f"http://127.0.0.1:{platform.settings['WAPSI_HTTP_PORT']}"
        async with httpx2.AsyncClient(base_url=base, timeout=60) as api:
            await doors.call(api, address, by_call, orders, begun)
        async with grpc.aio.insecure_channel(platform.target) as channel:
            stub = pb_grpc.ConversionServiceStub(channel)
            await doors.report(stub, (("authorization", f"Bearer {key}"),), by_rpc, orders, begun)
        content = await asyncio.to_thread(doors.as_table, by_file, orders, begun)
        file = await push(world_, by_file, content, time_round)
        if time_round == "first":
            half = await taken_in(world_, file, rows=len(orders) // 2)
            assert half.state is service.FileState.QUEUED, "the worker was faster than its killer"
            await platform.worker.kill()
            await platform.worker.start()
        whole = await taken_in(world_, file)
        assert (whole.state, whole.refused, whole.unknown_status) == (service.FileState.DONE, 0, 0), whole
        events = whole.rows
        kept.append([await doors.books(world_, shop) for shop in (by_call, by_rpc, by_file)])
        assert await world_.violations() == []
        tell(f"{time_round} time: {events:,} events by each of three doors in {time.monotonic() - started_s:.0f} s")
    first, again = kept
    assert first[0] == first[1] == first[2]
    assert again == first
    assert doors.found(first[0]) == doors.expected(orders)
    assert len(first[0]["sales"]) == len(orders)
