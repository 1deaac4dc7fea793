"""The rule of each kind of field. All take the list of issues and append to it; none raises for a value."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from domains.offers.validation.issues import error, warning
from domains.offers.validation.links import LinkProblem, check_link, is_ordinary_link
from domains.offers.validation.rules import ValidationRules
from domains.offers.validation.text import clean, cut, is_clean
from wapsi.money import MINOR_DIGITS
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

NANOS_PER_SECOND: Final = 1_000_000_000
MICROS_PER_SECOND: Final = 1_000_000
MAX_IMAGE_LINKS: Final = 20
MAX_GTINS: Final = 20
MAX_PRODUCT_TYPES: Final = 10
MAX_PRODUCT_TYPE_LENGTH: Final = 750
MAX_ATTRIBUTES: Final = 50
MAX_ATTRIBUTE_NAME_LENGTH: Final = 50
MAX_ATTRIBUTE_VALUE_LENGTH: Final = 500
MAX_STRICT_TEXT_LENGTH: Final = 50
# By length: what the weighted sum has too much when it is made over ASCII codes and not over digits.
_GTIN_EXCESS: Final = {length: ord("0") * ((length + 1) // 2 + 3 * (length // 2)) for length in (8, 12, 13, 14)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND: Final = 253_402_300_799  # the end of the year 9999
Issues = list[pb.Issue]


def text(value: str, field: str, max_length: int, issues: Issues) -> str:
    """Cleaned, and cut where it is too long, each with a warning."""
    # is_clean, without the call: most texts are clean, and there are many.
    if len(value) <= max_length and value.isprintable() and "  " not in value and value.strip() == value:
        return value
    cleaned, removed = clean(value)
    if removed:
        _note_removed(value, field, issues)
    if len(cleaned) > max_length:
        message = f"It has over {max_length} characters and was cut. Send a shorter one."
        issues.append(warning(f"{field.upper()}_TRUNCATED", field, message, cleaned))
        cleaned = cut(cleaned, max_length)
    return cleaned


def identifier(value: str, field: str, max_length: int, issues: Issues) -> str:
    """Cleaned; one that is too long is left out, because a part of it would identify something else."""
    if len(value) <= max_length and is_clean(value):
        return value
    cleaned, removed = clean(value)
    if removed:
        _note_removed(value, field, issues)
    if len(cleaned) > max_length:
        message = f"It has over {max_length} characters and was left out. Send a shorter one."
        issues.append(warning(f"{field.upper()}_TOO_LONG", field, message, cleaned))
        return ""
    return cleaned


def strict_text(value: str, field: str, issues: Issues) -> str:
    """For rate_category and coupon_code: money hangs on the exact value, so nothing is repaired."""
    cleaned, removed = clean(value)
    if removed or len(cleaned) > MAX_STRICT_TEXT_LENGTH:
        message = f"It must have at most {MAX_STRICT_TEXT_LENGTH} visible characters. Correct it."
        issues.append(error(f"{field.upper()}_INVALID", field, message, value))
    return cleaned


def _note_removed(value: str, field: str, issues: Issues) -> None:
    if "\0" in value:
        message = "It has NUL characters, a sign of a damaged file or a wrong encoding. Send clean text."
        issues.append(error("NUL_CHARACTER", field, message, value))
    else:
        message = "Control or zero-width characters were taken out. Remove them in the source."
        issues.append(warning("INVISIBLE_CHARACTERS", field, message, value))


def choice(value: int, names: tuple[str, ...], field: str, issues: Issues, *, required: bool = False) -> str:
    """The name of an enum's value. A number that this version does not know is an issue."""
    if 0 <= value < len(names):
        return names[value]
    make = error if required else warning
    message = "This number has no meaning in the version of the protocol that is served. Send a listed value."
    issues.append(make(f"{field.upper()}_UNKNOWN", field, message, str(value)))
    return names[0]


def price(
    offer: pb.Offer, rules: ValidationRules, issues: Issues, *, is_product: bool
) -> tuple[int | None, str | None]:
    """(amount in minor units, currency), both None where the offer has no price."""
    stated = offer.price
    amount_minor = stated.amount_minor
    currency = stated.currency or rules.default_currency
    if amount_minor > 0 and currency in MINOR_DIGITS:
        return amount_minor, currency
    if not offer.HasField("price"):
        if is_product:
            issues.append(error("PRICE_REQUIRED", "price", "A product needs a price. Send an amount and a currency."))
        return None, None
    if currency not in MINOR_DIGITS:
        message = "It is no ISO 4217 currency code in upper case. Send one such as PKR."
        issues.append(error("CURRENCY_UNKNOWN", "price", message, currency))
    if amount_minor < 0:
        message = "A price cannot be negative. Check the sign."
        issues.append(error("PRICE_NEGATIVE", "price", message, str(amount_minor)))
    elif amount_minor == 0 and is_product:
        message = "A product's price cannot be 0. Send its price, or leave the product out."
        issues.append(error("PRICE_ZERO", "price", message, "0"))
    return amount_minor, currency


def sale(
    offer: pb.Offer, price_minor: int | None, currency: str | None, rules: ValidationRules, issues: Issues
) -> tuple[int | None, datetime | None, datetime | None]:
    """(sale price, start, end). A sale that makes no sense is left out, and the regular price counts."""
    none = (None, None, None)
    stated = offer.sale_price
    amount_minor = stated.amount_minor
    sale_currency = stated.currency or rules.default_currency
    if price_minor is None:
        issues.append(warning("SALE_PRICE_WITHOUT_PRICE", "sale_price", "Send the regular price too; it was left out."))
        return none
    if sale_currency != currency:
        message = "It has another currency than the price and was left out. Send both in one currency."
        issues.append(warning("SALE_CURRENCY_DIFFERS", "sale_price", message, sale_currency))
        return none
    if not 0 < amount_minor < price_minor:
        message = "It must be over 0 and lower than the price; it was left out. Send it only while it is lower."
        issues.append(warning("SALE_PRICE_NOT_LOWER", "sale_price", message, str(amount_minor)))
        return none
    starts_at = moment(offer.sale_starts_at, "sale_starts_at", issues) if offer.HasField("sale_starts_at") else None
    ends_at = moment(offer.sale_ends_at, "sale_ends_at", issues) if offer.HasField("sale_ends_at") else None
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        message = "The sale ends before it starts and was left out. Correct one of the two times."
        issues.append(warning("SALE_INTERVAL_INVALID", "sale_ends_at", message, ends_at.isoformat()))
        return none
    return amount_minor, starts_at, ends_at


def moment(stated: Timestamp, field: str, issues: Issues) -> datetime | None:
    """None where it is no time."""
    seconds, nanos = stated.seconds, stated.nanos
    if not 0 <= seconds <= _LAST_SECOND or not 0 <= nanos < NANOS_PER_SECOND:
        message = "It is no time between 1970 and 9999 and was left out. Send a valid timestamp."
        issues.append(warning("TIME_INVALID", field, message, str(seconds)))
        return None
    return _time(seconds, nanos // 1000)


@lru_cache(maxsize=1024)
def _time(seconds: int, microseconds: int) -> datetime:
    """The offers of a feed have few different times."""
    return _EPOCH + timedelta(0, seconds, microseconds)


def landing_link(value: str, rules: ValidationRules, issues: Issues) -> str:
    """Required, and on the merchant's list of hosts."""
    stripped = value.strip()
    if not stripped:
        issues.append(error("LINK_REQUIRED", "link", "Send the address of the offer's page, without tracking."))
        return ""
    link = check_link(stripped)
    if isinstance(link, LinkProblem):
        issues.append(error(f"LINK_{link.code}", "link", link.message, value))
        return ""
    if not rules.allows_host(link.host):
        message = "Its host is not on the merchant's list of landing hosts. Correct the link or extend the list."
        issues.append(error("LINK_HOST_NOT_ALLOWED", "link", message, link.host))
    return link.url


def image_link(value: str, field: str, issues: Issues) -> str:
    """Left out where it is wrong."""
    if is_ordinary_link(value, None):
        return value
    stripped = value.strip()
    if not stripped:
        return ""
    link = check_link(stripped)
    if isinstance(link, LinkProblem):
        issues.append(warning(f"IMAGE_LINK_{link.code}", field, f"{link.message} It was left out.", value))
        return ""
    return link.url


def image_links(values: Sequence[str], issues: Issues) -> list[str]:
    if len(values) > MAX_IMAGE_LINKS:
        message = f"Only the first {MAX_IMAGE_LINKS} were taken. Send fewer."
        issues.append(warning("TOO_MANY_IMAGES", "additional_image_links", message, str(len(values))))
    kept: list[str] = []
    for value in values[:MAX_IMAGE_LINKS]:
        checked = image_link(value, "additional_image_links", issues)
        if checked:
            kept.append(checked)
    return kept


def gtins(values: Sequence[str], issues: Issues) -> list[str]:
    """Those that are GTIN-8, -12, -13 or -14 with the right check digit, as digits only."""
    good: list[str] = []
    for value in values[:MAX_GTINS]:
        digits = value if value.isdigit() else value.replace("-", "").replace(" ", "")
        if not is_gtin(digits):
            message = "It is no GTIN of 8, 12, 13 or 14 digits with a right check digit; it was left out. Correct it."
            issues.append(warning("GTIN_INVALID", "gtins", message, value))
        elif digits not in good:
            good.append(digits)
    if len(values) > MAX_GTINS:
        message = f"Only the first {MAX_GTINS} were taken. Send fewer."
        issues.append(warning("TOO_MANY_GTINS", "gtins", message, str(len(values))))
    return good


def is_gtin(digits: str) -> bool:
    """Whether the length and the check digit (GS1: weights 3 and 1 from the right) are right."""
    if len(digits) not in _GTIN_EXCESS or not (digits.isascii() and digits.isdigit()):
        return False
    codes = digits.encode()
    weighted = sum(codes[-1::-2]) + 3 * sum(codes[-2::-2])
    return (weighted - _GTIN_EXCESS[len(codes)]) % 10 == 0 and digits.strip("0") != ""


def product_types(values: Sequence[str], issues: Issues) -> list[str]:
    if len(values) > MAX_PRODUCT_TYPES:
        message = f"Only the first {MAX_PRODUCT_TYPES} were taken. Send fewer."
        issues.append(warning("TOO_MANY_PRODUCT_TYPES", "product_types", message, str(len(values))))
    kept: list[str] = []
    for value in values[:MAX_PRODUCT_TYPES]:
        cleaned = text(value, "product_types", MAX_PRODUCT_TYPE_LENGTH, issues)
        if cleaned:
            kept.append(cleaned)
    return kept


def custom_attributes(values: Mapping[str, str], issues: Issues) -> str:
    """As the text of a JSON object."""
    names = sorted(values)
    kept = {name: values[name] for name in names}
    if not _are_clean(names, list(kept.values())):
        kept = _repaired_attributes(kept, issues)
    return orjson.dumps(kept).decode()


def _are_clean(names: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether _repaired_attributes would change nothing."""
    return (
        len(names) <= MAX_ATTRIBUTES
        and all(names)
        and max(map(len, names)) <= MAX_ATTRIBUTE_NAME_LENGTH
        and max(map(len, texts)) <= MAX_ATTRIBUTE_VALUE_LENGTH
        # All at once: between blanks, a blank at an end of one of them is a superfluous one.
        and is_clean(" ".join([*names, *filter(None, texts)]))
    )


def _repaired_attributes(values: Mapping[str, str], issues: Issues) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, value in values.items():
        cleaned = identifier(name, "custom_attributes", MAX_ATTRIBUTE_NAME_LENGTH, issues)
        if cleaned and len(kept) < MAX_ATTRIBUTES:
            kept[cleaned] = text(value, "custom_attributes", MAX_ATTRIBUTE_VALUE_LENGTH, issues)
    if len(values) > MAX_ATTRIBUTES:
        message = f"Only {MAX_ATTRIBUTES} are kept, the first by name. Send fewer."
        issues.append(warning("TOO_MANY_ATTRIBUTES", "custom_attributes", message, str(len(values))))
    return kept
