"""What there is to run: one function a bar, registered by its id; a module of bars is imported by run.py."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench


@dataclass(frozen=True, slots=True)
class Row:
    """What a bar measured. `ratio` is what the bar limits; `notes` are printed below the table and are no bars."""

    id: str
    what: str
    value: float
    unit: str
    floor: float
    floor_name: str
    ratio: float
    bar: str
    holds: bool
    notes: Sequence[str] = ()

    def as_json(self) -> dict[str, object]:
        """The line of the results file."""
        names = ("id", "value", "unit", "floor", "floor_name", "ratio", "bar", "holds")
        values = {name: getattr(self, name) for name in names}
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}


BarFunction = Callable[["Bench"], Coroutine[Any, Any, Sequence[Row]]]
BARS: dict[str, BarFunction] = {}


class Skipped(Exception):
    """The bar cannot be measured here, and why. Nothing is broken."""


def bar(id: str) -> Callable[[BarFunction], BarFunction]:
    def register(function: BarFunction) -> BarFunction:
        BARS[id] = function
        return function

    return register


def at_most(limit: float, ratio: float) -> tuple[str, bool]:
    return f"<= {limit:g}", ratio <= limit


def at_least(limit: float, ratio: float) -> tuple[str, bool]:
    return f">= {limit:g}", ratio >= limit
