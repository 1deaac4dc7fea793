"""A merchant with a producer, a real gRPC server, and items to push."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from domains.customers import service as customers
from domains.merchants import service as merchants
from domains.offers import rpc
from wapsi.producer.checksum import EMPTY_CHECKSUM, combine
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc
from wapsi.rpc.server import RPCServer
from wapsi.runtime import Runtime
from wapsi.security.permissions import OperatorRole

FULL, INCREMENTAL = pb.SYNC_MODE_FULL, pb.SYNC_MODE_INCREMENTAL
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def make_item(offer_id: str, *, at: datetime = NOON, price_minor: int = 129_900, **fields: Any) -> pb.OfferItem:
    """A valid item of the shop; `fields` replace or add to its offer."""
    values = {
        "title": f"Cotton kurta {offer_id}",
        "link": f"https://shop.example/p/{offer_id}",
        "availability": pb.AVAILABILITY_IN_STOCK,
        "price": pb.Money(amount_minor=price_minor, currency="PKR"),
        "brand": "Mehr",
    } | fields
    item = pb.OfferItem(offer=pb.Offer(offer_id=offer_id, **values), line=1)
    item.source_time.FromDatetime(at)
    return item


def serialised(items: Sequence[pb.OfferItem]) -> list[bytes]:
    return [item.SerializeToString(deterministic=True) for item in items]


def make_deletion(offer_id: str, *, at: datetime = NOON) -> pb.OfferItem:
    item = pb.OfferItem(offer=pb.Offer(offer_id=offer_id, delete=True))
    item.source_time.FromDatetime(at)
    return item


@pytest.fixture
def item() -> Callable[..., pb.OfferItem]:
    return make_item


@pytest.fixture
def deletion() -> Callable[..., pb.OfferItem]:
    return make_deletion


async def make_shop(runtime: Runtime, slug: str) -> str:
    """An active merchant that lands on shop.example; returns a producer key for it."""
    async with runtime.db.write() as session:
        new = merchants.NewMerchant(
            slug=slug,
            name=slug.title(),
            currency="PKR",
            deep_link_template="https://go.example/?u={link}&c={click_id}",
            allowed_landing_hosts=("shop.example",),
        )
        merchant = await merchants.create_merchant(session, None, new)
        rate = merchants.Rate(
            rate_category="",
            customer_type=merchants.CustomerType.UNKNOWN,
            kind=merchants.RateKind.PERCENT,
            percent_bps=500,
            fixed_minor=None,
            currency="PKR",
        )
        await merchants.publish_rates(session, None, slug, merchants.NewSchedule(rates=(rate,)))
        await merchants.move_merchant(session, None, slug, merchants.MerchantStatus.ACTIVE)
        _ref, key = await customers.create_producer(session, f"feeds of {slug}", [merchant.id])
    return key


@dataclass
class Shop:
    """A merchant as its producer sees it."""

    slug: str
    key: str
    stub: Any
    drain: Callable[[], Awaitable[int]]
    _syncs: int = 0

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.key}"),)

    async def start(self, mode: int = FULL, request_id: str | None = None, **fields: Any) -> pb.Sync:
        self._syncs += 1
        request = pb.StartSyncRequest(
            request_id=request_id or f"request-{self._syncs}", merchant=self.slug, mode=mode, **fields
        )
        return (await self.stub.StartSync(request, metadata=self.metadata)).sync

    async def push(self, sync_id: str, offset: int, items: Sequence[pb.OfferItem]) -> int:
        """One batch in a stream of its own; returns the committed offset."""
        request = pb.PushOffersRequest(sync_id=sync_id, offset=offset, items=serialised(items))
        [response] = [r async for r in self.stub.PushOffers(iter([request]), metadata=self.metadata)]
        return response.committed_offset

    async def finish(self, sync_id: str, items: Sequence[pb.OfferItem], **wrong: Any) -> pb.Sync:
        values = {"count": len(items), "checksum": combine(EMPTY_CHECKSUM, 0, serialised(items))} | wrong
        request = pb.FinishSyncRequest(sync_id=sync_id, **values)
        return (await self.stub.FinishSync(request, metadata=self.metadata)).sync

    async def get(self, sync_id: str) -> pb.Sync:
        return (await self.stub.GetSync(pb.GetSyncRequest(sync_id=sync_id), metadata=self.metadata)).sync

    async def issues(self, sync_id: str) -> list[pb.SyncIssue]:
        request = pb.ListSyncIssuesRequest(sync_id=sync_id)
        return list((await self.stub.ListSyncIssues(request, metadata=self.metadata)).issues)

    async def sync(self, items: Sequence[pb.OfferItem], mode: int = FULL, **fields: Any) -> pb.Sync:
        """A whole sync, processed to its end."""
        sync = await self.start(mode, **fields)
        if items:
            await self.push(sync.sync_id, 0, items)
        await self.finish(sync.sync_id, items)
        await self.drain()
        return await self.get(sync.sync_id)


@pytest.fixture
async def stub(runtime: Runtime) -> AsyncIterator[Any]:
    server = RPCServer(runtime, [rpc.rpc_service(runtime)])
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield pb_grpc.OfferSyncServiceStub(channel)
    await server.stop()


@pytest.fixture
async def shop(runtime: Runtime, stub: Any, drain: Callable[[], Awaitable[int]]) -> Shop:
    return Shop("shop", await make_shop(runtime, "shop"), stub, drain)


@pytest.fixture
async def other_shop(runtime: Runtime, stub: Any, drain: Callable[[], Awaitable[int]]) -> Shop:
    return Shop("other-shop", await make_shop(runtime, "other-shop"), stub, drain)


@pytest.fixture
async def operator_token(operator: Callable[[OperatorRole], Awaitable[dict[str, str]]]) -> str:
    headers = await operator(OperatorRole.CATALOGUE)
    return headers["Authorization"].removeprefix("Bearer ")
