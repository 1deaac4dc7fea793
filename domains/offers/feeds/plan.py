"""What is done with the rows of a feed, found out once for all rows that have the same names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from domains.offers.feeds.columns import Columns, Known, columns_of
from domains.offers.feeds.mapping import Key, Rule, Value
from domains.offers.feeds.prices import PRICE_TARGETS
from domains.offers.feeds.steps import AS_IT_IS, REPEATING, Step, step_for

_MAX_PLANS: Final = 1000
_MAX_NAMES_LENGTH: Final = 5000
Find = Callable[[Any], Value]


@dataclass(frozen=True, slots=True)
class Plan:
    """Nothing is looked for that no row with these names has.

    `plain`: (key, target) of what is taken as it is, and can only stand under the key.
    `steps`: (key, find, target, step, known). The value stands under the key or, where there is none or nothing under
    it, is what `find` finds. `known` has what its step made of values that were there before, where they repeat. Of
    AS_IT_IS there is no step for a text.
    `prices`: (key, find, target) of those that are read together. `pick_prices` gives the values on which they
    depend, where these lie no deeper, and `known_prices` has what came of such values before.
    `columns` are for many rows at once, where all that is done with them can be done so.
    """

    plain: list[tuple[Key, str]]
    steps: list[tuple[Key | None, Find | None, str, Step | None, Known | None]]
    prices: list[tuple[Key | None, Find | None, str]]
    pick_prices: Callable[[Any], tuple[Any, ...]] | None
    known_prices: Known
    columns: Columns | None


class Planner:
    def __init__(self, rules: Sequence[Rule]) -> None:
        self.steps = {rule.target: step_for(rule.target) for rule in rules if rule.target not in PRICE_TARGETS}
        self._rules = rules
        self._known: dict[str, Known] = {target: {} for target in REPEATING}
        self._known_prices: dict[tuple[tuple[str, int], ...], Known] = {}
        self._plans: dict[tuple[str, ...], Plan] = {}
        sources = {source for rule in rules for source in rule.sources}
        # For rows whose names were not worth a plan of their own: they have these names, or some of them.
        self.general = self._plan({name: name for source in sources for name in (source, source.split(".")[0])})

    def for_columns(self, columns: Sequence[str]) -> Plan:
        """For rows that are lists."""
        return self._plan({name: position for position, name in enumerate(columns)})

    def for_names(self, names: tuple[str, ...]) -> Plan:
        """For rows that are dicts. `general` where a feed has too many combinations of names."""
        plan = self._plans.get(names)
        if plan is None:
            if len(self._plans) == _MAX_PLANS or sum(map(len, names)) > _MAX_NAMES_LENGTH:
                return self.general
            plan = self._plans[names] = self._plan({name: name for name in names})
        return plan

    def _plan(self, keys: Mapping[str, Key]) -> Plan:
        plain: list[tuple[Key, str]] = []
        steps: list[tuple[Key | None, Find | None, str, Step | None, Known | None]] = []
        prices: list[tuple[Key | None, Find | None, str]] = []
        price_keys: list[Key] = []
        price_places: list[tuple[str, int]] = []
        is_deep = False
        for rule in self._rules:
            finder = rule.bind(keys)
            if finder is None:
                continue
            target, key, find = rule.target, finder.first_key, None if finder.is_simple else finder.find
            if target in PRICE_TARGETS:
                prices.append((key, find, target))
                price_keys += finder.keys
                price_places.append((target, len(finder.keys)))
                is_deep = is_deep or finder.is_deep
            elif key is not None and find is None and target in AS_IT_IS:
                plain.append((key, target))
            else:
                step = None if target in AS_IT_IS else self.steps[target]
                steps.append((key, find, target, step, self._known.get(target)))
        # The first once more, for a tuple also where there is but one.
        pick = itemgetter(*price_keys, price_keys[0]) if price_keys and not is_deep else None
        columns = columns_of(plain, steps, has_prices=bool(prices), can_pick=pick is not None)
        return Plan(plain, steps, prices, pick, self._known_prices.setdefault(tuple(price_places), {}), columns)
