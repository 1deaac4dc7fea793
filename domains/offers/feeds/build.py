"""From a row's raw values to the item that is pushed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from domains.offers.feeds import values
from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.json_rows import JSONLines
from domains.offers.feeds.mapping import InexactNumber, Key, Rule, Value, as_texts
from domains.offers.feeds.options import FeedOptions
from domains.offers.feeds.prices import PRICE_TARGETS, put_prices
from domains.offers.feeds.rows import Values
from domains.offers.feeds.steps import MAX_PLAIN_CHARACTERS, Issues, Offer, Step, fits, one, step_for
from domains.offers.validation.issues import error
from domains.offers.validation.item import MAX_OFFER_ID_LENGTH
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

_MAX_PLANS: Final = 1000
_MAX_NAMES_LENGTH: Final = 5000


_Find = Callable[[Any], Value]


class _Sparse(dict[str, Any]):
    """None for a name that a row does not have."""

    def __missing__(self, name: str) -> None:
        return None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is done with rows that have certain names, so that nothing is looked for that no such row has.

    Each is (key, find, target, step): the value stands under the key, or is what `find` finds, where it is not so
    simple. A step of None takes the text as it is. `prices` are the targets that are read together.
    """

    steps: list[tuple[Key | None, _Find | None, str, Step | None]]
    prices: list[tuple[Key | None, _Find | None, str]]


class ItemBuilder:
    """Fills items by a list of rules. `columns` are a table's, whose rows are lists; without them rows are dicts.

    `numbers` gives the digits of floats, where rows have any. Raises FeedError where an option has no meaning.
    """

    def __init__(
        self,
        rules: list[Rule],
        options: FeedOptions,
        encoding: str,
        columns: Sequence[str] = (),
        numbers: JSONLines | None = None,
    ) -> None:
        self._rules = rules
        self._numbers = numbers
        self._steps = {rule.target: step_for(rule.target) for rule in rules if rule.target not in PRICE_TARGETS}
        self._encoding = encoding
        self._default_currency = options.default_currency
        source_time = Timestamp()
        source_time.FromDatetime(options.source_time.astimezone(UTC))
        # A message takes a dict faster than another message.
        self._source_time = {"seconds": source_time.seconds, "nanos": source_time.nanos}
        self._default_availability = 0
        if options.default_availability is not None:
            self._default_availability = values.availability(options.default_availability) or 0
            if not self._default_availability:
                raise FeedError("OPTIONS_INVALID", "default_availability is no availability. Use one such as in_stock.")
        self._table_plan = self._plan({name: position for position, name in enumerate(columns)})
        # Each dict has names of its own, in a few combinations, and mostly those of the row before.
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._last_names: tuple[str, ...] = ()
        self._last_plan = self._plan({})
        sources = {source for rule in rules for source in rule.sources}
        self._general_plan = self._plan({name: name for source in sources for name in (source, source.split(".")[0])})

    def build(self, line: int, row: Values | pb.Issue) -> pb.OfferItem:
        """An item with an offer, or without one and with the reasons."""
        found: Any = row
        if isinstance(found, dict):
            names = tuple(found)
            plan = self._last_plan if names == self._last_names else self._plan_for(names)
            if plan is self._general_plan:
                found = _Sparse(found)
        elif isinstance(found, list):
            plan = self._table_plan
        else:
            return self._without_offer(line, {}, [found], self._source_time)
        offer: Offer = {}
        issues: Issues = []
        try:
            for key, find, target, put in plan.steps:
                value = found[key] if find is None else find(found)
                if type(value) is not str:
                    if value is None:
                        continue
                    value = self._texts(key, value)
                if not value:
                    continue
                if put is not None:
                    put(value, offer, issues)
                    continue
                text = value.strip() if type(value) is str else one(value).strip()
                if len(text) <= MAX_PLAIN_CHARACTERS or fits(target, text, issues):
                    offer[target] = text
            prices: dict[str, str | int] = {}
            for key, find, target in plan.prices:
                value = found[key] if find is None else find(found)
                if type(value) is not int:
                    if type(value) is not str:
                        value = one(self._texts(key, value))
                    if not value or value.isspace():
                        continue
                prices[target] = value
            if prices:
                put_prices(prices, self._default_currency, offer, issues)
        except InexactNumber:
            if self._numbers is None:
                raise
            return self.build(*self._numbers.exact())
        except UnicodeEncodeError:
            issues.append(self._wrong_encoding())
        except ValueError as problem:
            issues.append(error("VALUE_INVALID", "", f"The row has a value that cannot be read: {problem}."))
        return self._item(line, offer, issues)

    def _texts(self, key: Key | None, value: Any) -> Value:
        """Of what is no text. Raises InexactNumber."""
        if type(value) is float and isinstance(key, str) and self._numbers is not None:
            digits = self._numbers.digits(key, value)
            if digits is not None:
                return digits
        return as_texts(value)

    def _plan_for(self, names: tuple[str, ...]) -> _Plan:
        plan = self._plans.get(names)
        if plan is None:
            if len(self._plans) == _MAX_PLANS or sum(map(len, names)) > _MAX_NAMES_LENGTH:
                return self._general_plan
            plan = self._plans[names] = self._plan({name: name for name in names})
        self._last_names, self._last_plan = names, plan
        return plan

    def _plan(self, keys: Mapping[str, Key]) -> _Plan:
        """For rows that have these names, under these keys."""
        plan = _Plan([], [])
        for rule in self._rules:
            finder = rule.bind(keys)
            if finder is None:
                continue
            key = finder.only_key
            find = finder.find if key is None else None
            if rule.target in PRICE_TARGETS:
                plan.prices.append((key, find, rule.target))
            else:
                plan.steps.append((key, find, rule.target, self._steps[rule.target]))
        return plan

    def _item(self, line: int, offer: Offer, issues: Issues) -> pb.OfferItem:
        source_time = offer.pop("source_time", self._source_time)
        if not offer:
            if not issues:
                message = "The row has none of an offer's fields. Check the column mapping, or leave the row out."
                issues.append(error("ROW_EMPTY", "", message))
            if not self._default_availability:
                return pb.OfferItem(line=line, source_time=source_time, issues=issues)
        if self._default_availability:
            offer.setdefault("availability", self._default_availability)
        try:
            item = pb.OfferItem(line=line, source_time=source_time, offer=offer)
        except UnicodeEncodeError:
            return self._without_offer(line, offer, [*issues, self._wrong_encoding()], source_time)
        if issues:
            if any(issue.severity == pb.SEVERITY_ERROR for issue in issues):
                return self._without_offer(line, offer, issues, source_time)
            item.issues.extend(issues)
        return item

    def _without_offer(self, line: int, offer: Offer, issues: Issues, source_time: Any) -> pb.OfferItem:
        """But with the id: a FULL sync does not withdraw an offer whose row could not be used."""
        offer_id: str = offer.get("offer_id", "")[:MAX_OFFER_ID_LENGTH]
        try:
            offer_id.encode()
        except UnicodeEncodeError:
            offer_id = ""
        return pb.OfferItem(line=line, source_time=source_time, issues=issues, rejected_offer_id=offer_id)

    def _wrong_encoding(self) -> pb.Issue:
        message = f"The row has bytes that are not {self._encoding}. Name the feed's encoding, such as windows-1252."
        return error("ENCODING_INVALID", "", message)
