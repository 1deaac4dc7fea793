"""From a pushed item to the columns of the table, or to the reasons why not.

The hot path of ingestion: of most offers most fields are empty, so a rule is called only where there is something.
"""

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from domains.offers.validation import fields
from domains.offers.validation.fields import (
    MICROS_PER_SECOND,
    NANOS_PER_SECOND,
    choice,
    custom_attributes,
    gtins,
    identifier,
    image_link,
    image_links,
    landing_link,
    moment,
    product_types,
    strict_text,
    text,
)
from domains.offers.validation.issues import error, warning
from domains.offers.validation.links import is_ordinary_link
from domains.offers.validation.rules import ValidatedOffer, ValidationRules
from domains.offers.validation.text import MAX_DESCRIPTION_LENGTH, MAX_TITLE_LENGTH
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

MAX_OFFER_ID_LENGTH = 50

_KINDS = ("product", "product", "coupon", "deal")
AVAILABILITIES = ("", "in_stock", "out_of_stock", "preorder", "backorder", "limited")
CONDITIONS = ("", "new", "refurbished", "used")
GENDERS = ("", "male", "female", "unisex")
AGE_GROUPS = ("", "newborn", "infant", "toddler", "kids", "adult")
_DELETED = ValidatedOffer(
    offer_id="",
    kind="product",
    title="",
    description="",
    link="",
    image_link="",
    additional_image_links=[],
    price_minor=None,
    currency=None,
    sale_price_minor=None,
    sale_starts_at=None,
    sale_ends_at=None,
    availability="out_of_stock",
    expires_at=None,
    gtins=[],
    mpn="",
    brand="",
    item_group_id="",
    google_product_category="",
    product_types=[],
    condition="",
    color="",
    size="",
    gender="",
    age_group="",
    adult=False,
    rate_category="",
    cashback_eligible=False,
    custom_attributes_json="{}",
    coupon_code="",
    starts_at=None,
    ends_at=None,
)


def validate_item(item: pb.OfferItem, rules: ValidationRules) -> tuple[ValidatedOffer | None, list[pb.Issue]]:
    """(the offer, its warnings), or (None, what is wrong with it).

    An item that its producer has marked with an ERROR is not accepted; what the producer said is not repeated here.
    The columns of an item that says `delete` are empty but for offer_id.
    """
    issues: list[pb.Issue] = []
    # The message is read as little as can be: each reading makes an object.
    if (given := item.issues) and _has_error(given):
        return None, issues
    _check_source_time(item.source_time, rules, issues)
    offer = item.offer
    offer_id = offer.offer_id
    if not offer_id and not item.HasField("offer"):
        issues.append(error("OFFER_MISSING", "offer", "The item has no offer and no error says why. Send one."))
        return None, issues
    _check_offer_id(offer_id, issues)
    validated = _DELETED._replace(offer_id=offer_id) if offer.delete else _validate(offer, offer_id, rules, issues)
    if issues and _has_error(issues):
        return None, issues
    return validated, issues


def _has_error(issues: Iterable[pb.Issue]) -> bool:
    return any(issue.severity == pb.SEVERITY_ERROR for issue in issues)


def _check_source_time(stated: Timestamp, rules: ValidationRules, issues: list[pb.Issue]) -> None:
    seconds, nanos = stated.seconds, stated.nanos
    if 0 < seconds < rules.latest_source_time_s and 0 <= nanos < NANOS_PER_SECOND:
        return
    stated_us = seconds * MICROS_PER_SECOND + nanos // 1000
    if not 0 <= nanos < NANOS_PER_SECOND or seconds < 0:
        issues.append(error("SOURCE_TIME_INVALID", "source_time", "It is no time after 1970. Send a valid timestamp."))
    elif stated_us == 0:
        message = "Say when the merchant's system stated this: set source_time."
        issues.append(error("SOURCE_TIME_REQUIRED", "source_time", message))
    elif stated_us > rules.latest_source_time_us:
        message = "It is more than a day ahead. Check the clock, the time zone and the unit (seconds)."
        issues.append(error("SOURCE_TIME_IN_FUTURE", "source_time", message, str(seconds)))


def _check_offer_id(offer_id: str, issues: list[pb.Issue]) -> None:
    if not offer_id:
        issues.append(error("OFFER_ID_REQUIRED", "offer_id", "Send the merchant's own id of the offer."))
    elif len(offer_id) > MAX_OFFER_ID_LENGTH:
        message = f"It has over {MAX_OFFER_ID_LENGTH} characters. Send a shorter id that stays the same."
        issues.append(error("OFFER_ID_TOO_LONG", "offer_id", message, offer_id))
    elif not offer_id.isprintable() or offer_id[0] == " " or offer_id[-1] == " ":
        message = "It has invisible characters or blanks at its ends. Send it without them."
        issues.append(error("OFFER_ID_INVALID", "offer_id", message, offer_id))


def _validate(offer: pb.Offer, offer_id: str, rules: ValidationRules, issues: list[pb.Issue]) -> ValidatedOffer:
    has = offer.HasField
    kind = choice(offer.kind, _KINDS, "kind", issues, required=True)
    title = text(offer.title, "title", MAX_TITLE_LENGTH, issues)
    if not title:
        issues.append(error("TITLE_REQUIRED", "title", "Send the offer's name as shoppers should see it."))
    availability = choice(offer.availability, AVAILABILITIES, "availability", issues, required=True)
    if not availability:
        availability = _without_availability(kind, issues)
    price, currency = fields.price(offer, rules, issues, is_product=kind == "product")
    sale_price, sale_starts_at, sale_ends_at = None, None, None
    if has("sale_price"):
        sale_price, sale_starts_at, sale_ends_at = fields.sale(offer, price, currency, rules, issues)
    starts_at = moment(offer.starts_at, "starts_at", issues) if has("starts_at") else None
    ends_at = moment(offer.ends_at, "ends_at", issues) if has("ends_at") else None
    if ends_at is not None:
        _check_end(starts_at, ends_at, rules, issues)
    expires_at = moment(offer.expires_at, "expires_at", issues) if has("expires_at") else None
    if expires_at is not None:
        _check_expiry(expires_at, rules, issues)
    coupon_code = strict_text(value, "coupon_code", issues) if (value := offer.coupon_code) else ""
    if kind == "coupon" and not coupon_code:
        issues.append(error("COUPON_CODE_REQUIRED", "coupon_code", "Send the code, or send the offer as a deal."))
    return ValidatedOffer._make(
        (
            offer_id,
            kind,
            title,
            text(value, "description", MAX_DESCRIPTION_LENGTH, issues) if (value := offer.description) else "",
            value if is_ordinary_link(value := offer.link, rules.hosts) else landing_link(value, rules, issues),
            value if is_ordinary_link(value := offer.image_link, None) else image_link(value, "image_link", issues),
            image_links(values, issues) if (values := offer.additional_image_links) else [],
            price,
            currency,
            sale_price,
            sale_starts_at,
            sale_ends_at,
            availability,
            expires_at,
            gtins(values, issues) if (values := offer.gtins) else [],
            identifier(value, "mpn", 70, issues) if (value := offer.mpn) else "",
            text(value, "brand", 70, issues) if (value := offer.brand) else "",
            identifier(value, "item_group_id", 50, issues) if (value := offer.item_group_id) else "",
            text(value, "google_product_category", 750, issues) if (value := offer.google_product_category) else "",
            product_types(values, issues) if (values := offer.product_types) else [],
            choice(condition, CONDITIONS, "condition", issues) if (condition := offer.condition) else "",
            text(value, "color", 100, issues) if (value := offer.color) else "",
            text(value, "size", 100, issues) if (value := offer.size) else "",
            choice(gender, GENDERS, "gender", issues) if (gender := offer.gender) else "",
            choice(age_group, AGE_GROUPS, "age_group", issues) if (age_group := offer.age_group) else "",
            offer.adult,
            strict_text(value, "rate_category", issues) if (value := offer.rate_category) else "",
            offer.cashback_eligible if has("cashback_eligible") else True,
            custom_attributes(attributes, issues) if (attributes := offer.custom_attributes) else "{}",
            coupon_code,
            starts_at,
            ends_at,
        )
    )


def _without_availability(kind: str, issues: list[pb.Issue]) -> str:
    if kind != "product":
        return "in_stock"
    message = "Say whether it can be bought: in_stock, out_of_stock, preorder, backorder or limited."
    issues.append(error("AVAILABILITY_REQUIRED", "availability", message))
    return ""


def _check_end(starts_at: datetime | None, ends_at: datetime, rules: ValidationRules, issues: list[pb.Issue]) -> None:
    if starts_at is not None and ends_at <= starts_at:
        issues.append(error("INTERVAL_INVALID", "ends_at", "It ends before it starts. Correct one of the two times."))
    elif ends_at <= rules.now:
        issues.append(warning("ENDS_IN_PAST", "ends_at", "It has ended already. Withdraw it or correct the time."))


def _check_expiry(expires_at: datetime, rules: ValidationRules, issues: list[pb.Issue]) -> None:
    if expires_at <= rules.now:
        message = "It has expired already and will not be shown. Send a later time, or none."
        issues.append(warning("EXPIRES_IN_PAST", "expires_at", message, expires_at.isoformat()))
