"""The gRPC server as it is served: every method of every proto is there, and none is open."""

from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from wapsi.roots.grpc_app import make_rpc_server
from wapsi.rpc.cashback.v1 import conversion_pb2
from wapsi.rpc.errors import reason_of
from wapsi.rpc.merchants.v1 import merchant_pb2
from wapsi.rpc.offers.v1 import offer_sync_pb2
from wapsi.runtime import Runtime

SERVICES: list[ServiceDescriptor] = [
    service
    for module in (conversion_pb2, merchant_pb2, offer_sync_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
METHODS = [method for service in SERVICES for method in service.methods]


@pytest.fixture
async def channel(runtime: Runtime) -> AsyncIterator[grpc.aio.Channel]:
    server = make_rpc_server(runtime)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
    await server.stop()


async def refusal(
    channel: grpc.aio.Channel, method: MethodDescriptor, metadata: tuple[tuple[str, str], ...]
) -> grpc.aio.AioRpcError:
    """How an empty message to the method is refused."""
    assert method.containing_service is not None
    path = f"/{method.containing_service.full_name}/{method.name}"
    many_in, many_out = method.client_streaming, method.server_streaming
    call = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, True): channel.stream_stream,
    }[many_in, many_out](path)(iter([b""]) if many_in else b"", metadata=metadata)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await (call.read() if many_out else call)
    return refused.value


async def test_no_method_is_open(channel: grpc.aio.Channel) -> None:
    assert len(METHODS) >= 13
    for method in METHODS:
        for metadata, reason in (
            ((), "CREDENTIALS_MISSING"),
            ((("authorization", "Bearer wpk_000000000000_nonsense"),), "CREDENTIALS_INVALID"),
            ((("authorization", "Bearer nonsense"),), "CREDENTIALS_INVALID"),
        ):
            error = await refusal(channel, method, metadata)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED, method.full_name
            assert reason_of(error) == reason, method.full_name
