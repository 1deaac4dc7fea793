"""What shoppers find: listings, search, one offer, and how its price went."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domains.merchants import service as merchants
from domains.offers import schemas
from domains.offers.service import listing, publish
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
    assert await titles(api, "category=clothing") == ["One"]
    assert await titles(api, "category=Clothing>kurtas") == ["One"]
    assert await titles(api, "category=kurtas") == []
    assert await titles(api, "category=cloth") == []
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


@pytest.mark.parametrize(
    "query",
    [
        "sort=newest",
        "currency=PKR&sort=price",
        "currency=PKR&sort=-price",
        "currency=PKR&sort=net_price",
        "brand=mehr",
        "brand=mehr&currency=PKR&price_min=1000",
        "category=home&currency=PKR&price_max=9000",
        "merchant=shop&currency=PKR",
        "merchant=shop&brand=mehr&currency=PKR&sort=price",
        "merchant=shop&category=home&currency=PKR&sort=-price",
        "q=kurta",
        "q=kurta&currency=PKR&sort=price",
    ],
)
@pytest.mark.parametrize("few", [1000, 3])
async def test_pages_hold_every_offer_once_in_order(
    shop: Any, item: Item, api: Any, query: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "FEW", few)
    paths = ("Home", "Home > Kitchen")
    await shop.sync([item(str(n), price_minor=1000 + n // 3, product_types=[paths[n % 2]]) for n in range(23)])
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
    # Not a publication: a page that is in memory may show it for half a minute more.
    assert len(await titles(api, "limit=50")) == 1
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


async def test_an_offer_says_what_it_costs_after_what_comes_back(shop: Any, item: Item, api: Any) -> None:
    """The shop gives back 5 %."""
    await shop.sync(
        [item("1", price_minor=1999), item("2", price_minor=1000, cashback_eligible=False), item("3", price=None)]
    )
    offers = {offer["offer_id"]: offer for offer in (await api.get("/v1/offers")).json()["items"]}
    assert offers["1"]["net_price_minor"] == 1999 - 99
    assert offers["2"]["net_price_minor"] == 1000
    [whole] = [(await api.get(f"/v1/offers/{offers['1']['id']}")).json()]
    assert whole["net_price_minor"] == 1900
    assert {name: whole[name] for name in offers["1"]} == offers["1"]


async def test_offers_are_sorted_by_what_they_cost_after_what_comes_back(
    shop: Any, other_shop: Any, item: Item, api: Any, runtime: Runtime
) -> None:
    generous = merchants.Rate(
        rate_category="",
        customer_type=merchants.CustomerType.UNKNOWN,
        kind=merchants.RateKind.PERCENT,
        percent_bps=5000,
        fixed_minor=None,
        currency="PKR",
        cap_minor=300,
    )
    async with runtime.db.write() as session:
        await merchants.publish_rates(session, None, "other-shop", merchants.NewSchedule(rates=(generous,)))
    await shop.sync([item("a", price_minor=1000), item("b", price_minor=900)])
    await other_shop.sync([item("c", price_minor=1100), item("d", price_minor=2000)])
    answer = await api.get("/v1/offers?sort=net_price&currency=PKR")
    shown = [(offer["offer_id"], offer["net_price_minor"]) for offer in answer.json()["items"]]
    assert shown == [("c", 800), ("b", 855), ("a", 950), ("d", 1700)]


async def test_answers_have_the_shape_that_is_declared(shop: Any, item: Item, api: Any) -> None:
    await shop.sync([item("1", product_types=["Clothing > Kurtas"], custom_attributes={"fit": "slim"})])
    page = schemas.OfferPage.model_validate((await api.get("/v1/offers")).json(), extra="forbid", strict=False)
    raw = (await api.get(f"/v1/offers/{page.items[0].id}")).json()
    schemas.Offer.model_validate(raw, extra="forbid")
    assert raw["custom_attributes"] == {"fit": "slim"}
    history = (await api.get(f"/v1/offers/{page.items[0].id}/price-history")).json()
    schemas.PriceHistory.model_validate(history, extra="forbid")
    for path, shape in (("/v1/offers/facets", schemas.Facets), ("/v1/suggestions?q=c", schemas.Suggestions)):
        shape.model_validate((await api.get(path)).json(), extra="forbid")


async def test_facets_count_what_a_search_finds(shop: Any, other_shop: Any, item: Item, api: Any) -> None:
    await shop.sync([item("1"), item("2", brand="Noor"), item("3", title="Mug")])
    await other_shop.sync([item("1")])
    facets = (await api.get("/v1/offers/facets?q=kurta")).json()
    assert (facets["counted"], facets["complete"]) == (3, True)
    assert facets["merchants"] == [{"value": "shop", "offers": 2}, {"value": "other-shop", "offers": 1}]
    assert facets["brands"] == [{"value": "mehr", "offers": 2}, {"value": "noor", "offers": 1}]
    only = (await api.get("/v1/offers/facets?merchant=other-shop")).json()
    assert only["merchants"] == [{"value": "other-shop", "offers": 1}]
    assert (await api.get("/v1/offers/facets?merchant=nobody")).status_code == 404
    assert (await api.get("/v1/offers/facets?price_min=1")).json()["reason"] == "FILTER_INVALID"


async def test_what_is_typed_is_completed(shop: Any, item: Item, api: Any) -> None:
    await shop.sync([item(str(number)) for number in range(3)])
    found = (await api.get("/v1/suggestions?q=sh")).json()["suggestions"]
    assert found == [{"kind": "merchant", "text": "Shop", "offers": None, "slug": "shop"}]
    assert [one["text"] for one in (await api.get("/v1/suggestions?q=me")).json()["suggestions"]] == ["mehr"]
    assert (await api.get("/v1/suggestions?q=")).status_code == 422


async def test_filters_and_orders_are_combined(shop: Any, other_shop: Any, item: Item, api: Any) -> None:
    await shop.sync([item(str(n), price_minor=100 * n, brand="Mehr" if n % 2 else "Noor") for n in range(1, 7)])
    await other_shop.sync([item("x", price_minor=50, brand="Mehr")])
    base = "merchant=shop&brand=mehr&currency=PKR"
    assert await listed(api, f"{base}&sort=price") == ["1", "3", "5"]
    assert await listed(api, f"{base}&sort=-price&price_max=300") == ["3", "1"]
    assert await listed(api, f"{base}&sort=net_price&q=kurta") == ["1", "3", "5"]
    assert await listed(api, "brand=MEHR&sort=newest&availability=in_stock") == ["x", "5", "3", "1"]


async def test_a_lowest_price_holds_also_where_net_prices_are_sorted(
    shop: Any, other_shop: Any, item: Item, api: Any
) -> None:
    await shop.sync([item(str(price), price_minor=price) for price in (90, 99, 100, 101, 200)])
    await other_shop.sync([item("x", price_minor=100)])
    assert await listed(api, "sort=net_price&currency=PKR&price_min=100&merchant=shop") == ["100", "101", "200"]
    assert len(await listed(api, "sort=net_price&currency=PKR&price_min=100")) == 4


async def test_two_filters_together_find_what_has_both(shop: Any, other_shop: Any, item: Item, api: Any) -> None:
    """Below a category too; and the order is the one that is asked for, over all pages."""
    paths = ("Home", "Home > Kitchen", "Home > Kitchen > Knives", "Homeware")
    await shop.sync([item(str(n), price_minor=900 - n, product_types=[paths[n % 4]]) for n in range(12)])
    await other_shop.sync([item("x", product_types=["Home > Kitchen"])])
    kitchen = "merchant=shop&category=home+>+kitchen"
    assert await listed(api, kitchen) == ["10", "9", "6", "5", "2", "1"]
    assert await listed(api, f"{kitchen}&currency=PKR&sort=price") == ["10", "9", "6", "5", "2", "1"]
    assert await listed(api, f"{kitchen}&currency=PKR&sort=-price&price_max=895") == ["5", "6", "9", "10"]
    assert await listed(api, "category=home+>+kitchen&brand=mehr&limit=3") == ["x", "10", "9"]
    found: list[str] = []
    cursor = ""
    while True:
        page = (await api.get(f"/v1/offers?category=home&currency=PKR&sort=-price&limit=2{cursor}")).json()
        found += [offer["offer_id"] for offer in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == ["x", "0", "1", "2", "4", "5", "6", "8", "9", "10"]
