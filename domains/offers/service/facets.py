"""How the offers of a search or a filter spread over merchants, brands, categories, availability and prices.

Counted over a sample of bounded size, never over all: `complete` says whether these were all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from domains.offers.service.beginnings import written_out
from domains.offers.service.queries import SearchQuery, Term, filter_lexemes, terms_of, tsquery
from domains.offers.service.samples import LARGEST_TIER, with_lexemes
from domains.offers.service.search import LISTING, residual
from wapsi.db import Reads

# So many offers are counted.
SAMPLE = 2000
# So many are looked at where conditions that are no lexemes remain to be checked.
EXAMINED = 6000
# A smaller sample of offers is enough from so many on.
ENOUGH = 500
TOP = 20
# Prices go from one of these to below the next, in minor units: 1, 2, 5, 10, … of the hundredfold.
BAND_STARTS_MINOR = (0, *(step * 10**power for power in range(2, 12) for step in (1, 2, 5)))


_GROUPS = (
    ("merchant", "merchant_id", "true"),
    ("brand", "brand", "brand <> ''"),
    ("category", "category", "category <> ''"),
    ("availability", "availability", "true"),
)
# Of the rows `matched`: how many there are (and, as the band, how many were looked at), then each facet.
_COUNTS = (
    " SELECT 'all' AS kind, '' AS value, (SELECT count(*) FROM examined)::int AS band, count(*)::int AS offers"  # noqa: S608
    " FROM matched"
    + "".join(
        f" UNION ALL (SELECT '{name}', {value}::text, NULL, count(*)::int FROM matched WHERE {condition}"  # noqa: S608
        f" GROUP BY {value} ORDER BY count(*) DESC, {value} LIMIT {TOP})"
        for name, value, condition in _GROUPS
    )
    + " UNION ALL SELECT 'price', currency, width_bucket(price_minor, $1::int8[]) AS band, count(*)::int"
    " FROM matched WHERE price_minor >= 0 AND currency IS NOT NULL GROUP BY currency, band"
)


@dataclass(frozen=True, slots=True)
class PriceBand:
    """Offers of at least `from_minor` and less than `below_minor` (None: any more), minor units of `currency`."""

    currency: str
    from_minor: int
    below_minor: int | None
    offers: int


@dataclass(frozen=True, slots=True)
class Facets:
    """Values with how many of the `counted` offers have them, most first. `complete`: no other offers match."""

    counted: int = 0
    complete: bool = True
    merchants: list[tuple[UUID, int]] = field(default_factory=list)
    brands: list[tuple[str, int]] = field(default_factory=list)
    categories: list[tuple[str, int]] = field(default_factory=list)
    availability: list[tuple[str, int]] = field(default_factory=list)
    prices: list[PriceBand] = field(default_factory=list)


async def facets(reads: Reads, query: SearchQuery) -> Facets:
    """Raises DatabaseUnavailable."""
    terms = terms_of(query.words)
    if query.words and not terms:
        return Facets()
    if not terms and not filter_lexemes(query):
        return await _count(reads, query, terms, tier=None)
    for tier in range(LARGEST_TIER, 0, -1):
        found = await _count(reads, query, terms, tier=tier)
        if found.counted >= ENOUGH or not found.complete:
            return replace(found, complete=False)
    full, is_narrow = await written_out(reads, query, terms)
    return await _count(reads, query, full, tier=0) if is_narrow else replace(found, complete=False)


async def _count(reads: Reads, query: SearchQuery, terms: Sequence[Term], *, tier: int | None) -> Facets:
    sql, arguments = statement(query, terms, tier=tier)
    groups: dict[str, list[tuple[str, int]]] = {}
    bands: list[PriceBand] = []
    counted = examined = 0
    for row in await reads.fetch(sql, *arguments):
        kind, value, offers = row["kind"], row["value"], row["offers"]
        if kind == "all":
            counted, examined = offers, row["band"]
        elif kind == "price":
            bands.append(_band(value, row["band"], offers))
        else:
            groups.setdefault(kind, []).append((value, offers))
    bands.sort(key=lambda band: (band.currency, band.from_minor))
    limit = EXAMINED if query.narrows else SAMPLE
    return Facets(
        counted=counted,
        complete=examined < limit and counted < SAMPLE,
        merchants=[(UUID(value), offers) for value, offers in groups.get("merchant", [])],
        brands=groups.get("brand", []),
        categories=groups.get("category", []),
        availability=groups.get("availability", []),
        prices=bands,
    )


def _band(currency: str, number: int, offers: int) -> PriceBand:
    below = BAND_STARTS_MINOR[number] if number < len(BAND_STARTS_MINOR) else None
    return PriceBand(currency, BAND_STARTS_MINOR[number - 1], below, offers)


def statement(query: SearchQuery, terms: Sequence[Term], *, tier: int | None) -> tuple[str, list[object]]:
    """SQL and its arguments. Without a tier, and without words and filters, the newest offers are counted."""
    arguments: list[object] = [list(BAND_STARTS_MINOR)]
    if tier is not None:
        arguments.append(tsquery(terms, filter_lexemes(query)))
    conditions = residual(query, arguments)
    examined = EXAMINED if conditions else SAMPLE
    found = f"offer_listings ORDER BY id DESC LIMIT {examined}"
    if tier is not None:
        found = f"({with_lexemes(tier, 'id', 2, examined)}) found {LISTING}"
    sql = (
        "WITH examined AS MATERIALIZED (SELECT merchant_id, brand, category, availability, currency, price_minor"  # noqa: S608
        f" FROM {found}),"
        f" matched AS MATERIALIZED (SELECT * FROM examined WHERE {' AND '.join(conditions) or 'true'} LIMIT {SAMPLE})"
        + _COUNTS
    )
    return sql, arguments
