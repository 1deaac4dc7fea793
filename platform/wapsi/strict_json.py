"""JSON as RFC 8259 means it, and no more of it than is good for us.

What parsers differ about is refused: who signs, stores or forwards such a text would see another one than we do.
"""

import json
import math
import re
from typing import Any

DEPTH_MAX = 32
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1
_INTEGER_MAX_LENGTH = len(str(_INTEGER_MIN))
# With the quote that ends it, where there is one.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_ALIKE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_FORBIDDEN = re.compile("[\0\ud800-\udfff]")


class NotStrict(Exception):
    """In words that say what is wrong, and repeat nothing of the text."""


def check(raw: bytes) -> None:
    """Raises NotStrict."""
    if raw.count(b"[") + raw.count(b"{") > DEPTH_MAX and _is_too_deep(raw):
        raise NotStrict(f"it is nested deeper than {DEPTH_MAX} levels")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise NotStrict("it is not UTF-8") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise NotStrict(f"{error.msg} at character {error.pos}") from None
    if _SUSPECT_ESCAPE.search(text):
        _check_strings(value)


def _is_too_deep(raw: bytes) -> bool:
    """Takes the innermost pairs away until none should be left: a megabyte of brackets must not hold up the loop, as
    counting them one by one does. What is no JSON may pass, and is refused for that."""
    brackets = _STRING.sub(b"", raw).translate(_ALIKE, _NO_BRACKETS)
    for _ in range(DEPTH_MAX):
        if b"[]" not in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets or brackets.count(b"[") > DEPTH_MAX


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise NotStrict("an object has a key twice")
    return fields


def _integer(digits: str) -> int:
    if len(digits) <= _INTEGER_MAX_LENGTH:
        number = int(digits)
        if _INTEGER_MIN <= number <= _INTEGER_MAX:
            return number
    raise NotStrict("an integer has more than 64 bits")


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NotStrict("a number is too large")
    return number


def _constant(name: str) -> None:
    raise NotStrict(f"{name} is no number of JSON's")


def _check_strings(value: Any) -> None:
    """Of nesting that was checked."""
    if isinstance(value, str):
        if _FORBIDDEN.search(value):
            raise NotStrict("a text has a NUL or half a character (a lone surrogate)")
    elif isinstance(value, list):
        for item in value:
            _check_strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_strings(key)
            _check_strings(item)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant, strict=True
)
