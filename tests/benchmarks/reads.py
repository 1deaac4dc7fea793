"""READ1 and READ2: one page of the catalogue, hot and cold, against the least that could answer it."""

import pickle
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from domains.offers.service.listing import OfferFilter, Sellers, Sort, filtered_statement
from tests.benchmarks import reads_programs as programs
from tests.benchmarks.bench import Bench, median
from tests.benchmarks.load import wrk
from tests.benchmarks.load.lists import Data, zipf
from tests.benchmarks.load.wrk import LoadBroken, Measured
from tests.benchmarks.reads_stage import Stage, seconds_of, stage
from tests.benchmarks.registry import Row, at_least, bar

PAGE = 20
HOT_PAGE = f"/v1/offers?limit={PAGE}"
# Enough for all runs: none is asked twice.
COLD_PAGES = 200_000
_WARM_UP_S = 3.0
_CONNECTIONS = f"wrk, 1 thread, {wrk.CONNECTIONS} connections"


@bar("READ1")
async def hot_page(bench: Bench) -> Sequence[Row]:
    bare: list[Measured] = []
    hot: list[Measured] = []
    seconds = seconds_of(bench)
    async with stage(bench) as staged:
        await staged.require([HOT_PAGE])
        page = staged.paths("hot", [HOT_PAGE])
        for url in (staged.bare_url, staged.product.url):
            await wrk.pages(url, page, seconds=_WARM_UP_S)
        for _run in bench.runs():
            bare.append(sound(await wrk.pages(staged.bare_url, page, seconds=seconds)))
            hot.append(sound(await wrk.pages(staged.product.url, page, seconds=seconds)))
            bench.say(f"hello {bare[-1].rate_per_s:,.0f}/s, page {hot[-1].rate_per_s:,.0f}/s")
        size = len((await staged.product.http.get(HOT_PAGE)).content)
    return [
        _row(
            *("READ1", f"GET {HOT_PAGE}, hot", hot, bare, "bare ASGI hello on uvicorn", 0.5),
            f"{size:,} bytes a page; {latencies(hot)}; {_CONNECTIONS}",
        )
    ]


@bar("READ2")
async def cold_page(bench: Bench) -> Sequence[Row]:
    floor: list[Measured] = []
    cold: list[Measured] = []
    seconds = seconds_of(bench)
    async with stage(bench) as staged:
        queries = await cold_queries(staged, COLD_PAGES)
        await staged.require([query.path for query in queries[:KINDS]])
        pages = staged.paths("cold", [query.path for query in queries])
        rows = staged.paths("rows", [f"/rows?n={number}" for number in range(len(queries))])
        file = staged.folder / "queries.pickle"
        file.write_bytes(pickle.dumps([query.statement for query in queries]))
        with programs.uvicorn(
            *("tests.benchmarks.load.same_sql:app", "same-sql", staged.folder),
            path="/rows?n=0",
            SAME_SQL_DSN=staged.product.admin_dsn,
            SAME_SQL_FILE=str(file),
        ) as floor_url:
            first = KINDS
            for url, paths in ((floor_url, rows), (staged.product.url, pages)):
                warmed = await wrk.pages(url, paths, seconds=_WARM_UP_S, first=first)
            first += 2 * warmed.requests
            for _run in bench.runs():
                floor.append(sound(await wrk.pages(floor_url, rows, seconds=seconds, first=first)))
                cold.append(sound(await wrk.pages(staged.product.url, pages, seconds=seconds, first=first)))
                first += max(floor[-1].requests, cold[-1].requests)
                bench.say(f"the same SQL {floor[-1].rate_per_s:,.0f}/s, page {cold[-1].rate_per_s:,.0f}/s")
    again = "; the last ones were asked before" if first > len(queries) else ""
    return [
        _row(
            *("READ2", "GET /v1/offers by price, brand, category or merchant, each another", cold, floor),
            *("the same SQL in FastAPI with asyncpg and orjson", 0.8),
            f"{latencies(cold)}; the floor {latencies(floor)}; {first:,} distinct pages{again}; {_CONNECTIONS}",
        )
    ]


def _row(
    id: str, what: str, value: Sequence[Measured], floor: Sequence[Measured], floor_name: str, limit: float, note: str
) -> Row:
    rate, floor_rate = (median([run.rate_per_s for run in runs]) for runs in (value, floor))
    words, holds = at_least(limit, rate / floor_rate)
    return Row(id, what, rate, "requests/s", floor_rate, floor_name, rate / floor_rate, words, holds, [note])


def sound(measured: Measured) -> Measured:
    """Raises LoadBroken when a request failed: refusals are fast, and would count as speed."""
    if measured.errors:
        raise LoadBroken(f"{measured.errors} of {measured.requests} requests failed: {measured.error_words}")
    return measured


def latencies(runs: Sequence[Measured]) -> str:
    p50, p99 = (median([getattr(run, name) for run in runs]) for name in ("p50_ms", "p99_ms"))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


@dataclass(frozen=True, slots=True)
class ColdQuery:
    """A page that nobody has asked for before, and the statement with its arguments that the product runs for it."""

    path: str
    statement: tuple[str, Sequence[Any]]


async def cold_queries(staged: Stage, count: int) -> list[ColdQuery]:
    """The kinds in turn; what makes each another one is its lowest price."""
    ids = {row["slug"]: row["id"] for row in await staged.product.admin.fetch("SELECT slug, id FROM merchants")}
    rng = random.Random(3)
    return [_cold_query(number, staged.data, ids, rng) for number in range(count)]


KINDS = 4


def _cold_query(number: int, data: Data, ids: dict[str, UUID], rng: random.Random) -> ColdQuery:
    kind, lowest = number % KINDS, 100 + number
    query: dict[str, Any] = {"currency": data.currency, "price_min": lowest}
    sort = Sort.PRICE_ASC if kind in (0, 3) else Sort.NEWEST
    if kind == 1:
        query["brand"] = zipf(data.brands, rng)
    elif kind == 2:
        query["category"] = zipf(data.categories, rng)
    elif kind == 3:
        query["merchant"] = zipf(data.merchants, rng)
    wanted = OfferFilter(
        merchant=query.get("merchant"),
        category=query.get("category"),
        brand=query.get("brand"),
        currency=data.currency,
        price_min_minor=lowest,
    )
    sellers = Sellers(merchant_id=ids[query["merchant"]] if kind == 3 else None)
    # One row more than the page has tells whether there is another page.
    sql, arguments = filtered_statement(wanted, sellers, sort, after=None, limit=PAGE + 1)
    path = f"/v1/offers?{urlencode({**query, 'sort': sort.value, 'limit': PAGE})}"
    return ColdQuery(path, (sql, [_plain(argument) for argument in arguments]))


def _plain(argument: Any) -> Any:
    """The driver's ids are of a class of its own, which is not pickled."""
    return UUID(str(argument)) if isinstance(argument, UUID) else argument
