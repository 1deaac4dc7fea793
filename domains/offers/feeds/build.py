"""From a row's raw values to the item that is pushed."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from domains.offers.feeds import values
from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.mapping import CUSTOM, Rule, Value
from domains.offers.feeds.options import FeedOptions
from domains.offers.feeds.prices import Prices
from domains.offers.feeds.rows import Row
from domains.offers.feeds.text import plain_text
from domains.offers.validation import fields
from domains.offers.validation.issues import error, warning
from domains.offers.validation.item import MAX_OFFER_ID_LENGTH
from domains.offers.validation.text import MAX_DESCRIPTION_LENGTH, MAX_TITLE_LENGTH
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

# No field but the description may be longer; a batch of items has to fit into a message.
MAX_PLAIN_CHARACTERS: Final = 5000
_MAX_VALUES: Final = 100
_PRICE_TARGETS: Final = frozenset({"price", "sale_price", "regular_price", "currency"})
_TIME_TARGETS: Final = frozenset({"sale_starts_at", "sale_ends_at", "expires_at", "starts_at", "ends_at"})
_PLAIN_TARGETS: Final = frozenset(
    {"offer_id", "link", "mpn", "brand", "item_group_id", "google_product_category", "color", "size"}
    | {"rate_category", "coupon_code"}
)
_FLAG_TARGETS: Final = frozenset({"adult", "cashback_eligible", "delete"})
Setter = Callable[[pb.OfferItem, Value, Prices], None]


class ItemBuilder:
    """Fills items by a list of rules. Raises FeedError where an option has no meaning."""

    def __init__(self, rules: list[Rule], options: FeedOptions, encoding: str) -> None:
        self._options = options
        self._encoding = encoding
        # Most rules of a format find nothing in most rows: a name alone is looked up before the rule is asked.
        self._steps = [(rule.only_source, rule.get, self._setter(rule.target)) for rule in rules]
        self._source_time = Timestamp()
        self._source_time.FromDatetime(options.source_time.astimezone(UTC))
        self._default_availability = 0
        if options.default_availability is not None:
            self._default_availability = values.availability(options.default_availability) or 0
            if not self._default_availability:
                raise FeedError("OPTIONS_INVALID", "default_availability is no availability. Use one such as in_stock.")

    def build(self, row: Row) -> pb.OfferItem:
        """An item with an offer, or without one and with the reasons."""
        item = pb.OfferItem(line=row.line, source_time=self._source_time)
        if row.problem is not None:
            item.issues.append(row.problem)
            return item
        prices = Prices(self._options.default_currency)
        try:
            found = row.values
            for only_source, get, put in self._steps:
                if only_source is not None and only_source not in found:
                    continue
                value = get(found)
                if value:
                    put(item, value, prices)
        except UnicodeEncodeError:
            message = (
                f"The row has bytes that are not {self._encoding}. Name the feed's encoding, such as windows-1252."
            )
            item.issues.append(error("ENCODING_INVALID", "", message))
        except ValueError as problem:
            item.issues.append(error("VALUE_INVALID", "", f"The row has a value that cannot be read: {problem}."))
        prices.put(item)
        if not item.HasField("offer") and not item.issues:
            message = "The row has none of an offer's fields. Check the column mapping, or leave the row out."
            item.issues.append(error("ROW_EMPTY", "", message))
        if self._default_availability and not item.offer.availability:
            item.offer.availability = self._default_availability  # type: ignore[assignment]  # the enum's number
        if item.issues and any(issue.severity == pb.SEVERITY_ERROR for issue in item.issues):
            item.rejected_offer_id = item.offer.offer_id[:MAX_OFFER_ID_LENGTH]
            item.ClearField("offer")
        return item

    def _setter(self, target: str) -> Setter:
        if target in _PRICE_TARGETS:
            return _price_setter(target)
        if target in _TIME_TARGETS:
            return _time_setter(target)
        if target in _PLAIN_TARGETS:
            return _plain_setter(target)
        if target in _FLAG_TARGETS:
            return _flag_setter(target)
        if target in values.CHOICES:
            return _choice_setter(target)
        if target.startswith(CUSTOM):
            return _custom_setter(target.removeprefix(CUSTOM))
        return _SETTERS[target]


def _one(value: Value) -> str:
    """The first of several values."""
    if isinstance(value, str):
        return value
    return next((text for text in value if text), "") if isinstance(value, list) else ""


def _many(value: Value) -> list[str]:
    texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    return [text for text in texts[:_MAX_VALUES] if text]


def _fits(item: pb.OfferItem, field: str, text: str) -> bool:
    if len(text) <= MAX_PLAIN_CHARACTERS:
        return True
    message = f"It has over {MAX_PLAIN_CHARACTERS} characters. Shorten it, or check the column mapping."
    item.issues.append(error("FIELD_TOO_LARGE", field, message, text))
    return False


def _plain_setter(field: str) -> Setter:
    def put(item: pb.OfferItem, value: Value, prices: Prices) -> None:
        text = _one(value).strip()
        if len(text) <= MAX_PLAIN_CHARACTERS or _fits(item, field, text):
            setattr(item.offer, field, text)

    return put


def _price_setter(target: str) -> Setter:
    def put(item: pb.OfferItem, value: Value, prices: Prices) -> None:
        setattr(prices, target, _one(value))

    return put


def _time_setter(field: str) -> Setter:
    def put(item: pb.OfferItem, value: Value, prices: Prices) -> None:
        _set_time(item, field, _one(value).strip())

    return put


def _set_time(item: pb.OfferItem, field: str, text: str) -> None:
    moment = values.moment(text)
    if moment is not None:
        getattr(item.offer, field).FromDatetime(moment)
    elif text:
        message = "It is no ISO 8601 time and was left out. Write it like 2026-01-31T18:00:00+05:00."
        item.issues.append(warning("TIME_INVALID", field, message, text))


def _flag_setter(field: str) -> Setter:
    def put(item: pb.OfferItem, value: Value, prices: Prices) -> None:
        flag = values.flag(_one(value))
        if flag is not None:
            setattr(item.offer, field, flag)
            return
        # Whether an offer goes, and whether it pays, must not be guessed.
        make = warning if field == "adult" else error
        item.issues.append(make("FLAG_INVALID", field, "It is neither yes nor no. Write one of them.", _one(value)))

    return put


def _choice_setter(field: str) -> Setter:
    names = values.CHOICES[field]

    def put(item: pb.OfferItem, value: Value, prices: Prices) -> None:
        text = _one(value)
        number = values.availability(text) if field == "availability" else names.get(values.normal(text))
        if number is not None:
            setattr(item.offer, field, number)
            return
        make = error if field in ("availability", "kind") else warning
        message = f"It is none of {', '.join(sorted(names)[:12])}. Send one, or translate it with a map: filter."
        item.issues.append(make(f"{field.upper()}_UNKNOWN", field, message, text))

    return put


def _custom_setter(name: str) -> Setter:
    def put(item: pb.OfferItem, value: Value, prices: Prices) -> None:
        text = ", ".join(_many(value)).strip()
        if text and _fits(item, f"{CUSTOM}{name}", text):
            item.offer.custom_attributes[name] = text

    return put


def _put_title(item: pb.OfferItem, value: Value, prices: Prices) -> None:
    text = plain_text(_one(value))
    item.offer.title = _cleaned(item, text, "title", MAX_TITLE_LENGTH)


def _put_description(item: pb.OfferItem, value: Value, prices: Prices) -> None:
    text = plain_text(_one(value))
    item.offer.description = _cleaned(item, text, "description", MAX_DESCRIPTION_LENGTH)


def _cleaned(item: pb.OfferItem, text: str, field: str, max_length: int) -> str:
    issues: list[pb.Issue] = []
    text = fields.text(text, field, max_length, issues)
    if issues:
        item.issues.extend(issues)
    return text


def _put_images(item: pb.OfferItem, value: Value, prices: Prices) -> None:
    links = [link for text in _many(value) for link in values.split_links(text)]
    item.offer.additional_image_links.extend(
        link for link in links[: fields.MAX_IMAGE_LINKS] if _fits(item, "additional_image_links", link)
    )


def _put_image(item: pb.OfferItem, value: Value, prices: Prices) -> None:
    """Several pictures: the first is the picture, the others are the additional ones."""
    first, *others = _many(value) or [""]
    if _fits(item, "image_link", first):
        item.offer.image_link = first.strip()
    if others:
        _put_images(item, others, prices)


def _put_gtins(item: pb.OfferItem, value: Value, prices: Prices) -> None:
    texts = [part.strip() for text in _many(value) for part in text.replace(";", ",").split(",")]
    item.offer.gtins.extend(text for text in texts[:_MAX_VALUES] if text and _fits(item, "gtins", text))


def _put_product_types(item: pb.OfferItem, value: Value, prices: Prices) -> None:
    texts = [plain_text(text).strip() for text in _many(value)]
    item.offer.product_types.extend(text for text in texts if text and _fits(item, "product_types", text))


def _put_attributes(item: pb.OfferItem, value: Value, prices: Prices) -> None:
    if isinstance(value, dict):
        for name, text in list(value.items())[:_MAX_VALUES]:
            if name and text and _fits(item, "custom_attributes", name + text):
                item.offer.custom_attributes[name] = text


def _put_sale_interval(item: pb.OfferItem, value: Value, prices: Prices) -> None:
    start, _, end = _one(value).partition("/")
    _set_time(item, "sale_starts_at", start.strip())
    _set_time(item, "sale_ends_at", end.strip())


def _put_source_time(item: pb.OfferItem, value: Value, prices: Prices) -> None:
    moment: datetime | None = values.moment(_one(value).strip())
    if moment is not None:
        item.source_time.FromDatetime(moment)
        return
    message = "It is no ISO 8601 time, and it decides what is newer. Write it like 2026-01-31T18:00:00+05:00."
    item.issues.append(error("SOURCE_TIME_INVALID", "source_time", message, _one(value)))


_SETTERS: Final[dict[str, Setter]] = {
    "title": _put_title,
    "description": _put_description,
    "image_link": _put_image,
    "additional_image_links": _put_images,
    "gtins": _put_gtins,
    "product_types": _put_product_types,
    "custom_attributes": _put_attributes,
    "sale_interval": _put_sale_interval,
    "source_time": _put_source_time,
}
