"""From a row's raw values to the item that is pushed."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC
from operator import itemgetter
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from domains.offers.feeds import values
from domains.offers.feeds.columns import Column, Columns, Known, Places
from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.json_rows import JSONLines, LineRow
from domains.offers.feeds.mapping import InexactNumber, Key, Rule, Value, as_texts
from domains.offers.feeds.options import FeedOptions
from domains.offers.feeds.plan import Plan, Planner
from domains.offers.feeds.prices import prices_of
from domains.offers.feeds.rows import Values
from domains.offers.feeds.steps import MAX_PLAIN_CHARACTERS, Issues, Offer, Step, fits, one
from domains.offers.feeds.wire import ItemHeads, encode_fields, encode_item, encode_line, encode_offer
from domains.offers.validation.issues import error
from domains.offers.validation.item import MAX_OFFER_ID_LENGTH
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

# Categories, words and prices repeat from row to row: what was made of short ones is kept, this many of each.
_MAX_KNOWN: Final = 4000
_MAX_KNOWN_LENGTH: Final = 200
# Values of these types that are equal mean the same. Not so 1 and true, or the float of two different numbers.
_COMPARABLE: Final = frozenset((str, int, type(None)))


class _Sparse(dict[str, Any]):
    """None for a name that a row does not have."""

    def __missing__(self, name: str) -> None:
        return None


class ItemBuilder:
    """Fills items by a list of rules. `columns` are a table's, whose rows are lists; without them rows are dicts.

    `numbers` gives the digits of floats, where rows have any. Raises FeedError where an option has no meaning.

    An offer is put together as a dict of the message's fields, in which those that are known already are encoded.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        options: FeedOptions,
        encoding: str,
        columns: Sequence[str] = (),
        numbers: JSONLines | None = None,
    ) -> None:
        self._numbers = numbers
        self._encoding = encoding
        self._default_currency = options.default_currency
        source_time = Timestamp()
        source_time.FromDatetime(options.source_time.astimezone(UTC))
        self._source_time = pb.OfferItem(source_time=source_time).SerializeToString()
        self._heads = ItemHeads(self._source_time)
        self._default_availability = 0
        if options.default_availability is not None:
            self._default_availability = values.availability(options.default_availability) or 0
            if not self._default_availability:
                raise FeedError("OPTIONS_INVALID", "default_availability is no availability. Use one such as in_stock.")
        self._planner = Planner(rules)
        self._table_plan = self._planner.for_columns(columns)
        # Most rows have the names of the row before.
        self._last_names: tuple[str, ...] = ()
        self._last_plan = self._planner.for_names(())

    def build_lines(self, lines: JSONLines) -> Iterator[bytes]:
        """The items of all rows, in their order: most of them column by column."""
        for batch in lines.batches():
            yield from self._build_batch(batch, lines)
            # Rows can be large: the next are not to be read beside these.
            del batch

    def _build_batch(self, batch: Sequence[LineRow], lines: JSONLines) -> Iterator[bytes]:
        for (number, row, line), item in zip(batch, self._build_columns(batch), strict=True):
            if item is None:
                lines.go_to(line)
                item = self.build(number, row)
            yield item

    def _build_columns(self, batch: Sequence[LineRow]) -> list[bytes | None]:
        """Items of what can be made column by column; None for the other rows."""
        made: list[bytes | None] = [None] * len(batch)
        together: dict[tuple[str, ...], list[int]] = {}
        for place, (_, row, _) in enumerate(batch):
            if type(row) is dict:
                together.setdefault(tuple(row), []).append(place)
        for names, places in together.items():
            # One row is made in less time by itself.
            if len(places) == 1 or self._default_availability:
                continue
            plan = self._planner.for_names(names)
            if plan is self._planner.general or plan.columns is None or not plan.columns.are_worth_it:
                continue
            odd: Places = set()
            offers = self._offers(plan, plan.columns, [batch[place][1] for place in places], odd)
            plan.columns.note(len(places), len(odd))
            heads = self._heads
            for number, (place, offer) in enumerate(zip(places, offers, strict=True)):
                # Of a row without any field there is something to say.
                if offer and number not in odd:
                    made[place] = heads[len(offer)] + offer + encode_line(batch[place][0])
        return made

    def _offers(self, plan: Plan, columns: Columns, rows: Sequence[Any], odd: Places) -> list[bytes]:
        """Of rows with the names of the plan, encoded. What is given for those that are odd is nothing."""
        parts: list[Sequence[bytes]] = []
        for column in columns.columns:
            if column.key is None:
                parts.append(self._price_parts(plan, rows, odd))
                continue
            values = list(map(itemgetter(column.key), rows))
            if set(map(type, values)) != {str}:
                odd.update(place for place, value in enumerate(values) if value is not None and type(value) is not str)
                values = [value if type(value) is str else "" for value in values]
            if column.known is not None:
                parts.append(self._known_parts(column, column.known, values, odd))
            else:
                parts += column.texts(values, odd)
        return list(map(b"".join, zip(*parts, strict=True)))

    def _known_parts(self, column: Column, known: Known, values: Sequence[str], odd: Places) -> Sequence[bytes]:
        parts: list[Any] = list(map(known.get, values))
        if None not in parts:
            return parts
        assert column.step is not None
        for place, value in enumerate(values):
            if parts[place] is None:
                if value and value not in known:
                    with contextlib.suppress(ValueError):
                        self._learn(known, value, column.step, {}, [])
                parts[place] = known.get(value, b"")
                if value and value not in known:
                    odd.add(place)
        return parts

    def _price_parts(self, plan: Plan, rows: Sequence[Any], odd: Places) -> Sequence[bytes]:
        assert plan.pick_prices is not None
        picked = list(map(plan.pick_prices, rows))
        for column in zip(*picked, strict=True):
            if not _COMPARABLE.issuperset(map(type, column)):
                odd.update(place for place, value in enumerate(column) if type(value) not in _COMPARABLE)
        for place in odd:
            picked[place] = ()
        parts = [plan.known_prices.get(pick, b"") for pick in picked]
        for place, pick in enumerate(picked):
            if not parts[place] and pick:
                offer: Offer = {}
                issues: Issues = []
                try:
                    self._put_prices(plan, rows[place], pick, offer, issues)
                    parts[place] = encode_fields(offer)
                except ValueError:
                    odd.add(place)
                if issues:
                    odd.add(place)
        return parts

    def build(self, line: int, row: Values | pb.Issue) -> bytes:
        """An item, serialised: with an offer, or without one and with the reasons."""
        found: Any = row
        if isinstance(found, dict):
            names = tuple(found)
            if names != self._last_names:
                self._last_names, self._last_plan = names, self._planner.for_names(names)
            plan = self._last_plan
            if plan is self._planner.general:
                found = _Sparse(found)
        elif isinstance(found, list):
            plan = self._table_plan
        else:
            return self._without_offer(line, self._source_time, {}, [found])
        offer: Offer = {}
        issues: Issues = []
        try:
            self._fill(plan, found, offer, issues)
        except InexactNumber:
            if self._numbers is None:
                raise
            return self.build(line, self._numbers.exact())
        except UnicodeEncodeError:
            issues.append(self._wrong_encoding())
        except ValueError as problem:
            issues.append(error("VALUE_INVALID", "", f"The row has a value that cannot be read: {problem}."))
        return self._item(line, offer, issues)

    def _fill(self, plan: Plan, found: Any, offer: Offer, issues: Issues) -> None:
        value: Any
        for place, target in plan.plain:
            value = found[place]
            if type(value) is str:
                if value:
                    text = value.strip()
                    if len(text) <= MAX_PLAIN_CHARACTERS or fits(target, text, issues):
                        offer[target] = text
            elif value is not None and (value := self._texts(place, value)):
                self._planner.steps[target](value, offer, issues)
        for key, find, target, step, known in plan.steps:
            value = None if key is None else found[key]
            if find is not None and (not value or isinstance(value, (list, dict))):
                value = find(found)
            if type(value) is not str:
                if value is not None and (value := self._texts(key, value)):
                    self._planner.steps[target](value, offer, issues)
            elif not value:
                continue
            elif step is None:
                text = value.strip()
                if len(text) <= MAX_PLAIN_CHARACTERS or fits(target, text, issues):
                    offer[target] = text
            elif known is None:
                step(value, offer, issues)
            elif (part := known.get(value)) is not None:
                offer[target] = part
            else:
                self._learn(known, value, step, offer, issues)
        picked = None if plan.pick_prices is None else plan.pick_prices(found)
        if picked is not None and not _COMPARABLE.issuperset(map(type, picked)):
            picked = None
        if picked is not None and (part := plan.known_prices.get(picked)):
            offer["price"] = part
        elif plan.prices:
            self._put_prices(plan, found, picked, offer, issues)

    def _texts(self, key: Key | None, value: Any) -> Value:
        """Of what is no text. Raises InexactNumber."""
        if type(value) is float and isinstance(key, str) and self._numbers is not None:
            digits = self._numbers.digits(key, value)
            if digits is not None:
                return digits
        return as_texts(value)

    def _learn(self, known: Known, value: str, step: Step, offer: Offer, issues: Issues) -> None:
        made: Offer = {}
        noted = len(issues)
        step(value, made, issues)
        if len(issues) == noted and len(value) <= _MAX_KNOWN_LENGTH and len(known) < _MAX_KNOWN and _is_text(value):
            known[value] = encode_fields(made)
        offer.update(made)

    def _put_prices(self, plan: Plan, found: Any, picked: tuple[Any, ...] | None, offer: Offer, issues: Issues) -> None:
        """`picked` are the values to remember the prices by."""
        written: dict[str, str | int] = {}
        for key, find, target in plan.prices:
            value = None if key is None else found[key]
            if find is not None and (not value or isinstance(value, (list, dict))):
                value = find(found)
            if type(value) is not int:
                if type(value) is not str:
                    value = one(self._texts(key, value))
                if not value or value.isspace():
                    continue
            written[target] = value
        noted = len(issues)
        prices = prices_of(written, self._default_currency, issues)
        offer.update(prices)
        if picked is not None and prices and len(issues) == noted:
            # Encoding takes longer than a price of which there is but one is worth, so it is done at the second.
            if picked in plan.known_prices:
                plan.known_prices[picked] = encode_fields(prices)
            elif len(plan.known_prices) < _MAX_KNOWN and len(str(picked)) <= _MAX_KNOWN_LENGTH:
                plan.known_prices[picked] = b""

    def _item(self, line: int, offer: Offer, issues: Issues) -> bytes:
        source_time = self._source_time
        if "source_time" in offer:
            source_time = pb.OfferItem(source_time=offer.pop("source_time")).SerializeToString()
        if not offer and not issues:
            message = "The row has none of an offer's fields. Check the column mapping, or leave the row out."
            issues.append(error("ROW_EMPTY", "", message))
        elif self._default_availability and not offer.get("availability"):
            offer["availability"] = self._default_availability
        try:
            encoded = encode_offer(offer) if offer else None
        except UnicodeEncodeError:
            issues.append(self._wrong_encoding())
        if issues and any(issue.severity == pb.SEVERITY_ERROR for issue in issues):
            return self._without_offer(line, source_time, offer, issues)
        return encode_item(source_time, encoded, line, issues)

    def _without_offer(self, line: int, source_time: bytes, offer: Offer, issues: Issues) -> bytes:
        """But with the id: a FULL sync does not withdraw an offer whose row could not be used."""
        item = pb.OfferItem.FromString(source_time)
        item.line = line
        item.issues.extend(issues)
        offer_id: str = offer.get("offer_id", "")[:MAX_OFFER_ID_LENGTH]
        if _is_text(offer_id):
            item.rejected_offer_id = offer_id
        return item.SerializeToString(deterministic=True)

    def _wrong_encoding(self) -> pb.Issue:
        message = f"The row has bytes that are not {self._encoding}. Name the feed's encoding, such as windows-1252."
        return error("ENCODING_INVALID", "", message)


def _is_text(text: str) -> bool:
    """Whether all of it could be read in the feed's encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
