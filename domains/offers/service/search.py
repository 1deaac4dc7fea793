"""Full-text search whose cost does not grow with the catalogue.

A common word is in a million offers, and whoever searches for it looks at twenty. So the smallest sample is asked first
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

from domains.offers.service.queries import (
    SearchQuery,
    Term,
    corrected_terms,
    cut_terms,
    filter_lexemes,
    rank_tsquery,
    terms_of,
    tsquery,
    whole,
)
from domains.offers.service.spelling import corrections
from wapsi.db import Reads

# A sample that has so many answers will do.
ENOUGH = 100
# So many are ranked, and so many can be paged through.
CANDIDATES = 500
# Of all offers, where most documents lie on the disk, so many are ranked for the first pages, the samples' first.
RANKED_FIRST = 60
MAX_RESULTS = 500
# So many are looked at where conditions that are no lexemes remain to be checked.
EXAMINED = 3000
# Of a sample that has so many, the next one has too many to go through.
WIDE = 500
# What so many offers of the smallest sample have is broad: see `among_all`.
BROAD = 50
# Of what no more offers of the smallest sample have, the larger one hardly ever has enough: it is not asked.
RARE = 1
LARGEST_TIER = 2


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


# Beside the tiers, in a cursor: all offers, behind those that were ranked for the first page.
_REST = 3
# A tier in a cursor that is not of the words as they were typed: these are added to it.
_CORRECTED, _CUT, _WHOLE = 10, 20, 40


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
    if code < 0 or code % 10 > _REST or code >= 2 * _WHOLE:
        return SearchResult([], relaxed=False, more=False)
    relaxation = code % _WHOLE // 10 * 10
    if relaxation == _CORRECTED:
        terms = corrected_terms(terms, await corrections(reads, terms))
    elif relaxation == _CUT:
        terms = cut_terms(terms)
    if code >= _WHOLE:
        terms = whole(terms)
    return _result(await _ask(reads, query, terms, order, code, after=after[1:], limit=limit), limit)


def _result(found: _Found, limit: int) -> SearchResult:
    relaxed = any(hit.tier % _WHOLE >= _CORRECTED for hit in found.hits)
    return SearchResult(found.hits[:limit], relaxed=relaxed, more=len(found.hits) > limit)


async def _first_page(
    reads: Reads, query: SearchQuery, terms: Sequence[Term], order: SearchOrder, limit: int, *, words: int = 0
) -> _Found:
    """From the smallest sample that has enough; `words` says in cursors how they were relaxed."""
    narrow: Sequence[Term] | None = None
    for tier in range(LARGEST_TIER, 0, -1):
        found = await _ask(reads, query, terms, order, words + tier, limit=limit)
        # Where conditions leave little of much, the next sample would be the whole of it.
        if found.matched >= ENOUGH or found.examined >= WIDE:
            break
        if tier == 1 or found.examined <= RARE:
            narrow = await among_all(reads, query, terms)
        if narrow is not None:
            code = words + (0 if list(narrow) == list(terms) else _WHOLE)
            return await _ask(reads, query, narrow, order, code, limit=limit)
    return found


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
    tier = code % 10
    is_parted = tier in (0, _REST) and order is SearchOrder.RELEVANCE and not query.narrows
    part = None if not is_parted else slice(RANKED_FIRST, CANDIDATES) if tier == _REST else slice(RANKED_FIRST)
    sql, arguments = statement(
        query, terms, order, tier=0 if tier == _REST else tier, part=part, after=after, limit=limit + 1
    )
    found = _found(await reads.fetch(sql, *arguments), code)
    missing = limit + 1 - len(found.hits)
    is_full = found.examined >= RANKED_FIRST or (after is not None and not found.hits)
    if not (is_parted and tier == 0 and missing > 0 and is_full):
        return found
    rest = await _ask(reads, query, terms, order, code + _REST, limit=missing - 1)
    examined = found.examined + rest.examined
    return _Found([*found.hits, *rest.hits], examined, examined)


async def _known(reads: Reads, query: SearchQuery, terms: Sequence[Term]) -> bool:
    """Whether offers have all the words, though none has what else is asked for."""
    if not filter_lexemes(query):
        return False
    for tier in range(LARGEST_TIER, -1, -1):
        row = await reads.fetchrow(count_sql(1, tier=tier), 1, tsquery(terms, ()))
        if row is not None and row[0]:
            return True
    return False


async def among_all(reads: Reads, query: SearchQuery, terms: Sequence[Term]) -> Sequence[Term] | None:
    """The terms to look for among all offers, of which the samples have few; None where that would cost too much.

    An index finds what is rare quickly, whatever else is asked for. It would go through all of what many offers have:
    so each part is counted in the smallest sample. A begun word that many begin with must be written out; and where
    many offers have each part, but hardly any have all, those in the samples have to do.
    """
    filters = filter_lexemes(query)
    if len(terms) + len(filters) < 2:
        return terms
    parts = [tsquery([term], ()) for term in terms]
    parts += [tsquery((), [lexeme]) for lexeme in filters]
    row = await reads.fetchrow(count_sql(len(parts), tier=LARGEST_TIER), BROAD, *parts)
    broad = [] if row is None else [count >= BROAD for count in row]
    if broad and all(broad):
        return None
    begun = [term for term, is_broad in zip(terms, broad, strict=False) if term.begins and is_broad]
    return [term if term not in begun else whole([term])[0] for term in terms]


def limited(rows: int | str) -> str:
    """A LIMIT whose number the planner does not see.

    Of a word of which it knows nothing it believes that every 200th offer has it. A few such offers, it concludes, are
    found sooner by reading the table from its beginning than by the index, and reads it to the end.
    """
    return f"LIMIT (SELECT {rows}::int8)"


def with_lexemes(tier: int, columns: str, number: int | str, rows: int | str, *, beyond: int = 0) -> str:
    """A SELECT of at most `rows` of the tier's offers that have the lexemes of the argument with that number.

    Samples come first: they are good offers, and in memory; `beyond` so many of them it begins. The planner knows the
    sample, and looks at its partition only. Of the lexemes it sees nothing, and plans for all alike: by how common it
    believes each to be, it would read a whole sample where two common ones are hardly ever together.
    """
    samples = (
        f"SELECT {columns} FROM offer_documents WHERE sample = {sample}"  # noqa: S608
        f" AND document @@ (SELECT ${number}::text::tsquery)"
        for sample in range(LARGEST_TIER, tier - 1, -1)
    )
    return f"{' UNION ALL '.join(samples)} {limited(rows)}{f' OFFSET {beyond}' if beyond else ''}"


def count_sql(queries: int, *, tier: int) -> str:
    """Counts the tier's offers of each query, $2 and those that follow, up to the limit $1."""
    counts = (
        f"(SELECT count(*) FROM ({with_lexemes(tier, '1', number, '$1')}) found) AS count_{number}"  # noqa: S608
        for number in range(2, queries + 2)
    )
    return f"SELECT {', '.join(counts)}"


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
    part: slice | None = None,
    after: Sequence[int | UUID] | None,
    limit: int,
) -> tuple[str, list[object]]:
    """SQL and its arguments: rows of id, key, examined and matched. `part` of the candidates is ranked, or all."""
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
    first, end = (0, EXAMINED if conditions else CANDIDATES) if part is None else (part.start or 0, part.stop)
    found = with_lexemes(tier, "id, document, quality", 1, end - first, beyond=first)
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
