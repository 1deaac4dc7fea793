"""What shoppers ask for, as tsqueries over the documents of service/documents.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.offers.service.words import MAX_WORDS, brand_key, category_key, fold, words_of


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """`words` as they were typed. Prices in minor units of `currency`; of `merchant_id` and
    `excluded_merchant_ids` at most one is given."""

    words: str = ""
    merchant_id: UUID | None = None
    brand: str | None = None
    category: str | None = None
    availability: str | None = None
    currency: str | None = None
    price_min_minor: int | None = None
    price_max_minor: int | None = None
    excluded_merchant_ids: Sequence[UUID] = ()

    @property
    def narrows(self) -> bool:
        """Whether it has conditions that are no lexemes."""
        prices = (self.currency, self.price_min_minor, self.price_max_minor)
        return bool(self.excluded_merchant_ids) or any(value is not None for value in prices)


@dataclass(frozen=True, slots=True)
class Term:
    """A word that must occur, or one of `others`; `begins`: it need only begin so."""

    word: str
    others: tuple[str, ...] = ()
    begins: bool = False

    def alternatives(self) -> list[str]:
        end = ":*" if self.begins else ""
        return [f"{_quoted(form)}{end}" for form in (self.word, *self.others)]


def terms_of(words: str) -> list[Term]:
    """Every word, in all its spellings; the last one perhaps only begun."""
    found = words_of(words)[:MAX_WORDS]
    return [_term(word, begins=number == len(found)) for number, word in enumerate(found, 1)]


def _term(word: str, *, begins: bool) -> Term:
    folded = fold(word)
    # Titles hold a folded word only where it differs from the word itself.
    others = (f"~{folded}",) if folded == word else (f"~{folded}", folded)
    return Term(word, others, begins)


def cut_terms(terms: Sequence[Term]) -> list[Term]:
    """Words that begin alike: without the last letter, of longer words the last two."""
    return [_term(term.word[: -2 if len(term.word) > 5 else -1] or term.word, begins=True) for term in terms]


def corrected_terms(terms: Sequence[Term], corrections: dict[str, str]) -> list[Term]:
    return [_term(corrections.get(term.word, term.word), begins=term.begins) for term in terms]


def filter_lexemes(query: SearchQuery) -> list[str]:
    lexemes = []
    if query.merchant_id is not None:
        lexemes.append(f"m:{query.merchant_id}")
    if query.brand is not None:
        lexemes.append(f"b:{brand_key(query.brand)}")
    if query.category is not None:
        lexemes.append(f"c:{category_key(query.category)}")
    if query.availability is not None:
        lexemes.append(f"a:{query.availability}")
    return lexemes


def tsquery(terms: Sequence[Term], filters: Sequence[str]) -> str:
    """All of them must occur."""
    parts = [f"({' | '.join(term.alternatives())})" for term in terms]
    return " & ".join([*parts, *(_quoted(lexeme) for lexeme in filters)])


def rank_tsquery(terms: Sequence[Term]) -> str:
    """What offers are ranked by: any of the words, for its own sake."""
    return " | ".join(form for term in terms for form in term.alternatives()) or "'?'"


def _quoted(lexeme: str) -> str:
    doubled = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"
