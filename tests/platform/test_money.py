"""Money: minor units, shares, display, and the strict reading of prices."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wapsi.money import (
    INT64_MAX,
    MINOR_DIGITS,
    Money,
    PriceProblem,
    format_money,
    minor_digits,
    parse_price,
    percent_of,
)

AMOUNTS = st.integers(min_value=0, max_value=INT64_MAX)
CURRENCIES = st.sampled_from(sorted(MINOR_DIGITS))


def code_of(text: str, default: str | None = "PKR") -> str:
    found = parse_price(text, default)
    assert isinstance(found, PriceProblem), f"{text!r} was read as {found}"
    assert found.message.endswith("."), "a problem says in words what to do"
    return found.code


@pytest.mark.parametrize(
    ("currency", "digits"), [("PKR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("AED", 2), ("ISK", 0)]
)
def test_a_currency_has_the_decimals_of_iso_4217(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits


@pytest.mark.parametrize("currency", ["pkr", "XXX", "", "RUR", "PKRS"])
def test_money_in_no_currency_is_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        Money(1, currency)


@pytest.mark.parametrize(
    ("amount_minor", "bps", "share"),
    [(10_000, 250, 250), (199, 250, 4), (-199, 250, -4), (1, 9_999, 0), (0, 500, 0), (INT64_MAX, 10_000, INT64_MAX)],
)
def test_a_share_is_cut_toward_zero(amount_minor: int, bps: int, share: int) -> None:
    assert percent_of(amount_minor, bps) == share


def test_a_negative_share_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        percent_of(100, -1)


@given(AMOUNTS, st.integers(0, 10_000), st.integers(0, 10_000))
def test_shares_never_add_up_to_more_than_the_whole(amount_minor: int, first: int, second: int) -> None:
    parts = percent_of(amount_minor, first) + percent_of(amount_minor, second)
    assert parts * 10_000 <= amount_minor * (first + second)


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(129_900, "PKR"), "PKR 1,299.00"),
        (Money(5, "PKR"), "PKR 0.05"),
        (Money(-500, "PKR"), "PKR -5.00"),
        (Money(1_299, "JPY"), "JPY 1,299"),
        (Money(1_299, "KWD"), "KWD 1.299"),
    ],
)
def test_money_is_shown_with_its_currency_and_groups(money: Money, text: str) -> None:
    assert format_money(money) == text


@pytest.mark.parametrize(
    ("text", "default", "amount_minor", "currency"),
    [
        ("PKR 1,299.00", None, 129_900, "PKR"),
        ("Rs. 1299", "PKR", 129_900, "PKR"),
        ("Rs. 1,299/-", "PKR", 129_900, "PKR"),
        ("Rs 10", "INR", 1_000, "INR"),
        ("1.299,00 EUR", None, 129_900, "EUR"),
        ("89.0 EUR", "PKR", 8_900, "EUR"),
        ("352 AED", None, 35_200, "AED"),
        ("69.71 gbp", "USD", 6_971, "GBP"),
        ("PKR5", None, 500, "PKR"),
        ("۱۲۹۹", "PKR", 129_900, "PKR"),
        ("₨ ۱٬۲۹۹٫۵۰", "PKR", 129_950, "PKR"),
        ("١٢٫٥ د.إ", None, 1_250, "AED"),
        ("1299 روپے", None, 129_900, "PKR"),
        ("฿1,200", None, 120_000, "THB"),
        ("๑๒๐ THB", None, 12_000, "THB"),
        ("$5", "USD", 500, "USD"),
        ("£5.50", None, 550, "GBP"),
        ("₹12,34,567.5", None, 123_456_750, "INR"),
        ("€ 1 299,00", None, 129_900, "EUR"),
        ("1\u00a0299,00 €", None, 129_900, "EUR"),
        ("1'299.00 CHF", None, 129_900, "CHF"),
        ("1,299", "PKR", 129_900, "PKR"),
        ("1,29", "EUR", 129, "EUR"),
        ("1.299.000", "PKR", 129_900_000, "PKR"),
        ("1.299", "JPY", 1_299, "JPY"),
        ("1.299", "KWD", 1_299, "KWD"),
        ("1.000,123", "KWD", 1_000_123, "KWD"),
        ("12.5000", "PKR", 1_250, "PKR"),
        (".99", "USD", 99, "USD"),
        ("0", "PKR", 0, "PKR"),
        ("92233720368547758.07", "PKR", INT64_MAX, "PKR"),
        (" \u200f12 ", "PKR", 1_200, "PKR"),
    ],
)
def test_prices_as_shops_write_them(text: str, default: str | None, amount_minor: int, currency: str) -> None:
    assert parse_price(text, default) == Money(amount_minor, currency)


@pytest.mark.parametrize(
    ("text", "default", "code"),
    [
        ("1.299", "PKR", "AMBIGUOUS_PRICE"),
        ("12.500 EUR", "PKR", "AMBIGUOUS_PRICE"),
        ("1,299", "KWD", "AMBIGUOUS_PRICE"),
        ("NaN", "PKR", "PRICE_INVALID"),
        ("inf", "PKR", "PRICE_INVALID"),
        ("1e5", "PKR", "PRICE_INVALID"),
        ("1,299,5", "PKR", "PRICE_INVALID"),
        ("1 2", "PKR", "PRICE_INVALID"),
        ("5 to 9", "PKR", "PRICE_INVALID"),
        ("PKR 5 only", "PKR", "PRICE_INVALID"),
        ("²", "PKR", "PRICE_INVALID"),
        ("9" * 65, "PKR", "PRICE_INVALID"),
        ("-5", "PKR", "PRICE_NEGATIVE"),
        ("−5", "PKR", "PRICE_NEGATIVE"),
        ("PKR -5", "PKR", "PRICE_NEGATIVE"),
        ("(5)", "PKR", "PRICE_NEGATIVE"),
        ("1.2345", "PKR", "TOO_MANY_DECIMALS"),
        ("0.299", "PKR", "TOO_MANY_DECIMALS"),
        ("5.5", "JPY", "TOO_MANY_DECIMALS"),
        ("5", None, "CURRENCY_MISSING"),
        ("5", "ABC", "CURRENCY_UNKNOWN"),
        ("5 doubloons", "PKR", "CURRENCY_UNKNOWN"),
        ("$5", "PKR", "CURRENCY_AMBIGUOUS"),
        ("Rs 5", "USD", "CURRENCY_AMBIGUOUS"),
        ("92233720368547758.08", "PKR", "PRICE_TOO_LARGE"),
        ("", "PKR", "PRICE_MISSING"),
        (" \u00a0", "PKR", "PRICE_MISSING"),
    ],
)
def test_what_is_no_price_is_refused_by_name(text: str, default: str | None, code: str) -> None:
    assert code_of(text, default) == code


def test_the_refusal_of_an_ambiguous_price_shows_both_readings() -> None:
    problem = parse_price("1.299", "PKR")
    assert isinstance(problem, PriceProblem)
    assert "1299" in problem.message
    assert "1.29" in problem.message


def test_a_number_from_json_has_its_decimal_point_where_the_point_is() -> None:
    assert parse_price("12.500", "PKR", plain=True) == Money(1_250, "PKR")
    assert parse_price("1.299", "PKR", plain=True) == PriceProblem(
        "TOO_MANY_DECIMALS", "PKR has 2 decimals, the price has more. Round it in the feed."
    )


@given(AMOUNTS, CURRENCIES)
@example(0, "PKR")
@example(1_299, "KWD")
def test_what_is_shown_can_be_read_back(amount_minor: int, currency: str) -> None:
    money = Money(amount_minor, currency)
    found = parse_price(format_money(money), None)
    # "KWD 1,299.000" is clear, "BIF 1,299" too; nothing that format_money writes is ambiguous.
    assert found == money


@given(AMOUNTS, CURRENCIES, st.booleans())
def test_prices_in_the_european_way_can_be_read_back(amount_minor: int, currency: str, behind: bool) -> None:
    number = format_money(Money(amount_minor, currency)).split()[1].translate(str.maketrans(",.", ".,"))
    if minor_digits(currency) == 3 and amount_minor < 1_000_000:
        # "1,299 KWD" may be thousands of a shop that writes no decimals.
        return
    text = f"{number} {currency}" if behind else f"{currency} {number}"
    assert parse_price(text, None) == Money(amount_minor, currency)


@given(st.text(max_size=70), st.sampled_from(["PKR", "KWD", "JPY", None]), st.booleans())
def test_no_text_breaks_the_parser(text: str, default: str | None, plain: bool) -> None:
    found = parse_price(text, default, plain=plain)
    if isinstance(found, Money):
        assert 0 <= found.amount_minor <= INT64_MAX
