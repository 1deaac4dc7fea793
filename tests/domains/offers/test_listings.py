"""What lists show of an offer: read from the listings alone, and from the offers where listings are behind."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domains.offers import schemas
from domains.offers.service import retention
from wapsi.clock import now
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
Item = Callable[..., pb.OfferItem]

# The next publication, which nothing has followed yet.
PUBLISH = "UPDATE catalogues SET version = version + 1"


async def listed(api: Any, query: str) -> list[dict[str, Any]]:
    answer = await api.get(f"/v1/offers?{query}")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def titles(api: Any, query: str) -> list[str]:
    return [offer["title"] for offer in await listed(api, query)]


def full_item(item: Item) -> pb.OfferItem:
    """With something in each field that is shown."""
    made = item(
        *("1",),
        kind=pb.OFFER_KIND_PRODUCT,
        image_link="https://shop.example/1.jpg",
        price_minor=1000,
        sale_price=pb.Money(amount_minor=800, currency="PKR"),
        google_product_category="Apparel > Kurtas",
        rate_category="clearance",
        coupon_code="EID",
    )
    made.offer.ends_at.FromDatetime(now() + timedelta(days=1))
    made.offer.sale_ends_at.FromDatetime(now() + timedelta(days=1))
    return made


@pytest.mark.parametrize("query", ["brand=mehr", "category=apparel", "currency=PKR&sort=net_price", "q=kurta"])
async def test_a_list_shows_an_offer_as_its_own_page_does(shop: Any, item: Item, api: Any, query: str) -> None:
    await shop.sync([full_item(item)])
    [shown] = await listed(api, query)
    page = (await api.get(f"/v1/offers/{shown['id']}")).json()
    assert shown == {name: page[name] for name in schemas.OfferSummary.model_fields}
    assert (shown["price_now_minor"], shown["category"]) == (800, "Apparel > Kurtas")


@pytest.mark.parametrize("query", ["brand=mehr&limit={}", "q=kurta&limit={}"])
async def test_what_a_list_shows_is_never_older_than_what_is_published(
    shop: Any, item: Item, api: Any, admin_sql: Any, query: str
) -> None:
    await shop.sync([item("1"), item("2")])
    await admin_sql("UPDATE offers SET title = 'Renewed', price_minor = 7 WHERE offer_id = '1'")
    await admin_sql("UPDATE offers SET status = 'withdrawn' WHERE offer_id = '2'")
    assert len(await titles(api, query.format(10))) == 2, "what is followed is read from the listings alone"
    await admin_sql(PUBLISH)
    [shown] = await listed(api, query.format(11))
    assert (shown["title"], shown["price_now_minor"]) == ("Renewed", 7)


@pytest.mark.parametrize("query", ["brand=mehr", "q=mehr"])
async def test_only_of_merchants_that_are_behind_offers_are_read(
    shop: Any, other_shop: Any, item: Item, api: Any, admin_sql: Any, query: str
) -> None:
    await shop.sync([item("1", title="Old")])
    await other_shop.sync([item("1", title="Old too")])
    await admin_sql("UPDATE offers SET title = 'Renewed'")
    await admin_sql(f"{PUBLISH} WHERE merchant_id = (SELECT id FROM merchants WHERE slug = 'shop')")
    assert set(await titles(api, query)) == {"Renewed", "Old too"}


@pytest.mark.parametrize("query", ["brand=mehr", "q=mehr"])
async def test_listings_that_an_earlier_release_wrote_are_not_shown_but_their_offers(
    shop: Any, item: Item, api: Any, admin_sql: Any, query: str
) -> None:
    await shop.sync([item("1", title="Kurta")])
    await admin_sql("UPDATE offer_listings SET title = '', image_link = ''")
    await admin_sql("UPDATE catalogues SET listed_version = 0")
    assert await titles(api, query) == ["Kurta"]


@pytest.mark.parametrize("query", ["brand=mehr", "q=mehr"])
async def test_an_offer_that_has_expired_is_not_listed_though_nothing_has_followed(
    shop: Any, item: Item, api: Any, admin_sql: Any, query: str
) -> None:
    await shop.sync([item("1", title="One"), item("2", title="Two")])
    await admin_sql("UPDATE offer_listings SET expires_at = now() - interval '1 s' WHERE offer_id = '1'")
    assert await titles(api, query) == ["Two"]


async def test_nothing_is_withdrawn_for_its_age_while_its_listing_may_be_written(
    shop: Any, item: Item, runtime: Runtime, admin_sql: Any
) -> None:
    await shop.sync([item("1")])
    await admin_sql("UPDATE offers SET last_seen_at = now() - interval '31 days'")
    await admin_sql("UPDATE catalogues SET last_full_seen_at = now() - interval '31 days', listed_version = 0")
    async with runtime.db.write() as session:
        assert await retention.expire_unseen(session, before=now() - retention.UNSEEN_LIMIT) == 0


async def test_documents_do_not_lie_between_what_lists_show(shop: Any, item: Item, api: Any, admin_sql: Any) -> None:
    """A table of listings that stays in memory has room for nothing else."""
    description = " ".join(f"word{number}" for number in range(150))
    await shop.sync([item(str(number), description=description) for number in range(200)])
    [row] = await admin_sql("SELECT max(pg_column_size(l)) AS bytes FROM offer_listings l")
    assert row["bytes"] < 512
    assert len(await titles(api, "q=word149&limit=200")) == 200
