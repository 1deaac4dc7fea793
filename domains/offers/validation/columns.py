"""Many items at once, a column at a time: what validate_item makes of them, in less than half the time.

Of most items no rule has anything to say, which a few calls tell of a whole column. Items about which there may be
something to say are only named here: what it is, and what becomes of them, is for validate_item alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, Final

from domains.offers.validation import fields
from domains.offers.validation.item import (
    AGE_GROUPS,
    AVAILABILITIES,
    CONDITIONS,
    GENDERS,
    MAX_OFFER_ID_LENGTH,
)
from domains.offers.validation.links import are_ordinary_links
from domains.offers.validation.rules import ValidationRules
from domains.offers.validation.text import MAX_DESCRIPTION_LENGTH, MAX_TITLE_LENGTH, is_clean
from wapsi.money import MINOR_DIGITS
from wapsi.rpc.offers.v1 import offer_item_head_pb2 as head_pb
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

# As validate_item has them.
_LONGEST: Final = {
    "title": MAX_TITLE_LENGTH,
    "description": MAX_DESCRIPTION_LENGTH,
    "mpn": 70,
    "brand": 70,
    "item_group_id": 50,
    "google_product_category": 750,
    "color": 100,
    "size": 100,
    "rate_category": fields.MAX_STRICT_TEXT_LENGTH,
    "coupon_code": fields.MAX_STRICT_TEXT_LENGTH,
}
_NAMES: Final[dict[str, dict[int, str]]] = {
    "kind": {pb.OFFER_KIND_UNSPECIFIED: "product", pb.OFFER_KIND_PRODUCT: "product"},
    "availability": {number: name for number, name in enumerate(AVAILABILITIES) if name},
    "condition": dict(enumerate(CONDITIONS)),
    "gender": dict(enumerate(GENDERS)),
    "age_group": dict(enumerate(AGE_GROUPS)),
}
Places = set[int]


class _Batch:
    """The items of a batch, and the fields of all of them by columns.

    Most fields are in no offer of a feed, or in all of them; both are told by one look at all, where a look at each
    offer takes longer than all else that is done with it.
    """

    def __init__(self, batch: head_pb.PushedItems) -> None:
        # What is unknown to an item may mean something in a column.
        batch.DiscardUnknownFields()
        self.items = batch.items
        self._canonical = batch.SerializeToString()
        self.columns = head_pb.PushedColumns.FromString(self._canonical).items

    @cached_property
    def offers(self) -> list[pb.Offer]:
        return _read(self.items, "offer")

    def has(self, field: str) -> bool:
        """Whether an offer has the field."""
        return bool(getattr(self.columns.offer, field))

    def read(self, field: str) -> list[Any]:
        """The value of each offer."""
        return self.each(getattr(self.columns.offer, field), lambda: _read(self.offers, field))

    def ones(self, field: str) -> list[str] | None:
        """Of a field that may have several values: that of each offer, where each has exactly one."""
        column: Sequence[str] = getattr(self.columns.offer, field)
        if len(column) != len(self.items) or len(getattr(self._last, field)) != len(column):
            return None
        return list(column)

    @cached_property
    def _last(self) -> head_pb.OfferColumns:
        """Of fields that may have several values, the last one of each offer that has any."""
        batch = head_pb.PushedLasts.FromString(self._canonical)
        batch.DiscardUnknownFields()
        return head_pb.PushedColumns.FromString(batch.SerializeToString()).items.offer

    def each(self, column: Sequence[Any], read: Callable[[], list[Any]]) -> list[Any]:
        """The column, where there is a value of each item in it; `read` takes them from the items."""
        return list(column) if len(column) == len(self.items) else read()


def validate_ordinary(batch: head_pb.PushedItems, rules: ValidationRules) -> tuple[dict[str, list[Any]], Places]:
    """(columns, places): of the items, but for those at these places, the columns of the offers that validate_item
    makes of them without an issue. Columns that are not there are everywhere what the table has by default.
    """
    items = _Batch(batch)
    odd = _odd_statements(items, rules)
    columns: dict[str, list[Any]] = {"offer_id": items.read("offer_id")}
    _find_odd_texts(columns["offer_id"], MAX_OFFER_ID_LENGTH, odd, required=True)
    for name, longest in _LONGEST.items():
        if items.has(name) or name == "title":
            texts = items.read(name)
            _find_odd_texts(texts, longest, odd, required=name == "title")
            columns[name] = texts
    _add_links(columns, items, rules, odd)
    _add_choices(columns, items, odd)
    _add_prices(columns, items, rules, odd)
    _add_lists(columns, items, odd)
    _add_expiry(columns, items, rules, odd)
    # These say more than what an offer is like, or are not in most feeds.
    if items.has("delete") or items.has("starts_at") or items.has("ends_at"):
        odd.update(
            place
            for place, offer in enumerate(items.offers)
            if offer.delete or offer.HasField("starts_at") or offer.HasField("ends_at")
        )
    if items.has("adult"):
        columns["adult"] = items.read("adult")
    if items.has("cashback_eligible"):
        columns["cashback_eligible"] = [
            offer.cashback_eligible if offer.HasField("cashback_eligible") else True for offer in items.offers
        ]
    return columns, odd


def _read(messages: Iterable[Any], field: str) -> list[Any]:
    return list(map(attrgetter(field), messages))


def _odd_statements(items: _Batch, rules: ValidationRules) -> Places:
    """Those that are not stated at a good time, or have issues of their producer."""
    stated = items.columns.source_time
    seconds = items.each(stated.seconds, lambda: _read(items.items, "source_time.seconds"))
    nanos: Sequence[int] = [0] * len(seconds)
    if stated.nanos:
        nanos = items.each(stated.nanos, lambda: _read(items.items, "source_time.nanos"))
    odd: Places = set()
    latest_s, nanos_limit = rules.latest_source_time_s, fields.NANOS_PER_SECOND
    # Most items of a feed are stated at the same time.
    if any(not 0 < second < latest_s for second in set(seconds)) or any(
        not 0 <= nano < nanos_limit for nano in set(nanos)
    ):
        odd.update(
            place
            for place, (second, nano) in enumerate(zip(seconds, nanos, strict=True))
            if not (0 < second < latest_s and 0 <= nano < nanos_limit)
        )
    if items.columns.issues:
        odd.update(place for place, item in enumerate(items.items) if item.issues)
    return odd


def _find_odd_texts(texts: Sequence[str], longest: int, odd: Places, *, required: bool) -> None:
    # All at once: between blanks, a blank at an end of one of them is a superfluous one.
    if len(max(texts, key=len)) <= longest and is_clean(" ".join(filter(None, texts))):
        if required and not all(texts):
            odd.update(place for place, text in enumerate(texts) if not text)
        return
    odd.update(
        place
        for place, text in enumerate(texts)
        if len(text) > longest or not is_clean(text) or (required and not text)
    )


def _add_links(columns: dict[str, list[Any]], items: _Batch, rules: ValidationRules, odd: Places) -> None:
    links = items.read("link")
    if not are_ordinary_links(links, rules.hosts):
        links = _each(links, lambda link, issues: fields.landing_link(link, rules, issues), odd)
        odd.update(place for place, link in enumerate(links) if not link)
    columns["link"] = links
    if items.has("image_link"):
        images = items.read("image_link")
        if not are_ordinary_links([link for link in images if link], None):
            images = _each(images, lambda link, issues: fields.image_link(link, "image_link", issues), odd)
        columns["image_link"] = images


def _add_choices(columns: dict[str, list[Any]], items: _Batch, odd: Places) -> None:
    for field, names in _NAMES.items():
        if field == "availability" or items.has(field):
            chosen = list(map(names.get, items.read(field)))
            if None in chosen:
                odd.update(place for place, name in enumerate(chosen) if name is None)
            columns[field] = chosen


def _add_prices(columns: dict[str, list[Any]], items: _Batch, rules: ValidationRules, odd: Places) -> None:
    prices = items.columns.offer.price
    amounts = items.each(prices.amount_minor, lambda: _read(items.offers, "price.amount_minor"))
    currencies = items.each(prices.currency, lambda: _read(items.offers, "price.currency"))
    if "" in currencies:
        currencies = [currency or rules.default_currency for currency in currencies]
    if min(amounts) <= 0 or not MINOR_DIGITS.keys() >= set(currencies):
        odd.update(
            place
            for place, (amount_minor, currency) in enumerate(zip(amounts, currencies, strict=True))
            if amount_minor <= 0 or currency not in MINOR_DIGITS
        )
    columns["price_minor"], columns["currency"] = amounts, currencies
    if items.has("sale_price"):
        offers = items.offers
        on_sale = [place for place, offer in enumerate(offers) if offer.HasField("sale_price")]
        sales: list[tuple[Any, Any, Any]] = [(None, None, None)] * len(offers)
        issues: list[pb.Issue] = []
        for place in on_sale:
            sales[place] = fields.sale(offers[place], amounts[place], currencies[place], rules, issues)
            if issues:
                odd.add(place)
                issues.clear()
        for name, values in zip(
            ("sale_price_minor", "sale_starts_at", "sale_ends_at"), zip(*sales, strict=True), strict=True
        ):
            columns[name] = list(values)


def _add_lists(columns: dict[str, list[Any]], items: _Batch, odd: Places) -> None:
    """Of these each is looked at; where each offer has one, as most have of product types, each that is different."""
    for name, read in (
        ("additional_image_links", fields.image_links),
        ("gtins", fields.gtins),
        ("product_types", fields.product_types),
    ):
        if items.has(name):
            ones = items.ones(name)
            if ones is None:
                columns[name] = _each(_read(items.offers, name), read, odd)
            else:
                columns[name] = _each_one(ones, read, odd)
    if items.has("custom_attributes"):
        columns["custom_attributes"] = _each(_read(items.offers, "custom_attributes"), _attributes, odd)


def _each_one(values: list[str], read: Callable[[Sequence[str], list[pb.Issue]], list[str]], odd: Places) -> list[Any]:
    """What is read of each alone."""
    made: dict[str, list[str]] = {}
    bad: set[str] = set()
    issues: list[pb.Issue] = []
    for value in set(values):
        made[value] = read([value], issues)
        if issues:
            bad.add(value)
            issues.clear()
    if bad:
        odd.update(place for place, value in enumerate(values) if value in bad)
    return [made[value] for value in values]


def _attributes(values: Mapping[str, str], issues: list[pb.Issue]) -> str:
    return fields.custom_attributes(values, issues) if values else "{}"


def _add_expiry(columns: dict[str, list[Any]], items: _Batch, rules: ValidationRules, odd: Places) -> None:
    if not items.has("expires_at"):
        return
    offers = items.offers
    ending = [place for place, offer in enumerate(offers) if offer.HasField("expires_at")]
    issues: list[pb.Issue] = []
    ends: list[Any] = [None] * len(offers)
    for place in ending:
        ends[place] = expires_at = fields.moment(offers[place].expires_at, "expires_at", issues)
        if expires_at is None or expires_at <= rules.now:
            odd.add(place)
    columns["expires_at"] = ends


def _each(
    values: Sequence[Any],
    read: Callable[[Any, list[pb.Issue]], Any],
    odd: Places,
) -> list[Any]:
    """What is read of each, also of one that is empty."""
    made: list[Any] = []
    issues: list[pb.Issue] = []
    for place, value in enumerate(values):
        made.append(read(value, issues))
        if issues:
            odd.add(place)
            issues.clear()
    return made
