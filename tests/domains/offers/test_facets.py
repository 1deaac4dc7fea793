"""Facets and suggestions."""

from collections.abc import Callable
from typing import Any

import pytest

from domains.merchants import service as merchants
from domains.offers.service import documents
from domains.offers.service import facets as counting
from domains.offers.service.facets import PriceBand, facets
from domains.offers.service.queries import SearchQuery
from domains.offers.service.suggestions import suggest
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime

Item = Callable[..., pb.OfferItem]


async def test_facets_count_what_matches(shop: Any, other_shop: Any, item: Item, runtime: Runtime,
                                         admin_sql: Any) -> None:  # fmt: skip
    await shop.sync(
        [
            item("1", brand="Mehr", price_minor=15_000, product_types=["Clothing > Kurtas"]),
            item("2", brand="mehr ", price_minor=19_999, product_types=["Clothing>kurtas"]),
            item("3", brand="Noor", price_minor=20_000, availability=pb.AVAILABILITY_OUT_OF_STOCK),
            item("4", title="Wallet"),
        ]
    )
    await other_shop.sync([item("5", brand="", price=pb.Money(amount_minor=99, currency="AED"))])
    found = await facets(runtime.db.reads, SearchQuery(words="kurta"))
    ids = {row["slug"]: row["id"] for row in await admin_sql("SELECT slug, id FROM merchants")}
    assert (found.counted, found.complete) == (4, True)
    assert found.merchants == [(ids["shop"], 3), (ids["other-shop"], 1)]
    assert found.brands == [("mehr", 2), ("noor", 1)]
    assert found.categories == [("clothing > kurtas", 2)]
    assert found.availability == [("in_stock", 3), ("out_of_stock", 1)]
    assert found.prices == [
        PriceBand("AED", 0, 100, 1), PriceBand("PKR", 10_000, 20_000, 2), PriceBand("PKR", 20_000, 50_000, 1),
    ]  # fmt: skip
    narrowed = await facets(runtime.db.reads, SearchQuery(brand="mehr", currency="PKR", price_max_minor=15_000))
    assert (narrowed.counted, narrowed.brands) == (1, [("mehr", 1)])
    assert (await facets(runtime.db.reads, SearchQuery())).counted == 5
    assert (await facets(runtime.db.reads, SearchQuery(words="!"))).counted == 0
    without = await facets(runtime.db.reads, SearchQuery(excluded_merchant_ids=(ids["shop"],)))
    assert without.counted == 1


async def test_no_more_than_a_sample_is_counted_and_that_is_said(
    shop: Any, item: Item, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SAMPLE", 10)
    await shop.sync([item(str(n)) for n in range(15)])
    for query in (SearchQuery(words="kurta"), SearchQuery(brand="mehr"), SearchQuery()):
        found = await facets(runtime.db.reads, query)
        assert (found.counted, found.complete) == (10, False)


async def texts(runtime: Runtime, prefix: str) -> list[tuple[str, str]]:
    return [(found.kind, found.text) for found in await suggest(runtime.db.reads, prefix)]


async def test_suggestions_are_what_most_offers_have(shop: Any, item: Item, runtime: Runtime) -> None:
    await shop.sync(
        [item(f"a{n}", title="Cotton kurta", brand="Kurzon") for n in range(4)]
        + [item(f"b{n}", title="Kurti کُرتا", brand="", product_types=["Kurtis > Men"]) for n in range(3)]
        + [item("c", title="Kurl")]
    )
    # "kurl" is in one title only, which may be an error of writing.
    assert await texts(runtime, "KU") == [
        ("word", "kurta"), ("brand", "kurzon"), ("word", "kurti"), ("category", "kurtis > men"),
    ]  # fmt: skip
    assert await texts(runtime, "cotton kurt") == [("word", "cotton kurta"), ("word", "cotton kurti")]
    assert await texts(runtime, "كر") == [("word", "کرتا")]
    assert await texts(runtime, "sho") == [("merchant", "Shop")]
    assert await texts(runtime, " ") == []
    assert len(await suggest(runtime.db.reads, "k", limit=2)) == 2


async def test_suggestions_follow_what_is_withdrawn_and_who_is_paused(shop: Any, item: Item, runtime: Runtime) -> None:
    await shop.sync([item(str(n), title="Shawl") for n in range(3)])
    assert await texts(runtime, "shaw") == [("word", "shawl")]
    await shop.sync([item(str(n), title="Cap") for n in range(3)])
    assert await texts(runtime, "shaw") == []
    assert await texts(runtime, "cap") == [("word", "cap")]
    async with runtime.db.write() as session:
        await merchants.move_merchant(session, None, "shop", merchants.MerchantStatus.PAUSED)
    assert await texts(runtime, "cap") == []
    assert await texts(runtime, "sho") == []


async def test_the_values_that_most_offers_have_are_kept(
    shop: Any, item: Item, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "KEPT_VALUES", 1)
    await shop.sync([item(str(n), brand="B" if n else "A") for n in range(3)])
    rows = await admin_sql("SELECT kind, value, offers FROM facet_counts ORDER BY kind")
    assert [tuple(row) for row in rows] == [("brand", "b", 2), ("word", "cotton", 3)]
