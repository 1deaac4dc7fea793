"""Typing errors, where the database has trigrams (the extension pg_trgm; optional, looked for once)."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from domains.offers.service.queries import Term
from wapsi.db import Reads

MIN_LETTERS = 4
# So many letters are taken to be right.
BEGINNING = 2
MIN_SIMILARITY = 0.4
# Of the known words that begin alike, so many are compared.
COMPARED = 5000
LAST_CHARACTER = "\U0010ffff"
HAS_TRIGRAMS = "SELECT to_regprocedure('similarity(text, text)') IS NOT NULL AS has"
SIMILAR = (
    "SELECT value FROM (SELECT value, sum(offers) AS offers FROM (SELECT value, offers FROM facet_counts"
    " WHERE kind = 'word' AND value ~>=~ $1 AND value ~<~ $2"
    " AND abs(char_length(value) - char_length($4)) <= 2 LIMIT $3) near GROUP BY value) word"
    " WHERE similarity(value, $4) >= $5 ORDER BY similarity(value, $4) DESC, offers DESC, value LIMIT 1"
)
# Whether they are there.
known: WeakKeyDictionary[Reads, bool] = WeakKeyDictionary()


async def corrections(reads: Reads, terms: Sequence[Term]) -> dict[str, str]:
    """For words of at least MIN_LETTERS, the most similar word of the titles that begins in the same way."""
    if not await _trigrams(reads):
        return {}
    found = {}
    for term in terms:
        if len(term.word) < MIN_LETTERS:
            continue
        begin = term.word[:BEGINNING]
        row = await reads.fetchrow(SIMILAR, begin, begin + LAST_CHARACTER, COMPARED, term.word, MIN_SIMILARITY)
        if row is not None and row["value"] != term.word:
            found[term.word] = row["value"]
    return found


async def _trigrams(reads: Reads) -> bool:
    if reads not in known:
        row = await reads.fetchrow(HAS_TRIGRAMS)
        known[reads] = row is not None and bool(row["has"])
    return known[reads]
