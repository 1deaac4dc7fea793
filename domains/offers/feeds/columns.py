"""The fields of many rows that have the same names, column by column: what a builder makes of them one by one, in less
than half the time.

Most values are taken as they are, which a few calls tell of a whole column. Rows of which more is to be said are only
named here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from domains.offers.feeds.mapping import Key
from domains.offers.feeds.steps import MAX_PLAIN_CHARACTERS, Step
from domains.offers.feeds.wire import NUMBERS, text_prefix
from domains.offers.validation.text import MAX_DESCRIPTION_LENGTH, MAX_TITLE_LENGTH, is_clean

# Of these a text that is clean, and has neither tags nor entities, is taken as it is.
_PROSE: Final = {"title": MAX_TITLE_LENGTH, "description": MAX_DESCRIPTION_LENGTH}
_PRICE: Final = "price"
# After so many rows it shows whether most are of the kind that is meant here.
_ENOUGH_TRIED: Final = 500
# Fields of an offer, encoded, by the value that they were made of.
Known = dict[Any, bytes]
Places = set[int]


class _Prefixes(dict[int, bytes]):
    """What stands before a text of so many bytes. One that is empty is left out."""

    def __init__(self, target: str) -> None:
        super().__init__({0: b""})
        self._target = target

    def __missing__(self, length: int) -> bytes:
        made = self[length] = text_prefix(self._target, length)
        return made


@dataclass(frozen=True, slots=True)
class Column:
    """What goes into one field. Without a key it is what is made of the prices.

    With `known` its step makes something of each value; without, texts up to `longest` are taken as they are.
    """

    key: Key | None
    target: str
    step: Step | None
    known: Known | None
    longest: int
    is_prose: bool
    prefixes: _Prefixes

    def texts(self, values: Sequence[str], odd: Places) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """(what stands before each, each as UTF-8). Those that are not taken as they are become odd, and empty."""
        together = " ".join(filter(None, values))
        is_marked = self.is_prose and ("<" in together or "&" in together)
        if is_marked or len(max(values, key=len)) > self.longest or not is_clean(together):
            # is_clean, without the call.
            bad = [
                place
                for place, text in enumerate(values)
                if not text.isprintable()
                or "  " in text
                or text.strip() != text
                or len(text) > self.longest
                or (is_marked and ("<" in text or "&" in text))
            ]
            odd.update(bad)
            values = list(values)
            for place in bad:
                values[place] = ""
        # No clean text has a line feed in it.
        encoded = "\n".join(values).encode().split(b"\n")
        return list(map(self.prefixes.__getitem__, map(len, encoded))), encoded


class Columns:
    """The columns of a plan, in the order in which they are encoded."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns
        self._tried = self._odd = 0

    @property
    def are_worth_it(self) -> bool:
        return self._tried < _ENOUGH_TRIED or self._odd * 2 < self._tried

    def note(self, tried: int, odd: int) -> None:
        self._tried += tried
        self._odd += odd


def columns_of(
    plain: Sequence[tuple[Key, str]], steps: Sequence[tuple[Any, ...]], *, has_prices: bool, can_pick: bool
) -> Columns | None:
    """Of the parts of a Plan; None where one of its steps is none for columns."""
    found: dict[str, Column] = {}
    for key, target in plain:
        found[target] = Column(key, target, None, None, MAX_PLAIN_CHARACTERS, False, _Prefixes(target))
    for key, find, target, step, known in steps:
        if key is None or find is not None or target in found or (known is None and target not in _PROSE):
            return None
        longest = _PROSE.get(target, 0)
        found[target] = Column(key, target, step, known, longest, target in _PROSE, _Prefixes(target))
    if has_prices:
        if not can_pick:
            return None
        found[_PRICE] = Column(None, _PRICE, None, None, 0, False, _Prefixes(_PRICE))
    if not found or len(found) < len(plain) + len(steps) + has_prices:
        return None
    return Columns(sorted(found.values(), key=lambda column: NUMBERS[column.target]))
