"""What may be meant while it is still being typed: brands, categories, words of titles, and merchants."""

from dataclasses import dataclass
from typing import Literal

from domains.offers.service.spelling import LAST_CHARACTER
from domains.offers.service.words import lower, words_of
from wapsi.db import Reads

# Of what begins so, so many values are looked at: a beginning of one letter is not worth more.
EXAMINED = 5000
MAX_LIMIT = 50

Kind = Literal["brand", "category", "word", "merchant"]

_OF_KIND = (
    "SELECT '{kind}' AS kind, value, '' AS slug, sum(offers) AS offers FROM (SELECT f.merchant_id, f.value, f.offers"
    " FROM facet_counts f WHERE f.kind = '{kind}' AND f.value ~>=~ {begin} AND f.value ~<~ {end} LIMIT {examined}) near"
    " WHERE merchant_id IN (SELECT id FROM merchants WHERE status = 'active')"
    " GROUP BY value ORDER BY offers DESC, value LIMIT $5"
)
SUGGEST = (
    "SELECT kind, value, slug, offers::int8 AS offers FROM ("  # noqa: S608  # constants
    + " UNION ALL ".join(
        f"({_OF_KIND.format(kind=kind, begin=begin, end=end, examined=EXAMINED)})"
        for kind, begin, end in (("brand", "$1", "$2"), ("category", "$1", "$2"), ("word", "$3", "$4"))
    )
    + " UNION ALL (SELECT 'merchant', name, slug, NULL FROM merchants WHERE status = 'active'"
    # Merchants are few; whoever types the beginning of one's name means it.
    " AND starts_with(lower(name), $1) ORDER BY name LIMIT $5)) found"
    " ORDER BY offers DESC NULLS FIRST, value LIMIT $5"
)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`text` is what to search for; of a merchant its name, with its `slug`. `offers` have it, about."""

    kind: Kind
    text: str
    offers: int | None
    slug: str = ""


async def suggest(reads: Reads, prefix: str, limit: int = 10) -> list[Suggestion]:
    """Merchants first, then what most offers have. Of several words the last one is completed.

    Raises DatabaseUnavailable.
    """
    whole = " ".join(lower(prefix).split())
    words = words_of(prefix)
    if not whole or not words:
        return []
    *before, last = words
    rows = await reads.fetch(SUGGEST, whole, whole + LAST_CHARACTER, last, last + LAST_CHARACTER, min(limit, MAX_LIMIT))
    begin = "".join(f"{word} " for word in before)
    found: dict[str, Suggestion] = {}
    for row in rows:
        text = begin + row["value"] if row["kind"] == "word" else row["value"]
        # A brand that is also a word of titles is one suggestion.
        found.setdefault(text, Suggestion(row["kind"], text, row["offers"], row["slug"]))
    return list(found.values())
