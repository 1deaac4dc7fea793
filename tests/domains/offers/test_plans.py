"""Every statement that shoppers wait for has an index that serves it, also where there are a million offers."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from domains.offers.service import documents, facets, repricing, search, spelling, suggestions
from domains.offers.service.listing import OfferFilter, Sellers, Sort, filtered_statement, newest_statement
from domains.offers.service.queries import SearchQuery
from domains.offers.service.search import SearchOrder
from wapsi.db import Plans

OFFERS = 1_000_000
MERCHANTS = 200
# The smallest sample of a million is four thousand: no larger than what one search may look at.
LARGE_SAMPLES = [*(f"sample_0_{part}" for part in range(8)), *(f"sample_1_{part}" for part in range(4))]
DOCUMENTS = [f"document_partitions.{name}" for name in [*LARGE_SAMPLES, "sample_2"]]
LARGE_TABLES = {"offers", "offer_listings", "facet_counts", *LARGE_SAMPLES}
Statement = tuple[str, str, list[Any]]

MERCHANT = UUID("00000000-0000-7000-8000-000000000007")
SOME_ID = UUID("01a00000-0000-7000-8000-000000500000")
# The columns that plans hang on; the others have one value, as good as any.
_FILL = f"""
INSERT INTO merchants (id, slug, name, status, currency)
    SELECT ('00000000-0000-7000-8000-' || lpad(m::text, 12, '0'))::uuid, 'm' || m, 'Merchant ' || m, 'active', 'PKR'
    FROM generate_series(0, {MERCHANTS - 1}) m;
INSERT INTO offers (id, merchant_id, offer_id, source_time, content_hash, catalogue_version, title, price_minor,
                    currency, brand)
    SELECT ('01a00000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
        ('00000000-0000-7000-8000-' || lpad((n % {MERCHANTS})::text, 12, '0'))::uuid, n::text, '2026-11-01', '',
        1 + n % 5, 'Kurta w' || n % 5000, 1000 + n % 90000, 'PKR', 'brand' || n % 700
    FROM generate_series(0, {OFFERS - 1}) n;
INSERT INTO offer_listings (id, merchant_id, currency, price_minor, net_minor, quality, brand, category, availability,
                            changes_at)
    SELECT o.id, o.merchant_id, 'PKR', o.price_minor, o.price_minor * 9 / 10, 4, o.brand,
        'root > c' || n % 90, CASE WHEN n % 20 = 0 THEN 'out_of_stock' ELSE 'in_stock' END,
        CASE WHEN n % 50 = 0 THEN now() + n * interval '1 s' END
    FROM (SELECT *, offer_id::int AS n FROM offers) o;
INSERT INTO offer_documents (id, quality, document, sample)
    SELECT o.id, 4, plain::tsvector, CASE WHEN n % 256 = 0 THEN 2 WHEN n % 256 < 16 THEN 1 ELSE 0 END
    FROM (SELECT *, offer_id::int AS n FROM offers) o, LATERAL (SELECT '''kurta'':1A ''w' || n % 5000 || ''':1A ''x'
        || n % 300 || ''':4 ''c' || n % 26 || n % 7 || ''':1A ''m:' || merchant_id || ''' ''b:' || brand
        || ''' ''c:root'' ''c:root > c' || n % 90 || CASE WHEN n % 20 = 0 THEN ''' ''a:out_of_stock'' '
        ELSE ''' ''a:in_stock'' ' END AS plain) p;
INSERT INTO facet_counts (merchant_id, kind, value, offers)
    SELECT ('00000000-0000-7000-8000-' || lpad(m::text, 12, '0'))::uuid, kind, left(kind, 1) || w, 3 + w % 90
    FROM generate_series(0, {MERCHANTS - 1}) m, generate_series(1, 400) w,
        unnest('{{brand,category,word}}'::text[]) kind;
"""


@pytest.fixture
async def million(servers: Any, own_database: str) -> AsyncIterator[asyncpg.Connection]:
    """A million offers. Indexes are made when the rows are there, which takes a third of the time."""
    url = servers.database(own_database, "postgres").replace("+asyncpg", "")
    connection = await asyncpg.connect(url, server_settings={"plan_cache_mode": "force_custom_plan"})
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY($1)"
        " AND indexname !~ '^(pk|uq)_'",
        [*LARGE_TABLES, "offer_documents"],
    )
    await connection.execute("SET maintenance_work_mem = '256MB'; SET work_mem = '64MB'")
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['indexname']}")
    await connection.execute(
        "ALTER TABLE offers DROP CONSTRAINT pk_offers, DROP CONSTRAINT uq_offers_merchant_id_offer_id"
    )
    await connection.execute("ALTER TABLE offer_listings DROP CONSTRAINT pk_offer_listings")
    await connection.execute("ALTER TABLE offer_documents DROP CONSTRAINT pk_offer_documents")
    for table in ("offers", "offer_listings", "facet_counts", *DOCUMENTS):
        await connection.execute(f"ALTER TABLE {table} SET UNLOGGED")
    await connection.execute(_FILL)
    await connection.execute(
        "ALTER TABLE offers ADD CONSTRAINT pk_offers PRIMARY KEY (id),"
        " ADD CONSTRAINT uq_offers_merchant_id_offer_id UNIQUE (merchant_id, offer_id)"
    )
    await connection.execute("ALTER TABLE offer_listings ADD CONSTRAINT pk_offer_listings PRIMARY KEY (id)")
    await connection.execute("ALTER TABLE offer_documents ADD CONSTRAINT pk_offer_documents PRIMARY KEY (id, sample)")
    for index in indexes:
        # ONLY: how the index of a partitioned table is shown.
        await connection.execute(index["indexdef"].replace(" ON ONLY ", " ON "))
    # Pages are known to be visible to all, as they are to autovacuum: a read of an index alone needs that.
    await connection.execute("VACUUM (ANALYZE)")
    yield connection
    await connection.close()


FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"merchant_id": MERCHANT},
    {"brand": "brand7"},
    {"category": "root > c7"},
    {"category": "root", "brand": "brand7", "availability": "in_stock"},
    {"availability": "out_of_stock"},
    {"currency": "PKR", "price_min_minor": 1000, "price_max_minor": 20_000},
    {"currency": "PKR", "price_min_minor": 1000, "price_max_minor": 1010, "merchant_id": MERCHANT},
    {"excluded_merchant_ids": [MERCHANT]},
)
WORDS = ("kurta", "w17", "kurta w17", "k", "c1", "zzz")
WORDS_IN_ALL_ORDERS = ("kurta", "w17")


@dataclass(eq=False)
class Recorder:
    """Reads that keep what was asked for: `await recorder.fetch(sql, *arguments)`."""

    connection: asyncpg.Connection
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)
    planned_once: dict[str, int] = field(default_factory=dict)

    async def fetch(self, sql: str, *arguments: Any, plans: Plans = Plans.BY_VALUE) -> Any:
        self.asked.append((sql, list(arguments)))
        if plans is Plans.BY_KEYS:
            self.planned_once[sql] = len(arguments)
        return await self.connection.fetch(sql, *arguments)

    async def fetchrow(self, sql: str, *arguments: Any, plans: Plans = Plans.BY_VALUE) -> Any:
        return next(iter(await self.fetch(sql, *arguments, plans=plans)), None)

    def statements(self, name: str) -> Iterator[Statement]:
        """Since it was called last."""
        asked, self.asked = self.asked, []
        for sql, arguments in asked:
            yield name, sql, arguments


async def search_statements(reads: Any) -> AsyncIterator[Statement]:
    """Which sample is asked, and whether words are cut, depends on what was found before: so they are really asked."""
    for words, filters, order in product(WORDS, FILTERS, SearchOrder):
        if order is not SearchOrder.RELEVANCE and words not in WORDS_IN_ALL_ORDERS:
            continue
        query = SearchQuery(words=words, **filters)
        found = await search.search(reads, query, order=order, after=None, limit=25)
        if found.more:
            last = found.hits[-1]
            await search.search(reads, query, order=order, after=(last.tier, last.key, last.id), limit=25)
        for statement in reads.statements(f"search {words} {filters} {order}"):
            yield statement


async def facet_statements(reads: Any) -> AsyncIterator[Statement]:
    for words, filters in product(("", *WORDS), FILTERS):
        await facets.facets(reads, SearchQuery(words=words, **filters))
        for statement in reads.statements(f"facets {words} {filters}"):
            yield statement


async def suggestion_statements(reads: Any) -> AsyncIterator[Statement]:
    for prefix in ("w", "wo", "b7", "z", "kurta w"):
        await suggestions.suggest(reads, prefix)
        for statement in reads.statements(f"suggestions {prefix}"):
            yield statement
        # Where there are no trigrams, there is another function of two texts that gives a number.
        similar = spelling.SIMILAR.replace("similarity(value, $4)", "strpos(value, $4)::float8")
        end = prefix + spelling.LAST_CHARACTER
        yield f"spelling {prefix}", similar, [prefix, end, spelling.COMPARED, "word", spelling.MIN_SIMILARITY]


async def repricing_statements(_reads: Any) -> AsyncIterator[Statement]:
    at = datetime(2026, 11, 30, tzinfo=UTC)
    prices = list(documents.price_arguments(MERCHANT, at, None))
    yield "repricing: due", repricing.DUE, [at, repricing.BATCH]
    yield "repricing: of ids", repricing.REPRICE_DUE, [*prices, [SOME_ID] * repricing.BATCH]
    yield "repricing: of a merchant", repricing.REPRICE_BATCH, [*prices, SOME_ID, repricing.BATCH]
    yield "indexing", documents.INDEX_BATCH, [*prices, 5, 3, SOME_ID, documents.BATCH]
    yield "facet counts", documents.COUNT_FACETS, [MERCHANT, documents.COUNTED_OFFERS, documents.KEPT_VALUES]


async def listing_statements(_reads: Any) -> AsyncIterator[Statement]:
    for sellers, after in product((Sellers(), Sellers(MERCHANT), Sellers(excluded_ids=[MERCHANT])), (None, SOME_ID)):
        sql, arguments = newest_statement(sellers, after=after, limit=21)
        yield f"newest {sellers} {after}", sql, arguments
    for given, sort in product(FILTERS, (Sort.NEWEST, Sort.PRICE_ASC, Sort.PRICE_DESC, Sort.NET_PRICE)):
        sellers = Sellers(given.get("merchant_id"), given.get("excluded_merchant_ids", ()))
        fields = {name: value for name, value in given.items() if not name.endswith(("merchant_id", "merchant_ids"))}
        wanted = OfferFilter(**{"currency": "PKR", **fields} if sort.needs_currency else fields)
        for after in (None, [SOME_ID] if sort is Sort.NEWEST else [5000, SOME_ID]):
            sql, arguments = filtered_statement(wanted, sellers, sort, after=after, limit=21)
            yield f"listing {wanted} {sellers} {sort} {after}", sql, arguments


STATEMENTS = (listing_statements, search_statements, facet_statements, suggestion_statements, repricing_statements)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def scanned(connection: asyncpg.Connection, sql: str, arguments: list[Any]) -> list[str]:
    """The large tables that a statement reads from one end to the other."""
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *arguments)
    return [
        node["Relation Name"]
        for node in nodes(json.loads(text)[0]["Plan"])
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE_TABLES
    ]


async def scanned_once_planned(connection: asyncpg.Connection, sql: str, arguments: int) -> list[str]:
    """The large tables that a statement reads, planned without its values, other than by what an index is asked for."""
    await connection.execute(f"PREPARE planned AS {sql}")
    values = ", ".join(["NULL"] * arguments)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE planned({values})")
    await connection.execute("DEALLOCATE planned; RESET plan_cache_mode")
    return [
        node["Relation Name"]
        for node in nodes(json.loads(text)[0]["Plan"])
        if node.get("Relation Name") in LARGE_TABLES and not node.keys() & {"Index Cond", "Recheck Cond"}
    ]


# Few of the offers that have the one have the other.
NARROW: tuple[dict[str, Any], ...] = (
    {"brand": "brand7", "price_min_minor": 90_000},
    {"category": "root > c7", "price_min_minor": 90_990},
    {"merchant_id": MERCHANT, "brand": "brand7", "price_min_minor": 90_000},
    {"merchant_id": MERCHANT, "category": "root > c7"},
    {"merchant_id": MERCHANT, "category": "root"},
    {"merchant_id": MERCHANT, "price_min_minor": 90_000},
)
# Of 21 offers, each in a place of its own that is found by its id, and of the index.
BLOCKS_A_PAGE = 180


@pytest.mark.timeout(300)
async def test_what_hardly_any_offer_has_is_found_without_reading_the_others(million: asyncpg.Connection) -> None:
    blocks = {}
    for given, sort in product(NARROW, (Sort.NEWEST, Sort.PRICE_ASC, Sort.NET_PRICE)):
        fields = {"currency": "PKR", **given}
        sellers = Sellers(fields.pop("merchant_id", None))
        sql, arguments = filtered_statement(OfferFilter(**fields), sellers, sort, after=None, limit=21)
        text = await million.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *arguments)
        plan = json.loads(text)[0]["Plan"]
        blocks[f"{given} {sort}"] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    assert {name: count for name, count in blocks.items() if count > BLOCKS_A_PAGE} == {}


@pytest.mark.timeout(300)
async def test_no_statement_reads_a_whole_table_of_a_million_offers(million: asyncpg.Connection) -> None:
    seen: set[tuple[str, str]] = set()
    found = {}
    reads = Recorder(million)
    for made in STATEMENTS:
        async for name, sql, arguments in made(reads):
            key = (sql, repr(arguments))
            if key not in seen and (tables := await scanned(million, sql, arguments)):
                found[name] = tables
            seen.add(key)
    assert len(seen) > 300
    assert found == {}
    await million.execute(Plans.BY_KEYS.value)
    assert len(reads.planned_once) > 30
    whole = {sql: await scanned_once_planned(million, sql, count) for sql, count in reads.planned_once.items()}
    assert {sql: tables for sql, tables in whole.items() if tables} == {}
    await million.execute(Plans.BY_VALUE.value)


@pytest.mark.parametrize("after", [None, SOME_ID])
async def test_the_newest_of_a_merchant_who_has_most_offers_are_not_looked_for_among_all(
    servers: Any, database_name: str, after: UUID | None
) -> None:
    """Behind the newest of all lie those that others are just writing: a quarter of a million, unseen."""
    connection = await asyncpg.connect(servers.database(database_name, "postgres").replace("+asyncpg", ""))
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(_FILL.partition("INSERT INTO offer_listings")[0].replace(f"{OFFERS - 1}", "4999"))
    await connection.execute("UPDATE offers SET merchant_id = $1", MERCHANT)
    await connection.execute("ANALYZE offers")
    sql, arguments = newest_statement(Sellers(MERCHANT), after=after, limit=21)
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *arguments)
    used = [node for node in nodes(json.loads(text)[0]["Plan"]) if node.get("Relation Name") == "offers"]
    assert [node["Index Name"] for node in used] == ["ix_offers_merchant_id_id"]
    await transaction.rollback()
    await connection.close()


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT count(*) FROM offers WHERE title = 'x'", "offers"),
        ("SELECT id FROM offer_listings ORDER BY quality LIMIT 20", "offer_listings"),
        ("WITH a AS (SELECT value FROM facet_counts WHERE offers > 7) SELECT * FROM a", "facet_counts"),
        ("SELECT id FROM offer_documents WHERE quality = 3", " ".join(LARGE_SAMPLES)),
    ],
)
async def test_a_statement_that_does_would_be_found(servers: Any, database_name: str, sql: str, tables: str) -> None:
    connection = await asyncpg.connect(servers.database(database_name).replace("+asyncpg", ""))
    assert await scanned(connection, sql, []) == tables.split()
    await connection.close()
