"""MerchantService over a real gRPC server: a producer sees its own merchants and no others."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import grpc
import pytest

from domains.customers import service as customers
from domains.merchants import rpc
from domains.merchants.service import MerchantRef, MerchantStatus
from wapsi.rpc.errors import reason_of
from wapsi.rpc.merchants.v1 import merchant_pb2, merchant_pb2_grpc
from wapsi.rpc.server import RPCServer
from wapsi.runtime import Runtime

MakeMerchant = Callable[..., Awaitable[MerchantRef]]
# In the stubs only: at run time there is one class for both kinds of channel.
Stub: TypeAlias = "merchant_pb2_grpc.MerchantServiceAsyncStub"


@pytest.fixture
async def stub(runtime: Runtime) -> AsyncIterator[Stub]:
    server = RPCServer(runtime, [rpc.rpc_service(runtime)])
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield merchant_pb2_grpc.MerchantServiceStub(channel)
    await server.stop()


async def producer_key(runtime: Runtime, *merchants: MerchantRef) -> tuple[tuple[str, str], ...]:
    async with runtime.db.write() as session:
        _, key = await customers.create_producer(session, "feeds", [merchant.id for merchant in merchants])
    return (("authorization", f"Bearer {key}"),)


async def test_a_producer_gets_its_own_merchant(runtime: Runtime, stub: Stub, make_merchant: MakeMerchant) -> None:
    own = await make_merchant("own", status=MerchantStatus.PAUSED)
    metadata = await producer_key(runtime, own)
    answer = await stub.GetMerchant(merchant_pb2.GetMerchantRequest(slug="own"), metadata=metadata)
    assert answer.merchant == merchant_pb2.Merchant(
        merchant_id=str(own.id),
        slug="own",
        name="Own",
        state=merchant_pb2.MERCHANT_STATE_PAUSED,
        network="",
        currency="PKR",
    )


async def test_another_producers_merchant_looks_like_none_at_all(
    runtime: Runtime, stub: Stub, make_merchant: MakeMerchant
) -> None:
    own = await make_merchant("own")
    await make_merchant("foreign")
    metadata = await producer_key(runtime, own)
    answers = []
    for slug in ("foreign", "nobody"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetMerchant(merchant_pb2.GetMerchantRequest(slug=slug), metadata=metadata)
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
        assert reason_of(refused.value) == "MERCHANT_NOT_FOUND"
        answers.append((refused.value.details() or "").replace(slug, "…"))
    assert answers[0] == answers[1]


async def test_a_list_holds_only_the_producers_merchants_page_by_page(
    runtime: Runtime, stub: Stub, make_merchant: MakeMerchant
) -> None:
    own = [await make_merchant(slug) for slug in ("c", "a", "e")]
    for slug in ("b", "d"):
        await make_merchant(slug)
    metadata = await producer_key(runtime, *own)
    first = await stub.ListMerchants(merchant_pb2.ListMerchantsRequest(page_size=2), metadata=metadata)
    assert [merchant.slug for merchant in first.merchants] == ["a", "c"]
    second = await stub.ListMerchants(
        merchant_pb2.ListMerchantsRequest(page_size=2, page_token=first.next_page_token), metadata=metadata
    )
    assert [merchant.slug for merchant in second.merchants] == ["e"]
    assert second.next_page_token == ""


async def test_a_producer_without_merchants_sees_none(
    runtime: Runtime, stub: Stub, make_merchant: MakeMerchant
) -> None:
    await make_merchant("a")
    answer = await stub.ListMerchants(merchant_pb2.ListMerchantsRequest(), metadata=await producer_key(runtime))
    assert list(answer.merchants) == []


@pytest.mark.parametrize(
    ("page_size", "page_token"), [(-1, ""), (201, ""), (0, "nonsense"), (0, "WyJycGMtbWVyY2hhbnRzIiwxXQ")]
)
async def test_a_list_refuses_what_it_cannot_read(
    runtime: Runtime, stub: Stub, page_size: int, page_token: str
) -> None:
    request = merchant_pb2.ListMerchantsRequest(page_size=page_size, page_token=page_token)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ListMerchants(request, metadata=await producer_key(runtime))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("key", [None, "wpk_000000000000_nonsense", "nonsense"])
async def test_without_a_good_key_nothing_is_told(stub: Stub, key: str | None) -> None:
    metadata = () if key is None else (("authorization", f"Bearer {key}"),)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetMerchant(merchant_pb2.GetMerchantRequest(slug="x"), metadata=metadata)
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_a_slug_that_the_database_cannot_hold_is_not_found(runtime: Runtime, stub: Stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetMerchant(merchant_pb2.GetMerchantRequest(slug="a\0b"), metadata=await producer_key(runtime))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
