"""A sync over gRPC, from the first message to what shoppers see."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from tests.domains.offers.pushed import HOUR, INCREMENTAL, NOON, Item, active, check_counters, refusal
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb


async def test_a_feed_becomes_visible_as_a_whole(shop: Any, item: Item, admin_sql: Any) -> None:
    items = [item(str(n), price_minor=1000 + n) for n in range(25)]
    sync = await shop.start()
    assert await shop.push(sync.sync_id, 0, items[:10]) == 10
    assert await shop.push(sync.sync_id, 10, items[10:]) == 25
    await shop.finish(sync.sync_id, items)
    assert await active(admin_sql) == {}
    await shop.drain()
    assert await active(admin_sql) == {str(n): 1000 + n for n in range(25)}
    sync = await shop.get(sync.sync_id)
    assert sync.state == pb.SYNC_STATE_SUCCEEDED
    assert sync.counters.created == 25
    check_counters(sync)


async def test_the_same_feed_again_changes_nothing(shop: Any, item: Item, admin_sql: Any) -> None:
    items = [item(str(n)) for n in range(5)]
    await shop.sync(items)
    before = await admin_sql("SELECT xmin::text, * FROM offers ORDER BY offer_id")
    sync = await shop.sync([item(str(n), at=NOON + HOUR) for n in range(5)])
    assert sync.counters.unchanged == 5
    check_counters(sync)
    assert await admin_sql("SELECT xmin::text, * FROM offers ORDER BY offer_id") == before


async def test_changes_replace_and_the_old_price_is_remembered(shop: Any, item: Item, admin_sql: Any) -> None:
    await shop.sync([item("a", price_minor=1000), item("b")])
    sync = await shop.sync([item("a", price_minor=900, at=NOON + HOUR), item("b", at=NOON + HOUR, brand="Noor")])
    assert sync.counters.updated == 2
    check_counters(sync)
    assert (await active(admin_sql))["a"] == 900
    prices = await admin_sql("SELECT price_minor, valid_until > valid_from AS held FROM offer_prices")
    assert [(row["price_minor"], row["held"]) for row in prices] == [(1000, True)]


async def test_a_full_sync_withdraws_the_unseen_and_an_older_message_does_not_bring_it_back(
    shop: Any, item: Item, admin_sql: Any
) -> None:
    await shop.sync([item("a"), item("b")])
    later = {"as_of": NOON + HOUR}
    sync = await shop.sync([item("a", at=NOON + HOUR)], **later)
    assert sync.counters.withdrawn_unseen == 1
    check_counters(sync)
    assert set(await active(admin_sql)) == {"a"}

    sync = await shop.sync([item("b", at=NOON + HOUR / 2)], INCREMENTAL)
    assert sync.counters.stale == 1
    assert set(await active(admin_sql)) == {"a"}

    sync = await shop.sync([item("b", at=NOON + 2 * HOUR)], INCREMENTAL)
    assert sync.counters.updated == 1
    assert set(await active(admin_sql)) == {"a", "b"}


async def test_items_can_delete_and_a_deletion_of_the_unknown_is_remembered(
    shop: Any, item: Item, deletion: Item, admin_sql: Any
) -> None:
    await shop.sync([item("a")])
    sync = await shop.sync([deletion("a", at=NOON + HOUR), deletion("unknown", at=NOON + HOUR)], INCREMENTAL)
    assert sync.counters.withdrawn_by_item == 2
    check_counters(sync)
    sync = await shop.sync([item("unknown"), item("a")], INCREMENTAL)
    assert sync.counters.stale == 2
    assert await active(admin_sql) == {}


async def test_repeated_rows_are_counted_and_named(shop: Any, item: Item, admin_sql: Any) -> None:
    sync = await shop.sync([item("a", price_minor=1), item("b"), item("a", price_minor=2, at=NOON + HOUR)])
    assert (sync.counters.created, sync.counters.duplicates) == (2, 1)
    check_counters(sync)
    assert (await active(admin_sql))["a"] == 2
    [issue] = await shop.issues(sync.sync_id)
    assert (issue.offset, issue.line, issue.offer_id, issue.issue.code) == (0, 1, "a", "DUPLICATE_OFFER_ID")


async def test_a_bad_row_costs_only_itself(shop: Any, item: Item, admin_sql: Any) -> None:
    bad = item("bad", link="https://elsewhere.example/p")
    unread = pb.OfferItem(line=7, issues=[pb.Issue(severity=pb.SEVERITY_ERROR, code="PRICE_INVALID", field="price")])
    unread.source_time.FromDatetime(NOON)
    sync = await shop.sync([item("a"), bad, item("", title="nameless"), unread])
    assert sync.state == pb.SYNC_STATE_PARTIAL
    assert (sync.counters.created, sync.counters.rejected) == (1, 3)
    check_counters(sync)
    assert set(await active(admin_sql)) == {"a"}
    issues = await shop.issues(sync.sync_id)
    assert [issue.offset for issue in issues] == [1, 2, 3]
    assert issues[0].issue.field == "link"
    assert issues[0].issue.severity == pb.SEVERITY_ERROR
    assert issues[0].issue.message
    assert (issues[2].line, issues[2].issue.code) == (7, "PRICE_INVALID")


async def test_a_row_that_turns_bad_leaves_the_stored_offer(shop: Any, item: Item, admin_sql: Any) -> None:
    await shop.sync([item("a", price_minor=1000)])
    sync = await shop.sync([item("a", at=NOON + HOUR, link="javascript:alert(1)")])
    assert sync.counters.rejected == 1
    assert await active(admin_sql) == {"a": 1000}


async def test_batches_must_follow_each_other(shop: Any, item: Item) -> None:
    sync = await shop.start()
    items = [item(str(n)) for n in range(4)]
    await shop.push(sync.sync_id, 0, items[:2])
    assert await shop.push(sync.sync_id, 0, items[:2]) == 2, "a batch sent twice had an effect"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await shop.push(sync.sync_id, 3, items[3:])
    assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE
    assert "offset 2" in (caught.value.details() or "")
    assert await refusal(shop.push(sync.sync_id, 1, items[1:])) == ("OUT_OF_RANGE", "OFFSET_MISMATCH")
    assert await shop.push(sync.sync_id, 2, items[2:]) == 4


async def test_two_streams_of_one_sync_cannot_mix(shop: Any, item: Item) -> None:
    """Both push different items at the same offset: one is stored, the other is told where to go on."""
    sync = await shop.start()
    results = await asyncio.gather(
        *(shop.push(sync.sync_id, 0, [item(f"{n}")]) for n in range(6)), return_exceptions=True
    )
    stored = [result for result in results if result == 1]
    refused = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    # A slower stream that opens after the first commit sees its batch as stored already.
    assert len(stored) >= 1
    assert all(error.code() == grpc.StatusCode.OUT_OF_RANGE for error in refused)
    assert (await shop.get(sync.sync_id)).committed_offset == 1


@pytest.mark.parametrize(
    ("wrong", "reason"), [({"count": 3}, "SYNC_INCOMPLETE"), ({"checksum": b"x" * 16}, "CHECKSUM_MISMATCH")]
)
async def test_a_wrong_count_or_checksum_publishes_nothing(
    shop: Any, item: Item, admin_sql: Any, wrong: dict[str, Any], reason: str
) -> None:
    sync = await shop.start()
    items = [item("a"), item("b")]
    await shop.push(sync.sync_id, 0, items)
    assert await refusal(shop.finish(sync.sync_id, items, **wrong)) == ("DATA_LOSS", reason)
    await shop.drain()
    assert await active(admin_sql) == {}
    assert (await shop.get(sync.sync_id)).state == pb.SYNC_STATE_OPEN


async def test_a_stream_that_dies_publishes_nothing_and_resumes(shop: Any, item: Item, admin_sql: Any) -> None:
    items = [item(str(n)) for n in range(30)]
    sync = await shop.start()

    async def requests() -> Any:
        for start in range(0, 20, 10):
            yield pb.PushOffersRequest(
                sync_id=sync.sync_id,
                offset=start,
                items=[i.SerializeToString(deterministic=True) for i in items[start : start + 10]],
            )
        await asyncio.sleep(30)

    call = shop.stub.PushOffers(requests(), metadata=shop.metadata)
    async for response in call:
        if response.committed_offset == 20:
            break
    call.cancel()
    await shop.drain()
    assert await active(admin_sql) == {}
    committed = (await shop.get(sync.sync_id)).committed_offset
    assert committed == 20
    await shop.push(sync.sync_id, committed, items[committed:])
    await shop.finish(sync.sync_id, items)
    await shop.drain()
    assert len(await active(admin_sql)) == 30


async def test_finishing_and_cancelling_can_be_repeated(shop: Any, item: Item) -> None:
    sync = await shop.start()
    await shop.push(sync.sync_id, 0, [item("a")])
    await shop.finish(sync.sync_id, [item("a")])
    assert (await shop.finish(sync.sync_id, [item("a")])).state == pb.SYNC_STATE_QUEUED

    other = await shop.start()
    cancel = pb.CancelSyncRequest(sync_id=other.sync_id)
    for _ in range(2):
        answer = await shop.stub.CancelSync(cancel, metadata=shop.metadata)
        assert answer.sync.state == pb.SYNC_STATE_CANCELLED
    assert await refusal(shop.push(other.sync_id, 0, [item("a")])) == ("FAILED_PRECONDITION", "SYNC_NOT_OPEN")
    assert await refusal(shop.finish(other.sync_id, [])) == ("FAILED_PRECONDITION", "SYNC_NOT_OPEN")


async def test_a_sync_cancelled_while_queued_is_not_published(shop: Any, item: Item, admin_sql: Any) -> None:
    sync = await shop.start()
    await shop.push(sync.sync_id, 0, [item("a")])
    await shop.finish(sync.sync_id, [item("a")])
    await shop.stub.CancelSync(pb.CancelSyncRequest(sync_id=sync.sync_id), metadata=shop.metadata)
    await shop.drain()
    assert await active(admin_sql) == {}
    assert (await shop.get(sync.sync_id)).state == pb.SYNC_STATE_CANCELLED


async def test_a_published_sync_cannot_be_cancelled(shop: Any, item: Item) -> None:
    sync = await shop.sync([item("a")])
    call = shop.stub.CancelSync(pb.CancelSyncRequest(sync_id=sync.sync_id), metadata=shop.metadata)
    assert await refusal(call) == ("FAILED_PRECONDITION", "ILLEGAL_STATE_CHANGE")


async def test_a_repeated_request_id_is_the_same_sync(shop: Any) -> None:
    first = await shop.start(request_id="nightly")
    assert (await shop.start(request_id="nightly")).sync_id == first.sync_id
    assert await refusal(shop.start(INCREMENTAL, request_id="nightly")) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"mode": pb.SYNC_MODE_UNSPECIFIED}, "SYNC_REQUEST_INVALID"),
        ({"request_id": "x" * 101}, "SYNC_REQUEST_INVALID"),
    ],
)
async def test_a_bad_start_is_refused(shop: Any, fields: dict[str, Any], reason: str) -> None:
    assert await refusal(shop.start(**fields)) == ("INVALID_ARGUMENT", reason)


async def test_a_moment_in_the_future_cannot_bury_offers(shop: Any) -> None:
    """What a FULL sync does not see is withdrawn as of then, and only what is newer brings it back."""
    far = {"as_of": datetime(2099, 1, 1, tzinfo=UTC)}
    assert await refusal(shop.start(**far)) == ("INVALID_ARGUMENT", "SYNC_REQUEST_INVALID")
    request = pb.StartSyncRequest(request_id="odd", merchant="shop", mode=pb.SYNC_MODE_FULL)
    request.as_of.seconds = 10**15
    call = shop.stub.StartSync(request, metadata=shop.metadata)
    assert await refusal(call) == ("INVALID_ARGUMENT", "SYNC_REQUEST_INVALID")


async def test_a_full_feed_without_a_usable_row_withdraws_nothing(shop: Any, item: Item, admin_sql: Any) -> None:
    """A column mapping with a typing error must not empty a shop, however small it is."""
    await shop.sync([item("a"), item("b")])
    unread = pb.OfferItem(line=1, issues=[pb.Issue(severity=pb.SEVERITY_ERROR, code="OFFER_ID_REQUIRED")])
    unread.source_time.FromDatetime(NOON + HOUR)
    sync = await shop.sync([unread, item("", at=NOON + HOUR)])
    assert (sync.state, sync.reason) == (pb.SYNC_STATE_QUARANTINED, "NOTHING_USABLE")
    assert sync.counters.rejected == 2
    assert len(await shop.issues(sync.sync_id)) == 2
    assert set(await active(admin_sql)) == {"a", "b"}


async def test_batches_have_a_size(shop: Any, item: Item) -> None:
    sync = await shop.start()
    assert await refusal(shop.push(sync.sync_id, 0, [])) == ("INVALID_ARGUMENT", "SYNC_REQUEST_INVALID")
    assert await refusal(shop.push(sync.sync_id, 0, [item("a")] * 2001)) == ("INVALID_ARGUMENT", "SYNC_REQUEST_INVALID")
    assert await refusal(shop.push("not-an-id", 0, [item("a")])) == ("INVALID_ARGUMENT", "MALFORMED_ID")


async def test_a_producer_is_kept_to_its_merchants(shop: Any, other_shop: Any, item: Item) -> None:
    theirs = await other_shop.start()
    stolen = shop
    assert await refusal(stolen.get(theirs.sync_id)) == ("NOT_FOUND", "SYNC_NOT_FOUND")
    assert await refusal(stolen.push(theirs.sync_id, 0, [item("a")])) == ("NOT_FOUND", "SYNC_NOT_FOUND")
    assert await refusal(stolen.finish(theirs.sync_id, [])) == ("NOT_FOUND", "SYNC_NOT_FOUND")
    stolen.slug = other_shop.slug
    assert await refusal(stolen.start()) == ("PERMISSION_DENIED", "MERCHANT_NOT_ALLOWED")


async def test_watching_ends_with_the_sync(shop: Any, item: Item) -> None:
    sync = await shop.start()
    await shop.push(sync.sync_id, 0, [item("a")])
    await shop.finish(sync.sync_id, [item("a")])

    async def watch() -> list[int]:
        request = pb.WatchSyncRequest(sync_id=sync.sync_id)
        return [r.sync.state async for r in shop.stub.WatchSync(request, metadata=shop.metadata)]

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0.4)
    await shop.drain()
    states = await asyncio.wait_for(watching, 5)
    assert states[0] == pb.SYNC_STATE_QUEUED
    assert states[-1] == pb.SYNC_STATE_SUCCEEDED


async def test_syncs_are_listed_newest_first_in_pages(shop: Any) -> None:
    ids = [(await shop.start()).sync_id for _ in range(5)]
    found: list[str] = []
    token = ""
    while True:
        request = pb.ListSyncsRequest(merchant=shop.slug, page_size=2, page_token=token)
        page = await shop.stub.ListSyncs(request, metadata=shop.metadata)
        found += [sync.sync_id for sync in page.syncs]
        token = page.next_page_token
        if not token:
            break
    assert found == ids[::-1]


async def test_a_dry_run_checks_and_stores_nothing(shop: Any, item: Item, admin_sql: Any) -> None:
    request = pb.ValidateOffersRequest(merchant=shop.slug, items=[item("a"), item("b", title="")])
    answer = await shop.stub.ValidateOffers(request, metadata=shop.metadata)
    assert (answer.accepted, answer.rejected) == (1, 1)
    assert [(issue.offset, issue.issue.field) for issue in answer.issues] == [(1, "title")]
    assert await admin_sql("SELECT 1 FROM syncs") == []
