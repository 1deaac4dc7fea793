"""The prices of a row, which only make sense together: currency, price, sale price, price before a reduction."""

from collections.abc import Mapping
from typing import Any, Final

from domains.offers.feeds.rows import NumberText
from domains.offers.validation.issues import error, warning
from wapsi.money import MINOR_DIGITS, PriceProblem, parse_price
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

PRICE_TARGETS: Final = frozenset({"price", "sale_price", "regular_price", "currency"})
# Withdrawn codes that feeds still carry for their successors of the same value.
_RENAMED: Final = {"RUR": "RUB"}
# So short that 64 bits hold it, however many decimals the currency has.
_MAX_SHORT_LENGTH: Final = 14
_MAX_SHORT: Final = 10**_MAX_SHORT_LENGTH
# In minor units, and the currency.
Amount = tuple[int, str]


def prices_of(written: Mapping[str, str | int], default_currency: str, issues: list[pb.Issue]) -> dict[str, Any]:
    """An offer's fields price and sale_price. A price that cannot be read is an error, a sale price a warning.

    `written` has what is not blank of PRICE_TARGETS, integers as JSON has them. `regular_price` is what `price` was
    before a reduction.
    """
    if "price" not in written:
        return {}
    currency = ""
    if "currency" in written:
        currency = str(written["currency"])
        if currency not in MINOR_DIGITS:
            currency = currency.strip().upper()
            currency = _RENAMED.get(currency, currency)
            if currency not in MINOR_DIGITS:
                message = "It is no ISO 4217 currency code. Send one such as PKR."
                issues.append(error("CURRENCY_UNKNOWN", "currency", message, str(written["currency"])))
                return {}
    price = read_price(written["price"], currency or default_currency)
    if isinstance(price, PriceProblem):
        issues.append(error(price.code, "price", price.message, str(written["price"])))
        return {}
    if currency and price[1] != currency:
        message = f"The price says {price[1]}, the row's currency is {currency}. Send the right one."
        issues.append(error("CURRENCY_CONFLICT", "price", message, str(written["price"])))
        return {}
    sale = None
    if "sale_price" in written:
        sale = _optional("sale_price", written["sale_price"], currency or default_currency, issues)
    if sale is None and "regular_price" in written:
        regular = _optional("regular_price", written["regular_price"], currency or default_currency, issues)
        if regular is not None and regular[1] == price[1] and regular[0] > price[0]:
            price, sale = regular, price
    prices = {"price": {"amount_minor": price[0], "currency": price[1]}}
    if sale is not None:
        prices["sale_price"] = {"amount_minor": sale[0], "currency": sale[1]}
    return prices


def _optional(target: str, written: str | int, currency: str, issues: list[pb.Issue]) -> Amount | None:
    """None where it cannot be read."""
    amount = read_price(written, currency)
    if isinstance(amount, PriceProblem):
        issues.append(warning(amount.code, target, f"{amount.message} It was left out.", str(written)))
        return None
    return amount


def read_price(written: str | int, default_currency: str) -> Amount | PriceProblem:
    """As `parse_price` reads it, and in a shorter way where it has the form of most prices.

    That is 1299, 12.5, 12.50 or 12.50 USD: digits, a point before no more decimals than the currency has and not
    before three, which can be thousands, and a code in capitals.
    """
    if isinstance(written, int):
        if 0 <= written < _MAX_SHORT and default_currency in MINOR_DIGITS:
            return written * 10 ** MINOR_DIGITS[default_currency], default_currency
        written = str(written)
    elif len(written) <= _MAX_SHORT_LENGTH and written.isascii():
        number, currency = written, default_currency
        if not written[-1:].isdigit():
            number, _, currency = written.partition(" ")
        digits = MINOR_DIGITS.get(currency)
        whole, point, fraction = number.partition(".")
        if digits is not None and whole.isdigit():
            missing = digits - len(fraction)
            if point and missing >= 0 and fraction.isdigit() and len(fraction) != 3:
                return int(whole + fraction) * 10**missing, currency
            if not point:
                return int(whole) * 10**digits, currency
    money = parse_price(written, default_currency or None, plain=isinstance(written, NumberText))
    return money if isinstance(money, PriceProblem) else (money.amount_minor, money.currency)
