"""Rows as the text that COPY reads, made column by column: the driver's own encoding, value by value, takes twice as
long, and on the loop."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

_NULL = "\\N"
_NEEDS_ESCAPE = ("\\", "\t", "\n", "\r")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_lines(columns: Sequence[Sequence[Any]]) -> list[str]:
    """A line for each row, without its end. A column holds texts, whole numbers, truths, moments, bytes or lists of
    texts; None is NULL. Raises KeyError for anything else.
    """
    return list(map("\t".join, zip(*map(_texts, columns), strict=True)))


def _texts(column: Sequence[Any]) -> Sequence[str]:
    kinds = set(map(type, column))
    if kinds == {str}:
        return _escaped(column)
    has_null = type(None) in kinds
    kinds.discard(type(None))
    if not kinds:
        return [_NULL] * len(column)
    [kind] = kinds
    if kind is str:
        return [_NULL if value is None else value.translate(_ESCAPES) for value in column]
    if kind is datetime:
        # Few different ones, most of the time.
        known = {value: _NULL if value is None else value.isoformat() for value in set(column)}
        return [known[value] for value in column]
    if kind is list and not has_null:
        return _lists(column)
    if kind is bytes and not has_null and len(set(map(len, column))) == 1:
        return _hashes(column)
    write = _WRITERS[kind]
    if has_null:
        return [_NULL if value is None else write(value) for value in column]
    return list(map(write, column))


def _escaped(texts: Sequence[str]) -> Sequence[str]:
    together = "".join(texts)
    if any(character in together for character in _NEEDS_ESCAPE):
        return [text.translate(_ESCAPES) for text in texts]
    return texts


def _bytes(value: bytes) -> str:
    return "\\\\x" + value.hex()


def _hashes(column: Sequence[bytes]) -> list[str]:
    """All of one length."""
    width = 2 * len(column[0])
    text = b"".join(column).hex()
    return ["\\\\x" + text[start : start + width] for start in range(0, width * len(column), width)]


def _lists(column: Sequence[list[str]]) -> list[str]:
    together = "".join(chain.from_iterable(column))
    if '"' in together or any(character in together for character in _NEEDS_ESCAPE):
        return list(map(_list, column))
    return ['{"' + '","'.join(texts) + '"}' if texts else "{}" for texts in column]


def _list(texts: list[str]) -> str:
    quoted = ('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts)
    return ("{" + ",".join(quoted) + "}").translate(_ESCAPES)


_WRITERS: dict[type, Callable[[Any], str]] = {
    int: str,
    bool: lambda value: "t" if value else "f",
    bytes: _bytes,
    list: _list,
}
