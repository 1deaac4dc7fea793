"""The rules for a pushed item: what drops it, what is repaired with a warning, and what the table gets."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.offers.models import OfferRow
from domains.offers.validation import FUTURE_TOLERANCE, ValidatedOffer, ValidationRules, validate_item
from domains.offers.validation.links import Link, check_link
from tests.domains.offers.validated import (
    NOW,
    RULES,
    Change,
    accepted,
    adding_gtin,
    make_item,
    refused,
    refused_item,
    setting,
)
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb


def test_a_plain_product_becomes_the_columns_of_the_table() -> None:
    offer, warnings = accepted()
    assert warnings == []
    assert (offer.offer_id, offer.kind, offer.title) == ("A-1", "product", "Lawn Kurta")
    assert (offer.price_minor, offer.currency, offer.sale_price_minor) == (129_900, "PKR", None)
    assert (offer.availability, offer.link) == ("in_stock", "https://shop.example/a-1")
    assert (offer.condition, offer.gender, offer.rate_category, offer.brand) == ("", "", "", "")
    assert offer.cashback_eligible
    assert (offer.additional_image_links, offer.gtins, offer.product_types) == ([], [], [])
    assert offer.custom_attributes_json == "{}"


def test_the_fields_are_columns_of_the_table_so_that_rows_can_be_sliced() -> None:
    first, *columns = ValidatedOffer._fields
    assert first == "offer_id"
    stated = [column.name for column in OfferRow.__table__.columns if column.name in {*columns, "custom_attributes"}]
    assert [name.removesuffix("_json") for name in columns] == stated
    offer, _ = accepted()
    assert (offer[0], offer[1:]) == (offer.offer_id, tuple(getattr(offer, name) for name in columns))


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
    assert offer.custom_attributes_json == '{"fabric":"lawn"}'
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
        (setting("offer_id", "A "), "OFFER_ID_INVALID"),
        (setting("offer_id", "A\u200b"), "OFFER_ID_INVALID"),
        (setting("kind", -1), "KIND_UNKNOWN"),
        (setting("rate_category", "x" * 51), "RATE_CATEGORY_INVALID"),
        (setting("rate_category", "shoes\u200b"), "RATE_CATEGORY_INVALID"),
        (setting("coupon_code", "x" * 51), "COUPON_CODE_INVALID"),
        (setting("coupon_code", "EID\x0710"), "COUPON_CODE_INVALID"),
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
        ("https://shop.example/" + "a" * 1980, "LINK_TOO_LONG"),
        ("https://shop.example/" + "é" * 400, "LINK_TOO_LONG"),
        ("https://shop.example:0/", "LINK_INVALID"),
        ("https://shop.example:8x/", "LINK_INVALID"),
        ("https://shop.example /", "LINK_INVALID"),
        ("https://-shop.example/", "LINK_INVALID"),
        ("https://shop..example/", "LINK_INVALID"),
        ("https://example/", "LINK_INVALID"),
        ("https://shop.example/\u200b", "LINK_INVALID"),
        ("https://shop.example/\x7f", "LINK_INVALID"),
        ("https://evil.example/", "LINK_HOST_NOT_ALLOWED"),
        ("https://evilshop.example/", "LINK_HOST_NOT_ALLOWED"),
        ("https://shop.examples", "LINK_HOST_NOT_ALLOWED"),
        ("https://shop.example/a\\b", "LINK_INVALID"),
        ("https://shop.example.evil.example/", "LINK_HOST_NOT_ALLOWED"),
        ("https://evil.example/?https://shop.example/", "LINK_HOST_NOT_ALLOWED"),
        ("https://evil.example?shop.example", "LINK_HOST_NOT_ALLOWED"),
        ("https://evil.example#.shop.example", "LINK_HOST_NOT_ALLOWED"),
    ],
)
def test_a_link_that_leads_elsewhere_or_nowhere_drops_the_row(link: str, code: str) -> None:
    assert refused(setting("link", link)) == [code]


@pytest.mark.parametrize(
    ("link", "stored"),
    [
        ("https://shop.example/" + "a" * 1979, "https://shop.example/" + "a" * 1979),
        ("https://shop.example", "https://shop.example"),
        ("https://shop.example?a=/b", "https://shop.example?a=/b"),
        ("HTTPS://Shop.Example./A", "https://shop.example/A"),
        ("https://shop.example:8443/a", "https://shop.example:8443/a"),
        ("\u00a0https://shop.example/a\n", "https://shop.example/a"),
        ('https://shop.example/a b?q=<"é">', "https://shop.example/a%20b?q=%3C%22%C3%A9%22%3E"),
        ("https://shop.example/a b", "https://shop.example/a%20b"),
        ("https://shop.example/<a>", "https://shop.example/%3Ca%3E"),
        ("https://shop.example/a%20b^`{|}'()[]", "https://shop.example/a%20b^`{|}'()[]"),
    ],
)
def test_what_is_stored_of_a_link(link: str, stored: str) -> None:
    offer, warnings = accepted(setting("link", link))
    assert (offer.link, warnings) == (stored, [])


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
        (setting("item_group_id", "x" * 51), "ITEM_GROUP_ID_TOO_LONG", "item_group_id", ""),
        (setting("brand", "a" * 71), "BRAND_TRUNCATED", "brand", "a" * 69 + "…"),
        (setting("color", "a" * 101), "COLOR_TRUNCATED", "color", "a" * 99 + "…"),
        (setting("size", "a" * 101), "SIZE_TRUNCATED", "size", "a" * 99 + "…"),
        (
            setting("google_product_category", "a" * 751),
            "GOOGLE_PRODUCT_CATEGORY_TRUNCATED",
            "google_product_category",
            "a" * 749 + "…",
        ),
        (setting("image_link", "https://i.example/" + "a" * 2000), "IMAGE_LINK_TOO_LONG", "image_link", ""),
        (setting("image_link", "https://me@i.example/a"), "IMAGE_LINK_HAS_CREDENTIALS", "image_link", ""),
        (setting("gender", -1), "GENDER_UNKNOWN", "gender", ""),
        (setting("age_group", 6), "AGE_GROUP_UNKNOWN", "age_group", ""),
        (setting("condition", 8), "CONDITION_UNKNOWN", "condition", ""),
        (adding_gtin("4006381333932"), "GTIN_INVALID", "gtins", []),
        (adding_gtin("abc"), "GTIN_INVALID", "gtins", []),
    ],
)
def test_a_wrong_optional_field_is_repaired_or_left_out(change: Change, code: str, field: str, left: object) -> None:
    offer, warnings = accepted(change)
    assert warnings == [code]
    assert getattr(offer, field) == left


@pytest.mark.parametrize(
    ("field", "length"),
    [
        ("offer_id", 50),
        ("title", 150),
        ("description", 5000),
        ("mpn", 70),
        ("brand", 70),
        ("item_group_id", 50),
        ("google_product_category", 750),
        ("color", 100),
        ("size", 100),
        ("rate_category", 50),
        ("coupon_code", 50),
    ],
)
def test_a_text_of_the_greatest_length_is_kept_as_it_is(field: str, length: int) -> None:
    for letter in "xک":
        offer, warnings = accepted(setting(field, letter * length))
        assert (getattr(offer, field), warnings) == (letter * length, [])


def test_the_id_is_the_merchants_own_to_the_letter() -> None:
    for offer_id in ("a-1", "A  1/ä", "کرتا 1", "A\u00a71"):
        assert accepted(setting("offer_id", offer_id)) == (accepted()[0]._replace(offer_id=offer_id), [])


def test_a_title_is_cut_at_a_blank_near_its_end() -> None:
    offer, _ = accepted(setting("title", "Kurta " * 30))
    assert offer.title.endswith(" Kurta…")
    assert len(offer.title) <= 150


def test_blanks_are_collapsed_without_a_word_and_joiners_are_kept() -> None:
    assert accepted(setting("title", " Lawn\u00a0 \n Kurta ")) == (accepted(setting("title", "Lawn Kurta"))[0], [])
    urdu = "می\u200cخواہم"
    assert accepted(setting("title", urdu))[0].title == urdu


@pytest.mark.parametrize(
    ("field", "enum", "names"),
    [
        ("kind", pb.OfferKind, ["product", "product", None, "deal"]),
        ("availability", pb.Availability, [None, "in_stock", "out_of_stock", "preorder", "backorder", "limited"]),
        ("condition", pb.Condition, ["", "new", "refurbished", "used"]),
        ("gender", pb.Gender, ["", "male", "female", "unisex"]),
        ("age_group", pb.AgeGroup, ["", "newborn", "infant", "toddler", "kids", "adult"]),
    ],
)
def test_numbers_of_the_protocol_have_names(field: str, enum: Any, names: list[str | None]) -> None:
    assert len(names) == len(enum.keys())
    for number, name in enumerate(names):
        if name is not None:
            offer, warnings = accepted(setting(field, number))
            assert (getattr(offer, field), warnings) == (name, [])


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
    assert (offer.availability, offer.link, offer.price_minor, offer.custom_attributes_json) == (
        "out_of_stock",
        "",
        None,
        "{}",
    )
    item.offer.offer_id = "A-2"
    assert validate_item(item, RULES) == (offer._replace(offer_id="A-2"), [])
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


@given(st.binary(max_size=200))
def test_no_message_breaks_validation(data: bytes) -> None:
    item = make_item()
    try:
        item.MergeFromString(data)
    except Exception:  # protobuf's own class for what is no message at all
        return
    offer, issues = validate_item(item, RULES)
    assert offer is not None or issues or item.issues
