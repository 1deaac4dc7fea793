"""A feed that is published already is known by its digest: it is not read, and all its offers count as seen."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domains.offers.feeds import FeedOptions
from domains.offers.service import retention
from wapsi.clock import now
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
INCREMENTAL = pb.SYNC_MODE_INCREMENTAL
DIGEST = b"sha256 of the file"
Item = Callable[..., pb.OfferItem]


async def push(shop: Any, *items: pb.OfferItem, at: datetime = NOON, digest: bytes = DIGEST) -> pb.Sync:
    """A FULL sync of items that are all stated at one time, as a file's are."""
    for item in items:
        item.source_time.FromDatetime(at)
    return await shop.sync(items, feed_digest=digest, as_of=at)


async def start(shop: Any, *, at: datetime, digest: bytes = DIGEST, **fields: Any) -> pb.Sync:
    return await shop.start(feed_digest=digest, as_of=at, **fields)


async def test_the_published_feed_succeeds_at_once(shop: Any, item: Item, admin_sql: Any) -> None:
    first = await push(shop, item("a"), item("b"), item("b"))
    again = await start(shop, at=NOON + HOUR)
    assert again.state == pb.SYNC_STATE_SUCCEEDED
    assert first.sync_id in again.message
    counters = again.counters
    assert (counters.received, counters.unchanged, counters.duplicates, counters.created) == (3, 2, 1, 0)
    assert await admin_sql("SELECT 1 FROM sync_chunks WHERE sync_id = $1", again.sync_id) == []
    assert await admin_sql("SELECT 1 FROM jobs WHERE args->>'sync_id' = $1", again.sync_id) == []


async def test_it_counts_as_stated_again_so_that_older_messages_do_not_win(shop: Any, item: Item) -> None:
    await push(shop, item("a"))
    await start(shop, at=NOON + 2 * HOUR)
    between = await shop.sync([item("a", at=NOON + HOUR, price_minor=1)], INCREMENTAL)
    assert between.counters.stale == 1


async def test_its_offers_count_as_seen(shop: Any, item: Item, runtime: Any, admin_sql: Any) -> None:
    await push(shop, item("a"))
    await admin_sql("UPDATE offers SET last_seen_at = now() - interval '40 days'")
    await admin_sql("UPDATE catalogues SET last_full_seen_at = now() - interval '40 days'")
    await start(shop, at=NOON + HOUR)
    async with runtime.db.write() as session:
        assert await retention.expire_unseen(session, before=now() - retention.UNSEEN_LIMIT) == 0


async def test_another_feed_is_read(shop: Any, item: Item) -> None:
    await push(shop, item("a"))
    assert (await start(shop, at=NOON + HOUR, digest=b"another")).state == pb.SYNC_STATE_OPEN
    assert (await start(shop, at=NOON + HOUR, digest=b"")).state == pb.SYNC_STATE_OPEN


async def test_after_an_incremental_change_it_is_read_again(shop: Any, item: Item) -> None:
    await push(shop, item("a"))
    await shop.sync([item("a", at=NOON + HOUR, price_minor=1)], INCREMENTAL)
    assert (await start(shop, at=NOON + 2 * HOUR)).state == pb.SYNC_STATE_OPEN


async def test_an_incremental_sync_that_changes_nothing_does_not_matter(shop: Any, item: Item) -> None:
    await push(shop, item("a"))
    await shop.sync([item("a", at=NOON + HOUR)], INCREMENTAL)
    assert (await start(shop, at=NOON + 2 * HOUR)).state == pb.SYNC_STATE_SUCCEEDED


async def test_a_feed_with_a_refused_row_is_read_again(shop: Any, item: Item) -> None:
    """The merchant's list of landing hosts may be longer by then."""
    assert (await push(shop, item("a"), item("b", link="https://elsewhere.example/b"))).counters.rejected == 1
    assert (await start(shop, at=NOON + HOUR)).state == pb.SYNC_STATE_OPEN


async def test_a_feed_that_lost_against_newer_statements_is_read_again(shop: Any, item: Item) -> None:
    await shop.sync([item("a", at=NOON + HOUR, price_minor=5)])
    assert (await push(shop, item("a"))).counters.stale == 1
    assert (await start(shop, at=NOON + 2 * HOUR)).state == pb.SYNC_STATE_OPEN


async def test_a_feed_that_left_newer_offers_alone_is_read_again(shop: Any, item: Item) -> None:
    """Later, it withdraws what it does not have."""
    await shop.sync([item("newer", at=NOON + HOUR)], INCREMENTAL)
    assert (await push(shop, item("a"))).counters.withdrawn_unseen == 0
    assert (await start(shop, at=NOON + 2 * HOUR)).state == pb.SYNC_STATE_OPEN


async def test_a_feed_with_deletions_is_read_again(shop: Any, item: Item, deletion: Item) -> None:
    await push(shop, item("a"), deletion("b"))
    assert (await start(shop, at=NOON + HOUR)).state == pb.SYNC_STATE_OPEN


async def test_after_offers_expired_it_is_read_again(shop: Any, item: Item, runtime: Any, admin_sql: Any) -> None:
    await push(shop, item("a"))
    await admin_sql("UPDATE offers SET last_seen_at = now() - interval '40 days'")
    await admin_sql("UPDATE catalogues SET last_full_seen_at = now() - interval '40 days'")
    async with runtime.db.write() as session:
        assert await retention.expire_unseen(session, before=now() - retention.UNSEEN_LIMIT) == 1
    assert (await start(shop, at=NOON + HOUR)).state == pb.SYNC_STATE_OPEN


async def test_an_incremental_sync_has_no_digest_that_counts(shop: Any, item: Item) -> None:
    await push(shop, item("a"))
    assert (await start(shop, at=NOON + HOUR, mode=INCREMENTAL)).state == pb.SYNC_STATE_OPEN


async def test_a_feed_of_an_earlier_moment_is_read(shop: Any, item: Item) -> None:
    await push(shop, item("a"))
    assert (await start(shop, at=NOON - HOUR)).state == pb.SYNC_STATE_OPEN


async def test_of_another_merchant_nothing_is_known(shop: Any, other_shop: Any, item: Item) -> None:
    await push(shop, item("a"))
    assert (await start(other_shop, at=NOON + HOUR)).state == pb.SYNC_STATE_OPEN


@pytest.fixture
def options() -> dict[str, Any]:
    return {"default_currency": "PKR", "column_mapping": {"offer_id": "sku"}, "encoding": "utf-8"}


def test_how_a_file_is_read_belongs_to_its_digest(options: dict[str, Any]) -> None:
    def digest(**changes: Any) -> bytes:
        return FeedOptions.from_json(options | changes, source_time=now()).digest_with("ab" * 32)

    assert digest() == digest()
    changed = {digest(default_currency="USD"), digest(column_mapping={"offer_id": "id"}), digest(encoding="latin-1")}
    assert len(changed | {digest()}) == 4


def test_a_file_whose_rows_state_their_times_has_none(options: dict[str, Any]) -> None:
    mapping = {"offer_id": "sku", "source_time": "updated"}
    assert FeedOptions.from_json(options | {"column_mapping": mapping}, source_time=now()).digest_with("ab") == b""
