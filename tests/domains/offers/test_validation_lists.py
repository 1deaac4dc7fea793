"""The rules for what an item has several of: attributes, images, product types, GTINs."""

import json

import pytest

from domains.offers.validation.fields import is_gtin
from tests.domains.offers.validated import (
    accepted,
)
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb


def test_custom_attributes_are_at_most_fifty() -> None:
    many = {f"name{number:02d}": "v" for number in range(51)}
    offer, warnings = accepted(lambda offer: offer.custom_attributes.update(many))
    assert list(json.loads(offer.custom_attributes_json)) == sorted(many)[:50]
    assert warnings == ["TOO_MANY_ATTRIBUTES"]


def test_a_long_attribute_is_cut_and_one_with_a_long_name_left_out() -> None:
    offer, warnings = accepted(lambda offer: offer.custom_attributes.update({"a": "v" * 501, "b": "c"}))
    assert json.loads(offer.custom_attributes_json) == {"a": "v" * 499 + "…", "b": "c"}
    assert warnings == ["CUSTOM_ATTRIBUTES_TRUNCATED"]
    offer, warnings = accepted(lambda offer: offer.custom_attributes.update({"a" * 51: "v", "b": "c"}))
    assert json.loads(offer.custom_attributes_json) == {"b": "c"}
    assert warnings == ["CUSTOM_ATTRIBUTES_TOO_LONG"]


def test_custom_attributes_are_cleaned_and_may_meet_under_one_name() -> None:
    def change(offer: pb.Offer) -> None:
        names = {"a": "1", "a\u200b": "2", " b ": " x  y ", "c": "", "": "z", "d" * 51: "long"}
        offer.custom_attributes.update(names)

    offer, warnings = accepted(change)
    assert json.loads(offer.custom_attributes_json) == {"a": "2", "b": "x y", "c": ""}
    assert sorted(warnings) == ["CUSTOM_ATTRIBUTES_TOO_LONG", "INVISIBLE_CHARACTERS"]
    assert accepted(lambda offer: offer.custom_attributes.update({"": ""}))[0].custom_attributes_json == "{}"


def test_custom_attributes_of_the_greatest_size_are_kept_as_they_are() -> None:
    wanted = {f"{number:050d}": "ک" * 500 for number in range(50)}
    offer, warnings = accepted(lambda offer: offer.custom_attributes.update(wanted))
    assert (json.loads(offer.custom_attributes_json), warnings) == (wanted, [])


def test_images_are_on_any_host_at_most_twenty_and_wrong_ones_are_left_out() -> None:
    good = [f"https://images.example/{number}.jpg" for number in range(21)]
    offer, warnings = accepted(lambda offer: offer.additional_image_links.extend(good))
    assert (offer.additional_image_links, warnings) == (good[:20], ["TOO_MANY_IMAGES"])
    mixed = ["images.example/1.jpg", good[0], "", f" {good[1]} ", "https://IMAGES.example/a b"]
    offer, warnings = accepted(lambda offer: offer.additional_image_links.extend(mixed))
    assert offer.additional_image_links == [good[0], good[1], "https://images.example/a%20b"]
    assert warnings == ["IMAGE_LINK_INVALID"]


def test_product_types_are_at_most_ten_and_none_is_empty() -> None:
    many = [f"Men > Kurta {number}" for number in range(11)]
    offer, warnings = accepted(lambda offer: offer.product_types.extend(many))
    assert (offer.product_types, warnings) == (many[:10], ["TOO_MANY_PRODUCT_TYPES"])
    offer, warnings = accepted(lambda offer: offer.product_types.extend(["", " \u00a0", "a" * 751, " Men  "]))
    assert (offer.product_types, warnings) == (["a" * 749 + "…", "Men"], ["PRODUCT_TYPES_TRUNCATED"])


def test_gtins_are_digits_once_each_and_at_most_twenty() -> None:
    offer, warnings = accepted(lambda offer: offer.gtins.extend(["4006381333931", "400-6381 333931", "96385074"]))
    assert (offer.gtins, warnings) == (["4006381333931", "96385074"], [])
    offer, warnings = accepted(lambda offer: offer.gtins.extend(["96385074"] * 21))
    assert (offer.gtins, warnings) == (["96385074"], ["TOO_MANY_GTINS"])


@pytest.mark.parametrize("gtin", ["96385074", "036000291452", "4006381333931", "10012345678902"])
def test_gtins_with_a_right_check_digit(gtin: str) -> None:
    assert is_gtin(gtin)
    assert not is_gtin(gtin[:-1] + str((int(gtin[-1]) + 1) % 10))


@pytest.mark.parametrize("gtin", ["", "0" * 13, "400638133393", "٤٠٠٦٣٨١٣٣٣٩٣١"])
def test_what_is_no_gtin(gtin: str) -> None:
    assert not is_gtin(gtin)
