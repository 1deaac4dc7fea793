"""From a network's words to values: amounts, times, and the names of sales and events."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from domains.cashback.service.adapters.shapes import AdaptedEvent, AdapterSettings, Line
from domains.cashback.service.events import Malformed, check_event
from wapsi.money import MINOR_DIGITS, minor_digits

_AMOUNT = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,12}))?")
# Commas stand between thousands, or, as in India, between hundreds further up. Elsewhere one may be the decimal point.
_GROUPED = re.compile(r"-?[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?:\.[0-9]*)?")
# What the code of an adapter meets where a network sends another shape than its own.
FAULTS = (Malformed, AttributeError, TypeError, ValueError)
_UNIX_S = re.compile(r"[0-9]{9,10}(?:\.0+)?")
NUL = "\0"
_zones: dict[str, tzinfo] = {}
_UNIX_MS = re.compile(r"[0-9]{12,13}")


def text_of(value: Any) -> str:
    """'' for what is absent. Raises Malformed for what is no plain value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        return str(value).strip()
    raise Malformed("a list or an object stands where a value is expected")


def amount_minor(value: Any, currency: str, name: str) -> int | None:
    """Of a decimal number in major units; None where it is absent. Raises Malformed.

    Digits past the currency's own are cut where they are zeros, and rounded half away from zero where they are not:
    networks convert, and send four.
    """
    text = text_of(value)
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if not text:
        return None
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise Malformed(f"{name}: is no amount")
    sign, whole, decimals = match.groups()
    digits = minor_digits(currency)
    padded = (decimals or "").ljust(digits + 1, "0")
    minor = int(whole + padded[:digits]) + (padded[digits] >= "5")
    return -minor if sign else minor


def currency_of(value: Any, settings: AdapterSettings) -> str:
    """Raises Malformed."""
    code = text_of(value).upper() or settings.currency or ""
    if code not in MINOR_DIGITS:
        raise Malformed("currency: is missing" if not code else "currency: is not an ISO 4217 code")
    return code


def moment(value: Any, name: str, settings: AdapterSettings, formats: Sequence[str] = ()) -> datetime | None:
    """Of a Unix time (seconds or milliseconds), of ISO 8601, or of one of the formats; None where it is absent.

    Raises Malformed.
    """
    text = text_of(value)
    if not text:
        return None
    if _UNIX_S.fullmatch(text):
        return datetime.fromtimestamp(int(text.partition(".")[0]), UTC)
    if _UNIX_MS.fullmatch(text):
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    found = _parsed(text, formats)
    if found is None:
        raise Malformed(f"{name}: is no time")
    return found if found.tzinfo is not None else found.replace(tzinfo=zone_of(settings.time_zone))


def _parsed(text: str, formats: Sequence[str]) -> datetime | None:
    for pattern in formats:
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007  # its zone follows
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def zone_of(name: str) -> tzinfo:
    """Read from disk when it is first asked for; who must not wait for that has asked in a thread before.

    Raises Malformed.
    """
    found = _zones.get(name)
    if found is None:
        try:
            found = _zones[name] = UTC if name == "UTC" else ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # "America" is a folder
            raise Malformed(f"the network's time zone {name!r} is not known") from None
    return found


def merchant_of(value: Any, settings: AdapterSettings) -> str:
    """Our slug for the network's own id of a merchant; '' where it is not known, and then the click tells."""
    return settings.merchants.get(text_of(value), "")


def event_id(kind: str, sale: str, said: Mapping[str, Any]) -> str:
    """For networks that give their messages no id: the same words about a sale are the same event."""
    words = orjson.dumps(said, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    # No NUL: the database refuses it, and what was said is in the hash.
    return f"{kind}:{sale[:100].replace(NUL, '')}:{hashlib.blake2b(words, digest_size=16).hexdigest()}"


def each(kind: str, document: Any, raw: bytes, read: Callable[[Any, bytes], AdaptedEvent]) -> list[AdaptedEvent]:
    """The events of a list, or of one alone. One that is bad costs only itself.

    Of several each keeps its own words: the whole message with every one of them would be its square.
    """
    rows = document if isinstance(document, list) else [document]
    return [_one(kind, row, raw if len(rows) == 1 else orjson.dumps(row), read) for row in rows]


def _one(kind: str, row: Any, raw: bytes, read: Callable[[Any, bytes], AdaptedEvent]) -> AdaptedEvent:
    try:
        return read(row, raw)
    except FAULTS as fault:
        return AdaptedEvent(event_id(kind, "", {"row": row}), raw, None, told(fault))


def told(fault: Exception) -> str:
    """In words, without the values."""
    return str(fault) if isinstance(fault, Malformed) else "has another shape than this network's messages"


def adapted(event_id: str, raw: bytes, fields: Mapping[str, Any], *, lines: Sequence[Line] = ()) -> AdaptedEvent:
    """An event of these fields, or why it is none. Where all lines are of one rate category, so is the sale; where one
    does not say what it cost, they are of no other use."""
    categories = {line.category for line in lines}
    if len(categories) == 1 and not fields.get("rate_category"):
        fields = {**fields, "rate_category": next(iter(categories))}
    if lines and all(line.amount_minor is not None for line in lines):
        fields = {**fields, "line_items": [asdict(line) for line in lines]}
    try:
        event = check_event(fields)
    except Malformed as fault:
        return AdaptedEvent(event_id, raw, None, str(fault))
    return AdaptedEvent(event_id, raw, event)
