"""What shoppers filter, sort and search by follows each publication: one row of offer_listings an active offer,
and one of offer_documents.

A document holds, of an offer:

- the words of its title (weight A), brand, MPN and id (B), types, colour and size (C), and description (D);
- `~word` (C): a word of the title in the one spelling that search_fold gives it, where that is another word;
- `m:` merchant id, `b:` brand, `a:` availability, `c:` category with each of its ancestors: filters.

No word has a mark in it (search_words leaves none), so nothing that shoppers write is taken for one.

Beside it is said in which `sample` the offer is, and so in which partition: one good offer in 256 in 2, one in 16 in 1,
the others in 0 (see service/search.py).
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from opentelemetry import metrics
from sqlalchemy import text

from domains.merchants import service as merchants
from domains.offers.service.plan import from_microseconds
from domains.offers.service.syncs import PROCESS_SYNC
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.queue.jobs import Job
from wapsi.queue.unfinished import unfinished

log = structlog.get_logger(__name__)
_lag = metrics.get_meter(__name__).create_histogram(
    "wapsi.search.lag", unit="s", description="From a publication to the moment that search finds it."
)
_freshness = metrics.get_meter(__name__).create_histogram(
    "wapsi.offers.freshness",
    unit="s",
    description="From the moment a merchant stated an offer to that search finds it.",
)

BATCH = 2000
# Counted from the publication, so that jobs that had to wait for their turn do not wait again.
GIVE_WAY = timedelta(seconds=10)
GIVE_WAY_PAUSE_S = 0.2
# Facets are counted over so many of a merchant's newest offers, and so many values of a kind are kept.
COUNTED_OFFERS = 200_000
KEPT_VALUES = 5000

# Of an offer `o`, the moment $2 and the present rates $3 to $7 (see `price_arguments`). Amounts are cut to the minor
# unit as domains/cashback/service/pricing.py does it; there too, another currency than that of the rates earns nothing.
PRICED = (
    " CROSS JOIN LATERAL (SELECT CASE WHEN o.sale_price_minor IS NOT NULL"
    " AND (o.sale_starts_at IS NULL OR o.sale_starts_at <= $2) AND (o.sale_ends_at IS NULL OR $2 < o.sale_ends_at)"
    " THEN o.sale_price_minor ELSE o.price_minor END AS price_minor,"
    " least(CASE WHEN o.expires_at > $2 THEN o.expires_at END, CASE WHEN o.sale_price_minor IS NOT NULL THEN"
    " least(CASE WHEN o.sale_starts_at > $2 THEN o.sale_starts_at END,"
    " CASE WHEN o.sale_ends_at > $2 THEN o.sale_ends_at END) END) AS changes_at) p"
    " LEFT JOIN unnest($4::text[], $5::int[], $6::bigint[], $7::bigint[]) AS r (category, bps, fixed_minor, cap_minor)"
    " ON o.cashback_eligible AND o.currency = $3"
    " AND r.category = CASE WHEN o.rate_category = ANY($4) THEN o.rate_category ELSE '' END"
)
_RETURNED = "least(coalesce(r.fixed_minor, p.price_minor * r.bps / 10000), r.cap_minor)"
# As listings show it: what comes back is never more than what is paid.
NET = f"CASE WHEN p.price_minor IS NOT NULL THEN greatest(p.price_minor - coalesce({_RETURNED}, 0), 0) END"


def _weighted(words: str, weight: str) -> str:
    """The text of a tsvector, every word at one place, which says where in the offer it was."""
    return f"CASE WHEN {words} = '' THEN '' ELSE replace({words}, ' ', ':{weight} ') || ':{weight} ' END"


# What is listed; what is not, or no more, is taken away.
LISTED = "o.status = 'active' AND (o.expires_at IS NULL OR o.expires_at > $2)"

_BRAND = "left(btrim(lower(o.brand COLLATE pg_c_utf8)), 250)"
_PATH = "lower(coalesce(nullif(o.google_product_category, ''), o.product_types[1], '') COLLATE pg_c_utf8)"
# Most paths have one level.
_CATEGORY = (
    f"left(btrim(CASE WHEN strpos({_PATH}, '>') = 0 THEN {_PATH}"
    f" ELSE regexp_replace({_PATH}, ' *> *', ' > ', 'g') END), 500)"
)
# What lists show, by the columns of offer_listings that hold it.
SHOWN = {
    **{
        name: f"o.{name}"
        for name in ("offer_id", "kind", "title", "image_link", "sale_price_minor", "sale_starts_at", "sale_ends_at")
    },
    "full_price_minor": "o.price_minor",
    "shown_brand": "o.brand",
    "shown_category": "o.google_product_category",
    **{name: f"o.{name}" for name in ("rate_category", "cashback_eligible", "coupon_code", "ends_at", "expires_at")},
}
_SHOWN = ", ".join(f"{value} AS {name}" for name, value in SHOWN.items())
_LISTED = (
    "SELECT o.id, o.merchant_id, o.currency, p.price_minor, "  # noqa: S608  # constants
    f"{NET} AS net_minor, g.quality, k.brand, k.category, o.availability, p.changes_at, {_SHOWN},"
    f" s.sample, g.hash & 15 = 0 AS is_sampled, d.document FROM batch o{PRICED}"
    " CROSS JOIN LATERAL (SELECT (o.image_link <> '')::int + (o.availability = 'in_stock')::int"
    " + (o.price_minor IS NOT NULL)::int + o.cashback_eligible::int AS quality,"
    " uuid_hash(o.id) & 255 AS hash) g"
    # Poor offers have a sample too, a smaller one: a filter may be for them alone.
    " CROSS JOIN LATERAL (SELECT CASE WHEN g.quality < 4 THEN (g.hash = 0)::int WHEN g.hash = 0 THEN 2"
    " ELSE (g.hash & 15 = 0)::int END AS sample) s"
    # One call for all fields; what stands between them is in no feed.
    " CROSS JOIN LATERAL (SELECT search_words(concat_ws(e' \\x1F ', o.title,"
    " concat_ws(' ', o.brand, o.mpn, o.offer_id),"
    " concat_ws(' ', array_to_string(o.product_types, ' '), o.google_product_category, o.color, o.size),"
    f" left(o.description, 1000))) AS fields, {_BRAND} AS brand, {_CATEGORY} AS category OFFSET 0) f"
    " CROSS JOIN LATERAL (SELECT f.brand, f.category, "
    + ", ".join(
        f"btrim(split_part(f.fields, e'\\x1F', {number})) AS {name}"
        for number, name in enumerate(("title", "naming", "kind", "description"), 1)
    )
    + " OFFSET 0) k"
    " CROSS JOIN LATERAL (SELECT search_fold(k.title) AS title OFFSET 0) folded"
    " CROSS JOIN LATERAL (SELECT ("
    + _weighted("k.title", "1A")
    + " || "
    + _weighted("k.naming", "2B")
    + " || "
    # A folded word that is also in the title as it is needs no entry of its own: queries ask for both.
    + _weighted("k.kind", "3C")
    + " || "
    + _weighted("k.description", "4D")
    + " || CASE WHEN folded.title = k.title"  # noqa: S608  # constants
    " THEN '' ELSE coalesce((SELECT string_agg('~' || word || ':5C', ' ')"
    " FROM unnest(string_to_array(folded.title, ' ')) word"
    " WHERE word <> ALL(string_to_array(k.title, ' '))), '') END)::tsvector"
    " || array_to_tsvector(ARRAY['m:' || o.merchant_id, 'a:' || o.availability]"
    " || CASE WHEN k.brand = '' THEN '{}' ELSE ARRAY['b:' || k.brand] END"
    " || CASE WHEN k.category = '' THEN '{}' WHEN strpos(k.category, '>') = 0 THEN ARRAY['c:' || k.category] ELSE"
    " ARRAY(SELECT DISTINCT 'c:' || array_to_string((string_to_array(k.category, ' > '))[:n], ' > ')"
    " FROM generate_subscripts(string_to_array(k.category, ' > '), 1) n) END) AS document OFFSET 0) d"
    f" WHERE {LISTED}"
)
_COLUMNS = (
    "merchant_id, currency, price_minor, net_minor, quality, brand, category, availability, changes_at,"
    f" {', '.join(SHOWN)}"
)
INDEX_BATCH = (
    "WITH batch AS MATERIALIZED (SELECT * FROM offers WHERE merchant_id = $1 AND catalogue_version <= $8"  # noqa: S608  # constants
    " AND (catalogue_version, id) > ($9, $10) ORDER BY catalogue_version, id LIMIT $11),"
    # By an array of ids, each part of the documents is asked its index, whatever the planner knows.
    f" gone AS (DELETE FROM offer_listings l USING batch o WHERE l.id = o.id AND NOT ({LISTED})),"
    f" unfound AS (DELETE FROM offer_documents WHERE id = ANY (ARRAY(SELECT id FROM batch o WHERE NOT ({LISTED})))),"
    f" listed AS MATERIALIZED ({_LISTED}),"
    # Another quality may be another sample. They are other rows than those that are written below.
    " moved AS (DELETE FROM offer_documents d USING listed l WHERE d.id = ANY (ARRAY(SELECT id FROM listed"
    " WHERE is_sampled)) AND l.is_sampled AND d.id = l.id AND d.sample <> l.sample),"
    # Most changes are of prices, and leave the words as they are.
    " found AS (INSERT INTO offer_documents AS d (id, quality, document, sample)"
    " SELECT id, quality, document, sample FROM listed"
    " ON CONFLICT (id, sample) DO UPDATE SET quality = excluded.quality, document = excluded.document"
    " WHERE (d.quality, d.document) IS DISTINCT FROM (excluded.quality, excluded.document)),"
    f" written AS (INSERT INTO offer_listings (id, {_COLUMNS}) SELECT id, {_COLUMNS} FROM listed"
    " ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS.split(", "))
    + ") SELECT count(*) AS taken, (array_agg(catalogue_version ORDER BY catalogue_version DESC, id DESC))[1]"
    " AS version, (array_agg(id ORDER BY catalogue_version DESC, id DESC))[1] AS id FROM batch"
)
COUNT_FACETS = (
    "WITH counted AS MATERIALIZED "  # noqa: S608  # constants
    f"(SELECT {_BRAND} AS brand, {_CATEGORY} AS category, o.title FROM offers o"
    " WHERE o.merchant_id = $1 AND o.status = 'active' ORDER BY o.merchant_id DESC, o.id DESC LIMIT $2),"
    " counts AS (SELECT 'brand' AS kind, brand AS value, count(*) AS offers FROM counted WHERE brand <> ''"
    " GROUP BY brand UNION ALL"
    " SELECT 'category', category, count(*) FROM counted WHERE category <> '' GROUP BY category UNION ALL"
    " SELECT 'word', word, count(*) FROM counted, unnest(tsvector_to_array(array_to_tsvector("
    "array_remove(string_to_array(search_words(title), ' '), '')))) word"
    " WHERE char_length(word) > 1 AND word !~ '^[0-9]+$' GROUP BY word HAVING count(*) >= 3),"
    " kept AS MATERIALIZED (SELECT kind, value, offers FROM (SELECT *,"
    " row_number() OVER (PARTITION BY kind ORDER BY offers DESC, value) AS place FROM counts) c WHERE place <= $3),"
    " gone AS (DELETE FROM facet_counts f WHERE merchant_id = $1"
    " AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.kind = f.kind AND k.value = f.value)) "
    "INSERT INTO facet_counts AS f (merchant_id, kind, value, offers) SELECT $1, kind, value, offers FROM kept"
    " ON CONFLICT (merchant_id, kind, value) DO UPDATE SET offers = excluded.offers WHERE f.offers <> excluded.offers"
)
_CATALOGUE = text("SELECT version, listed_version, published_at FROM catalogues WHERE merchant_id = :id")
_MOVE_ON = text(
    "UPDATE catalogues SET indexed_at = now(), indexed_version = greatest(indexed_version, :version),"
    " listed_version = greatest(listed_version, :version),"
    # Rows that this job did not write have the prices of before; repricing sees to them.
    " priced_version = least(priced_version, :priced_version) WHERE merchant_id = :id"
    " RETURNING extract(epoch FROM now() - published_at)::float8"
)


async def index_documents(job: Job, merchant_id: UUID, *, stated_us: int | None) -> None:
    """Brings search up to the merchant's published version, a batch a transaction.

    `stated_us`: when the newest of what was published was stated, microseconds since 1970.
    """
    async with job.write() as session:
        catalogue = (await session.execute(_CATALOGUE, {"id": merchant_id})).one()
    # Where the last batch ended. No id is above the largest: begin behind the version that is indexed.
    position = (catalogue.listed_version, UUID(int=2**128 - 1))
    priced_version = 2**31 - 1
    done = False
    while not done:
        await _give_way(job, until=catalogue.published_at + GIVE_WAY)
        async with job.write() as session:
            at, schedule = await lock_prices(session, merchant_id)
            arguments = price_arguments(merchant_id, at, schedule)
            driver = await session.driver()
            row = await driver.fetchrow(INDEX_BATCH, *arguments, catalogue.version, *position, BATCH)
            priced_version = min(priced_version, schedule_version(schedule))
            done = row["taken"] < BATCH
            if row["taken"]:
                position = (row["version"], row["id"])
            if done:
                end = {"version": catalogue.version, "priced_version": priced_version, "id": merchant_id}
                _lag.record(await session.scalar(_MOVE_ON, end))
                if stated_us is not None:
                    _freshness.record((now() - from_microseconds(stated_us)).total_seconds())
    async with job.write() as session:
        driver = await session.driver()
        await driver.execute(COUNT_FACETS, merchant_id, COUNTED_OFFERS, KEPT_VALUES)
        # What the indexes have not taken in yet, every search would go through.
        await driver.execute("SELECT clean_document_lists()")
        await job.complete(session)
    log.info("search_indexed", merchant_id=str(merchant_id), version=catalogue.version)


async def lock_prices(session: WriteSession, merchant_id: UUID) -> tuple[datetime, merchants.RateSchedule | None]:
    """The moment and the rates (None before the first) to price a batch of the merchant's listings with.

    Until the transaction ends no other batch of the merchant is priced: one that waited reads the rates after this one
    has committed, so that older prices never replace newer ones.
    """
    # Two numbers: the first one says whose lock it is ("list").
    await session.execute(
        text("SELECT pg_advisory_xact_lock(x'6c697374'::int, hashtext(:id))"), {"id": str(merchant_id)}
    )
    at = now()
    try:
        return at, await merchants.rates_at(session, merchant_id, at)
    except merchants.NoRates:
        return at, None


def schedule_version(schedule: merchants.RateSchedule | None) -> int:
    return 0 if schedule is None else schedule.version


def price_arguments(merchant_id: UUID, at: datetime, schedule: merchants.RateSchedule | None) -> tuple[Any, ...]:
    """$1 to $7: the merchant, the moment, the rates' currency, and the rates for customers of unknown type."""
    unknown = merchants.CustomerType.UNKNOWN
    rates = [] if schedule is None else [rate for rate in schedule.rates if rate.customer_type == unknown]
    return (
        merchant_id,
        at,
        rates[0].currency if rates else None,
        [rate.rate_category for rate in rates],
        [rate.percent_bps for rate in rates],
        [rate.fixed_minor for rate in rates],
        [rate.cap_minor for rate in rates],
    )


async def _give_way(job: Job, *, until: datetime) -> None:
    """Merges go first: what is merged is listed at once, and search may be a moment late."""
    while now() < until:
        async with job.runtime.db.read() as session:
            if not await unfinished(session, PROCESS_SYNC):
                return
        await asyncio.sleep(GIVE_WAY_PAUSE_S)


async def search_is_current(session: ReadSession) -> bool:
    """Whether search has followed every publication."""
    behind = await session.scalar(text("SELECT count(*) FROM catalogues WHERE indexed_version < version"))
    return bool(behind == 0)
