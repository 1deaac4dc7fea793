"""How broad the parts of a search are, and what a word that is still being typed may become: as the smallest sample
has it."""

from collections.abc import Sequence
from dataclasses import replace

from domains.offers.service.queries import SearchQuery, Term, filter_lexemes, tsquery
from domains.offers.service.samples import LARGEST_TIER, with_lexemes
from wapsi.db import Plans, Reads

# What so many offers of the smallest sample have is broad, and what so many have that begins so.
BROAD = 50
BROADLY_BEGUN = 8
# So many words are put in the place of one that is begun, those that most of the counted offers have.
COMPLETIONS = 16


async def written_out(reads: Reads, query: SearchQuery, terms: Sequence[Term]) -> tuple[list[Term], bool]:
    """The terms to look for in larger samples, and whether they may be looked for among all offers.

    An index finds what is rare quickly, whatever else is asked for. It would go through all of what many offers have:
    so each part is counted in the smallest sample. Where many offers have each part, but hardly any have all, those in
    the samples have to do. And what is begun is the sum of all that begins so, each time: where that is much, the words
    that it may be are asked for instead, each of which the index can skip through. Raises DatabaseUnavailable.
    """
    filters = filter_lexemes(query)
    if len(terms) + len(filters) < 2:
        return list(terms), True
    begins = tuple(term.begins for term in terms)
    parts = [tsquery([term], ()) for term in terms]
    parts += [tsquery((), [lexeme]) for lexeme in filters]
    forms = [[term.word, *term.others] for term in terms if term.begins]
    row = await reads.fetchrow(breadth_sql(begins, len(filters)), BROAD, *parts, *forms, plans=Plans.BY_KEYS)
    assert row is not None
    counts = [int(count) for count in row[: len(parts)]]
    words = iter(row[len(parts) :])
    full = [_completed(term, next(words)) if term.begins else term for term in terms]
    return full, not all(count >= BROAD for count in counts)


def _completed(term: Term, words: Sequence[str] | None) -> Term:
    """The word itself, or one that begins so."""
    if words is None:
        return term
    others = dict.fromkeys([*term.others, *(word for word in words if word != term.word)])
    return replace(term, others=tuple(others), begins=False)


def breadth_sql(begins: Sequence[bool], filters: int) -> str:
    """Counts of the words and the filters, $2 and those that follow, up to the limit $1; then, of each word that
    `begins`, an array of the words that begin like one of its forms, which are the arguments behind those, or NULL
    where few do."""
    first, last = 2, 2 + len(begins) + filters
    begun = [number for number, begin in enumerate(begins, first) if begin]
    found = [
        f"found_{number} AS MATERIALIZED"
        f" ({with_lexemes(LARGEST_TIER, 'document' if number in begun else '1', number, '$1')})"
        for number in range(first, last)
    ]
    counts = [f"(SELECT count(*) FROM found_{number}) AS count_{number}" for number in range(first, last)]  # noqa: S608
    words = [
        f"CASE WHEN (SELECT count(*) FROM found_{number}) >= {BROADLY_BEGUN} THEN ARRAY(SELECT word"  # noqa: S608
        f" FROM found_{number}, unnest(tsvector_to_array(document)) AS word"
        # A filter's lexeme is no word.
        f" WHERE word ^@ ANY (${form}::text[]) AND strpos(word, ':') = 0"
        f" GROUP BY word ORDER BY count(*) DESC, word LIMIT {COMPLETIONS}) END AS words_{number}"
        for form, number in enumerate(begun, last)
    ]
    return f"WITH {', '.join(found)} SELECT {', '.join([*counts, *words])}"
