"""From a pushed item to the columns of the table, or to the reasons why not. The hot path of ingestion."""

from domains.offers.validation import fields
from domains.offers.validation.issues import error, warning
from domains.offers.validation.rules import ValidatedOffer, ValidationRules
from domains.offers.validation.text import MAX_DESCRIPTION_LENGTH, MAX_TITLE_LENGTH
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

MAX_OFFER_ID_LENGTH = 50

_KINDS = ("product", "product", "coupon", "deal")
_AVAILABILITIES = ("", "in_stock", "out_of_stock", "preorder", "backorder", "limited")
_CONDITIONS = ("", "new", "refurbished", "used")
_GENDERS = ("", "male", "female", "unisex")
_AGE_GROUPS = ("", "newborn", "infant", "toddler", "kids", "adult")


def validate_item(item: pb.OfferItem, rules: ValidationRules) -> tuple[ValidatedOffer | None, list[pb.Issue]]:
    """(the offer, its warnings), or (None, what is wrong with it).

    An item that its producer has marked with an ERROR is not accepted; what the producer said is not repeated here.
    The attributes of an item that says `delete` are empty but for offer_id.
    """
    issues: list[pb.Issue] = []
    if item.issues and any(issue.severity == pb.SEVERITY_ERROR for issue in item.issues):
        return None, issues
    _check_source_time(item, rules, issues)
    if not item.HasField("offer"):
        issues.append(error("OFFER_MISSING", "offer", "The item has no offer and no error says why. Send one."))
        return None, issues
    offer = item.offer
    _check_offer_id(offer.offer_id, issues)
    validated = _deletion(offer.offer_id) if offer.delete else _validate(offer, rules, issues)
    if issues and any(issue.severity == pb.SEVERITY_ERROR for issue in issues):
        return None, issues
    return validated, issues


def _check_source_time(item: pb.OfferItem, rules: ValidationRules, issues: list[pb.Issue]) -> None:
    stated = item.source_time
    seconds, nanos = stated.seconds, stated.nanos
    if not 0 <= nanos < fields.NANOS_PER_SECOND or seconds < 0:
        issues.append(error("SOURCE_TIME_INVALID", "source_time", "It is no time after 1970. Send a valid timestamp."))
    elif seconds * fields.MICROS_PER_SECOND + nanos // 1000 == 0:
        issues.append(
            error("SOURCE_TIME_REQUIRED", "source_time", "Say when the merchant's system stated this: set source_time.")
        )
    elif seconds * fields.MICROS_PER_SECOND + nanos // 1000 > rules.latest_source_time_us:
        issues.append(
            error(
                "SOURCE_TIME_IN_FUTURE",
                "source_time",
                "It is more than a day ahead. Check the clock, the time zone and the unit (seconds).",
                str(seconds),
            )
        )


def _check_offer_id(offer_id: str, issues: list[pb.Issue]) -> None:
    if not offer_id:
        issues.append(error("OFFER_ID_REQUIRED", "offer_id", "Send the merchant's own id of the offer."))
    elif len(offer_id) > MAX_OFFER_ID_LENGTH:
        message = f"It has over {MAX_OFFER_ID_LENGTH} characters. Send a shorter id that stays the same."
        issues.append(error("OFFER_ID_TOO_LONG", "offer_id", message, offer_id))
    elif not offer_id.isprintable() or offer_id[0] == " " or offer_id[-1] == " ":
        message = "It has invisible characters or blanks at its ends. Send it without them."
        issues.append(error("OFFER_ID_INVALID", "offer_id", message, offer_id))


def _validate(offer: pb.Offer, rules: ValidationRules, issues: list[pb.Issue]) -> ValidatedOffer:
    kind = fields.choice(offer.kind, _KINDS, "kind", issues, required=True)
    is_product = kind == "product"
    title = fields.text(offer.title, "title", MAX_TITLE_LENGTH, issues)
    if not title:
        issues.append(error("TITLE_REQUIRED", "title", "Send the offer's name as shoppers should see it."))
    availability = fields.choice(offer.availability, _AVAILABILITIES, "availability", issues, required=True)
    if not availability:
        if is_product:
            message = "Say whether it can be bought: in_stock, out_of_stock, preorder, backorder or limited."
            issues.append(error("AVAILABILITY_REQUIRED", "availability", message))
        else:
            availability = "in_stock"
    price_minor, currency = fields.price(offer, rules, issues, is_product=is_product)
    sale_price_minor, sale_starts_at, sale_ends_at = None, None, None
    if offer.HasField("sale_price"):
        sale_price_minor, sale_starts_at, sale_ends_at = fields.sale(offer, price_minor, currency, rules, issues)
    starts_at = fields.moment(offer, "starts_at", issues)
    ends_at = fields.moment(offer, "ends_at", issues)
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        issues.append(error("INTERVAL_INVALID", "ends_at", "It ends before it starts. Correct one of the two times."))
    elif ends_at is not None and ends_at <= rules.now:
        issues.append(warning("ENDS_IN_PAST", "ends_at", "It has ended already. Withdraw it or correct the time."))
    expires_at = fields.moment(offer, "expires_at", issues)
    if expires_at is not None and expires_at <= rules.now:
        message = "It has expired already and will not be shown. Send a later time, or none."
        issues.append(warning("EXPIRES_IN_PAST", "expires_at", message, expires_at.isoformat()))
    coupon_code = fields.strict_text(offer.coupon_code, "coupon_code", issues)
    if kind == "coupon" and not coupon_code:
        issues.append(error("COUPON_CODE_REQUIRED", "coupon_code", "Send the code, or send the offer as a deal."))
    return ValidatedOffer(
        offer_id=offer.offer_id,
        kind=kind,
        title=title,
        description=fields.text(offer.description, "description", MAX_DESCRIPTION_LENGTH, issues),
        link=fields.landing_link(offer.link, rules, issues),
        image_link=fields.image_link(offer.image_link, "image_link", issues),
        additional_image_links=fields.image_links(offer.additional_image_links, issues),
        price_minor=price_minor,
        currency=currency,
        sale_price_minor=sale_price_minor,
        sale_starts_at=sale_starts_at,
        sale_ends_at=sale_ends_at,
        availability=availability,
        expires_at=expires_at,
        gtins=fields.gtins(offer.gtins, issues),
        mpn=fields.identifier(offer.mpn, "mpn", 70, issues),
        brand=fields.text(offer.brand, "brand", 70, issues),
        item_group_id=fields.identifier(offer.item_group_id, "item_group_id", 50, issues),
        google_product_category=fields.text(offer.google_product_category, "google_product_category", 750, issues),
        product_types=fields.product_types(offer.product_types, issues),
        condition=fields.choice(offer.condition, _CONDITIONS, "condition", issues),
        color=fields.text(offer.color, "color", 100, issues),
        size=fields.text(offer.size, "size", 100, issues),
        gender=fields.choice(offer.gender, _GENDERS, "gender", issues),
        age_group=fields.choice(offer.age_group, _AGE_GROUPS, "age_group", issues),
        adult=offer.adult,
        rate_category=fields.strict_text(offer.rate_category, "rate_category", issues),
        cashback_eligible=offer.cashback_eligible if offer.HasField("cashback_eligible") else True,
        custom_attributes=fields.custom_attributes(offer.custom_attributes, issues),
        coupon_code=coupon_code,
        starts_at=starts_at,
        ends_at=ends_at,
    )


def _deletion(offer_id: str) -> ValidatedOffer:
    return ValidatedOffer(
        offer_id=offer_id,
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
        custom_attributes={},
        coupon_code="",
        starts_at=None,
        ends_at=None,
    )
