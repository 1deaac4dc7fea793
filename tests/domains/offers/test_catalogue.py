"""What shoppers find: listings, search, one offer, and how its price went."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domains.merchants import service as merchants
from domains.offers.service import publish
from domains.offers.service.search import to_tsquery
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
INCREMENTAL = pb.SYNC_MODE_INCREMENTAL
Item = Callable[..., pb.OfferItem]


async def titles(api: Any, query: str = "") -> list[str]:
    answer = await api.get(f"/v1/offers?{query}")
    assert answer.status_code == 200, answer.text
    return [offer["title"] for offer in answer.json()["items"]]


def aed(amount_minor: int) -> pb.Money:
    return pb.Money(amount_minor=amount_minor, currency="AED")


async def test_search_finds_words_and_the_beginning_of_the_last(shop: Any, item: Item, api: Any) -> None:
    await shop.sync(
        [
            item("1", title="Cotton kurta for men"),
            item("2", title="Cotton bedsheet"),
            item("3", title="Leather wallet", description="Goes with a cotton kurta"),
        ]
    )
    assert set(await titles(api, "q=cotton")) == {"Cotton kurta for men", "Cotton bedsheet", "Leather wallet"}
    assert await titles(api, "q=cotton+bed") == ["Cotton bedsheet"]
    assert await titles(api, "q=silk") == []


async def test_a_word_in_the_title_ranks_before_one_in_the_description(shop: Any, item: Item, api: Any) -> None:
    await shop.sync([item("1", title="Wallet", description="not a kurta"), item("2", title="Kurta")])
    assert await titles(api, "q=kurta") == ["Kurta", "Wallet"]


async def test_search_knows_urdu(shop: Any, item: Item, api: Any) -> None:
    await shop.sync([item("1", title="سوتی کرتا"), item("2", title="چمڑے کا بٹوہ")])
    assert await titles(api, "q=کرتا") == ["سوتی کرتا"]
    assert await titles(api, "q=بٹو") == ["چمڑے کا بٹوہ"]


async def test_search_follows_changes_and_withdrawals(shop: Any, item: Item, api: Any) -> None:
    await shop.sync([item("1", title="Green shawl"), item("2", title="Green cap")])
    await shop.sync([item("1", title="Blue shawl", at=NOON + HOUR)], as_of=NOON + HOUR)
    assert await titles(api, "q=green") == []
    assert await titles(api, "q=blue") == ["Blue shawl"]


@pytest.mark.parametrize("words", ["'", "a'b & | !", "<->", "💸", "(((", "a:*", "\\"])
async def test_any_words_can_be_searched_for(shop: Any, item: Item, api: Any, words: str) -> None:
    await shop.sync([item("1")])
    answer = await api.get("/v1/offers", params={"q": words})
    assert answer.status_code == 200, answer.text


def test_a_query_is_made_of_words_only() -> None:
    assert to_tsquery("Cotton  KURTA!") == "'cotton' & 'kurta':*"
    assert to_tsquery(" !& ") is None


async def test_filters_narrow_a_listing(shop: Any, other_shop: Any, item: Item, api: Any) -> None:
    await shop.sync(
        [
            item("1", title="One", brand="Mehr", product_types=["Clothing > Kurtas"]),
            item("2", title="Two", brand="Noor", availability=pb.AVAILABILITY_OUT_OF_STOCK),
            item("3", title="Three", price=aed(500)),
        ]
    )
    await other_shop.sync([item("1", title="Other", price_minor=50)])
    assert await titles(api, "brand=noor") == ["Two"]
    assert await titles(api, "category=kurtas") == ["One"]
    assert await titles(api, "merchant=other-shop") == ["Other"]
    assert await titles(api, "availability=out_of_stock") == ["Two"]
    assert await titles(api, "currency=AED") == ["Three"]
    assert await titles(api, "currency=PKR&price_max=100") == ["Other"]
    assert set(await titles(api, "currency=PKR&price_min=101")) == {"One", "Two"}
    assert len(await titles(api)) == 4


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("sort=price", "FILTER_INVALID"),
        ("price_min=1", "FILTER_INVALID"),
        ("currency=rupees", "REQUEST_INVALID"),
        ("limit=0", "REQUEST_INVALID"),
        ("limit=201", "REQUEST_INVALID"),
        ("sort=cheapest", "REQUEST_INVALID"),
        ("cursor=nonsense", "CURSOR_INVALID"),
    ],
)
async def test_a_bad_filter_is_refused_in_words(api: Any, query: str, reason: str) -> None:
    answer = await api.get(f"/v1/offers?{query}")
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert answer.json()["detail"]


async def test_an_unknown_merchant_is_not_found(api: Any) -> None:
    answer = await api.get("/v1/offers?merchant=nobody")
    assert (answer.status_code, answer.json()["reason"]) == (404, "MERCHANT_NOT_FOUND")


@pytest.mark.parametrize("query", ["sort=newest", "currency=PKR&sort=price", "currency=PKR&sort=-price", "q=kurta"])
async def test_pages_hold_every_offer_once_in_order(shop: Any, item: Item, api: Any, query: str) -> None:
    await shop.sync([item(str(n), price_minor=1000 + n // 3) for n in range(23)])
    whole = (await api.get(f"/v1/offers?{query}&limit=200")).json()["items"]
    assert len(whole) == 23
    found: list[str] = []
    cursor = ""
    while True:
        answer = (await api.get(f"/v1/offers?{query}&limit=5{cursor}")).json()
        found += [offer["id"] for offer in answer["items"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert found == [offer["id"] for offer in whole]


async def test_a_cursor_belongs_to_its_listing(shop: Any, item: Item, api: Any) -> None:
    await shop.sync([item(str(n)) for n in range(3)])
    cursor = (await api.get("/v1/offers?sort=newest&limit=1")).json()["next_cursor"]
    answer = await api.get(f"/v1/offers?sort=newest&brand=Mehr&cursor={cursor}")
    assert (answer.status_code, answer.json()["reason"]) == (422, "CURSOR_INVALID")


async def test_an_offer_shows_the_price_that_counts_now(shop: Any, item: Item, api: Any) -> None:
    sale = item("1", price_minor=1000, sale_price=pb.Money(amount_minor=800, currency="PKR"))
    over = item("2", price_minor=1000, sale_price=pb.Money(amount_minor=800, currency="PKR"))
    over.offer.sale_starts_at.FromDatetime(NOON - 50 * HOUR)
    over.offer.sale_ends_at.FromDatetime(NOON - HOUR)
    await shop.sync([sale, over])
    prices = {offer["offer_id"]: offer for offer in (await api.get("/v1/offers")).json()["items"]}
    assert (prices["1"]["price_minor"], prices["1"]["price_now_minor"]) == (1000, 800)
    assert prices["2"]["price_now_minor"] == 1000


async def test_the_history_of_a_price(shop: Any, item: Item, api: Any) -> None:
    for number, price_minor in enumerate((1000, 1000, 900, 950)):
        await shop.sync([item("1", price_minor=price_minor, at=NOON + number * HOUR)])
    [offer] = (await api.get("/v1/offers")).json()["items"]
    history = (await api.get(f"/v1/offers/{offer['id']}/price-history")).json()["prices"]
    assert [point["price_minor"] for point in history] == [950, 900, 1000]
    assert history[0]["valid_until"] is None
    assert history[1]["valid_until"] == history[0]["valid_from"]


async def test_offers_that_cannot_be_bought_are_not_shown(
    shop: Any, item: Item, api: Any, runtime: Runtime, admin_sql: Any
) -> None:
    await shop.sync([item("1"), item("2")])
    offers = (await api.get("/v1/offers")).json()["items"]
    await admin_sql("UPDATE offers SET expires_at = now() - interval '1 s' WHERE offer_id = '1'")
    assert len(await titles(api)) == 1
    [expired] = [offer["id"] for offer in offers if offer["offer_id"] == "1"]
    assert (await api.get(f"/v1/offers/{expired}")).status_code == 404
    async with runtime.db.write() as session:
        await merchants.move_merchant(session, None, "shop", merchants.MerchantStatus.PAUSED)
    assert await titles(api) == []
    answer = await api.get(f"/v1/offers/{offers[0]['id']}")
    assert (answer.status_code, answer.json()["reason"]) == (404, "OFFER_NOT_FOUND")


@pytest.mark.parametrize(
    ("id_", "status", "reason"),
    [("00000000-0000-7000-8000-000000000000", 404, "OFFER_NOT_FOUND"), ("x", 422, "MALFORMED_ID")],
)
async def test_no_such_offer(api: Any, id_: str, status: int, reason: str) -> None:
    for path in (f"/v1/offers/{id_}", f"/v1/offers/{id_}/price-history"):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_what_the_caller_has_already_is_not_sent_again(shop: Any, item: Item, api: Any) -> None:
    await shop.sync([item("1", price_minor=1000)])
    [offer] = (await api.get("/v1/offers")).json()["items"]
    paths = ["/v1/offers", f"/v1/offers/{offer['id']}", f"/v1/offers/{offer['id']}/price-history"]
    for path in paths:
        first = await api.get(path)
        again = await api.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), path
    tags = {path: (await api.get(path)).headers["etag"] for path in paths}
    await shop.sync([item("1", price_minor=900, at=NOON + HOUR)])
    for path in paths:
        assert (await api.get(path, headers={"If-None-Match": tags[path]})).status_code == 200, path


async def test_the_newest_are_listed_up_to_where_a_publication_is_being_written(
    shop: Any, other_shop: Any, item: Item, api: Any, runtime: Any
) -> None:
    """What it writes cannot be seen yet; walking over it would take long."""
    await shop.sync([item("a")])
    await other_shop.sync([item("b")])
    async with runtime.db.read() as session:
        merchant = await merchants.get_merchant(session, "shop")
    await publish.announce_publication(runtime.db, merchant.id)
    assert await listed(api, "") == ["b", "a"]
    await other_shop.sync([item("later")], INCREMENTAL)
    assert await listed(api, "") == ["b", "a"], "it comes with the one that is being written"
    assert await listed(api, "merchant=other-shop") == ["later", "b"]
    await shop.sync([item("a", price_minor=1)])
    assert await listed(api, "") == ["later", "b", "a"]


async def listed(api: Any, query: str) -> list[str]:
    return [offer["offer_id"] for offer in (await api.get(f"/v1/offers?{query}")).json()["items"]]
