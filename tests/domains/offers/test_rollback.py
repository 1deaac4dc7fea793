"""Taking a publication back restores what it changed, withdraws what it brought, and can be taken back itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FULL, INCREMENTAL = pb.SYNC_MODE_FULL, pb.SYNC_MODE_INCREMENTAL
Item = Callable[..., pb.OfferItem]


@pytest.fixture
def rollback(api: Any, operator_token: str, shop: Any) -> Any:
    """Rolls the shop back; returns (status code, the sync or the problem)."""

    async def roll(key: str = "key-1") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {operator_token}", "Idempotency-Key": key}
        answer = await api.post("/v1/merchants/shop/catalogue:rollback", headers=headers)
        await shop.drain()
        if answer.status_code != 202:
            return answer.status_code, answer.json()
        assert answer.headers["location"] == f"/v1/syncs/{answer.json()['id']}"
        sync = await api.get(answer.headers["location"], headers=headers)
        return 202, sync.json()

    return roll


@pytest.fixture
def listed(admin_sql: Any) -> Any:
    async def listed() -> dict[str, int]:
        """{offer_id: price} of the active offers"""
        rows = await admin_sql("SELECT offer_id, price_minor FROM offers WHERE status = 'active' ORDER BY offer_id")
        return {row["offer_id"]: row["price_minor"] for row in rows}

    return listed


async def test_the_offers_are_as_they_were_before_the_last_feed(
    shop: Any, item: Item, rollback: Any, listed: Any
) -> None:
    await shop.sync([item("kept", price_minor=1), item("changed", price_minor=2), item("gone", price_minor=3)])
    before = await listed()
    second = [item("kept", at=NOON + HOUR, price_minor=1), item("changed", at=NOON + HOUR, price_minor=9)]
    await shop.sync([*second, item("new", at=NOON + HOUR, price_minor=4)])
    assert await listed() == {"changed": 9, "kept": 1, "new": 4}

    status, sync = await rollback()
    assert status == 202
    assert (sync["mode"], sync["state"]) == ("rollback", "succeeded")
    assert (
        "Version 2 was taken back: 2 offers are as they were before it, 1 that it brought are withdrawn"
        in (sync["message"])
    )
    assert await listed() == before


async def test_done_twice_it_is_undone(shop: Any, item: Item, rollback: Any, listed: Any) -> None:
    await shop.sync([item("a", price_minor=1), item("b", price_minor=2)])
    await shop.sync([item("a", at=NOON + HOUR, price_minor=7), item("c", at=NOON + HOUR, price_minor=3)])
    after = await listed()
    await rollback("key-1")
    assert await listed() == {"a": 1, "b": 2}
    await rollback("key-2")
    assert await listed() == after


async def test_a_repeated_request_is_the_same_rollback(shop: Any, item: Item, rollback: Any, listed: Any) -> None:
    await shop.sync([item("a", price_minor=1)])
    await shop.sync([item("a", at=NOON + HOUR, price_minor=7)])
    first = await rollback("key-1")
    assert (await rollback("key-1"))[1]["id"] == first[1]["id"]
    assert await listed() == {"a": 1}


async def test_changes_and_deletions_of_an_incremental_sync_are_taken_back_too(
    shop: Any, item: Item, deletion: Item, rollback: Any, listed: Any
) -> None:
    await shop.sync([item("a", price_minor=1), item("b", price_minor=2)])
    await shop.sync([deletion("a", at=NOON + HOUR), item("b", at=NOON + HOUR, price_minor=5)], INCREMENTAL)
    assert await listed() == {"b": 5}
    await rollback()
    assert await listed() == {"a": 1, "b": 2}


async def test_the_next_feed_goes_on_from_there(shop: Any, item: Item, rollback: Any, listed: Any) -> None:
    """Times do not go back, so what is older than the feed that was taken back does not win."""
    await shop.sync([item("a", price_minor=1)])
    await shop.sync([item("a", at=NOON + HOUR, price_minor=7)])
    await rollback()
    assert (await shop.sync([item("a", at=NOON, price_minor=3)], INCREMENTAL)).counters.stale == 1
    good = await shop.sync([item("a", at=NOON + 2 * HOUR, price_minor=2)])
    assert good.counters.updated == 1
    assert await listed() == {"a": 2}


async def test_a_feed_that_changed_nothing_is_no_version(shop: Any, item: Item, rollback: Any, listed: Any) -> None:
    await shop.sync([item("a", price_minor=1)])
    await shop.sync([item("a", at=NOON + HOUR, price_minor=7)])
    await shop.sync([item("a", at=NOON + 2 * HOUR, price_minor=7)])
    await rollback()
    assert await listed() == {"a": 1}


async def test_a_deletion_that_is_sent_again_is_no_version(
    shop: Any, item: Item, deletion: Item, rollback: Any, listed: Any
) -> None:
    await shop.sync([item("a", price_minor=1), item("b", price_minor=2)])
    for hours in (1, 2):
        sync = await shop.sync([deletion("a", at=NOON + hours * HOUR)], INCREMENTAL)
        assert sync.counters.withdrawn_by_item == 1
    await rollback()
    assert await listed() == {"a": 1, "b": 2}


async def test_the_price_that_ends_is_remembered(shop: Any, item: Item, rollback: Any, admin_sql: Any) -> None:
    await shop.sync([item("a", price_minor=1)])
    await shop.sync([item("a", at=NOON + HOUR, price_minor=7)])
    await rollback()
    prices = await admin_sql("SELECT price_minor FROM offer_prices ORDER BY valid_from")
    assert [row["price_minor"] for row in prices] == [1, 7]


async def test_search_follows_it(shop: Any, item: Item, rollback: Any, admin_sql: Any) -> None:
    await shop.sync([item("a"), item("b")])
    await shop.sync([item("a", at=NOON + HOUR), item("c", at=NOON + HOUR)])
    await rollback()
    found = await admin_sql("SELECT offer_id FROM offer_listings ORDER BY offer_id")
    assert [row["offer_id"] for row in found] == ["a", "b"]


async def test_the_first_version_has_nothing_before_it(shop: Any, item: Item, rollback: Any, listed: Any) -> None:
    await shop.sync([item("a", price_minor=1)])
    status, problem = await rollback()
    assert (status, problem["reason"]) == (409, "NOTHING_TO_ROLL_BACK")
    assert await listed() == {"a": 1}


async def test_only_the_last_version_is_kept(shop: Any, item: Item, admin_sql: Any) -> None:
    for hours, price in enumerate((1, 2, 3, 4)):
        await shop.sync([item("a", at=NOON + hours * HOUR, price_minor=price)])
    rows = await admin_sql("SELECT replaced_in, price_minor FROM offer_revisions")
    assert [tuple(row) for row in rows] == [(4, 3)]


async def test_a_producer_may_not(api: Any, shop: Any) -> None:
    headers = {"Authorization": f"Bearer {shop.key}", "Idempotency-Key": "k"}
    answer = await api.post("/v1/merchants/shop/catalogue:rollback", headers=headers)
    assert answer.status_code == 403
