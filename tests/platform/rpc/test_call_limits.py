"""How many calls one key may make in a while and at once, and what it is told that asks for more."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from tests.platform.rpc.test_server import FEEDS, Servicer, get, service, with_settings
from wapsi.limits import LimitSettings, RateLimits
from wapsi.rpc.errors import reason_of, retry_after_of
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc
from wapsi.rpc.server import RPCServer
from wapsi.runtime import Runtime

ADMIN = (("authorization", "Bearer admin"),)


@pytest.fixture
def servicer() -> Servicer:
    return Servicer()


@pytest.fixture
async def stub(known: Runtime, servicer: Servicer, limit_settings: LimitSettings) -> AsyncIterator[Any]:
    """Of a server that allows two calls at once, and five in a minute."""
    limits = RateLimits(
        limit_settings.model_copy(update={"rate_limit_producer_call": "5/60"}),
        url=known.settings.queue_url,
        secret=b"s" * 32,
    )
    runtime = replace(with_settings(known, shutdown_grace_s=0.2, grpc_calls_at_once=2), limits=limits)
    server = RPCServer(runtime, [service(servicer)])
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield pb_grpc.OfferSyncServiceStub(channel)
    await server.stop()
    await limits.aclose()


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return error.value


@pytest.mark.rate_limits
async def test_a_key_that_calls_too_often_is_told_when_to_come_again(stub: Any) -> None:
    for _ in range(5):
        await get(stub)
    error = await refused(get(stub))
    assert reason_of(error) == "RATE_LIMITED"
    wait_s = retry_after_of(error)
    assert wait_s is not None
    assert 1 <= wait_s <= 60
    assert (await get(stub, metadata=ADMIN)).sync.sync_id == "s1", "another caller pays for it"


async def test_more_calls_at_once_than_allowed_are_refused_until_one_has_ended(stub: Any, servicer: Servicer) -> None:
    request = pb.WatchSyncRequest(sync_id="wait")
    streams = [stub.WatchSync(request, metadata=FEEDS) for _ in range(2)]
    for stream in streams:
        await stream.read()
    error = await refused(get(stub))
    assert (reason_of(error), retry_after_of(error)) == ("TOO_MANY_CALLS_AT_ONCE", 1)
    assert (await get(stub, metadata=ADMIN)).sync.sync_id == "s1", "another caller pays for it"
    streams[0].cancel()
    await asyncio.wait_for(servicer.cancelled.wait(), 5)
    assert (await get(stub)).sync.sync_id == "s1", "a stream that was given up counts for ever"


async def test_calls_that_fail_are_no_longer_under_way(stub: Any) -> None:
    for _ in range(4):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await get(stub, "NOT_FOUND")
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND
