"""Fills a migrated database with as many offers, customers and clicks as are wanted.

The real feed's rows are copied in once; everything else is made from them in SQL: other ids, prices, sales and stock,
a word more or less in the title, brand and category as they are.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from domains.offers.service import documents
from tests.benchmarks.feeds import CURRENCY, LANDING_HOST, LARGE, Feed
from tests.benchmarks.population_indexes import AT_ONCE, drop_indexes, make_indexes
from wapsi.security.passwords import hash_password

PASSWORD = "a password for load tests"
# Of the whole time in which the offers came. Merchants bring theirs in turns, so that the newest are not all of one.
_DAYS, _ROUNDS = 90, 4
_CLICK_MONTHS = 6
_SLICE = 500_000


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much there is to be. Customers and clicks follow the offers unless they are given."""

    offers: int = 15_000_000
    merchants: int = 300
    customers: int | None = None
    clicks: int | None = None

    @property
    def customer_count(self) -> int:
        return self.offers // 15 if self.customers is None else self.customers

    @property
    def click_count(self) -> int:
        return self.offers * 2 // 3 if self.clicks is None else self.clicks


def email_of(number: int) -> str:
    """Of the customer with that number, from 1. All have PASSWORD."""
    return f"shopper{number}@load.example"


def slug_of(number: int) -> str:
    """Of the merchant with that number, from 1."""
    return f"shop-{number:03}"


_SEED = """
CREATE UNLOGGED TABLE population_seed (
    k int PRIMARY KEY, title text, description text, link text, image text, brand text, category text,
    price_minor bigint, word text
)
"""

_MERCHANTS = """
INSERT INTO merchants (slug, name, status, currency, deep_link_template, allowed_landing_hosts)
SELECT slug, initcap(replace(slug, '-', ' ')), 'active', $2, 'https://go.example/?url={link}&sub={click_id}', ARRAY[$3]
FROM unnest($1::text[]) slug ORDER BY slug
"""

# 1 to 8 %; every third merchant caps it, every fifth has another rate for sales of its own kind.
_RATES = """
WITH numbered AS (SELECT id, row_number() OVER (ORDER BY slug) AS number FROM merchants WHERE slug = ANY ($1)),
schedules AS (
    INSERT INTO rate_schedules (merchant_id, version, valid_from, published_by)
    SELECT id, 1, now() - interval '1 year', 'load test' FROM numbered RETURNING id, merchant_id
)
INSERT INTO rates (schedule_id, rate_category, customer_type, kind, percent_bps, currency, cap_minor)
SELECT s.id, '', 'unknown', 'percent', 100 + 100 * (n.number % 8), $2, CASE WHEN n.number % 3 = 0 THEN 50000 END
FROM schedules s JOIN numbered n ON n.id = s.merchant_id
UNION ALL
SELECT s.id, 'clearance', 'unknown', 'percent', 50, $2, NULL
FROM schedules s JOIN numbered n ON n.id = s.merchant_id WHERE n.number % 5 = 0
"""

_CATALOGUES = """
INSERT INTO catalogues (merchant_id, version, indexed_version, source_time_floor, last_full_seen_at, published_at,
    indexed_at)
SELECT id, 1, 0, now(), now(), now(), NULL FROM merchants WHERE slug = ANY ($1)
"""

# $1 merchant's id, $2 its number, $3 and $4 the first and last of its offers, $5 days ago, $6 rows of the seed.
_OFFERS = """
INSERT INTO offers (id, merchant_id, offer_id, source_time, content_hash, catalogue_version, first_seen_at,
    last_seen_at, price_since, title, description, link, image_link, price_minor, currency, sale_price_minor,
    sale_ends_at, availability, brand, product_types, rate_category, cashback_eligible)
SELECT uuidv7(-make_interval(secs => $5::float8 * 86400)), $1, (1000000 + o.j)::text, now(), decode(md5(o.h::text),
    'hex'), 1, now() - make_interval(secs => $5::float8 * 86400), now(), now(),
    CASE WHEN o.h & 1 = 0 THEN s.title || ' ' || t.word ELSE t.word || ' ' || s.title END, s.description,
    s.link || (1000000 + o.j), CASE WHEN o.h % 33 > 0 THEN s.image ELSE '' END, p.price, $7,
    CASE WHEN o.h % 10 = 3 THEN p.price * 4 / 5 END,
    CASE WHEN o.h % 20 = 3 THEN date_trunc('day', now()) + make_interval(days => 1 + (o.h % 30)::int) END,
    CASE o.h % 25 WHEN 1 THEN 'out_of_stock' WHEN 2 THEN 'preorder' ELSE 'in_stock' END, s.brand,
    ARRAY[s.category], CASE WHEN $2::int % 5 = 0 AND o.h % 9 = 0 THEN 'clearance' ELSE '' END, o.h % 40 > 0
FROM (SELECT j, hashint8(j * 1000 + $2::int)::bigint & 2147483647 AS h FROM generate_series($3::bigint, $4) j) o
JOIN population_seed s ON s.k = (o.j * 7919 + $2::int * 104729) % $6
JOIN population_seed t ON t.k = o.h % $6
CROSS JOIN LATERAL (SELECT greatest(100, s.price_minor * (70 + o.h % 61) / 10000 * 100) AS price) p
"""

_RATES_NOW = """
SELECT r.currency, r.rate_category, r.percent_bps, r.fixed_minor, r.cap_minor
FROM rate_schedules s JOIN rates r ON r.schedule_id = s.id WHERE s.merchant_id = $1 AND r.customer_type = 'unknown'
"""

_CUSTOMERS = """
INSERT INTO customers (id, email, password_hash, display_name, referral_code, created_at)
SELECT uuidv7(-make_interval(secs => $4::float8)), replace($3, '%', n::text), $5, 'Shopper ' || n,
    lpad(n::text, 10, '0'), now() - make_interval(secs => $4::float8)
FROM generate_series($1::bigint, $2) n
"""

_CLICKERS = "CREATE UNLOGGED TABLE population_customers (k int PRIMARY KEY, id uuid)"
_CLICKED = "CREATE UNLOGGED TABLE population_offers (k int PRIMARY KEY, id uuid, merchant_id uuid, link text)"

# $1 and $2 the first and last, $3 seconds ago of the first, $4 seconds between two, $5 customers, $6 offers. Raised to
# a power, an even spread becomes one in which few have most. The sizes of link and receipt are those of real ones.
_CLICKS = """
INSERT INTO clicks (id, clicked_at, customer_id, merchant_id, offer_id, currency, landing_url, target_url,
    rate_schedule_version, receipt, user_agent, redirected_at)
SELECT made.id, uuid_extract_timestamp(made.id), c.id, o.merchant_id, o.id, $7, o.link,
    'https://go.example/?url=' || o.link || '&sub=' || made.id, 1, repeat(md5(made.n::text), 42),
    'Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36', uuid_extract_timestamp(made.id)
FROM (
    SELECT n, uuidv7(-make_interval(secs => greatest(1, $3::float8 - (n - $1) * $4::float8))) AS id,
        least($5::int - 1, ($5 * power((hashint8(n)::bigint & 2147483647) / 2147483648.0, 2))::int) AS customer,
        least($6::int - 1, ($6 * power((hashint8(n + 7)::bigint & 2147483647) / 2147483648.0, 3))::int) AS offer
    FROM generate_series($1::bigint, $2) n
) made
JOIN population_customers c ON c.k = made.customer JOIN population_offers o ON o.k = made.offer
"""

_CLICK_PARTITION = """
DO $$ DECLARE starts timestamptz; name text; BEGIN
    FOR step IN 0..%d LOOP
        starts := date_trunc('month', now(), 'UTC') - make_interval(months => step);
        name := 'clicks_' || to_char(starts AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass('click_partitions.' || name) IS NOT NULL;
        EXECUTE format('CREATE TABLE click_partitions.%%I PARTITION OF clicks FOR VALUES FROM (%%L) TO (%%L)', name,
            starts, date_trunc('month', starts + interval '32 days', 'UTC'));
    END LOOP;
END $$
"""


# At the start of a session and not in it, where giving a connection back would undo them. As replica: what is written
# was made to fit, and neither foreign keys nor triggers need another look.
_FOR_BULK = {
    "session_replication_role": "replica",
    "synchronous_commit": "off",
    "work_mem": "256MB",
    "plan_cache_mode": "force_custom_plan",
    "statement_timeout": "0",
}


class Filler:
    """`await Filler(dsn, amounts, console).run()`, as superuser; the tables must be empty."""

    def __init__(self, dsn: str, amounts: Amounts, console: Console) -> None:
        self._dsn = dsn
        self._amounts = amounts
        self._console = console
        self._slugs = [slug_of(number) for number in range(1, amounts.merchants + 1)]
        self._pool: asyncpg.Pool
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )

    async def run(self) -> None:
        """Raises FeedsMissing, and what the database raises."""
        async with asyncpg.create_pool(
            self._dsn, min_size=1, max_size=AT_ONCE + 1, server_settings=_FOR_BULK
        ) as self._pool:
            with self._progress:
                await self._pool.execute("SELECT ensure_click_partitions(3)")
                await self._seed()
                await self._offers()
                await self._listings()
                await self._customers()
                await self._clicks()
                await self._finish()

    async def _step(self, name: str, total: int, work: Sequence[tuple[str, Sequence[object], int]]) -> None:
        """Runs statements, AT_ONCE at a time; each with its arguments and how much of the total it is."""
        task = self._progress.add_task(name, total=total)
        left = iter(work)
        started_s = time.monotonic()

        async def one() -> None:
            async with self._pool.acquire() as connection:
                for sql, arguments, amount in left:
                    await connection.execute(sql, *arguments)
                    self._progress.advance(task, amount)

        await asyncio.gather(*(one() for _ in range(AT_ONCE)))
        self._took(name, total, started_s)

    def _took(self, name: str, total: int, started_s: float) -> None:
        self._console.print(f"[dim]{name}: {total:,} in {time.monotonic() - started_s:.0f} s[/dim]", highlight=False)

    async def _seed(self) -> None:
        rows = [*Feed(LARGE).rows()]
        words = [max(row.name.split(), key=len) for row in rows if row.name.strip()]
        records = [
            (
                *(k, row.name, row.name_zh, row.url.removesuffix(row.sku), row.image_url, row.brand, row.category_zh),
                *(row.price_minor, words[k * 31 % len(words)]),
            )
            for k, row in enumerate(rows)
        ]
        self._seeds = len(records)
        async with self._pool.acquire() as connection:
            await connection.execute(_SEED)
            await connection.copy_records_to_table("population_seed", records=records)
            await connection.execute("ANALYZE population_seed")
            await connection.execute(_MERCHANTS, self._slugs, CURRENCY, LANDING_HOST)
            await connection.execute(_RATES, self._slugs, CURRENCY)
            await connection.execute(_CATALOGUES, self._slugs)
            self._merchant_ids = [
                record["id"]
                for record in await connection.fetch(
                    "SELECT id FROM merchants WHERE slug = ANY ($1) ORDER BY slug", self._slugs
                )
            ]

    async def _offers(self) -> None:
        total = self._amounts.offers
        async with self._without_indexes("offers"):
            await self._step("offers", total, [*self._slices()])

    def _slices(self) -> Sequence[tuple[str, Sequence[object], int]]:
        merchants = len(self._merchant_ids)
        slices: list[tuple[str, Sequence[object], int]] = []
        for turn in range(_ROUNDS):
            for number, merchant_id in enumerate(self._merchant_ids, 1):
                size = self._offers_of(number)
                first, last = size * turn // _ROUNDS, size * (turn + 1) // _ROUNDS - 1
                days = _DAYS * (1 - (turn * merchants + number) / (_ROUNDS * merchants)) + 0.1
                arguments = (merchant_id, number, first, last, days, self._seeds, CURRENCY)
                slices.append((_OFFERS, arguments, last - first + 1))
        return slices

    async def _listings(self) -> None:
        total = self._amounts.offers
        work: list[tuple[str, Sequence[object], int]] = []
        for number, merchant_id in enumerate(self._merchant_ids, 1):
            rates = await self._pool.fetch(_RATES_NOW, merchant_id)
            columns = [[rate[name] for rate in rates] for name in _RATE_COLUMNS]
            # As the product's own job makes them, of all of a merchant's offers at once.
            range_ = (1, 0, UUID(int=2**128 - 1), 2**31 - 1)
            arguments = (merchant_id, datetime.now(UTC), CURRENCY, *columns, *range_)
            work.append((documents.INDEX_BATCH, arguments, self._offers_of(number)))
        async with self._without_indexes("offer_listings"), self._without_indexes("offer_documents"):
            await self._step("listings", total, work)
        limits = (documents.COUNTED_OFFERS, documents.KEPT_VALUES)
        await self._step(
            "facets",
            len(self._merchant_ids),
            [(documents.COUNT_FACETS, (merchant_id, *limits), 1) for merchant_id in self._merchant_ids],
        )
        await self._pool.execute(
            "UPDATE catalogues SET indexed_version = version, listed_version = version, indexed_at = now(),"
            " priced_version = 1"
        )

    def _offers_of(self, number: int) -> int:
        """How many the merchant with that number has."""
        each, more = divmod(self._amounts.offers, len(self._merchant_ids))
        return each + (number <= more)

    async def _customers(self) -> None:
        total = self._amounts.customer_count
        password_hash = await hash_password(PASSWORD)
        pattern = email_of(0).replace("0", "%")
        spread_s = 2 * 365 * 86400
        work = [
            (_CUSTOMERS, (first, last, pattern, spread_s * (1 - first / total), password_hash), last - first + 1)
            for first, last in _ranges(1, total, 50_000)
        ]
        await self._step("customers", total, work)

    async def _clicks(self) -> None:
        total = self._amounts.click_count
        if not total:
            return
        async with self._pool.acquire() as connection:
            await connection.execute(_CLICK_PARTITION % _CLICK_MONTHS)
            await connection.execute(_CLICKERS)
            await connection.execute(
                "INSERT INTO population_customers SELECT row_number() OVER () - 1, id FROM customers LIMIT 200000"
            )
            await connection.execute(_CLICKED)
            await connection.execute(
                "INSERT INTO population_offers SELECT row_number() OVER () - 1, id, merchant_id, link FROM ("
                "SELECT * FROM offers TABLESAMPLE SYSTEM (least(100, 10000000.0 / $1::float8)) LIMIT 100000) o",
                self._amounts.offers,
            )
            await connection.execute("ANALYZE population_customers")
            await connection.execute("ANALYZE population_offers")
            customers, offers = [
                await connection.fetchval(f"SELECT count(*) FROM {table}")
                for table in ("population_customers", "population_offers")
            ]
        spread_s = _CLICK_MONTHS * 30 * 86400
        each_s = spread_s / total
        work = [
            (_CLICKS, (f, last, spread_s - f * each_s, each_s, customers, offers, CURRENCY), last - f + 1)
            for f, last in _ranges(0, total - 1, _SLICE)
        ]
        async with self._without_indexes("clicks"):
            await self._step("clicks", total, work)

    @contextlib.asynccontextmanager
    async def _without_indexes(self, table: str) -> AsyncIterator[None]:
        name = f"indexes of {table}"
        async with self._pool.acquire() as connection:
            indexes = await drop_indexes(connection, table)
        yield
        task = self._progress.add_task(name, total=len(indexes))
        started_s = time.monotonic()
        await make_indexes(self._pool, indexes, lambda: self._progress.advance(task, 1))
        self._took(name, len(indexes), started_s)

    async def _finish(self) -> None:
        started_s = time.monotonic()
        await self._pool.execute("DROP TABLE IF EXISTS population_seed, population_customers, population_offers")
        task = self._progress.add_task("vacuum, analyse", total=1)
        await self._pool.execute("VACUUM (ANALYZE, PARALLEL 1)")
        await self._pool.execute("CHECKPOINT")
        self._progress.advance(task, 1)
        self._took("vacuum, analyse", 1, started_s)


_RATE_COLUMNS = ("rate_category", "percent_bps", "fixed_minor", "cap_minor")


def _ranges(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """(first, last) of pieces of at most `size`, both ends included."""
    return [(start, min(last, start + size - 1)) for start in range(first, last + 1, size)]


async def fill(dsn: str, amounts: Amounts, console: Console) -> None:
    """Raises FeedsMissing."""
    await Filler(dsn, amounts, console).run()
