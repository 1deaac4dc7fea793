"""5. Messages that are too large, bombs, fat metadata, keys that do not fit: the right status, in bounded memory."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable

import grpc
import pytest

from domains.customers import service as customers
from tests.faults.calls import calling, refusal
from tests.faults.conftest import MakePlatform
from tests.faults.feeds import Feed, encoded, make_item
from tests.faults.processes import Merchant, Platform
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

MIB = 2**20
# What the server may grow by while it refuses: a few messages of the limit (4 MiB), and the allocator's slack.
GROWTH_LIMIT_MB = 64.0
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="a process's peak memory is read from /proc")


@pytest.fixture
async def serving(make_platform: MakePlatform) -> AsyncIterator[tuple[Platform, Merchant]]:
    """The server alone, and a merchant with a sync behind it: what a first call loads is loaded."""
    platform = await make_platform("serve")
    shop = await platform.make_merchant()
    async with calling(platform.target, shop.key) as calls:
        items = list(Feed(2000).items())
        sync = await calls.start(shop.slug, "warm")
        await calls.push(sync.sync_id, [(0, items)])
        await calls.finish(sync.sync_id, items)
    yield platform, shop
    assert platform.serve.is_running
    assert platform.serve.starts == 1


def message_of(size_bytes: int, sync_id: str) -> pb.PushOffersRequest:
    """One item whose description is that long, and compresses well."""
    item = make_item("large", 100)
    item.offer.description = "a" * size_bytes
    return pb.PushOffersRequest(sync_id=sync_id, offset=0, items=encoded([item]))


@needs_proc
@pytest.mark.timeout(180)
async def test_messages_over_the_limit_and_bombs(
    serving: tuple[Platform, Merchant], tell: Callable[[str], None]
) -> None:
    """Refused with RESOURCE_EXHAUSTED before they take memory, by whomever they are sent and however many at once."""
    platform, shop = serving
    gzip = grpc.Compression.Gzip
    async with calling(platform.target, shop.key) as calls, calling(platform.target, None) as nobody:
        sync_id = (await calls.start(shop.slug, "large")).sync_id
        platform.serve.forget_peak_memory()
        before_mb = platform.serve.peak_memory_mb()

        large = message_of(5 * MIB, sync_id)
        assert large.ByteSize() > 5 * MIB
        for _ in range(5):
            assert (await refusal(calls.push_raw([large])))[0] == "RESOURCE_EXHAUSTED"
        large_mb = platform.serve.peak_memory_mb() - before_mb

        # 100 MiB in 100 KB on the wire.
        bomb = message_of(100 * MIB, sync_id)
        assert (await refusal(calls.push_raw([bomb], compression=gzip)))[0] == "RESOURCE_EXHAUSTED"
        at_once = [refusal(calls.push_raw([bomb], compression=gzip)) for _ in range(4)]
        assert {code for code, _reason in await asyncio.gather(*at_once)} == {"RESOURCE_EXHAUSTED"}
        # It does not take a key to send one.
        finish = pb.FinishSyncRequest(sync_id=sync_id, checksum=bytes(100 * MIB))
        code, _reason = await refusal(nobody.finish_raw(finish, compression=gzip))
        assert code in ("RESOURCE_EXHAUSTED", "UNAUTHENTICATED")
        bombs_mb = platform.serve.peak_memory_mb() - before_mb

        grown = f"{large_mb:.0f} MB for 5 messages of 5 MiB, {bombs_mb:.0f} MB for 6 bombs of 100 MiB"
        tell(f"the server's peak grew by {grown}")
        assert large_mb < GROWTH_LIMIT_MB
        assert bombs_mb < GROWTH_LIMIT_MB

        assert (await calls.get(sync_id)).committed_offset == 0
        # What fits when it is unpacked is welcome, gzipped or not.
        request = message_of(1000, sync_id)
        assert await calls.push_raw([request], compression=gzip) == [1]


@pytest.mark.timeout(60)
async def test_too_many_items_in_a_message(serving: tuple[Platform, Merchant]) -> None:
    platform, shop = serving
    items = [make_item(f"p{n}", 100) for n in range(2001)]
    async with calling(platform.target, shop.key) as calls:
        sync_id = (await calls.start(shop.slug, "many")).sync_id
        assert (await refusal(calls.push(sync_id, [(0, items)])))[0] == "INVALID_ARGUMENT"
        assert (await refusal(calls.push(sync_id, [(0, [])])))[0] == "INVALID_ARGUMENT"
        assert (await calls.get(sync_id)).committed_offset == 0


@needs_proc
@pytest.mark.timeout(60)
async def test_metadata_of_20_kb(serving: tuple[Platform, Merchant], tell: Callable[[str], None]) -> None:
    platform, shop = serving
    async with calling(platform.target, shop.key) as calls:
        sync_id = (await calls.start(shop.slug, "fat")).sync_id
        platform.serve.forget_peak_memory()
        before_mb = platform.serve.peak_memory_mb()
        fat = (("authorization", f"Bearer {shop.key}"), ("x-fat", "x" * 20_000))
        for _ in range(50):
            assert (await refusal(calls.get(sync_id, metadata=fat)))[0] == "RESOURCE_EXHAUSTED"
        many = (("authorization", f"Bearer {shop.key}"), *((f"x-{n}", "x" * 20) for n in range(500)))
        assert (await refusal(calls.get(sync_id, metadata=many)))[0] == "RESOURCE_EXHAUSTED"
        grown_mb = platform.serve.peak_memory_mb() - before_mb
        tell(f"51 refusals, the server's peak grew by {grown_mb:.1f} MB")
        assert grown_mb < GROWTH_LIMIT_MB
        assert (await calls.get(sync_id)).sync_id == sync_id


@pytest.mark.timeout(60)
async def test_keys_that_do_not_fit(serving: tuple[Platform, Merchant]) -> None:
    """Missing, malformed, unknown and revoked: UNAUTHENTICATED. Another merchant's: no way in, and no way to tell."""
    platform, shop = serving
    other = await platform.make_merchant("other")
    async with calling(platform.target, shop.key) as calls:
        sync_id = (await calls.start(shop.slug, "mine")).sync_id
    items = list(Feed(5).items())

    unknown = shop.key[:-4] + "AAAA"
    for key in (None, "", "wpk_", "nonsense", "wpk_nonsense.nonsense", unknown):
        async with calling(platform.target, key) as calls:
            for call in (
                calls.start(shop.slug, "x"),
                calls.push(sync_id, [(0, items)]),
                calls.finish(sync_id, items),
                calls.get(sync_id),
                calls.settled(sync_id),
            ):
                assert (await refusal(call))[0] == "UNAUTHENTICATED", key

    async with calling(platform.target, other.key) as calls:
        assert (await refusal(calls.start(shop.slug, "x")))[0] == "PERMISSION_DENIED"
        for call in (
            calls.push(sync_id, [(0, items)]),
            calls.finish(sync_id, items),
            calls.get(sync_id),
            calls.settled(sync_id),
        ):
            assert await refusal(call) == ("NOT_FOUND", "SYNC_NOT_FOUND")

    async with calling(platform.target, shop.key) as calls:
        assert await calls.push(sync_id, [(0, items)]) == [5]
        async with platform.db.write() as session:
            await customers.revoke_producer(session, shop.producer_id)
        # On the channel that was good a moment ago too.
        assert (await refusal(calls.get(sync_id)))[0] == "UNAUTHENTICATED"
        assert (await refusal(calls.push(sync_id, [(0, items)])))[0] == "UNAUTHENTICATED"
    sync = await platform.sync(shop, "mine")
    assert sync is not None
    assert (sync["state"], sync["committed_offset"]) == ("open", 5)
