"""Money: integers in minor units with an ISO 4217 currency, and the strict reading of prices that people wrote.

Rounding: a share of an amount (`percent_of`) is cut toward zero to the minor unit, in the payer's favour, which is
what cashback networks do; the sum of the parts can then never exceed the whole. No float and no Decimal is kept.
"""

import re
from dataclasses import dataclass
from typing import Final

INT64_MAX: Final = 2**63 - 1
MAX_PRICE_LENGTH: Final = 64
BPS_PER_WHOLE: Final = 10_000

# ISO 4217, list one, by the exponent of the minor unit. Codes without a minor unit (metals, XDR, XTS) are no prices.
_CODES_BY_DIGITS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW"
        " CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG"
        " HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR"
        " MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD"
        " SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD"
        " XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
MINOR_DIGITS: Final[dict[str, int]] = {
    code: digits for digits, codes in _CODES_BY_DIGITS.items() for code in codes.split()
}

# What a sign can stand for. Of several currencies the default one is taken where it is among them; otherwise the
# price is refused, because a guess would be wrong by a factor.
_DOLLARS: Final = "USD AUD BBD BMD BND BSD BZD CAD CLP COP FJD GYD HKD JMD KYD LRD MXN NAD NZD SBD SGD SRD TTD TWD XCD"
_SIGNS: Final[dict[str, tuple[str, ...]]] = {
    sign: tuple(codes.split())
    for sign, codes in {
        "€": "EUR",
        "£": "GBP",
        "₹": "INR",
        "฿": "THB",
        "₺": "TRY",
        "₽": "RUB",
        "₴": "UAH",
        "₩": "KRW",
        "₫": "VND",
        "₪": "ILS",
        "₦": "NGN",
        "₱": "PHP",
        "৳": "BDT",
        "₸": "KZT",
        "¥": "JPY CNY",
        "$": _DOLLARS,
        "us$": "USD",
        "a$": "AUD",
        "c$": "CAD",
        "hk$": "HKD",
        "nz$": "NZD",
        "s$": "SGD",
        "r$": "BRL",
        "₨": "PKR INR LKR MUR NPR SCR",
        "rs": "PKR INR LKR MUR NPR SCR",
        "روپے": "PKR",
        "روپیہ": "PKR",
        "dh": "AED MAD",
        "dhs": "AED MAD",
        "درهم": "AED MAD",
        "د.إ": "AED",
        "ر.س": "SAR",
        "﷼": "SAR IRR OMR QAR YER",
        "kr": "SEK NOK DKK ISK",
        "zł": "PLN",
        "kč": "CZK",
        "rp": "IDR",
        "rm": "MYR",
        "руб": "RUB",
        "грн": "UAH",
        # Still written by Russian shop systems for the rouble of after 1998.
        "rur": "RUB",
    }.items()
}
# Every kind of digit and separator becomes one that the rules below name.
_CANONICAL: Final = str.maketrans(
    {
        **{chr(base + digit): str(digit) for base in (0x0660, 0x06F0, 0x0966, 0x0E50) for digit in range(10)},
        "٫": ".",
        "٬": "'",
        "،": ",",
        "’": "'",
        "−": "-",
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
    }
)
_INVISIBLE: Final = str.maketrans(dict.fromkeys("\u200b\u200e\u200f\u061c\u2066\u2067\u2068\u2069\ufeff"))
_SHAPE: Final = re.compile(r"(?P<before>[^0-9]*?)\s*(?P<number>[.,]?[0-9](?:[0-9.,' ]*[0-9])?)\s*(?P<after>[^0-9]*)")
_GROUPS_OF_3: Final = re.compile(r"[1-9][0-9]{0,2}(?:S[0-9]{3})+")
# Lakh and crore: 12,34,567.
_GROUPS_OF_2: Final = re.compile(r"[1-9][0-9]?(?:S[0-9]{2})+S[0-9]{3}")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (PKR 12.50 is 1250). Raises ValueError for a currency that ISO 4217 does not list."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        minor_digits(self.currency)


@dataclass(frozen=True, slots=True)
class PriceProblem:
    """Why a text is no price: a stable UPPER_SNAKE `code`, and in words what is wrong and what to do."""

    code: str
    message: str


def minor_digits(currency: str) -> int:
    """Decimals of a currency: PKR 2, JPY 0, KWD 3. Raises ValueError for a code that ISO 4217 does not list."""
    try:
        return MINOR_DIGITS[currency]
    except KeyError:
        raise ValueError(f"{currency!r} is not an active ISO 4217 currency code") from None


def percent_of(amount_minor: int, bps: int) -> int:
    """`bps` hundredths of a percent of an amount, cut toward zero: 2.5 % (250) of 199 is 4, of -199 is -4."""
    if bps < 0:
        raise ValueError("a share cannot be negative")
    share = abs(amount_minor) * bps // BPS_PER_WHOLE
    return share if amount_minor >= 0 else -share


def format_money(money: Money) -> str:
    """For people: 'PKR 1,299.00', 'JPY 1,299', 'PKR -5.00'."""
    digits = minor_digits(money.currency)
    sign = "-" if money.amount_minor < 0 else ""
    whole, rest = divmod(abs(money.amount_minor), 10**digits)
    decimals = f".{rest:0{digits}d}" if digits else ""
    return f"{money.currency} {sign}{whole:,}{decimals}"


def parse_price(text: str, default_currency: str | None, *, plain: bool = False) -> Money | PriceProblem:
    """Reads a price as shops write it, or says why not.

    One currency may stand before or behind the number, as an ISO code in any case or as a sign ("Rs. 1,299/-"); a
    sign that several currencies share (Rs, $, ¥, kr) takes the default currency where that is one of them and is
    refused otherwise. Without one, `default_currency` counts. Digits may be European, Arabic, Urdu, Hindi or Thai.

    The last separator is the decimal one if it stands once and the digits behind it are not three. Groups of
    three (or of two, for lakhs) are thousands: "1,299", "1.299.000", "1 299,00", "12,34,567". "1.299" could be
    either where the currency has two decimals, and "1,299" where it has three: both are refused as ambiguous.
    With `plain` a number is machine-written (a JSON number): the point is the decimal point, groups do not exist.

    Decimals beyond the currency's are refused unless they are zeros; so are negative amounts and amounts over int64.
    """
    if len(text) > MAX_PRICE_LENGTH:
        return PriceProblem("PRICE_INVALID", "This is too long to be a price. Send a number and a currency code.")
    number = text
    currency = default_currency
    if not _is_simple(text):
        parts = _split(text)
        if isinstance(parts, PriceProblem):
            return parts
        number, written = parts
        if written:
            chosen = _currency(written, default_currency)
            if isinstance(chosen, PriceProblem):
                return chosen
            currency = chosen
    if not currency:
        return PriceProblem("CURRENCY_MISSING", "No currency is given. Write its code beside the number: PKR 1299.")
    digits = MINOR_DIGITS.get(currency)
    if digits is None:
        return PriceProblem("CURRENCY_UNKNOWN", f"{currency} is no ISO 4217 currency code. Use one such as PKR.")
    decimal = _decimal(number, digits, plain=plain)
    if isinstance(decimal, PriceProblem):
        return decimal
    whole, fraction = decimal
    if len(fraction) > digits:
        if fraction[digits:].strip("0"):
            return PriceProblem(
                "TOO_MANY_DECIMALS", f"{currency} has {digits} decimals, the price has more. Round it in the feed."
            )
        fraction = fraction[:digits]
    amount_minor = int(whole + fraction.ljust(digits, "0") or "0")
    if amount_minor > INT64_MAX:
        return PriceProblem("PRICE_TOO_LARGE", "The amount does not fit into 64 bits. Check the price in the feed.")
    return Money(amount_minor, currency)


def _is_simple(text: str) -> bool:
    """Nothing but ASCII digits and at most one point between them: most prices of most feeds."""
    return text.isascii() and text[:1].isdigit() and text[-1:].isdigit() and text.replace(".", "", 1).isdigit()


def _split(text: str) -> tuple[str, str] | PriceProblem:
    """(number, currency as written or '')"""
    text = text.translate(_INVISIBLE).translate(_CANONICAL).strip()
    if not text:
        return PriceProblem("PRICE_MISSING", "There is no price. Send a number and a currency code, such as PKR 1299.")
    match = _SHAPE.fullmatch(text.removesuffix("/-").rstrip())
    if match is None:
        return PriceProblem(
            "PRICE_INVALID", "This is not one number with at most one currency. Write it like PKR 1299.00."
        )
    before, number, after = match["before"].strip(), match["number"], match["after"].strip()
    if before.startswith(("-", "(")) or before.endswith("-") or after.endswith("-"):
        return PriceProblem("PRICE_NEGATIVE", "A price cannot be negative. Check the sign in the feed.")
    if before and after:
        return PriceProblem("PRICE_INVALID", "There is text on both sides of the number. Write it like PKR 1299.00.")
    return number, before or after


def _currency(written: str, default: str | None) -> str | PriceProblem:
    code = written.upper()
    if code in MINOR_DIGITS:
        return code
    sign = written.lower().strip(". ")
    candidates = _SIGNS.get(sign)
    if candidates is None:
        return PriceProblem("CURRENCY_UNKNOWN", "The text beside the number is no currency. Use a code such as PKR.")
    if default in candidates:
        return default
    if len(candidates) > 1:
        return PriceProblem(
            "CURRENCY_AMBIGUOUS", f"The sign can mean {', '.join(candidates[:4])} and others. Use the code instead."
        )
    return candidates[0]


def _decimal(number: str, digits: int, *, plain: bool) -> tuple[str, str] | PriceProblem:
    """(whole, decimals) as ASCII digits"""
    if number.isdigit():
        return number, ""
    if plain:
        whole, point, fraction = number.partition(".")
        if point and (whole + fraction).isdigit():
            return whole, fraction
        return _not_a_number()
    whole, separator, fraction = _split_at_last(number)
    inner = {character for character in whole if not character.isdigit()}
    if separator in " '" or separator in inner:
        # Only thousands: a decimal separator stands once and is neither a blank nor an apostrophe.
        return (_joined(number), "") if _is_grouped(number) else _not_a_number()
    if inner and not _is_grouped(whole):
        return _not_a_number()
    if not inner and len(fraction) == 3 and _is_grouped(number):
        thousands = separator == "," or digits == 0
        if digits == (3 if separator == "," else 2):
            either = f"{_joined(number)} or {whole}.{fraction[:digits]}"
            return PriceProblem("AMBIGUOUS_PRICE", f"{number} can mean thousands or three decimals. Write {either}.")
        if thousands:
            return _joined(number), ""
    return _joined(whole), fraction


def _split_at_last(number: str) -> tuple[str, str, str]:
    position = max(number.rfind(separator) for separator in ".,' ")
    return number[:position], number[position], number[position + 1 :]


def _is_grouped(number: str) -> bool:
    """Whether one separator, always the same, cuts the digits into thousands or lakhs."""
    separators = {character for character in number if not character.isdigit()}
    if len(separators) != 1:
        return False
    shape = number.replace(separators.pop(), "S")
    return _GROUPS_OF_3.fullmatch(shape) is not None or _GROUPS_OF_2.fullmatch(shape) is not None


def _joined(number: str) -> str:
    return "".join(character for character in number if character.isdigit())


def _not_a_number() -> PriceProblem:
    return PriceProblem("PRICE_INVALID", "The digits and separators make no number. Write it like 1299.00.")
