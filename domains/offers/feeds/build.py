"""From a row's raw values to the item that is pushed."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from domains.offers.feeds import values
from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.json_rows import JSONLines
from domains.offers.feeds.mapping import InexactNumber, Key, Rule, Value, as_texts
from domains.offers.feeds.options import FeedOptions
from domains.offers.feeds.plan import Known, Plan, Planner
from domains.offers.feeds.prices import prices_of
from domains.offers.feeds.rows import Values
from domains.offers.feeds.steps import MAX_PLAIN_CHARACTERS, Issues, Offer, Step, fits, one
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

    An offer is put together as a dict of the message's fields, and as encoded parts for what is known already: one
    call for all fields, and one for all parts, take less time than one for each field.
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

    def build(self, line: int, row: Values | pb.Issue) -> pb.OfferItem:
        """An item with an offer, or without one and with the reasons."""
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
        parts = [self._source_time]
        offer: Offer = {}
        issues: Issues = []
        try:
            self._fill(plan, found, parts, offer, issues)
        except InexactNumber:
            if self._numbers is None:
                raise
            return self.build(line, self._numbers.exact())
        except UnicodeEncodeError:
            issues.append(self._wrong_encoding())
        except ValueError as problem:
            issues.append(error("VALUE_INVALID", "", f"The row has a value that cannot be read: {problem}."))
        return self._item(line, parts, offer, issues)

    def _fill(self, plan: Plan, found: Any, parts: list[bytes], offer: Offer, issues: Issues) -> None:
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
                parts.append(part)
            else:
                self._learn(known, value, step, offer, issues)
        picked = None if plan.pick_prices is None else plan.pick_prices(found)
        if picked is not None and not _COMPARABLE.issuperset(map(type, picked)):
            picked = None
        if picked is not None and (part := plan.known_prices.get(picked)):
            parts.append(part)
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
            known[value] = pb.OfferItem(offer=made).SerializeToString()
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
                plan.known_prices[picked] = pb.OfferItem(offer=prices).SerializeToString()
            elif len(plan.known_prices) < _MAX_KNOWN and len(str(picked)) <= _MAX_KNOWN_LENGTH:
                plan.known_prices[picked] = b""

    def _item(self, line: int, parts: list[bytes], offer: Offer, issues: Issues) -> pb.OfferItem:
        if "source_time" in offer:
            parts[0] = pb.OfferItem(source_time=offer.pop("source_time")).SerializeToString()
        if not offer and not issues and len(parts) == 1:
            message = "The row has none of an offer's fields. Check the column mapping, or leave the row out."
            issues.append(error("ROW_EMPTY", "", message))
        try:
            item = pb.OfferItem(line=line, offer=offer) if offer else pb.OfferItem(line=line)
        except UnicodeEncodeError:
            issues.append(self._wrong_encoding())
        if issues and any(issue.severity == pb.SEVERITY_ERROR for issue in issues):
            return self._without_offer(line, parts[0], offer, issues)
        item.MergeFromString(b"".join(parts))
        if self._default_availability and not item.offer.availability:
            item.offer.availability = self._default_availability  # type: ignore[assignment]  # the enum's number
        if issues:
            item.issues.extend(issues)
        return item

    def _without_offer(self, line: int, source_time: bytes, offer: Offer, issues: Issues) -> pb.OfferItem:
        """But with the id: a FULL sync does not withdraw an offer whose row could not be used."""
        item = pb.OfferItem.FromString(source_time)
        item.line = line
        item.issues.extend(issues)
        offer_id: str = offer.get("offer_id", "")[:MAX_OFFER_ID_LENGTH]
        if _is_text(offer_id):
            item.rejected_offer_id = offer_id
        return item

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
