"""Prices: the short way of reading reads as the long one does, and no number of a JSON file passes through a float."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domains.offers.feeds import FeedOptions, open_feed
from domains.offers.feeds.prices import read_price
from domains.offers.feeds.rows import NumberText
from wapsi.money import MINOR_DIGITS, Money, PriceProblem, parse_price
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

Read = Callable[..., Any]
CURRENCIES = ["PKR", "JPY", "KWD", "CLF", "", "XXL"]
PRICES = st.one_of(
    st.text(alphabet="0123456789., '-/eNaRs€$ \u00a0\u200f۱۲٣٤٫٬²", max_size=20),
    st.from_regex(r"[0-9]{1,16}([.,][0-9]{1,5})?( ?[A-Z]{3})?", fullmatch=True),
    st.from_regex(r"[A-Z]{3} [0-9]{1,3}(,[0-9]{3}){0,2}(\.[0-9]{2})?", fullmatch=True),
)


def one_item(text: str, feed_format: str) -> pb.OfferItem:
    options = FeedOptions("PKR", datetime(2026, 3, 1, tzinfo=UTC), format=feed_format)
    return next(open_feed(io.BytesIO(text.encode()), options=options).items())


def described(price: Any) -> object:
    return (price.amount_minor, price.currency) if isinstance(price, Money) else price


@given(PRICES, st.sampled_from(CURRENCIES), st.booleans())
@example("12.345", "KWD", False)
@example("1.299", "PKR", False)
@example("5 ", "PKR", False)
@example("²", "PKR", False)
@example("99999999999999", "CLF", True)
def test_the_short_way_reads_as_the_long_one(text: str, currency: str, is_plain: bool) -> None:
    expected = parse_price(text, currency or None, plain=is_plain)
    assert read_price(NumberText(text) if is_plain else text, currency) == described(expected)


@given(st.integers(), st.sampled_from(CURRENCIES))
@example(10**14, "CLF")
def test_integers_read_as_their_digits_do(number: int, currency: str) -> None:
    assert read_price(number, currency) == described(parse_price(str(number), currency or None, plain=True))


@pytest.mark.parametrize(
    ("written", "amount_minor"),
    [
        ("PKR 1,299.00", 129_900),
        ("1.299,00", 129_900),
        ("1,299.00", 129_900),
        ("Rs. 1299", 129_900),
        ("Rs. 1,299/-", 129_900),
        ("12,34,567", 123_456_700),
        ("1 299,50 PKR", 129_950),
        ("۱٬۲۹۹ روپے", 129_900),
        ("۱۲۹۹٫۵۰", 129_950),
        ("١٢٩٩", 129_900),
        ("١٬٢٩٩٫٥٠ PKR", 129_950),
        ("१२९९", 129_900),
        ("๑๒๙๙", 129_900),
        ("\u200f1299\u200f", 129_900),
        ("0.10", 10),
        (".5", 50),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "xml", "yml", "shopify", "awin"])
def test_prices_as_shops_write_them(read: Read, kind: str, written: str, amount_minor: int) -> None:
    link = "https://shop.example/1"
    data = {
        "csv": f'id,title,link,price\n1,Lamp,{link},"{written}"\n',
        "jsonl": json.dumps({"id": "1", "price": written}, ensure_ascii=False) + "\n",
        "json": json.dumps([{"id": "1", "price": written}]),
        "xml": f"<rss><channel><item><id>1</id><price>{written}</price></item></channel></rss>",
        "yml": f'<yml_catalog><offer id="1"><price>{written}</price></offer></yml_catalog>',
        "shopify": f'Handle,Title,Variant Price\n1,Lamp,"{written}"\n',
        "awin": f'merchant_product_id,product_name,merchant_deep_link,search_price\n1,Lamp,{link},"{written}"\n',
    }[kind]
    found = read(data, link_base="https://shop.example")
    assert found.codes == []
    assert (found.offers[0].price.amount_minor, found.offers[0].price.currency) == (amount_minor, "PKR")


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("NaN", "PRICE_INVALID"),
        ("Infinity", "PRICE_INVALID"),
        ("1.299", "AMBIGUOUS_PRICE"),
        ("-5", "PRICE_NEGATIVE"),
        ("12.345,678", "TOO_MANY_DECIMALS"),
        ("5-7", "PRICE_INVALID"),
        ("$5", "CURRENCY_AMBIGUOUS"),
        ("5 doubloons", "CURRENCY_UNKNOWN"),
        ("9" * 30, "PRICE_TOO_LARGE"),
        ("1e5", "PRICE_INVALID"),
        ("free", "PRICE_INVALID"),
    ],
)
def test_what_is_no_price_is_refused_by_name(read: Read, written: str, code: str) -> None:
    found = read(json.dumps({"id": "1", "price": written}) + "\n" + '{"id": "2", "price": "5"}\n')
    assert (found.codes, [offer.offer_id for offer in found.offers]) == ([code], ["2"])
    assert found.items[0].issues[0].value[:40] == written[:40]
    # It is refused again where it comes again.
    assert read((json.dumps({"id": "1", "price": written}) + "\n") * 3).codes == [code] * 3


NUMBERS = st.one_of(
    st.decimals(min_value=0, max_value=10**17, allow_nan=False, places=2).map(lambda number: f"{number:f}"),
    # All but -0, which is 0 for the parser of JSON; neither can be the price of a product.
    st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?", fullmatch=True).filter("-0".__ne__),
)


@given(NUMBERS, st.sampled_from(['"price": {}', '"price":{}', '"price" : {}', '"pri\\u0063e": {}']))
@example("9007199254740993.07", '"price": {}')
@example("0.1000000000000000055511151231257827", '"price": {}')
@example("12.500", '"price": {}')
@example("1e5", '"price": {}')
@example("1e400", '"price": {}')
@example("123456789012345678901", '"price": {}')
def test_a_number_of_json_is_read_by_its_digits(number: str, member: str) -> None:
    expected = parse_price(number, "PKR", plain=True)
    for text in (
        "{" + member.format(number) + "}",
        '{"x": {"price": 5.5}, "y": "price", ' + member.format(number) + "}",
        "{" + member.format(number) + ', "x": [{"price": 5e-1}, 0.25], "z": 0.75}',
    ):
        item = one_item(text, "jsonl")
        if isinstance(expected, PriceProblem):
            assert [(issue.code, issue.value[:79]) for issue in item.issues] == [(expected.code, number[:79])]
        else:
            assert (item.offer.price.amount_minor, item.offer.price.currency) == (expected.amount_minor, "PKR")


@pytest.mark.parametrize(
    ("first", "second"),
    [("9007199254740993.5", "9007199254740993.07"), ("5.50", "5.5"), ("0.1", "0.1000000000000000055")],
)
@pytest.mark.parametrize("text", ['{{"x": {{"id": {}}}, "id": {}}}', '{{"id": {}, "id": {}}}'])
def test_the_same_key_before_an_equal_float_is_not_taken_for_it(text: str, first: str, second: str) -> None:
    assert float(first) == float(second)
    assert one_item(text.format(first, second), "jsonl").offer.offer_id == second


@given(st.decimals(min_value="0.01", max_value=10**12, places=2))
def test_a_number_of_a_json_array_is_read_by_its_digits(number: Decimal) -> None:
    item = one_item(f'[{{"id": "1", "price": {number:f}}}]', "json")
    assert item.offer.price.amount_minor == int(number * 100)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ('"id": 1.10', "1.10"),
        ('"id": 1e2', "1e2"),
        ('"id": 12345678901234567890123', "12345678901234567890123"),
        ('"id": 7', "7"),
        ('"id": true', "true"),
        ('"id": [1.50, 2]', "1.50"),
    ],
)
def test_a_number_is_the_text_of_its_digits_in_any_field(field: str, text: str) -> None:
    assert one_item("{" + field + "}", "jsonl").offer.offer_id == text


def test_numbers_inside_of_lists_and_objects_keep_their_digits(read: Read) -> None:
    line = '{"id": "1", "custom_attributes": {"a": 1.50, "b": 2}, "gtins": [1.0, 4006381333931], "v": {"p": 0.10}}'
    offer = read(line, maps=["price=v.p", "brand=v.p|prefix:x"]).offers[0]
    assert dict(offer.custom_attributes) == {"a": "1.50", "b": "2"}
    assert (list(offer.gtins), offer.price.amount_minor, offer.brand) == (["1.0", "4006381333931"], 10, "x0.10")


def test_what_was_kept_of_a_price_is_for_the_same_price_only(read: Read) -> None:
    """Equal in Python, and not the same: 1, true and 1.0; "1.299" and 1.299, which yen have not."""
    prices = ["1", "true", "1.0", '"1"', "1", "true", '"1.299"', "1.299", "0", "false", "0.0"]
    lines = "".join(f'{{"id": "1", "price": {price}, "currency": "JPY"}}\n' for price in prices * 3)
    found = read(lines)
    expected = [1, None, 1, 1, 1, None, 1299, None, 0, None, 0] * 3
    assert [item.offer.price.amount_minor if item.HasField("offer") else None for item in found.items] == expected
    assert found.codes == ["PRICE_INVALID", "PRICE_INVALID", "TOO_MANY_DECIMALS", "PRICE_INVALID"] * 3


def test_a_price_is_kept_with_its_currency_and_its_sale(read: Read) -> None:
    rows = [
        '{"id": "1", "price": 5, "currency": "EUR"}',
        '{"id": "2", "price": 5, "sale_price": 3}',
        '{"id": "3", "price": 5, "currency": "USD"}',
        '{"id": "4", "price": 5}',
        '{"id": "5", "price": 5, "sale_price": "x"}',
        '{"id": "6", "price": 5, "currency": "x"}',
    ]
    found = read("\n".join(rows * 4))
    one_round = [(500, "EUR", 0), (500, "PKR", 300), (500, "USD", 0), (500, "PKR", 0), (500, "PKR", 0)]
    assert [
        (offer.price.amount_minor, offer.price.currency, offer.sale_price.amount_minor) for offer in found.offers
    ] == one_round * 4
    assert found.codes == ["PRICE_INVALID", "CURRENCY_UNKNOWN"] * 4


def test_every_currency_has_its_decimals() -> None:
    for currency, digits in MINOR_DIGITS.items():
        assert read_price("12", currency) == (12 * 10**digits, currency)
        assert read_price(f"12 {currency}", "PKR") == (12 * 10**digits, currency)
