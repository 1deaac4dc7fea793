"""Words that are still being typed, written out."""

from dataclasses import replace

from domains.offers.service.queries import Term
from domains.offers.service.spelling import LAST_CHARACTER
from wapsi.db import Plans, Reads

# So many known words are put in the place of one that is begun, the first of the alphabet.
COMPLETIONS = 60
# From one word to the next: an index of all merchants' words has each some hundred times.
COMPLETE = (
    "WITH RECURSIVE known AS ((SELECT value FROM facet_counts WHERE kind = 'word' AND value ~>=~ $1 AND value ~<~ $2"
    " ORDER BY value USING ~<~ LIMIT 1) UNION ALL SELECT (SELECT f.value FROM facet_counts f WHERE f.kind = 'word'"
    " AND f.value ~>~ known.value AND f.value ~<~ $2 ORDER BY f.value USING ~<~ LIMIT 1) FROM known"
    " WHERE known.value IS NOT NULL) SELECT value FROM known WHERE value IS NOT NULL LIMIT $3"
)


async def completed(reads: Reads, term: Term) -> Term:
    """The word itself, or one of titles that begins so. Raises DatabaseUnavailable."""
    if not term.begins:
        return term
    end = term.word + LAST_CHARACTER
    rows = await reads.fetch(COMPLETE, term.word, end, COMPLETIONS, plans=Plans.BY_KEYS)
    others = dict.fromkeys([*term.others, *(row["value"] for row in rows if row["value"] != term.word)])
    return replace(term, others=tuple(others), begins=False)
