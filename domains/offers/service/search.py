"""Full-text search whose cost does not grow with the catalogue.

A common word is in a million offers, and whoever searches for it looks at twenty. So the smallest sample is read first
(one good offer in 256, see service/documents.py), then the larger one, then all offers, until there is enough; and of
what is found, so much is ranked and no more. Each sample lies together, in a partition with an index of its own: what
most searches read is small, and stays in memory. Filters are lexemes like the words: the sample is chosen by all of
them together. A word that is rare, or rare under these filters, is searched for among all offers, which are few then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import asyncpg

from domains.offers.service.beginnings import written_out
from domains.offers.service.queries import (
    SearchQuery,
    Term,
    corrected_terms,
    cut_terms,
    filter_lexemes,
    rank_tsquery,
    terms_of,
    tsquery,
)
from domains.offers.service.samples import LARGEST_TIER, count_sql, limited, of_sample, with_lexemes
from domains.offers.service.spelling import corrections
from wapsi.db import Plans, Reads

# So many are ranked, and so many can be paged through.
CANDIDATES = 500
# By relevance they are ranked in parts, for a first page as few as it takes and behind them so many more for those who
# go on: of all offers, whose documents lie on the disk, and of samples, by the tier.
RANKED = {0: (30, 90, 290), 1: (120, 380), 2: (120, 380)}
# The first part of all offers is so many of the samples, where they have more than it.
SAMPLED = 120
# In other orders, and where conditions that are no lexemes remain to be checked, a sample that has so many will do.
ENOUGH = 100
MAX_RESULTS = 500
# So many are looked at there.
EXAMINED = 3000
# Of a sample that has so many, the next one has too many to go through.
WIDE = 500
# Of what no more offers of the smallest sample have, the larger one hardly ever has enough: it is not asked.
RARE = 1


class SearchOrder(StrEnum):
    """Those by price need a currency."""

    RELEVANCE = "relevance"
    NEWEST = "newest"
    PRICE_ASC = "price"
    PRICE_DESC = "-price"
    NET_PRICE = "net_price"


@dataclass(frozen=True, slots=True)
class SearchHit:
    """`tier` and `key` are its place in the order, for cursors: opaque whole numbers."""

    id: UUID
    tier: int
    key: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """`relaxed`: nothing has all the words; these have words that are spelled, or begin, like them."""

    hits: list[SearchHit]
    relaxed: bool
    more: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """What a tier gave: `examined` offers have the lexemes, `matched` of them what else is asked for."""

    hits: list[SearchHit]
    examined: int
    matched: int


# In a cursor a tier is one of the first numbers; for each part that was seen to its end, so many are added.
_TIERS = LARGEST_TIER + 1
# And these where it is not of the words as they were typed.
_CORRECTED, _CUT, _WRITTEN_OUT = 10, 20, 40


async def search(
    reads: Reads,
    query: SearchQuery,
    *,
    order: SearchOrder = SearchOrder.RELEVANCE,
    after: tuple[int, int, UUID] | None,
    limit: int,
) -> SearchResult:
    """A page of at most `limit`, best first; `after` is the place of the last hit that was seen.

    Of all pages together there are at most MAX_RESULTS. Raises DatabaseUnavailable.
    """
    terms = terms_of(query.words)
    if not terms:
        return SearchResult([], relaxed=False, more=False)
    if after is not None:
        return await _next_page(reads, query, terms, order, after, limit)
    found = await _first_page(reads, query, terms, order, limit)
    if found.examined or await _known(reads, query, terms):
        # The words are right; it is the rest that nothing fulfils.
        return _result(found, limit)
    known = await corrections(reads, terms)
    if known:
        found = await _first_page(reads, query, corrected_terms(terms, known), order, limit, words=_CORRECTED)
    if not found.examined:
        found = await _first_page(reads, query, cut_terms(terms), order, limit, words=_CUT)
    return _result(found, limit)


async def _next_page(
    reads: Reads,
    query: SearchQuery,
    terms: Sequence[Term],
    order: SearchOrder,
    after: tuple[int, int, UUID],
    limit: int,
) -> SearchResult:
    """From the sample, and with the words, of the page before."""
    code = after[0]
    number, tier = divmod(code % 10, _TIERS)
    if not 0 <= code < 2 * _WRITTEN_OUT or number >= len(RANKED[tier]):
        return SearchResult([], relaxed=False, more=False)
    relaxation = code % _WRITTEN_OUT // 10 * 10
    if relaxation == _CORRECTED:
        terms = corrected_terms(terms, await corrections(reads, terms))
    elif relaxation == _CUT:
        terms = cut_terms(terms)
    if code >= _WRITTEN_OUT:
        terms, _ = await written_out(reads, query, terms)
    return _result(await _ask(reads, query, terms, order, code, after=after[1:], limit=limit), limit)


def _result(found: _Found, limit: int) -> SearchResult:
    relaxed = any(hit.tier % _WRITTEN_OUT >= _CORRECTED for hit in found.hits)
    return SearchResult(found.hits[:limit], relaxed=relaxed, more=len(found.hits) > limit)


async def _first_page(
    reads: Reads, query: SearchQuery, terms: Sequence[Term], order: SearchOrder, limit: int, *, words: int = 0
) -> _Found:
    """From the samples, and where they have too little from all; `words` says in cursors how they were relaxed."""
    if _is_ranked(query, order):
        full, is_narrow = await written_out(reads, query, terms)
        code = words + (0 if full == list(terms) else _WRITTEN_OUT) + (0 if is_narrow else 1)
        return await _ask(reads, query, full, order, code, limit=limit)
    found = await _ask(reads, query, terms, order, words + LARGEST_TIER, limit=limit)
    # Where conditions leave little of much, the next sample would be the whole of it.
    if _is_enough(found):
        return found
    full, is_narrow = await written_out(reads, query, terms)
    code = words + (0 if full == list(terms) else _WRITTEN_OUT)
    for tier in range(LARGEST_TIER - 1, 0, -1):
        if is_narrow and found.examined <= RARE:
            break
        found = await _ask(reads, query, full, order, code + tier, limit=limit)
        if _is_enough(found):
            return found
    return await _ask(reads, query, full, order, code, limit=limit) if is_narrow else found


def _is_ranked(query: SearchQuery, order: SearchOrder) -> bool:
    """Whether the first that are found will do: no condition is left, and where they stand is for us to say."""
    return order is SearchOrder.RELEVANCE and not query.narrows


def _is_enough(found: _Found) -> bool:
    return found.matched >= ENOUGH or found.examined >= WIDE


async def _ask(
    reads: Reads,
    query: SearchQuery,
    terms: Sequence[Term],
    order: SearchOrder,
    code: int,
    *,
    after: tuple[int, UUID] | None = None,
    limit: int,
) -> _Found:
    """The first hits of what a cursor's `code` stands for, one more than `limit`; further ones follow behind it."""
    number, tier = divmod(code % 10, _TIERS)
    part = number if _is_ranked(query, order) else None
    sql, arguments = statement(query, terms, order, tier=tier, part=part, after=after, limit=limit + 1)
    found = _found(await reads.fetch(sql, *arguments, plans=Plans.BY_KEYS), code)
    missing = limit + 1 - len(found.hits)
    if part is None or number + 1 == len(RANKED[tier]) or not missing:
        return found
    if found.examined < RANKED[tier][number] and (after is None or found.hits):
        return found
    rest = await _ask(reads, query, terms, order, code + _TIERS, limit=missing - 1)
    examined = found.examined + rest.examined
    return _Found([*found.hits, *rest.hits], examined, examined)


async def _known(reads: Reads, query: SearchQuery, terms: Sequence[Term]) -> bool:
    """Whether offers have all the words, though none has what else is asked for."""
    if not filter_lexemes(query):
        return False
    for tier in range(LARGEST_TIER, -1, -1):
        row = await reads.fetchrow(count_sql(1, tier=tier), 1, tsquery(terms, ()), plans=Plans.BY_KEYS)
        if row is not None and row[0]:
            return True
    return False


def _part(tier: int, number: int, columns: str) -> str:
    """A SELECT of the part of RANKED with that number."""
    sizes = RANKED[tier]
    before = sum(sizes[1:number])
    if tier:
        return with_lexemes(tier, columns, 1, sizes[number], beyond=before + sizes[0] if number else 0)
    if number:
        first = f"(SELECT greatest({sizes[0]}, count(*)) FROM ({with_lexemes(1, '1', 1, SAMPLED)}) sampled)"  # noqa: S608
        return with_lexemes(0, columns, 1, sizes[number], beyond=f"{first} + {before}")
    missing = f"greatest(0, {sizes[0]} - (SELECT count(*) FROM sampled))"  # noqa: S608
    return (
        f"WITH sampled AS MATERIALIZED ({with_lexemes(1, columns, 1, SAMPLED)}) SELECT * FROM sampled"  # noqa: S608
        f" UNION ALL (SELECT * FROM ({of_sample(0, columns, 1)} {limited(missing)}) others)"
    )


def _found(rows: Sequence[asyncpg.Record], code: int) -> _Found:
    """The counts come with every row, and alone where there is none but some were examined."""
    counts = (rows[0]["examined"], rows[0]["matched"]) if rows else (0, 0)
    return _Found([SearchHit(row["id"], code, row["key"]) for row in rows if row["id"] is not None], *counts)


# Of what is `found` by its document. By OFFSET the planner cannot read all listings instead.
LISTING = (
    "CROSS JOIN LATERAL (SELECT merchant_id, currency, price_minor, net_minor, brand, category, availability"
    " FROM offer_listings WHERE id = found.id OFFSET 0) listing"
)
# Column to sort by, whether descending.
_ORDERS = {
    SearchOrder.RELEVANCE: ("(ts_rank(document, (SELECT $2::text::tsquery)) * (4 + quality) * 250000)::int8", True),
    SearchOrder.NEWEST: ("0::int8", True),
    SearchOrder.PRICE_ASC: ("price_minor", False),
    SearchOrder.PRICE_DESC: ("price_minor", True),
    SearchOrder.NET_PRICE: ("net_minor", False),
}


def statement(
    query: SearchQuery,
    terms: Sequence[Term],
    order: SearchOrder,
    *,
    tier: int,
    part: int | None = None,
    after: Sequence[int | UUID] | None,
    limit: int,
) -> tuple[str, list[object]]:
    """SQL and its arguments: rows of id, key, examined and matched. A `part` of the candidates is ranked, or all."""
    filters = filter_lexemes(query)
    key, descending = _ORDERS[order]
    arguments: list[object] = [tsquery(terms, filters), rank_tsquery(terms)]
    conditions = residual(query, arguments)
    if order not in (SearchOrder.RELEVANCE, SearchOrder.NEWEST):
        conditions.append(f"{key} IS NOT NULL")
    position = ""
    if after is not None:
        arguments += after
        sign = "<" if descending else ">"
        position = f" WHERE (key, id) {sign} (${len(arguments) - 1}::int8, ${len(arguments)}::uuid)"
    arguments.append(limit)
    direction = " DESC" if descending else ""
    ordered = f"ORDER BY key{direction}, id{direction} LIMIT"
    page = f"{position} {ordered} ${len(arguments)}"
    columns = "id, document, quality"
    rows = EXAMINED if conditions else CANDIDATES
    found = with_lexemes(tier, columns, 1, rows) if part is None else _part(tier, part, columns)
    # $2 is named everywhere, so that every statement has the same arguments.
    if not conditions:
        # Most searches: half the planning of the other, and documents are not kept.
        matched = (
            f"SELECT id, {key} AS key, count(*) OVER () AS matched FROM ({found}) found WHERE $2::text IS NOT NULL"  # noqa: S608
        )
        best = f"SELECT * FROM ({matched}) matched {ordered} {MAX_RESULTS}"  # noqa: S608
        return f"SELECT id, key, matched AS examined, matched FROM ({best}) best{page}", arguments  # noqa: S608
    sql = (
        f"WITH examined AS (SELECT found.*, listing.* FROM ({found}) found {LISTING}),"  # noqa: S608
        f" matched AS (SELECT id, {key} AS key FROM examined WHERE {' AND '.join(conditions)}"
        f" AND $2::text IS NOT NULL LIMIT {CANDIDATES}),"
        f" best AS (SELECT id, key FROM matched {ordered} {MAX_RESULTS}),"
        f" page AS (SELECT id, key FROM best{page})"
        " SELECT page.id, page.key, counts.examined, counts.matched FROM (SELECT (SELECT count(*) FROM examined)"
        " AS examined, (SELECT count(*) FROM matched) AS matched) counts LEFT JOIN page ON true"
        f" ORDER BY page.key{direction}, page.id{direction}"
    )
    return sql, arguments


def residual(query: SearchQuery, arguments: list[object]) -> list[str]:
    """The conditions that are no lexemes; appends their arguments."""
    conditions = []
    for value, condition in (
        (list(query.excluded_merchant_ids) or None, "merchant_id <> ALL({}::uuid[])"),
        (query.currency, "currency = {}::text"),
        (query.price_min_minor, "price_minor >= {}::int8"),
        (query.price_max_minor, "price_minor <= {}::int8"),
    ):
        if value is not None:
            arguments.append(value)
            conditions.append(condition.format(f"${len(arguments)}"))
    return conditions
