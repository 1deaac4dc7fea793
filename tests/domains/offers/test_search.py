"""Full-text search: words, spellings, rank, filters, pages, and what is done when nothing has the words."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from domains.offers.service import beginnings, spelling
from domains.offers.service import search as searching
from domains.offers.service.queries import SearchQuery
from domains.offers.service.search import SearchOrder, SearchResult, search
from wapsi.db import Plans, Reads
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime

Item = Callable[..., pb.OfferItem]
Finder = Callable[..., Any]


@pytest.fixture
def reads(runtime: Runtime) -> Reads:
    return runtime.db.reads


@pytest.fixture
def find(reads: Reads, admin_sql: Any) -> Finder:
    """The offer ids of what is found for the words, best first; a space and 'relaxed' where that is so."""

    async def find(words: str, order: SearchOrder = SearchOrder.RELEVANCE, **filters: Any) -> list[str]:
        result = await search(reads, SearchQuery(words=words, **filters), order=order, after=None, limit=50)
        rows = await admin_sql("SELECT id, offer_id FROM offers")
        names = {row["id"]: row["offer_id"] for row in rows}
        return [names[hit.id] + " relaxed" * result.relaxed for hit in result.hits]

    return find


async def merchant_id(admin_sql: Any, slug: str = "shop") -> Any:
    return (await admin_sql("SELECT id FROM merchants WHERE slug = $1", slug))[0]["id"]


async def test_every_word_must_occur_and_the_last_may_only_begin(shop: Any, item: Item, find: Finder) -> None:
    await shop.sync([item("1", title="Cotton kurta for men"), item("2", title="Cotton bedsheet")])
    assert set(await find("cotton")) == {"1", "2"}
    assert await find("cotton ku") == ["1"]
    assert await find("men kurta cotton") == ["1"]
    assert await find("K") == ["1"]


async def test_words_are_split_in_queries_as_in_titles(shop: Any, item: Item, find: Finder) -> None:
    await shop.sync([item("1", title="T-Shirt (3-piece) 1.5m"), item("2", title="Mug", mpn="AB-12/X")])
    assert await find("t-shirt 1.5") == ["1"]
    assert await find("ab-12/x") == ["2"]


@pytest.mark.parametrize("words", ["كرتا", "کُرتا", "کـــرتا", "کرت"])
async def test_urdu_is_found_however_its_letters_are_written(shop: Any, item: Item, find: Finder, words: str) -> None:
    await shop.sync([item("1", title="سوتی کرتا ۱۲"), item("2", title="بٹوہ")])
    assert await find(words) == ["1"]
    assert await find("12") == ["1"]


@pytest.mark.parametrize("words", ["kameez", "qameez", "kamiz", "qamee"])
async def test_roman_urdu_is_found_by_other_spellings(shop: Any, item: Item, find: Finder, words: str) -> None:
    await shop.sync([item("1", title="Shalwar Kameez"), item("2", title="Kameel")])
    assert "1" in await find(words)
    assert await find("shalvar") == ["1"]


async def test_the_exact_spelling_ranks_before_another(shop: Any, item: Item, find: Finder) -> None:
    await shop.sync([item("1", title="Kurtee red"), item("2", title="Kurti red"), item("3", title="Kurtee blue")])
    assert (await find("kurti"))[0] == "2"
    assert set((await find("kurtee"))[:2]) == {"1", "3"}


async def test_a_title_ranks_before_a_description_and_a_good_offer_before_a_poor_one(
    shop: Any, item: Item, find: Finder
) -> None:
    await shop.sync(
        [
            item("described", title="Wallet", description="beside a kurta"),
            item("gone", title="Kurta", availability=pb.AVAILABILITY_OUT_OF_STOCK),
            item("good", title="Kurta", image_link="https://shop.example/1.jpg"),
        ]
    )
    assert await find("kurta") == ["good", "gone", "described"]


async def test_filters_and_prices_narrow_a_search(shop: Any, other_shop: Any, item: Item, find: Finder,
                                                  admin_sql: Any) -> None:  # fmt: skip
    await shop.sync(
        [
            item("1", brand="O'Neil \\ Co", product_types=["Clothing > Kurtas > Men"]),
            item("2", availability=pb.AVAILABILITY_OUT_OF_STOCK, price_minor=500, product_types=["Clothing"]),
        ]
    )
    await other_shop.sync([item("3", price_minor=50, brand="")])
    shop_id, other_id = await merchant_id(admin_sql), await merchant_id(admin_sql, "other-shop")
    assert set(await find("cotton", merchant_id=shop_id)) == {"1", "2"}
    assert await find("cotton", excluded_merchant_ids=(shop_id,)) == ["3"]
    assert set(await find("cotton", excluded_merchant_ids=(other_id,))) == {"1", "2"}
    assert await find("cotton", brand="o'neil \\ co") == ["1"]
    assert await find("cotton", category="CLOTHING > kurtas") == ["1"]
    assert set(await find("cotton", category="clothing")) == {"1", "2"}
    assert await find("cotton", category="cloth") == []
    assert await find("cotton", availability="out_of_stock") == ["2"]
    assert await find("cotton", currency="PKR", price_min_minor=100, price_max_minor=1000) == ["2"]
    assert await find("cotton", currency="AED") == []


async def test_what_is_found_can_be_sorted(shop: Any, item: Item, find: Finder) -> None:
    await shop.sync([item("1", price_minor=300), item("2", price_minor=100), item("3", price_minor=200)])
    assert await find("kurta", SearchOrder.PRICE_ASC, currency="PKR") == ["2", "3", "1"]
    assert await find("kurta", SearchOrder.PRICE_DESC, currency="PKR") == ["1", "3", "2"]
    assert await find("kurta", SearchOrder.NET_PRICE, currency="PKR") == ["2", "3", "1"]
    assert await find("kurta", SearchOrder.NEWEST) == ["3", "2", "1"]


async def pages(reads: Reads, query: SearchQuery, order: SearchOrder, limit: int) -> list[Any]:
    found, after = [], None
    while True:
        result: SearchResult = await search(reads, query, order=order, after=after, limit=limit)
        found += [hit.id for hit in result.hits]
        if not result.more:
            return found
        last = result.hits[-1]
        after = (last.tier, last.key, last.id)


@pytest.mark.parametrize("order", list(SearchOrder))
@pytest.mark.parametrize("words", ["kurta", "kurtax cottonx"])
async def test_pages_hold_each_hit_once_in_order(
    shop: Any, item: Item, reads: Reads, order: SearchOrder, words: str
) -> None:
    await shop.sync([item(str(n), price_minor=1000 + n // 3, title="Kurta cotton " * (n % 2 + 1)) for n in range(23)])
    query = SearchQuery(words=words, currency="PKR")
    whole = [hit.id for hit in (await search(reads, query, order=order, after=None, limit=50)).hits]
    assert len(whole) == len(set(whole)) == 23
    assert await pages(reads, query, order, 5) == whole


async def test_no_more_than_the_limit_can_be_paged_through(
    shop: Any, item: Item, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MAX_RESULTS", 10)
    await shop.sync([item(str(n)) for n in range(15)])
    assert len(await pages(reads, SearchQuery(words="kurta"), SearchOrder.RELEVANCE, 4)) == 10


@pytest.mark.parametrize("limit", [3, 4, 7, 50])
async def test_of_all_offers_the_first_ranked_come_first_and_the_rest_behind_them(
    shop: Any, item: Item, reads: Reads, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Seven are ranked for a first page: the others are read for those who go on, and all come once."""
    monkeypatch.setitem(searching.RANKED, 0, (7, 7, 500))
    await shop.sync([item(str(n), title=f"Kurta{' red' * (n % 3)}") for n in range(23)])
    query = SearchQuery(words="kurta")
    found = await pages(reads, query, SearchOrder.RELEVANCE, limit)
    assert len(found) == len(set(found)) == 23
    asked: Any = Asked(reads)
    first = await search(asked, query, after=None, limit=limit)
    assert [hit.id for hit in first.hits] == found[:limit]
    assert asked.tiers == ["0"] * (1 + (limit >= 7) + (limit >= 14))


async def test_what_many_offers_have_is_searched_in_a_sample_of_the_good_ones(
    shop: Any, item: Item, reads: Reads, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = "https://shop.example/1.jpg"
    await shop.sync([item(f"good {n}", image_link=image) for n in range(300)] + [item(f"poor {n}") for n in range(50)])
    # Three hundred are to be many: some twenty of them are in the samples.
    monkeypatch.setitem(searching.RANKED, 0, (5, 90, 290))
    query = SearchQuery(words="kurta")
    samples = "SELECT o.offer_id FROM offers o JOIN offer_documents d USING (id) WHERE o.id = ANY($1) AND d.sample > 0"
    first = await search(reads, query, after=None, limit=5)
    assert len(await admin_sql(samples, [hit.id for hit in first.hits])) == 5
    # Behind them come the others, and each once.
    every = await pages(reads, query, SearchOrder.RELEVANCE, 7)
    assert len(every) == len(set(every)) == 350
    places = await admin_sql(
        "SELECT sample FROM unnest($1::uuid[]) WITH ORDINALITY AS found (id, number) JOIN offer_documents USING (id)"
        " ORDER BY number",
        every,
    )
    in_order = [row["sample"] > 0 for row in places]
    assert in_order == sorted(in_order, reverse=True)
    # What is rare is searched for among all.
    assert len((await search(reads, SearchQuery(words="poor"), after=None, limit=100)).hits) == 50


async def test_sorted_by_price_what_many_have_is_sorted_in_a_sample(
    shop: Any, item: Item, reads: Reads, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "ENOUGH", 5)
    monkeypatch.setattr(searching, "RARE", -1)
    await shop.sync([item(f"good {n}", image_link="https://shop.example/1.jpg") for n in range(300)])
    query = SearchQuery(words="kurta", currency="PKR")
    result = await search(reads, query, order=SearchOrder.PRICE_ASC, after=None, limit=50)
    assert {hit.tier for hit in result.hits} == {1}
    assert 5 <= len(result.hits) < 60


class Asked:
    """Reads that note which tiers are asked."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self.tiers: list[str] = []

    async def fetch(self, sql: str, *arguments: Any, plans: Plans) -> Any:
        if samples := re.findall(r"document_partitions\.sample_(\d)", sql):
            self.tiers.append(min(samples))
        return await self._reads.fetch(sql, *arguments, plans=plans)


async def test_what_the_smallest_sample_hardly_has_is_not_looked_for_in_the_larger_one(
    shop: Any, item: Item, reads: Reads, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sync([item(str(n)) for n in range(29)])
    asked: Any = Asked(reads)
    assert (
        len((await search(asked, SearchQuery(words="kurta"), order=SearchOrder.NEWEST, after=None, limit=50)).hits)
        == 29
    )
    assert asked.tiers == ["2", "0"]
    await admin_sql("UPDATE offer_documents SET sample = 2 WHERE id IN (SELECT id FROM offers WHERE offer_id < '2')")
    monkeypatch.setattr(searching, "RARE", 5)
    asked.tiers.clear()
    assert (
        len((await search(asked, SearchQuery(words="kurta"), order=SearchOrder.NEWEST, after=None, limit=50)).hits)
        == 29
    )
    assert asked.tiers == ["2", "1", "0"]


async def test_a_beginning_of_many_words_beside_a_rare_one_is_any_common_word_that_begins_so(
    shop: Any, item: Item, find: Finder, reads: Reads, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    zari = [item("1", title="Zari kurta"), item("2", title="Zari ku"), item("3", title="Zari kupplung")]
    await shop.sync(zari)
    assert set(await find("zari ku")) == {"1", "2", "3"}
    image = "https://shop.example/1.jpg"
    await shop.sync([item(f"k{n}", title="Kurta", image_link=image) for n in range(600)], mode=pb.SYNC_MODE_INCREMENTAL)
    # A sample large enough that chance has no say: some forty of the six hundred, of three at most three.
    monkeypatch.setattr(beginnings, "LARGEST_TIER", 1)
    # What only offers outside of the sample have is not known.
    await admin_sql(
        "UPDATE offer_documents SET sample = 0 WHERE id IN (SELECT id FROM offers WHERE title LIKE 'Zari%')"
    )
    assert set(await find("zari ku")) == {"1", "2"}
    assert len(await pages(reads, SearchQuery(words="zari ku"), SearchOrder.RELEVANCE, 1)) == 2


async def test_what_is_rare_together_and_common_alone_is_not_looked_for_among_all(
    shop: Any, item: Item, find: Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sync([item("1", title="Zari kurta"), item("2", title="Zari")])
    assert await find("zari kurta") == ["1"]
    # Whatever it is, many offers are said to have it.
    monkeypatch.setattr(beginnings, "BROAD", 0)
    assert await find("zari kurta") == []


async def test_where_a_filter_leaves_nothing_the_words_stay_as_they_are(shop: Any, item: Item, find: Finder) -> None:
    await shop.sync([item("1", title="Kurta"), item("2", title="Kurt", brand="Noor")])
    assert await find("kurta", brand="noor") == []
    assert await find("kurtx", brand="noor") == ["2 relaxed"]


async def test_words_that_nothing_has_are_cut_and_that_is_said(shop: Any, item: Item, find: Finder) -> None:
    await shop.sync([item("1", title="Cotton kurta"), item("2", title="Wallet")])
    assert await find("cottom kurtas") == ["1 relaxed"]
    assert await find("xylophone") == []


async def test_with_trigrams_a_mistyped_word_is_put_right(
    shop: Any, item: Item, find: Finder, reads: Reads, admin_sql: Any
) -> None:
    """The extension is not among what the tests run on: a function of its name and meaning stands in."""
    await admin_sql(
        "CREATE FUNCTION similarity(text, text) RETURNS real LANGUAGE sql IMMUTABLE AS"
        " $$ WITH a AS (SELECT DISTINCT substr('  ' || $1 || ' ', n, 3) t FROM generate_series(1, length($1) + 1) n),"
        " b AS (SELECT DISTINCT substr('  ' || $2 || ' ', n, 3) t FROM generate_series(1, length($2) + 1) n)"
        " SELECT ((SELECT count(*) FROM a JOIN b USING (t))::real"
        " / (SELECT count(*) FROM (SELECT t FROM a UNION SELECT t FROM b) u)) $$"
    )
    try:
        await shop.sync([item(str(n), title="Embroidered dupatta") for n in range(3)])
        assert set(await find("embrodiered dup")) == {"0 relaxed", "1 relaxed", "2 relaxed"}
        assert await find("zzzzz") == []
        query = SearchQuery(words="embrodiered")
        assert len(await pages(reads, query, SearchOrder.RELEVANCE, 1)) == 3
    finally:
        await admin_sql("DROP FUNCTION similarity(text, text)")


@pytest.mark.parametrize(
    "words", ["", "!!", "'", "a'b & | !", "<->", "💸", "(((", "a:*", "\\", "!a:in_stock", "~x", "#"]
)
async def test_any_words_can_be_searched_for(shop: Any, item: Item, reads: Reads, words: str) -> None:
    await shop.sync([item("1")])
    result = await search(reads, SearchQuery(words=words), after=None, limit=10)
    assert [hit for hit in result.hits if words not in ("a:*", "!a:in_stock", "a'b & | !", "💸")] == []


@pytest.mark.parametrize("tier", [-1, 3, 9, 99, 2**40])
async def test_a_made_up_place_finds_nothing(shop: Any, item: Item, reads: Reads, tier: int) -> None:
    await shop.sync([item("1")])
    hit = (await search(reads, SearchQuery(words="kurta"), after=None, limit=1)).hits[0]
    result = await search(reads, SearchQuery(words="kurta"), after=(tier, hit.key + 1, hit.id), limit=10)
    assert result.hits == []


async def test_whether_there_are_trigrams_is_asked_once(reads: Reads) -> None:
    assert await spelling.corrections(reads, []) == {}
    assert reads in spelling.known
