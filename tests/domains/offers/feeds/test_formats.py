"""Each format that is recognised, by a small feed of our own."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

Read = Callable[..., Any]

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0">
<channel>
  <title>Shop</title>
  <link>https://shop.example/</link>
  <item>
    <title>Title of RSS</title>
    <g:id>A1</g:id>
    <g:title><![CDATA[Lawn & Kurta]]></g:title>
    <description>&lt;p&gt;Soft.&lt;/p&gt;&lt;p&gt;Light.&lt;/p&gt;</description>
    <link>https://shop.example/a1</link>
    <g:image_link>https://images.example/1.jpg</g:image_link>
    <g:additional_image_link>https://images.example/2.jpg</g:additional_image_link>
    <g:additional_image_link>https://images.example/3,4.jpg</g:additional_image_link>
    <g:price>1299.00 PKR</g:price>
    <g:sale_price>999 PKR</g:sale_price>
    <g:sale_price_effective_date>2026-03-01T00:00+0500/2026-03-08T00:00+0500</g:sale_price_effective_date>
    <g:availability>in stock</g:availability>
    <g:gtin>4006381333931</g:gtin>
    <g:shipping><g:country>PK</g:country><g:price>0 PKR</g:price></g:shipping>
    <g:product_type>Men &gt; Kurta</g:product_type>
    <g:condition>New</g:condition>
    <g:gender>female</g:gender>
    <g:adult>no</g:adult>
    <g:custom_label_0>season</g:custom_label_0>
  </item>
  <!-- between -->
  <item><g:id>A2</g:id><title>Dupatta</title></item>
</channel>
</rss>
"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">
  <title>Shop</title><link rel="self" href="https://shop.example/feed"/>
  <entry>
    <g:id>B1</g:id><title>Khussa</title><summary>Handmade</summary>
    <link rel="enclosure" href="https://shop.example/file"/><link href="https://shop.example/b1"/>
    <g:price>Rs. 2,500</g:price><g:availability>https://schema.org/OutOfStock</g:availability>
  </entry>
</feed>
"""
YML = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE yml_catalog SYSTEM "shops.dtd">
<yml_catalog date="2026-03-01 09:16"><shop>
  <categories><category id="1">Home</category><category id="2" parentId="1">Lamps</category></categories>
  <offers>
    <offer id="77" available="true" group_id="7">
      <url>https://shop.example/77</url><price>80.00</price><oldprice>100</oldprice><currencyId>RUR</currencyId>
      <categoryId>2</categoryId><picture>https://images.example/1.jpg</picture>
      <picture>https://images.example/2.jpg</picture><vendor>Neem</vendor><vendorCode>N-1</vendorCode>
      <name>Lamp</name><param name="Colour">Red</param><param name="Colour 2">Blue</param>
    </offer>
    <offer id="78" available="false">
      <url>https://shop.example/78</url><price>5</price><typePrefix>Lamp</typePrefix><vendor>Neem</vendor><model>X</model>
    </offer>
  </offers>
</shop></yml_catalog>
"""
AWIN = (
    "aw_deep_link,product_name,merchant_product_id,merchant_deep_link,search_price,rrp_price,currency,in_stock,"
    "brand_name,ean,merchant_category,aw_image_url\r\n"
    'https://track.example/1,"Vase, blue",V1,https://shop.example/v1,75.00,100.00,EUR,1,Kashi,4006381333931,Home,'
    "https://images.example/v.jpg\r\n"
    "https://track.example/2,Plate,V2,https://shop.example/v2,20,20,EUR,0,,,,\r\n"
)
SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Type,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,"
    "Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,Variant Compare At Price,"
    "Variant Barcode,Image Src\n"
    'kurta,Kurta,"<p>Soft,\n and light</p>",Ravi,Men,true,Size,S,Color,Red,SKU-S,shopify,3,deny,1200,1500,'
    "'4006381333931,https://images.example/1.jpg\n"
    "kurta,,,,,,,M,,Red,SKU-M,shopify,0,deny,1300,,,https://images.example/2.jpg\n"
    "kurta,,,,,,,L,,Red,SKU-M,shopify,0,continue,1400,,,\n"
    "kurta,,,,,,,,,,,,,,,,,https://images.example/3.jpg\n"
    "lamp,Lamp,,Ravi,Home,true,Title,Default Title,,,,,,deny,900,,,\n"
    "hidden,Hidden,,Ravi,Home,false,Title,Default Title,,,,,,deny,900,,,\n"
)


def test_google_rss(read: Read) -> None:
    found = read(RSS)
    assert (found.format, found.encoding, found.compression, found.codes) == ("google_xml", "utf-8", "none", [])
    first, second = found.offers
    assert (first.offer_id, first.title, first.description) == ("A1", "Lawn & Kurta", "Soft. Light.")
    assert (first.link, first.image_link) == ("https://shop.example/a1", "https://images.example/1.jpg")
    assert list(first.additional_image_links) == ["https://images.example/2.jpg", "https://images.example/3,4.jpg"]
    assert (first.price.amount_minor, first.sale_price.amount_minor, first.price.currency) == (129_900, 99_900, "PKR")
    assert first.sale_starts_at.ToDatetime(UTC) == datetime(2026, 2, 28, 19, tzinfo=UTC)
    assert first.sale_ends_at.ToDatetime(UTC) == datetime(2026, 3, 7, 19, tzinfo=UTC)
    assert first.availability == pb.AVAILABILITY_IN_STOCK
    assert (list(first.gtins), list(first.product_types)) == (["4006381333931"], ["Men > Kurta"])
    assert (first.condition, first.gender, first.adult) == (pb.CONDITION_NEW, pb.GENDER_FEMALE, False)
    assert dict(first.custom_attributes) == {"custom_label_0": "season"}
    assert second.title == "Dupatta"
    assert [item.line for item in found.items] == [6, 28]
    assert {item.source_time.seconds for item in found.items} == {int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())}


def test_google_atom(read: Read) -> None:
    found = read(ATOM)
    assert (found.format, len(found.offers)) == ("google_xml", 1)
    offer = found.offers[0]
    assert (offer.offer_id, offer.title, offer.description) == ("B1", "Khussa", "Handmade")
    assert offer.link == "https://shop.example/b1"
    assert (offer.price.amount_minor, offer.availability) == (250_000, pb.AVAILABILITY_OUT_OF_STOCK)


def test_yml_with_the_reference_to_its_dtd(read: Read) -> None:
    found = read(YML)
    assert (found.format, found.codes, found.error) == ("yml", [], None)
    first, second = found.offers
    assert (first.offer_id, first.title, first.brand, first.mpn) == ("77", "Lamp", "Neem", "N-1")
    assert (first.price.amount_minor, first.sale_price.amount_minor, first.price.currency) == (10_000, 8_000, "RUB")
    assert (first.image_link, list(first.additional_image_links)) == (
        "https://images.example/1.jpg",
        ["https://images.example/2.jpg"],
    )
    assert list(first.product_types) == ["Home > Lamps"]
    assert dict(first.custom_attributes) == {"Colour": "Red", "Colour 2": "Blue"}
    assert (first.availability, second.availability) == (pb.AVAILABILITY_IN_STOCK, pb.AVAILABILITY_OUT_OF_STOCK)
    assert (second.title, second.price.currency) == ("Lamp Neem X", "PKR")


def test_google_tsv_with_doubled_quotes_and_several_images(read: Read) -> None:
    data = (
        "id\ttitle\tlink\tprice\tavailability\tadditional image link\r\n"
        '1\t"A ""good"" lamp"\thttps://shop.example/1\tPKR 1,299.00\tpreorder'
        "\thttps://images.example/1.jpg,https://images.example/2.jpg\r\n"
    )
    found = read(data)
    assert (found.format, found.items[0].line) == ("google_tsv", 2)
    offer = found.offers[0]
    assert (offer.title, offer.price.amount_minor) == ('A "good" lamp', 129_900)
    assert offer.availability == pb.AVAILABILITY_PREORDER
    assert list(offer.additional_image_links) == ["https://images.example/1.jpg", "https://images.example/2.jpg"]


def test_google_columns_between_commas(read: Read) -> None:
    assert read("id,title,link,price\n1,Lamp,https://shop.example/1,5\n").format == "google_csv"


def test_awin_takes_the_untracked_link_and_the_reduced_price(read: Read) -> None:
    found = read(AWIN)
    assert (found.format, found.codes) == ("awin_csv", [])
    first, second = found.offers
    assert (first.offer_id, first.title, first.link) == ("V1", "Vase, blue", "https://shop.example/v1")
    assert (first.price.amount_minor, first.sale_price.amount_minor, first.price.currency) == (10_000, 7_500, "EUR")
    assert (first.brand, list(first.gtins), list(first.product_types)) == ("Kashi", ["4006381333931"], ["Home"])
    assert not second.HasField("sale_price")
    assert second.availability == pb.AVAILABILITY_OUT_OF_STOCK


def test_shopify_gives_one_offer_a_variant(read: Read) -> None:
    found = read(SHOPIFY, link_base="https://shop.example/")
    assert (found.format, found.codes) == ("shopify_csv", [])
    small, middle, large, lamp = found.offers
    # The SKU that two sizes share tells neither apart.
    assert [offer.offer_id for offer in found.offers] == ["SKU-S", "kurta-M-Red", "kurta-L-Red", "lamp"]
    assert (small.title, small.description, small.size, small.color) == ("Kurta S / Red", "Soft, and light", "S", "Red")
    assert (small.price.amount_minor, small.sale_price.amount_minor) == (150_000, 120_000)
    assert (small.link, small.item_group_id) == ("https://shop.example/products/kurta", "kurta")
    assert (small.image_link, len(small.additional_image_links)) == ("https://images.example/1.jpg", 2)
    assert list(small.gtins) == ["4006381333931"]
    assert (small.availability, middle.availability, large.availability) == (
        pb.AVAILABILITY_IN_STOCK,
        pb.AVAILABILITY_OUT_OF_STOCK,
        pb.AVAILABILITY_IN_STOCK,
    )
    assert (lamp.title, lamp.price.currency) == ("Lamp", "PKR")
    assert [item.line for item in found.items] == [2, 4, 5, 7]


def test_shopify_without_the_shops_address_says_what_is_missing(read: Read) -> None:
    found = read(SHOPIFY)
    assert found.codes == ["LINK_BASE_MISSING"] * 4
    assert found.offers == []
    assert read(SHOPIFY, maps=["link=Handle|prefix:https://shop.example/p/"]).offers[0].link.endswith("/p/kurta")


def test_shopify_ids_of_long_handles_are_short_stable_and_distinct(read: Read) -> None:
    handle = "a-very-long-handle-" * 5
    head = "Handle,Title,Option1 Name,Option1 Value,Variant Price\n"
    rows = f"{handle},Lamp,Size,S,5\n{handle},,,M,5\n"
    ids = [offer.offer_id for offer in read(head + rows, link_base="https://shop.example").offers]
    assert len(set(ids)) == 2
    assert all(len(offer_id) <= 50 for offer_id in ids)
    assert ids == [offer.offer_id for offer in read(head + rows, link_base="https://shop.example").offers]


def test_json_lines_with_our_own_names(read: Read) -> None:
    found = read(
        '{"offer_id": "1", "title": "Lamp", "link": "https://shop.example/1", "price": 12.50,'
        ' "availability": "limited", "gtins": ["4006381333931"],'
        ' "custom_attributes": {"a": 1, "b": [2]}, "cashback_eligible": false,'
        ' "source_time": "2026-02-01T00:00:00+05:00"}\n\n'
        '{"offer_id": 2, "delete": true}\n'
    )
    assert (found.format, found.codes) == ("jsonl", [])
    first, second = found.offers
    assert (first.price.amount_minor, first.price.currency) == (1_250, "PKR")
    assert (first.availability, first.cashback_eligible) == (pb.AVAILABILITY_LIMITED, False)
    assert dict(first.custom_attributes) == {"a": "1"}
    assert found.items[0].source_time.ToDatetime(UTC) == datetime(2026, 1, 31, 19, tzinfo=UTC)
    assert (second.offer_id, second.delete, found.items[1].line) == ("2", True, 3)


def test_json_numbers_never_pass_through_a_float(read: Read) -> None:
    prices = ["0.1", "19.99", "9007199254740993.07", "12.500"]
    for format_, text in (("jsonl", '{{"id":"1","price":{}}}\n'), ("json", '[{{"id":"1","price":{}}}]')):
        offers = [read(text.format(price), format=format_).offers[0] for price in prices]
        assert [offer.price.amount_minor for offer in offers] == [10, 1_999, 900_719_925_474_099_307, 1_250]


def test_a_json_array_is_numbered_by_its_entries(read: Read) -> None:
    found = read('[\n{"id": "1", "price": {"amount": 5}},\n 7,\n {"id": "2"}]', maps=["price=price.amount"])
    assert (found.format, [item.line for item in found.items]) == ("json", [1, 2, 3])
    assert found.codes == ["JSON_INVALID"]
    assert found.offers[0].price.amount_minor == 500


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"], ids=["comma", "semicolon", "pipe", "tab"])
def test_any_table_by_a_mapping(read: Read, delimiter: str) -> None:
    rows = [["SKU", "Bezeichnung", "URL"], ["1", "Lamp, red; big", "https://shop.example/1"]]
    data = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    found = read(data, maps=["offer_id=SKU", "title=Bezeichnung", "link=URL"], default_availability="in_stock")
    assert (found.format, found.codes) == ("csv", [])
    assert (found.offers[0].title, found.offers[0].availability) == ("Lamp, red; big", pb.AVAILABILITY_IN_STOCK)


def test_a_delimiter_and_a_format_can_be_named(read: Read) -> None:
    assert read("id^title^link\n1^a,b,c,d^https://shop.example/1\n", delimiter="^").offers[0].title == "a,b,c,d"
    assert read('{"id": "1"}', format="jsonl").format == "jsonl"


def test_a_coupon(read: Read) -> None:
    offer = read(
        '{"offer_id":"c","kind":"voucher","title":"10 %","link":"https://shop.example","coupon_code":"EID10",'
        '"starts_at":"2026-03-01","ends_at":"2026-03-09T00:00:00Z"}'
    ).offers[0]
    assert (offer.kind, offer.coupon_code, offer.HasField("price")) == (pb.OFFER_KIND_COUPON, "EID10", False)
    assert offer.starts_at.ToDatetime(UTC) == datetime(2026, 3, 1, tzinfo=UTC)
    assert offer.ends_at.ToDatetime(UTC) == datetime(2026, 3, 9, tzinfo=UTC)
