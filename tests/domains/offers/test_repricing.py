"""Prices that shoppers sort by: with sales, rates, caps; and how they follow when time passes and nothing is pushed."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from domains.merchants import service as merchants
from domains.offers.service import documents, repricing
from wapsi.clock import now
from wapsi.queue import outbox
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime

Item = Callable[..., pb.OfferItem]
HOUR = timedelta(hours=1)
REVISIONS = "SELECT revision FROM merchants WHERE slug = 'shop'"


def rate(category: str = "", *, bps: int | None = None, fixed: int | None = None, cap: int | None = None,
         customer: merchants.CustomerType = merchants.CustomerType.UNKNOWN) -> merchants.Rate:  # fmt: skip
    kind = merchants.RateKind.PERCENT if fixed is None else merchants.RateKind.FIXED
    return merchants.Rate(category, customer, kind, bps, fixed, "PKR", cap)


@pytest.fixture
def publish(runtime: Runtime) -> Callable[..., Awaitable[None]]:
    async def publish(*rates: merchants.Rate, valid_from: datetime | None = None) -> None:
        async with runtime.db.write() as session:
            new = merchants.NewSchedule(rates=rates, valid_from=valid_from)
            await merchants.publish_rates(session, None, "shop", new)

    return publish


@pytest.fixture
def prices(admin_sql: Any) -> Callable[[], Awaitable[dict[str, tuple[int | None, int | None]]]]:
    """By offer_id, what is paid and that less what comes back."""

    async def prices() -> dict[str, tuple[int | None, int | None]]:
        rows = await admin_sql(
            "SELECT o.offer_id, l.price_minor, l.net_minor FROM offer_listings l JOIN offers o USING (id)"
        )
        return {row["offer_id"]: (row["price_minor"], row["net_minor"]) for row in rows}

    return prices


@pytest.fixture
def tick(runtime: Runtime, drain: Any) -> Callable[[], Awaitable[None]]:
    """The periodic job, and all that it asks for."""

    async def tick() -> None:
        async with runtime.db.write() as session:
            await outbox.enqueue(session, "offers.reprice", {})
        await drain()

    return tick


def on_sale(item: Item, offer_id: str, start: datetime | None, end: datetime | None) -> pb.OfferItem:
    made = item(offer_id, price_minor=1000, sale_price=pb.Money(amount_minor=800, currency="PKR"))
    if start is not None:
        made.offer.sale_starts_at.FromDatetime(start)
    if end is not None:
        made.offer.sale_ends_at.FromDatetime(end)
    return made


async def test_what_is_paid_is_the_sale_price_while_the_sale_runs(shop: Any, item: Item, prices: Any,
                                                                  admin_sql: Any) -> None:  # fmt: skip
    start, end = now() - HOUR, now() + HOUR
    await shop.sync(
        [
            on_sale(item, "always", None, None),
            on_sale(item, "running", start, end),
            on_sale(item, "later", end, end + HOUR),
            on_sale(item, "over", start - HOUR, start),
        ]
    )
    assert await prices() == {
        "always": (800, 760), "running": (800, 760), "later": (1000, 950), "over": (1000, 950),
    }  # fmt: skip
    rows = await admin_sql("SELECT offer_id, changes_at FROM offer_listings")
    assert {row["offer_id"]: row["changes_at"] for row in rows} == {
        "always": None, "running": end, "later": end, "over": None,
    }  # fmt: skip


async def test_a_sale_that_begins_or_ends_is_followed_by_itself(
    shop: Any, item: Item, prices: Any, tick: Any, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repricing, "BATCH", 2)
    end = now() + HOUR
    await shop.sync(
        [on_sale(item, f"ends {n}", None, end) for n in range(5)] + [on_sale(item, "begins", end, end + HOUR)]
    )
    [before] = await admin_sql(REVISIONS)
    await tick()
    assert set((await prices()).values()) == {(800, 760), (1000, 950)}
    assert await admin_sql(REVISIONS) == [before], "nothing has changed, and caches are told so"
    later = end + timedelta(seconds=1)
    for module in (documents, repricing):
        monkeypatch.setattr(module, "now", lambda: later)
    await tick()
    assert await prices() == {**{f"ends {n}": (1000, 950) for n in range(5)}, "begins": (800, 760)}
    [after] = await admin_sql(REVISIONS)
    assert after["revision"] > before["revision"]
    rows = await admin_sql("SELECT changes_at FROM offer_listings WHERE changes_at IS NOT NULL")
    assert [row["changes_at"] for row in rows] == [end + HOUR]


async def test_what_comes_back_is_by_category_cut_and_capped(shop: Any, item: Item, prices: Any, publish: Any) -> None:
    await publish(
        rate(bps=250),
        rate("shoes", bps=1000, cap=50),
        rate("phones", fixed=300),
        rate("toys", bps=9000, customer=merchants.CustomerType.NEW),
    )
    price = pb.Money(amount_minor=1000, currency="AED")
    await shop.sync(
        [
            item("plain", price_minor=199),
            item("unknown category", price_minor=1000, rate_category="hats"),
            item("capped", price_minor=1000, rate_category="shoes"),
            item("below the cap", price_minor=100, rate_category="shoes"),
            item("fixed", price_minor=1000, rate_category="phones"),
            item("more than the price", price_minor=100, rate_category="phones"),
            item("for new customers", price_minor=1000, rate_category="toys"),
            item("ineligible", price_minor=1000, cashback_eligible=False),
            item("foreign", price=price),
        ]
    )
    assert await prices() == {
        "plain": (199, 195),
        "unknown category": (1000, 975),
        "capped": (1000, 950),
        "below the cap": (100, 90),
        "fixed": (1000, 700),
        "more than the price": (100, 0),
        "for new customers": (1000, 975),
        "ineligible": (1000, 1000),
        # Nothing is converted: a sale in another currency than the rates' earns nothing.
        "foreign": (1000, 1000),
    }


async def test_new_rates_reach_every_listing_without_a_publication(
    shop: Any, item: Item, prices: Any, publish: Any, tick: Any, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repricing, "BATCH", 4)
    await shop.sync([item(str(n), price_minor=1000) for n in range(10)])
    assert set((await prices()).values()) == {(1000, 950)}
    await publish(rate(bps=2000))
    await tick()
    assert set((await prices()).values()) == {(1000, 800)}
    [row] = await admin_sql("SELECT priced_version FROM catalogues")
    assert row["priced_version"] == 2
    assert await tick() is None
    jobs = await admin_sql("SELECT 1 FROM jobs WHERE kind = 'offers.reprice_merchant'")
    assert len(jobs) == 1, "once is enough"


async def test_scheduled_rates_count_from_the_moment_that_they_begin(
    shop: Any, item: Item, prices: Any, publish: Any, tick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sync([item("1", price_minor=1000)])
    begins = now() + HOUR
    await publish(rate(fixed=100), valid_from=begins)
    await tick()
    assert await prices() == {"1": (1000, 950)}
    for module in (documents, repricing):
        monkeypatch.setattr(module, "now", lambda: begins)
    await tick()
    assert await prices() == {"1": (1000, 900)}


async def test_a_publication_after_new_rates_leaves_none_behind(
    shop: Any, item: Item, prices: Any, publish: Any, tick: Any
) -> None:
    """It prices what it has changed; the rest is still to be priced, and is."""
    await shop.sync([item("old", price_minor=1000)])
    await publish(rate(bps=1000))
    await shop.sync([item("new", price_minor=1000)], mode=pb.SYNC_MODE_INCREMENTAL)
    assert await prices() == {"old": (1000, 950), "new": (1000, 900)}
    await tick()
    assert await prices() == {"old": (1000, 900), "new": (1000, 900)}


async def test_while_a_publication_runs_the_rates_are_not_noted_and_tried_again(
    shop: Any, item: Item, prices: Any, publish: Any, tick: Any, admin_sql: Any, runtime: Runtime
) -> None:
    await shop.sync([item("1", price_minor=1000)])
    await publish(rate(bps=1000))
    async with runtime.db.write() as publication:
        driver = await publication.driver()
        await driver.execute("SELECT 1 FROM catalogues FOR UPDATE")
        await tick()
        assert await prices() == {"1": (1000, 900)}
        assert [row["priced_version"] for row in await admin_sql("SELECT priced_version FROM catalogues")] == [1]
    await tick()
    assert [row["priced_version"] for row in await admin_sql("SELECT priced_version FROM catalogues")] == [2]


async def test_search_that_has_not_followed_is_made_to(shop: Any, item: Item, tick: Any, admin_sql: Any) -> None:
    """As after an upgrade, which empties it."""
    await shop.sync([item(str(n)) for n in range(3)])
    await admin_sql("DELETE FROM offer_listings")
    await admin_sql("DELETE FROM offer_documents")
    await admin_sql("DELETE FROM facet_counts")
    await admin_sql("UPDATE catalogues SET listed_version = 0, priced_version = NULL")
    await tick()
    assert len(await admin_sql("SELECT 1 FROM offer_listings")) == 3
    [row] = await admin_sql("SELECT version, listed_version, priced_version FROM catalogues")
    assert (row["version"], row["listed_version"], row["priced_version"]) == (1, 1, 1)


async def test_what_is_under_way_is_not_asked_for_again(
    shop: Any, item: Item, runtime: Runtime, admin_sql: Any, drain: Any
) -> None:
    sync = await shop.start()
    await shop.push(sync.sync_id, 0, [item("1")])
    await admin_sql("UPDATE catalogues SET version = 1")
    await shop.sync([item("2")])
    await admin_sql("UPDATE catalogues SET listed_version = 0")
    await admin_sql("UPDATE jobs SET state = 'ready', wake_at = now() + '1 h', due_at = now() + '1 h'"
                    " WHERE kind = 'offers.index_documents'")  # fmt: skip
    async with runtime.db.write() as session:
        await outbox.enqueue(session, "offers.reprice", {})
    await drain()
    assert len(await admin_sql("SELECT 1 FROM jobs WHERE kind = 'offers.index_documents'")) == 1


@pytest.mark.parametrize("change", ["update", "move", "rates"])
async def test_a_change_of_a_merchant_is_a_new_revision(
    shop: Any, runtime: Runtime, publish: Any, admin_sql: Any, change: str
) -> None:
    [before] = await admin_sql(REVISIONS)
    if change == "rates":
        await publish(rate(bps=1))
    async with runtime.db.write() as session:
        if change == "update":
            await merchants.update_merchant(session, None, "shop", {"name": "Another"})
        elif change == "move":
            await merchants.move_merchant(session, None, "shop", merchants.MerchantStatus.PAUSED)
    [after] = await admin_sql(REVISIONS)
    assert after["revision"] == before["revision"] + 1


async def test_an_offer_that_expires_is_listed_no_more(
    shop: Any, item: Item, prices: Any, tick: Callable[[], Awaitable[None]], admin_sql: Any
) -> None:
    """Nor does a walk through the index meet it again and again."""
    ends = item("1")
    ends.offer.expires_at.FromDatetime(now() + HOUR)
    await shop.sync([ends, item("2")])
    assert set(await prices()) == {"1", "2"}
    await admin_sql("UPDATE offers SET expires_at = now() - interval '1 s' WHERE offer_id = '1'")
    await tick()
    assert set(await prices()) == {"1", "2"}, "its moment has not come"
    await admin_sql("UPDATE offer_listings SET changes_at = now() WHERE changes_at IS NOT NULL")
    await tick()
    assert set(await prices()) == {"2"}
    longer = item("1", at=now())
    longer.offer.expires_at.FromDatetime(now() + 2 * HOUR)
    await shop.sync([longer, item("2")])
    assert set(await prices()) == {"1", "2"}
