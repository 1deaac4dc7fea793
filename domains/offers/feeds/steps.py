"""What is done with a value: for each field of an offer, a step that puts it in or says what is wrong with it."""

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from domains.offers.feeds import values
from domains.offers.feeds.mapping import CUSTOM, Value
from domains.offers.feeds.rows import MAX_FIELD_CHARACTERS
from domains.offers.feeds.text import plain_text, readable_text
from domains.offers.validation import fields
from domains.offers.validation.issues import error, warning
from domains.offers.validation.text import MAX_DESCRIPTION_LENGTH, MAX_TITLE_LENGTH
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

# No field but the description may be longer; a batch of items has to fit into a message.
MAX_PLAIN_CHARACTERS: Final = 5000
_MAX_VALUES: Final = 100
_TIME_TARGETS: Final = frozenset({"sale_starts_at", "sale_ends_at", "expires_at", "starts_at", "ends_at"})
_PLAIN_TARGETS: Final = frozenset(
    {"offer_id", "link", "mpn", "brand", "item_group_id", "google_product_category", "color", "size"}
    | {"rate_category", "coupon_code"}
)
_FLAG_TARGETS: Final = frozenset({"adult", "cashback_eligible", "delete"})
# Of these a text is taken as it is, without blanks at its ends and up to MAX_PLAIN_CHARACTERS.
AS_IT_IS: Final = _PLAIN_TARGETS | {"image_link"}
# Of these the same few values come again and again, and mean the same.
REPEATING: Final = _FLAG_TARGETS | set(values.CHOICES) | {"product_types"}
# The fields of a pb.Offer; as bytes where they are encoded. The time of the statement, which is the item's, is among
# them as `source_time`.
Offer = dict[str, Any]
Issues = list[pb.Issue]
# The value is not empty.
Step = Callable[[Value, Offer, Issues], None]


def step_for(target: str) -> Step:
    if target in _PLAIN_TARGETS:
        return _plain_step(target)
    if target in _TIME_TARGETS:
        return lambda value, offer, issues: _put_time(target, one(value), offer, issues)
    if target in _FLAG_TARGETS:
        return _flag_step(target)
    if target in values.CHOICES:
        return _choice_step(target)
    if target.startswith(CUSTOM):
        return _custom_step(target.removeprefix(CUSTOM))
    if target == "title":
        return _text_step(target, MAX_TITLE_LENGTH)
    if target == "description":
        return _text_step(target, MAX_DESCRIPTION_LENGTH)
    return _STEPS[target]


def one(value: Value) -> str:
    """The first of several values."""
    if isinstance(value, str):
        return value
    return next((text for text in value if text), "") if isinstance(value, list) else ""


def many(value: Value) -> list[str]:
    texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    return [text for text in texts[:_MAX_VALUES] if text]


def fits(field: str, text: str, issues: Issues, max_characters: int = MAX_PLAIN_CHARACTERS) -> bool:
    if len(text) <= max_characters:
        return True
    message = f"It has over {max_characters} characters. Shorten it, or check the column mapping."
    issues.append(error("FIELD_TOO_LARGE", field, message, text))
    return False


def _plain_step(field: str) -> Step:
    def put(value: Value, offer: Offer, issues: Issues) -> None:
        text = one(value).strip()
        if fits(field, text, issues):
            offer[field] = text

    return put


def _text_step(field: str, max_length: int) -> Step:
    """Variants of a product follow one another with the same text, so the last one is kept with what came of it."""
    last = ""
    cleaned = ""
    noted: Issues = []

    def put(value: Value, offer: Offer, issues: Issues) -> None:
        nonlocal last, cleaned, noted
        text = value if type(value) is str else one(value)
        if text != last:
            found: Issues = []
            if not fits(field, text, found, MAX_FIELD_CHARACTERS):
                bare = ""
            else:
                bare = readable_text(text) if "<" in text or "&" in text else text
            cleaned, noted, last = fields.text(bare, field, max_length, found), found, text
        offer[field] = cleaned
        if noted:
            issues.extend(noted)

    return put


def _put_time(field: str, text: str, offer: Offer, issues: Issues) -> None:
    text = text.strip()
    stamp = _timestamp(text)
    if stamp is not None:
        offer[field] = stamp
    elif text:
        message = "It is no ISO 8601 time and was left out. Write it like 2026-01-31T18:00:00+05:00."
        issues.append(warning("TIME_INVALID", field, message, text))


@values.remembered
def _timestamp(text: str) -> Timestamp | None:
    moment = values.moment(text)
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _flag_step(field: str) -> Step:
    def put(value: Value, offer: Offer, issues: Issues) -> None:
        flag = values.flag(one(value))
        if flag is not None:
            offer[field] = flag
            return
        # Whether an offer goes, and whether it pays, must not be guessed.
        make = warning if field == "adult" else error
        issues.append(make("FLAG_INVALID", field, "It is neither yes nor no. Write one of them.", one(value)))

    return put


def _choice_step(field: str) -> Step:
    number_of = values.choice(field)
    names = ", ".join(sorted(values.CHOICES[field])[:12])

    def put(value: Value, offer: Offer, issues: Issues) -> None:
        text = one(value)
        number = number_of(text)
        if number is not None:
            offer[field] = number
            return
        make = error if field in ("availability", "kind") else warning
        message = f"It is none of {names}. Send one, or translate it with a map: filter."
        issues.append(make(f"{field.upper()}_UNKNOWN", field, message, text))

    return put


def _custom_step(name: str) -> Step:
    def put(value: Value, offer: Offer, issues: Issues) -> None:
        text = (value if isinstance(value, str) else ", ".join(many(value))).strip()
        if text and fits(f"{CUSTOM}{name}", text, issues):
            offer.setdefault("custom_attributes", {})[name] = text

    return put


def _put_images(value: Value, offer: Offer, issues: Issues) -> None:
    links: list[str] = []
    for text in many(value):
        if "," in text:
            links += values.split_links(text)
        elif link := text.strip():
            links.append(link)
    offer.setdefault("additional_image_links", []).extend(
        link
        for link in links[: fields.MAX_IMAGE_LINKS]
        if len(link) <= MAX_PLAIN_CHARACTERS or fits("additional_image_links", link, issues)
    )


def _put_image(value: Value, offer: Offer, issues: Issues) -> None:
    """Several pictures: the first is the picture, the others are the additional ones."""
    first, others = value, []
    if type(value) is not str:
        first, *others = many(value) or [""]
    if len(first) <= MAX_PLAIN_CHARACTERS or fits("image_link", first, issues):
        offer["image_link"] = first.strip()
    if others:
        _put_images(others, offer, issues)


def _put_gtins(value: Value, offer: Offer, issues: Issues) -> None:
    if type(value) is str and "," not in value and ";" not in value:
        texts = [value.strip()]
    else:
        texts = [part.strip() for text in many(value) for part in text.replace(";", ",").split(",")]
    offer["gtins"] = [text for text in texts[:_MAX_VALUES] if text and fits("gtins", text, issues)]


def _put_product_types(value: Value, offer: Offer, issues: Issues) -> None:
    texts = [_category(text) for text in many(value) if fits("product_types", text, issues, MAX_FIELD_CHARACTERS)]
    offer["product_types"] = [text for text in texts if text and fits("product_types", text, issues)]


@values.remembered
def _category(text: str) -> str:
    return plain_text(text).strip()


def _put_attributes(value: Value, offer: Offer, issues: Issues) -> None:
    if isinstance(value, dict):
        for name, text in list(value.items())[:_MAX_VALUES]:
            if name and text and fits("custom_attributes", name + text, issues):
                offer.setdefault("custom_attributes", {})[name] = text


def _put_sale_interval(value: Value, offer: Offer, issues: Issues) -> None:
    start, _, end = one(value).partition("/")
    _put_time("sale_starts_at", start, offer, issues)
    _put_time("sale_ends_at", end, offer, issues)


def _put_source_time(value: Value, offer: Offer, issues: Issues) -> None:
    text = one(value)
    stamp = _timestamp(text.strip())
    if stamp is not None:
        offer["source_time"] = stamp
        return
    message = "It is no ISO 8601 time, and it decides what is newer. Write it like 2026-01-31T18:00:00+05:00."
    issues.append(error("SOURCE_TIME_INVALID", "source_time", message, text))


_STEPS: Final[dict[str, Step]] = {
    "image_link": _put_image,
    "additional_image_links": _put_images,
    "gtins": _put_gtins,
    "product_types": _put_product_types,
    "custom_attributes": _put_attributes,
    "sale_interval": _put_sale_interval,
    "source_time": _put_source_time,
}
