"""What a sync would change, decided by the database from the index of its chunks and the stored offers alone."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domains.merchants import service as merchants
from domains.offers import service
from domains.offers.service.chunks import content_hash, encode_chunk, store_chunks
from domains.offers.service.plan import (
    Plan,
    PlanRules,
    from_microseconds,
    make_plan,
    shrinks_too_much,
    to_microseconds,
)
from wapsi.ids import new_id
from wapsi.producer.checksum import EMPTY_CHECKSUM
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime
from wapsi.security.principal import Principal, PrincipalKind

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPERATOR = Principal(PrincipalKind.OPERATOR, new_id(), frozenset())
Item = Callable[..., pb.OfferItem]


@dataclass
class Planner:
    """A merchant with stored offers, against which syncs are planned (and then forgotten)."""

    runtime: Runtime
    admin_sql: Any
    merchant_id: UUID
    numbers: Any

    async def store(self, item: pb.OfferItem, at: datetime = NOON, *, active: bool = True) -> None:
        """As if an item had been published."""
        await self.admin_sql(
            "INSERT INTO offers (merchant_id, offer_id, status, source_time, content_hash, catalogue_version,"
            " first_seen_at, last_seen_at, price_since, kind, title, description, link, image_link,"
            " additional_image_links, availability, gtins, mpn, brand, item_group_id, google_product_category,"
            " product_types, condition, color, size, gender, age_group, adult, rate_category, cashback_eligible,"
            " custom_attributes, coupon_code) VALUES ($1, $2, $3, $4, $5, 1, $4, $4, $4, 'product', 'A', '', '', '',"
            " '{}', 'in_stock', '{}', '', '', '', '', '{}', '', '', '', '', '', false, '', true, '{}', '')",
            self.merchant_id,
            item.offer.offer_id,
            "active" if active else "withdrawn",
            at,
            content_hash(item.offer.SerializeToString(deterministic=True)),
        )

    async def plan(
        self, *items: pb.OfferItem, full: bool = True, floor_at: datetime | None = None, batch: int = 1000
    ) -> tuple[str, Plan, list[str]]:
        """(a letter of each item that has to be read, the plan, the offer_ids that would be withdrawn)"""
        data = [item.SerializeToString(deterministic=True) for item in items]
        rules = PlanRules(full=full, latest_at=NOON + 24 * HOUR, floor_at=floor_at, as_of=NOON)
        async with self.runtime.db.write() as session:
            new = service.NewSync("planned", f"request {next(self.numbers)}", service.SyncMode.FULL)
            sync = await service.start_sync(session, OPERATOR, new)
            for start in range(0, len(data), batch):
                chunk = encode_chunk(EMPTY_CHECKSUM, start, data[start : start + batch])
                await store_chunks(session, sync.id, [chunk])
            plan = await make_plan(session, sync.id, self.merchant_id, rules)
            driver = await session.driver()
            unseen = await driver.fetch("SELECT offer_id FROM offers JOIN sync_unseen USING (id) ORDER BY offer_id")
        letters = "".join(chunk.actions for chunk in plan.work)
        assert plan.unseen == len(unseen)
        return letters, plan, [row["offer_id"] for row in unseen]

    async def letters(self, *items: pb.OfferItem, **rules: Any) -> str:
        return (await self.plan(*items, **rules))[0]

    async def unseen(self, *items: pb.OfferItem, **rules: Any) -> list[str]:
        return (await self.plan(*items, **rules))[2]


@pytest.fixture
async def planner(runtime: Runtime, admin_sql: Any) -> Planner:
    async with runtime.db.write() as session:
        new = merchants.NewMerchant(
            slug="planned",
            name="Planned",
            currency="PKR",
            deep_link_template="https://go.example/?u={link}&c={click_id}",
            allowed_landing_hosts=("shop.example",),
        )
        merchant = await merchants.create_merchant(session, None, new)
    return Planner(runtime, admin_sql, merchant.id, itertools.count(1))


async def test_of_one_offer_the_newest_item_counts(planner: Planner, item: Item) -> None:
    assert await planner.letters(item("a", at=NOON - HOUR), item("a"), item("a", at=NOON - 2 * HOUR)) == "DCD"


async def test_of_two_items_of_one_time_the_later_counts(planner: Planner, item: Item) -> None:
    assert await planner.letters(item("a"), item("a", price_minor=1)) == "DC"


async def test_a_plan_is_the_same_however_items_are_batched(planner: Planner, item: Item) -> None:
    items = [item(str(n % 7), at=NOON - n * HOUR) for n in range(20)]
    whole = await planner.letters(*items)
    assert whole == "C" * 7 + "D" * 13
    assert await planner.letters(*items, batch=3) == whole


async def test_items_that_cannot_be_compared_are_set_aside(planner: Planner, item: Item) -> None:
    timeless = pb.OfferItem(offer=pb.Offer(offer_id="timeless"))
    letters, plan, _ = await planner.plan(
        timeless, item(""), item("future", at=NOON + 48 * HOUR), pb.OfferItem(line=4), item("x" * 300), item("n\0l")
    )
    assert letters == "XXXRXX"
    assert plan.oldest_at is None


async def test_new_changed_and_unchanged_are_told_apart(planner: Planner, item: Item) -> None:
    await planner.store(item("same"))
    await planner.store(item("changed"))
    letters, plan, _ = await planner.plan(item("new"), item("same"), item("changed", price_minor=1))
    assert letters == "CU"
    assert (plan.items, plan.unchanged) == (3, 1)


async def test_offers_of_other_merchants_do_not_count(planner: Planner, item: Item) -> None:
    await planner.store(item("a"))
    await planner.admin_sql("UPDATE offers SET merchant_id = uuidv7()")
    assert await planner.letters(item("a")) == "C"


async def test_an_item_that_its_producer_had_something_to_say_about_is_looked_at(planner: Planner, item: Item) -> None:
    noted = item("a")
    noted.issues.add(code="TIME_INVALID", severity=pb.SEVERITY_WARNING)
    await planner.store(item("a"))
    letters, plan, _ = await planner.plan(noted, item("b"))
    assert letters == "eC"
    assert plan.unchanged == 1


async def test_chunks_with_nothing_to_do_are_not_read(planner: Planner, item: Item) -> None:
    for name in "abcd":
        await planner.store(item(name))
    items = [item("a"), item("b"), item("c"), item("d", price_minor=1), item("a", at=NOON - HOUR)]
    _, plan, _ = await planner.plan(*items, batch=2)
    assert [(chunk.first_offset, list(chunk.items())) for chunk in plan.work] == [(2, [(1, "U")]), (4, [(0, "D")])]


async def test_an_older_message_never_wins(planner: Planner, item: Item) -> None:
    await planner.store(item("a"))
    letters, plan, _ = await planner.plan(item("a", at=NOON - HOUR, price_minor=1), item("b"))
    assert (letters, plan.stale) == ("C", 1)


async def test_an_older_message_does_not_bring_a_withdrawn_offer_back(planner: Planner, item: Item) -> None:
    await planner.store(item("a"), active=False)
    assert (await planner.plan(item("a", at=NOON - HOUR)))[1].stale == 1
    assert await planner.letters(item("a", at=NOON + HOUR)) == "U"


async def test_the_floor_stands_for_the_times_of_active_offers_only(planner: Planner, item: Item) -> None:
    """Stored long ago, seen unchanged in a FULL feed of noon: a change stated in between is old news."""
    await planner.store(item("a"), NOON - 100 * HOUR)
    await planner.store(item("withdrawn"), NOON - 100 * HOUR, active=False)
    changes = [item(name, at=NOON - HOUR, price_minor=1) for name in ("a", "withdrawn")]
    assert await planner.letters(*changes, floor_at=NOON) == "U"


async def test_a_full_sync_withdraws_what_it_did_not_see_and_an_incremental_one_does_not(
    planner: Planner, item: Item
) -> None:
    await planner.store(item("seen"))
    await planner.store(item("gone"))
    await planner.store(item("dead"), active=False)
    assert await planner.unseen(item("seen")) == ["gone"]
    assert await planner.unseen(item("seen"), full=False) == []
    assert await planner.unseen() == ["gone", "seen"]


async def test_a_full_sync_leaves_offers_alone_that_were_stated_after_it(planner: Planner, item: Item) -> None:
    await planner.store(item("newer"), NOON + HOUR)
    assert await planner.unseen(item("other")) == []


async def test_a_bad_row_does_not_withdraw_its_offer(planner: Planner, item: Item) -> None:
    for name in "abc":
        await planner.store(item(name))
    too_late, no_offer = item("a", at=NOON + 48 * HOUR), pb.OfferItem(line=3, rejected_offer_id="b")
    assert await planner.unseen(too_late, no_offer) == ["c"]


async def test_unchanged_offers_of_one_feed_time_need_no_write(planner: Planner, item: Item) -> None:
    for name in "ab":
        await planner.store(item(name), NOON - HOUR)
    letters, plan, _ = await planner.plan(item("a"), item("b"))
    assert (letters, plan.unchanged, plan.touched, plan.oldest_at, plan.newest_at) == ("", 2, 0, NOON, None)


async def test_unchanged_offers_stated_later_than_the_floor_are_touched(planner: Planner, item: Item) -> None:
    for name in "ab":
        await planner.store(item(name), NOON - 2 * HOUR)
    feed = [item("a", at=NOON - HOUR), item("b", at=NOON)]
    assert (await planner.plan(*feed))[1].touched == 1
    assert (await planner.plan(*feed, full=False))[1].touched == 2


async def test_the_newest_of_what_changes_is_told(planner: Planner, item: Item) -> None:
    await planner.store(item("same"), NOON - HOUR)
    _, plan, _ = await planner.plan(item("same", at=NOON), item("new", at=NOON - HOUR))
    assert plan.newest_at == NOON - HOUR


@pytest.mark.parametrize(
    ("unseen", "active_before", "expected"), [(30, 100, False), (31, 100, True), (100, 100, True), (19, 19, False)]
)
def test_the_shrink_guard_looks_at_the_share_and_leaves_small_catalogues_alone(
    unseen: int, active_before: int, expected: bool
) -> None:
    assert shrinks_too_much(unseen, active_before, 30) is expected


def test_microseconds_come_back_as_they_were() -> None:
    moment = datetime(2026, 11, 1, 12, 30, 15, 123_456, tzinfo=UTC)
    assert from_microseconds(to_microseconds(moment)) == moment
