"""Rows that are bad cost only themselves; rows that are odd are kept with a warning; mappings say what is what."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from domains.offers.feeds import FeedError, FeedOptions, parse_column_mapping
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

Read = Callable[..., Any]
HEAD = "id,title,link,price\n"
GOOD = "ok,Lamp,https://shop.example/ok,5\n"


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("1,Lamp,https://shop.example/1,NaN", "PRICE_INVALID"),
        ("1,Lamp,https://shop.example/1,1.299", "AMBIGUOUS_PRICE"),
        ("1,Lamp,https://shop.example/1,-5", "PRICE_NEGATIVE"),
        ("1,Lamp,https://shop.example/1", "WRONG_COLUMN_COUNT"),
        ("1,Lamp,https://shop.example/1,5,6", "WRONG_COLUMN_COUNT"),
        ("1,La\0mp,https://shop.example/1,5", "NUL_CHARACTER"),
        ('1,"Lamp" new,https://shop.example/1,5', "QUOTES_INVALID"),
        (f"1,{'x' * 1_000_001},https://shop.example/1,5", "FIELD_TOO_LARGE"),
        (f"1,{'x' * 10_000_000},https://shop.example/1,5", "FIELD_TOO_LARGE"),
        (f'1,"{"x" * 10_000_000}",https://shop.example/1,5', "FIELD_TOO_LARGE"),
        (f'1,"{"x" * 2_000_000}",https://shop.example/1,5', "FIELD_TOO_LARGE"),
        (f"1,Lamp,https://shop.example/{'x' * 5000},5", "FIELD_TOO_LARGE"),
    ],
    ids=lambda value: f"{value[:40]} ({len(value)})",
)
def test_a_bad_row_costs_only_itself(read: Read, row: str, code: str) -> None:
    found = read(f"{HEAD}{GOOD}{row}\n{GOOD}")
    assert [item.HasField("offer") for item in found.items] == [True, False, True]
    issue = found.items[1].issues[0]
    assert (issue.code, issue.severity, found.items[1].line) == (code, pb.SEVERITY_ERROR, 3)
    assert issue.message.endswith(".")
    assert len(issue.value) <= 80
    assert found.items[2].line == 4
    assert found.error is None


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"id": "1", "title": "La\\u0000mp"}', "NUL_CHARACTER"),
        ('{"id": "1", "title": "\\ud800"}', "ENCODING_INVALID"),
        ('{"id": "1", "price": NaN}', "PRICE_INVALID"),
        ('{"id": "1", "price": 1e5}', "PRICE_INVALID"),
        ('{"id": "1", "price": "5", "currency": "XXL"}', "CURRENCY_UNKNOWN"),
        ('{"id": "1", "price": "5 EUR", "currency": "PKR"}', "CURRENCY_CONFLICT"),
        ('{"id": "1", "availability": "soon"}', "AVAILABILITY_UNKNOWN"),
        ('{"id": "1", "delete": "perhaps"}', "FLAG_INVALID"),
        ('{"id": "1", "source_time": "yesterday"}', "SOURCE_TIME_INVALID"),
        ('{"id": "1"', "JSON_INVALID"),
        ('["1"]', "JSON_INVALID"),
        ("[" * 100_000, "JSON_INVALID"),
        ('{"unknown": "1"}', "ROW_EMPTY"),
        ('{"id": ' + "9" * 5001 + "}", "FIELD_TOO_LARGE"),
    ],
    ids=lambda value: f"{value[:40]} ({len(value)})",
)
def test_a_bad_line_of_json_costs_only_itself(read: Read, line: str, code: str) -> None:
    found = read('{"id": "a"}\n' + line + '\n{"id": "b"}\n')
    assert [item.HasField("offer") for item in found.items] == [True, False, True]
    assert (found.codes, found.error) == ([code], None)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("title", "x" * 151, "TITLE_TRUNCATED"),
        ("title", "La\\u200bmp", "INVISIBLE_CHARACTERS"),
        ("description", "x" * 5001, "DESCRIPTION_TRUNCATED"),
        ("sale_price", "5 doubloons", "CURRENCY_UNKNOWN"),
        ("sale_price", "NaN", "PRICE_INVALID"),
        ("condition", "so so", "CONDITION_UNKNOWN"),
        ("expires_at", "soon", "TIME_INVALID"),
        ("adult", "perhaps", "FLAG_INVALID"),
    ],
)
def test_an_odd_row_is_kept_with_a_warning(read: Read, field: str, value: str, code: str) -> None:
    found = read(f'{{"id": "1", "price": "5", "{field}": "{value}"}}')
    assert (found.codes, len(found.offers)) == ([code], 1)
    assert found.items[0].issues[0].severity == pb.SEVERITY_WARNING


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two</p>", "One Two"),
        ("One<br>Two<br/>Three", "One Two Three"),
        ("<ul><li>a</li><li>b</li></ul>", "a b"),
        ("Fish &amp; chips&nbsp;now", "Fish & chips now"),
        ("a < b and c > d", "a < b and c > d"),
        ("<script>alert(1)</script>Safe<style>p{}</style>", "Safe"),
        ("<b>bold", "bold"),
        ("<!-- hidden -->", ""),
        ("50% <strong>off</strong>", "50% off"),
    ],
)
def test_markup_becomes_text(read: Read, html: str, text: str) -> None:
    head = "id\ttitle\tlink\tprice\tdescription\n"
    assert read(f"{head}1\tLamp\thttps://shop.example/1\t5\t{html}\n").offers[0].description == text


def test_availability_in_the_words_of_shops(read: Read) -> None:
    words = ["In Stock", "in-stock", "17", "0", "SOLD OUT", "pre order", "https://schema.org/InStock", "back-order"]
    lines = "".join(f'{{"id":"1","availability":"{word}"}}\n' for word in words)
    names = [pb.Availability.Name(offer.availability)[13:].lower() for offer in read(lines).offers]
    assert names == [
        *("in_stock", "in_stock", "in_stock", "out_of_stock", "out_of_stock"),
        *("preorder", "in_stock", "backorder"),
    ]


def test_a_mapping_takes_the_first_source_that_is_not_empty(read: Read) -> None:
    lines = '{"a": "", "b": null, "c": "C"}\n{"a": "A", "c": "C"}\n'
    assert [offer.title for offer in read(lines, maps=["title=a,b,c"]).offers] == ["C", "A"]


@pytest.mark.parametrize(
    "empty", ['""', "null", "[]", "{}", "[[]]", "[null]", '[""]', '{"a": null}', '{"a": [1]}', "[{}]"]
)
def test_what_has_no_text_in_it_is_empty(read: Read, empty: str) -> None:
    line = f'{{"title": {empty}, "name": "N", "product_types": {empty}, "product_type": "T", "price": {empty}, "p": 5}}'
    offer = read(line, maps=["title=title,name", "price=price,p"]).offers[0]
    assert (offer.title, list(offer.product_types), offer.price.amount_minor) == ("N", ["T"], 500)


@pytest.mark.parametrize(("value", "text"), [("0", "0"), ("false", "false"), ("0.0", "0.0"), ('["", "x"]', "x")])
def test_what_has_a_text_is_not_empty(read: Read, value: str, text: str) -> None:
    assert read(f'{{"size": {value}, "x": "y"}}', maps=["size=size,x"]).offers[0].size == text


def test_a_mapping_goes_down_into_json(read: Read) -> None:
    line = '{"v": [{"p": {"now": 5}}], "dot.ted": "D", "c": ["x", "y"]}'
    maps = ["price=v.0.p.now", "title=dot.ted", "product_types=c", "brand=v.9.p", "mpn=v.0"]
    offer = read(line, maps=maps).offers[0]
    assert (offer.price.amount_minor, offer.title, list(offer.product_types)) == (500, "D", ["x", "y"])
    assert (offer.brand, offer.mpn) == ("", "")


@pytest.mark.parametrize(
    ("source", "value", "result"),
    [
        ("x|after_last:/|before:_", "https://images.example/a/471_b.jpg", "471"),
        ("x|prefix:https://shop.example/p/", "7", "https://shop.example/p/7"),
        ("x|urlencode|prefix:https://shop.example/?q=", "a b/c", "https://shop.example/?q=a%20b%2Fc"),
        ("x|map:a=B;c=D", "a", "B"),
        ("x|map:a=B;c=D", "z", "z"),
        ("x|map:a=B;*=other", "z", "other"),
        ("=constant, with|signs", "z", "constant, with|signs"),
        ("=", "z", ""),
    ],
)
def test_filters_and_constants(read: Read, source: str, value: str, result: str) -> None:
    assert read(f'{{"id": "1", "x": "{value}"}}', maps=[f"mpn={source}"]).offers[0].mpn == result


def test_a_split_makes_a_list(read: Read) -> None:
    offer = read('{"x": "a; b;;c"}', maps=["product_types=x|split:;", "custom:first=x|split:;"]).offers[0]
    assert list(offer.product_types) == ["a", "b", "c"]
    assert dict(offer.custom_attributes) == {"first": "a, b, c"}


def test_a_mapping_comes_before_what_the_format_says(read: Read) -> None:
    found = read("id,title,link,price,brand,name\n1,T,https://shop.example/1,5,B,N\n", maps=["title=name", "brand=="])
    assert (found.offers[0].title, found.offers[0].brand, found.offers[0].price.amount_minor) == ("N", "", 500)


@pytest.mark.parametrize(
    "spec",
    ["title", "titel=name", "custom:=x", "title=", "title=,", "title=x|nosuch:1", "title=x|split", "title=x|map:a"],
)
def test_a_mapping_without_a_meaning_is_refused(spec: str) -> None:
    with pytest.raises(FeedError) as caught:
        parse_column_mapping([spec])
    assert caught.value.reason == "MAPPING_INVALID"


def test_a_target_is_mapped_once() -> None:
    with pytest.raises(FeedError, match="mapped twice"):
        parse_column_mapping(["title=a", "title=b"])


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        ("ID,Name,URL\n1,2,3\n", {}, "COLUMNS_NOT_RECOGNISED"),
        (HEAD + GOOD, {"maps": ["brand=Marke"]}, "COLUMN_NOT_FOUND"),
        (HEAD + GOOD, {"format": "xlsx"}, "FORMAT_UNKNOWN"),
        (HEAD + GOOD, {"delimiter": ";;"}, "OPTIONS_INVALID"),
        (HEAD + GOOD, {"default_availability": "maybe"}, "OPTIONS_INVALID"),
    ],
)
def test_what_cannot_be_right_for_any_row_is_said_at_once(
    read: Read, data: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FeedError) as caught:
        read(data, **options)
    assert caught.value.reason == reason
    if reason == "COLUMNS_NOT_RECOGNISED":
        assert "ID, Name, URL" in caught.value.message


def test_options_out_of_stored_settings() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    stored = {"default_currency": "AED", "column_mapping": {"title": "name"}, "encoding": "cp1256", "parsed": True}
    options = FeedOptions.from_json(stored, source_time=now)
    assert options == FeedOptions("AED", now, column_mapping={"title": "name"}, encoding="cp1256")


@pytest.mark.parametrize("stored", [{"encoding": 5}, {"column_mapping": []}, {"column_mapping": {"title": 1}}])
def test_stored_settings_of_the_wrong_type_are_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(FeedError) as caught:
        FeedOptions.from_json({"default_currency": "PKR"} | stored, source_time=datetime(2026, 3, 1, tzinfo=UTC))
    assert caught.value.reason == "OPTIONS_INVALID"
