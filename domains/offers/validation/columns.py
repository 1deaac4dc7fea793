"""Many items at once, a column at a time: what validate_item makes of them, in less than half the time.

Of most items no rule has anything to say, which a few calls tell of a whole column. Items about which there may be
something to say are only named here: what it is, and what becomes of them, is for validate_item alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
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


def validate_ordinary(items: Sequence[pb.OfferItem], rules: ValidationRules) -> tuple[dict[str, list[Any]], Places]:
    """(columns, places): of the items, but for those at these places, the columns of the offers that validate_item
    makes of them without an issue. Columns that are not there are everywhere what the table has by default.
    """
    offers = [item.offer for item in items]
    odd = _odd_statements(items, rules)
    columns: dict[str, list[Any]] = {"offer_id": _read(offers, "offer_id")}
    _find_odd_texts(columns["offer_id"], MAX_OFFER_ID_LENGTH, odd, required=True)
    for name, longest in _LONGEST.items():
        texts = _read(offers, name)
        if any(texts) or name == "title":
            _find_odd_texts(texts, longest, odd, required=name == "title")
            columns[name] = texts
    _add_links(columns, offers, rules, odd)
    _add_choices(columns, offers, odd)
    _add_prices(columns, offers, rules, odd)
    _add_lists(columns, offers, odd)
    _add_expiry(columns, offers, rules, odd)
    # These say more than what an offer is like, or are not in most feeds.
    odd.update(
        place
        for place, offer in enumerate(offers)
        if offer.delete or offer.HasField("starts_at") or offer.HasField("ends_at")
    )
    if any(adult := _read(offers, "adult")):
        columns["adult"] = adult
    eligible = [offer.cashback_eligible if offer.HasField("cashback_eligible") else True for offer in offers]
    if not all(eligible):
        columns["cashback_eligible"] = eligible
    return columns, odd


def _read(messages: Iterable[Any], field: str) -> list[Any]:
    return list(map(attrgetter(field), messages))


def _odd_statements(items: Sequence[pb.OfferItem], rules: ValidationRules) -> Places:
    """Those that are not stated at a good time, or have issues of their producer."""
    stated = _read(items, "source_time")
    times = list(zip(_read(stated, "seconds"), _read(stated, "nanos"), strict=True))
    bad = {
        (seconds, nanos)
        for seconds, nanos in set(times)
        if not (0 < seconds < rules.latest_source_time_s and 0 <= nanos < fields.NANOS_PER_SECOND)
    }
    odd = {place for place, time in enumerate(times) if time in bad} if bad else set()
    odd.update(place for place, item in enumerate(items) if item.issues)
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


def _add_links(columns: dict[str, list[Any]], offers: Sequence[pb.Offer], rules: ValidationRules, odd: Places) -> None:
    links, images = _read(offers, "link"), _read(offers, "image_link")
    if not are_ordinary_links(links, rules.hosts):
        links = _each(links, lambda link, issues: fields.landing_link(link, rules, issues), odd)
        odd.update(place for place, link in enumerate(links) if not link)
    columns["link"] = links
    if any(images):
        if not are_ordinary_links([link for link in images if link], None):
            images = _each(images, lambda link, issues: fields.image_link(link, "image_link", issues), odd)
        columns["image_link"] = images


def _add_choices(columns: dict[str, list[Any]], offers: Sequence[pb.Offer], odd: Places) -> None:
    for field, names in _NAMES.items():
        numbers = _read(offers, field)
        if field in ("availability", "kind") or any(numbers):
            chosen = list(map(names.get, numbers))
            if None in chosen:
                odd.update(place for place, name in enumerate(chosen) if name is None)
            columns[field] = chosen


def _add_prices(columns: dict[str, list[Any]], offers: Sequence[pb.Offer], rules: ValidationRules, odd: Places) -> None:
    prices = _read(offers, "price")
    amounts = _read(prices, "amount_minor")
    currencies = [currency or rules.default_currency for currency in _read(prices, "currency")]
    if min(amounts) <= 0 or not MINOR_DIGITS.keys() >= set(currencies):
        odd.update(
            place
            for place, (amount_minor, currency) in enumerate(zip(amounts, currencies, strict=True))
            if amount_minor <= 0 or currency not in MINOR_DIGITS
        )
    columns["price_minor"], columns["currency"] = amounts, currencies
    on_sale = [place for place, offer in enumerate(offers) if offer.HasField("sale_price")]
    if on_sale:
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


def _add_lists(columns: dict[str, list[Any]], offers: Sequence[pb.Offer], odd: Places) -> None:
    """Of these each is looked at, where there is one; product types repeat."""
    known: dict[str, list[str]] = {}
    none: list[str] = []

    def product_types(values: Sequence[str], issues: list[pb.Issue]) -> list[str]:
        if len(values) != 1:
            return fields.product_types(values, issues) if values else none
        found = known.get(values[0])
        if found is None:
            found = fields.product_types(values, issues)
            if not issues:
                known[values[0]] = found
        return found

    for name, read in (
        ("additional_image_links", fields.image_links),
        ("gtins", fields.gtins),
        ("product_types", product_types),
        ("custom_attributes", _attributes),
    ):
        values = _read(offers, name)
        if any(values):
            columns[name] = _each(values, read, odd)


def _attributes(values: Mapping[str, str], issues: list[pb.Issue]) -> str:
    return fields.custom_attributes(values, issues) if values else "{}"


def _add_expiry(columns: dict[str, list[Any]], offers: Sequence[pb.Offer], rules: ValidationRules, odd: Places) -> None:
    ending = [place for place, offer in enumerate(offers) if offer.HasField("expires_at")]
    if not ending:
        return
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
