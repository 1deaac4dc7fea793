"""The rules for a pushed item: what drops it, what is repaired with a warning, and what the table gets."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.offers.validation import (
    FUTURE_TOLERANCE,
    ValidatedOffer,
    ValidationRules,
    content_hash,
    validate_item,
)
from domains.offers.validation import content as content_module
from domains.offers.validation.fields import is_gtin
from domains.offers.validation.links import Link, check_link
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = ValidationRules(default_currency="PKR", allowed_landing_hosts=("shop.example",), now=NOW)
Change = Callable[[pb.Offer], object]


def make_item(change: Change | None = None) -> pb.OfferItem:
    item = pb.OfferItem(line=7)
    item.source_time.FromDatetime(NOW - timedelta(hours=1))
    offer = item.offer
    offer.offer_id = "A-1"
    offer.title = "Lawn Kurta"
    offer.link = "https://shop.example/a-1"
    offer.price.amount_minor = 129_900
    offer.price.currency = "PKR"
    offer.availability = pb.AVAILABILITY_IN_STOCK
    if change is not None:
        change(offer)
    return item


def accepted(change: Change | None = None, rules: ValidationRules = RULES) -> tuple[ValidatedOffer, list[str]]:
    """(the offer, codes of its warnings)"""
    offer, issues = validate_item(make_item(change), rules)
    assert offer is not None, issues
    assert all(issue.severity == pb.SEVERITY_WARNING for issue in issues)
    return offer, [issue.code for issue in issues]


def refused(change: Change, rules: ValidationRules = RULES) -> list[str]:
    """Codes of the errors."""
    return refused_item(make_item(change), rules)


def refused_item(item: pb.OfferItem, rules: ValidationRules = RULES) -> list[str]:
    offer, issues = validate_item(item, rules)
    assert offer is None
    for issue in issues:
        assert issue.code == issue.code.upper()
        assert issue.message.endswith(".")
        assert len(issue.value) <= 80
    return [issue.code for issue in issues if issue.severity == pb.SEVERITY_ERROR]


def setting(field: str, value: object) -> Change:
    def change(offer: pb.Offer) -> None:
        setattr(offer, field, value)

    change.__name__ = f"{field}={str(value)[:9]!r}"
    return change


def adding_gtin(gtin: str) -> Change:
    def change(offer: pb.Offer) -> None:
        offer.gtins.append(gtin)

    change.__name__ = f"gtin {gtin}"
    return change


def test_a_plain_product_becomes_the_columns_of_the_table() -> None:
    offer, warnings = accepted()
    assert warnings == []
    assert (offer.offer_id, offer.kind, offer.title) == ("A-1", "product", "Lawn Kurta")
    assert (offer.price_minor, offer.currency, offer.sale_price_minor) == (129_900, "PKR", None)
    assert (offer.availability, offer.link) == ("in_stock", "https://shop.example/a-1")
    assert (offer.condition, offer.gender, offer.rate_category, offer.brand) == ("", "", "", "")
    assert offer.cashback_eligible
    assert (offer.additional_image_links, offer.gtins, offer.product_types, offer.custom_attributes) == ([], [], [], {})


def test_every_optional_field_arrives() -> None:
    def fill(offer: pb.Offer) -> None:
        offer.description, offer.brand, offer.mpn, offer.color, offer.size = "Soft.", "Mor Pankh", "M1", "Rose", "M"
        offer.image_link = "https://images.example/1.jpg"
        offer.additional_image_links.append("https://images.example/2.jpg")
        offer.sale_price.amount_minor, offer.sale_price.currency = 99_900, "PKR"
        offer.sale_starts_at.FromDatetime(NOW)
        offer.sale_ends_at.FromDatetime(NOW + timedelta(days=1))
        offer.expires_at.FromDatetime(NOW + timedelta(days=9, microseconds=5))
        offer.gtins.append("4006381333931")
        offer.item_group_id, offer.google_product_category, offer.rate_category = "G", "Apparel", "shoes"
        offer.product_types.append("Men > Kurta")
        offer.condition, offer.gender, offer.age_group = pb.CONDITION_USED, pb.GENDER_UNISEX, pb.AGE_GROUP_KIDS
        offer.adult, offer.cashback_eligible = True, False
        offer.custom_attributes["fabric"] = "lawn"

    offer, warnings = accepted(fill)
    assert warnings == []
    assert offer.sale_price_minor == 99_900
    assert (offer.sale_starts_at, offer.sale_ends_at) == (NOW, NOW + timedelta(days=1))
    assert offer.expires_at == NOW + timedelta(days=9, microseconds=5)
    assert (offer.condition, offer.gender, offer.age_group, offer.adult) == ("used", "unisex", "kids", True)
    assert not offer.cashback_eligible
    assert offer.custom_attributes == {"fabric": "lawn"}
    assert offer.additional_image_links == ["https://images.example/2.jpg"]
    assert (offer.gtins, offer.product_types) == (["4006381333931"], ["Men > Kurta"])
    assert (offer.rate_category, offer.item_group_id, offer.mpn) == ("shoes", "G", "M1")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (setting("offer_id", ""), "OFFER_ID_REQUIRED"),
        (setting("offer_id", "x" * 51), "OFFER_ID_TOO_LONG"),
        (setting("offer_id", " A"), "OFFER_ID_INVALID"),
        (setting("offer_id", "A\0"), "OFFER_ID_INVALID"),
        (setting("title", ""), "TITLE_REQUIRED"),
        (setting("title", " \u200b "), "TITLE_REQUIRED"),
        (setting("title", "Kurta\0"), "NUL_CHARACTER"),
        (setting("kind", 9), "KIND_UNKNOWN"),
        (setting("availability", 0), "AVAILABILITY_REQUIRED"),
        (setting("availability", 17), "AVAILABILITY_UNKNOWN"),
        (setting("rate_category", "x" * 51), "RATE_CATEGORY_INVALID"),
        (setting("kind", pb.OFFER_KIND_COUPON), "COUPON_CODE_REQUIRED"),
        (lambda offer: offer.ClearField("price"), "PRICE_REQUIRED"),
        (lambda offer: setattr(offer.price, "amount_minor", 0), "PRICE_ZERO"),
        (lambda offer: setattr(offer.price, "amount_minor", -1), "PRICE_NEGATIVE"),
        (lambda offer: setattr(offer.price, "currency", "pkr"), "CURRENCY_UNKNOWN"),
    ],
)
def test_a_wrong_required_field_drops_the_row(change: Change, code: str) -> None:
    assert code in refused(change)


@pytest.mark.parametrize(
    ("link", "code"),
    [
        ("", "LINK_REQUIRED"),
        ("shop.example/a", "LINK_INVALID"),
        ("//shop.example/a", "LINK_INVALID"),
        ("javascript:alert(1)", "LINK_INVALID"),
        ("ftp://shop.example/a", "LINK_INVALID"),
        ("https:///a", "LINK_INVALID"),
        ("https://shop.example\\@evil.example/", "LINK_INVALID"),
        ("https://shop.example/\r\nSet-Cookie: a=b", "LINK_INVALID"),
        ("https://shop.example:99999/", "LINK_INVALID"),
        ("https://2130706433/", "LINK_INVALID"),
        ("https://user:secret@shop.example/", "LINK_HAS_CREDENTIALS"),
        ("https://shop.example@evil.example/", "LINK_HAS_CREDENTIALS"),
        ("https://shop.example/" + "a" * 2000, "LINK_TOO_LONG"),
        ("https://evil.example/", "LINK_HOST_NOT_ALLOWED"),
        ("https://evilshop.example/", "LINK_HOST_NOT_ALLOWED"),
        ("https://shop.example.evil.example/", "LINK_HOST_NOT_ALLOWED"),
        ("https://evil.example/?https://shop.example/", "LINK_HOST_NOT_ALLOWED"),
        ("https://evil.example?shop.example", "LINK_HOST_NOT_ALLOWED"),
        ("https://evil.example#.shop.example", "LINK_HOST_NOT_ALLOWED"),
    ],
)
def test_a_link_that_leads_elsewhere_or_nowhere_drops_the_row(link: str, code: str) -> None:
    assert refused(setting("link", link)) == [code]


@pytest.mark.parametrize(
    "link", ["https://shop.example", "http://SHOP.example./a", "https://www.shop.example:8443/a?b=%20#c"]
)
def test_the_listed_host_and_its_subdomains_are_allowed(link: str) -> None:
    assert accepted(setting("link", link))[1] == []


def test_a_link_is_stored_in_ascii() -> None:
    rules = ValidationRules("PKR", ("دکان.example",), NOW)
    offer, _ = accepted(setting("link", "https://دکان.example/کرتا سفید"), rules)
    assert offer.link.isascii()
    assert offer.link.startswith("https://xn--")
    assert " " not in offer.link
    assert check_link(offer.link) == Link(offer.link, offer.link.split("/")[2])


def test_no_listed_host_allows_no_link_and_none_leaves_hosts_unchecked() -> None:
    assert refused(setting("title", "Kurta"), ValidationRules("PKR", (), NOW)) == ["LINK_HOST_NOT_ALLOWED"]
    accepted(setting("link", "https://anywhere.example/"), ValidationRules("PKR", None, NOW))


@pytest.mark.parametrize(
    ("change", "code", "field", "left"),
    [
        (setting("title", "a" * 151), "TITLE_TRUNCATED", "title", "a" * 149 + "…"),
        (setting("title", "Kur\u200bta\x07"), "INVISIBLE_CHARACTERS", "title", "Kurta"),
        (setting("description", "a" * 5001), "DESCRIPTION_TRUNCATED", "description", "a" * 4999 + "…"),
        (setting("image_link", "x"), "IMAGE_LINK_INVALID", "image_link", ""),
        (setting("mpn", "x" * 71), "MPN_TOO_LONG", "mpn", ""),
        (setting("condition", 8), "CONDITION_UNKNOWN", "condition", ""),
        (adding_gtin("4006381333932"), "GTIN_INVALID", "gtins", []),
        (adding_gtin("abc"), "GTIN_INVALID", "gtins", []),
    ],
)
def test_a_wrong_optional_field_is_repaired_or_left_out(change: Change, code: str, field: str, left: object) -> None:
    offer, warnings = accepted(change)
    assert warnings == [code]
    assert getattr(offer, field) == left


def test_a_title_is_cut_at_a_blank_near_its_end() -> None:
    offer, _ = accepted(setting("title", "Kurta " * 30))
    assert offer.title.endswith(" Kurta…")
    assert len(offer.title) <= 150


def test_blanks_are_collapsed_without_a_word_and_joiners_are_kept() -> None:
    assert accepted(setting("title", " Lawn\u00a0 \n Kurta ")) == (accepted(setting("title", "Lawn Kurta"))[0], [])
    urdu = "می\u200cخواہم"
    assert accepted(setting("title", urdu))[0].title == urdu


def with_sale(amount_minor: int, currency: str = "PKR", starts_in: int | None = None) -> Change:
    def change(offer: pb.Offer) -> None:
        offer.sale_price.amount_minor, offer.sale_price.currency = amount_minor, currency
        if starts_in is not None:
            offer.sale_starts_at.FromDatetime(NOW + timedelta(days=starts_in))
            offer.sale_ends_at.FromDatetime(NOW)

    change.__name__ = f"{amount_minor} {currency}"
    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (with_sale(129_900), "SALE_PRICE_NOT_LOWER"),
        (with_sale(200_000), "SALE_PRICE_NOT_LOWER"),
        (with_sale(0), "SALE_PRICE_NOT_LOWER"),
        (with_sale(99_900, "USD"), "SALE_CURRENCY_DIFFERS"),
        (with_sale(99_900, "PKR", starts_in=1), "SALE_INTERVAL_INVALID"),
    ],
)
def test_a_sale_that_makes_no_sense_leaves_the_regular_price(change: Change, code: str) -> None:
    offer, warnings = accepted(change)
    assert warnings == [code]
    assert (offer.price_minor, offer.sale_price_minor, offer.sale_ends_at) == (129_900, None, None)


def test_a_price_without_currency_is_in_the_merchants() -> None:
    offer, _ = accepted(lambda offer: offer.price.ClearField("currency"))
    assert offer.currency == "PKR"


def test_what_is_over_already_is_kept_with_a_warning() -> None:
    assert accepted(lambda offer: offer.expires_at.FromDatetime(NOW))[1] == ["EXPIRES_IN_PAST"]
    assert accepted(lambda offer: offer.ends_at.FromDatetime(NOW))[1] == ["ENDS_IN_PAST"]


def test_a_time_that_protobuf_could_not_mean_is_left_out() -> None:
    offer, warnings = accepted(lambda offer: setattr(offer.expires_at, "seconds", 10**15))
    assert (offer.expires_at, warnings) == (None, ["TIME_INVALID"])


def make_coupon(offer: pb.Offer) -> None:
    offer.kind, offer.coupon_code = pb.OFFER_KIND_COUPON, "EID10"
    offer.ClearField("price")
    offer.ClearField("availability")


def test_a_coupon_needs_a_code_but_no_price() -> None:
    offer, warnings = accepted(make_coupon)
    assert (offer.kind, offer.coupon_code, offer.price_minor, offer.currency) == ("coupon", "EID10", None, None)
    assert (offer.availability, warnings) == ("in_stock", [])


def test_an_interval_that_ends_before_it_starts_drops_the_row() -> None:
    def change(offer: pb.Offer) -> None:
        make_coupon(offer)
        offer.starts_at.FromDatetime(NOW)
        offer.ends_at.FromDatetime(NOW - timedelta(days=1))

    assert refused(change) == ["INTERVAL_INVALID"]


@pytest.mark.parametrize(
    ("seconds", "nanos", "code"),
    [
        (0, 0, "SOURCE_TIME_REQUIRED"),
        (0, 999, "SOURCE_TIME_REQUIRED"),
        (-1, 0, "SOURCE_TIME_INVALID"),
        (1, -1, "SOURCE_TIME_INVALID"),
        (1, 10**9, "SOURCE_TIME_INVALID"),
        (int(NOW.timestamp()) * 1000, 0, "SOURCE_TIME_IN_FUTURE"),
    ],
)
def test_an_item_says_when_it_was_stated(seconds: int, nanos: int, code: str) -> None:
    item = make_item()
    item.source_time.seconds, item.source_time.nanos = seconds, nanos
    assert refused_item(item) == [code]


def test_clocks_may_run_a_day_ahead_and_not_a_microsecond_more() -> None:
    item = make_item()
    item.source_time.FromDatetime(NOW + FUTURE_TOLERANCE)
    assert validate_item(item, RULES)[0] is not None
    item.source_time.FromDatetime(NOW + FUTURE_TOLERANCE + timedelta(microseconds=1))
    assert refused_item(item) == ["SOURCE_TIME_IN_FUTURE"]


def test_a_deletion_needs_only_the_id() -> None:
    item = pb.OfferItem(source_time=make_item().source_time, offer=pb.Offer(offer_id="A-1", delete=True))
    offer, issues = validate_item(item, RULES)
    assert offer is not None
    assert (offer.offer_id, issues) == ("A-1", [])
    item.offer.offer_id = ""
    assert refused_item(item) == ["OFFER_ID_REQUIRED"]


def test_an_item_without_an_offer_says_why_or_is_asked() -> None:
    item = make_item()
    item.ClearField("offer")
    assert refused_item(item) == ["OFFER_MISSING"]
    item.issues.add(severity=pb.SEVERITY_ERROR, code="PRICE_INVALID")
    assert refused_item(item) == [], "what the producer has said is not said again"


def test_a_producers_warning_keeps_the_offer_and_its_error_does_not() -> None:
    item = make_item()
    item.issues.add(severity=pb.SEVERITY_WARNING, code="TITLE_TRUNCATED")
    assert validate_item(item, RULES)[0] is not None
    item.issues.add(severity=pb.SEVERITY_ERROR, code="FLAG_INVALID")
    assert refused_item(item) == []


def test_all_errors_of_a_row_are_named_at_once() -> None:
    def change(offer: pb.Offer) -> None:
        offer.ClearField("title")
        offer.ClearField("price")
        offer.link = "x"

    assert sorted(refused(change)) == ["LINK_INVALID", "PRICE_REQUIRED", "TITLE_REQUIRED"]


def test_custom_attributes_are_capped() -> None:
    def change(offer: pb.Offer) -> None:
        for number in range(51):
            offer.custom_attributes[f"name{number:02d}"] = "v"
        offer.custom_attributes["name00"] = "v" * 501

    offer, warnings = accepted(change)
    assert len(offer.custom_attributes) == 50
    assert len(offer.custom_attributes["name00"]) == 500
    assert sorted(warnings) == ["CUSTOM_ATTRIBUTES_TRUNCATED", "TOO_MANY_ATTRIBUTES"]


@pytest.mark.parametrize("gtin", ["96385074", "036000291452", "4006381333931", "10012345678902"])
def test_gtins_with_a_right_check_digit(gtin: str) -> None:
    assert is_gtin(gtin)
    assert not is_gtin(gtin[:-1] + str((int(gtin[-1]) + 1) % 10))


@pytest.mark.parametrize("gtin", ["", "0" * 13, "400638133393", "٤٠٠٦٣٨١٣٣٣٩٣١"])
def test_what_is_no_gtin(gtin: str) -> None:
    assert not is_gtin(gtin)


def test_the_content_hash_follows_the_offer_and_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = make_item().offer, make_item(setting("title", "Kurta")).offer
    assert len(content_hash(one)) == 16
    assert content_hash(one) == content_hash(make_item().offer)
    assert content_hash(one) != content_hash(other)
    known = content_hash(one)
    monkeypatch.setattr(content_module, "_PREFIX", bytes([content_module.RULES_VERSION + 1]))
    assert content_hash(one) != known


def test_the_content_hash_does_not_depend_on_the_order_of_attributes() -> None:
    one, other = pb.Offer(), pb.Offer()
    names = [f"n{number}" for number in range(20)]
    for name in names:
        one.custom_attributes[name] = "v"
    for name in reversed(names):
        other.custom_attributes[name] = "v"
    assert content_hash(one) == content_hash(other)


@given(st.binary(max_size=200))
def test_no_message_breaks_validation(data: bytes) -> None:
    item = make_item()
    try:
        item.MergeFromString(data)
    except Exception:  # protobuf's own class for what is no message at all
        return
    offer, issues = validate_item(item, RULES)
    assert offer is not None or issues or item.issues
