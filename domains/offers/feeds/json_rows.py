"""JSON Lines, and one JSON array of objects."""

import io
import json
from collections.abc import Iterator
from typing import Any, Final

import ijson  # type: ignore[import-untyped]

from domains.offers.feeds.encoding import Lines
from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.rows import NumberText, RecordGuard, Row, too_large, unreadable

# Where nothing but errors comes at first, the file is something else.
_MAX_BAD_FIRST_ROWS: Final = 10
MAX_DEPTH: Final = 50
_DECODER: Final = json.JSONDecoder(parse_float=NumberText, parse_int=NumberText, parse_constant=NumberText)


def json_line_rows(lines: Lines) -> Iterator[Row]:
    """One object a line. Raises FeedError where the first lines are all none."""
    bad = 0
    found = False
    for line in lines:
        text = line.strip()
        if not text:
            continue
        if lines.was_cut:
            lines.was_cut = False
            yield too_large(lines.number)
            continue
        row = _json_row(text, lines.number)
        found = found or row.problem is None
        if not found:
            bad += 1
            if bad > _MAX_BAD_FIRST_ROWS:
                raise FeedError(
                    "JSON_LINES_INVALID",
                    "The first lines are no JSON objects. Send one object a line, or one array of objects.",
                    lines.number,
                )
        yield row


def _json_row(text: str, number: int) -> Row:
    try:
        values = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return unreadable(number, "JSON_INVALID", f"The line is no JSON object: {error}. Correct it.", text)
    if not isinstance(values, dict):
        return unreadable(number, "JSON_INVALID", "The line is JSON, but no object. Send one object a line.", text)
    return Row(number, values)


def json_array_rows(stream: io.BufferedReader, encoding: str) -> Iterator[Row]:
    """The objects of an array, numbered from 1. Raises FeedError where the JSON is broken."""
    guard = RecordGuard(stream.read if encoding == "utf-8" else _Recoded(stream, encoding).read)
    number = 0
    try:
        for values in _entries(ijson.basic_parse(guard)):
            number += 1
            guard.row_done()
            if isinstance(values, dict):
                yield Row(number, values)
            else:
                yield unreadable(number, "JSON_INVALID", "The entry is no object. Send an array of objects.")
    except (ijson.JSONError, ValueError) as error:
        raise FeedError(
            "JSON_MALFORMED", f"The JSON breaks off after entry {number}: {_in_words(error)}. Correct the feed."
        ) from error


def _entries(events: Iterator[tuple[str, Any]]) -> Iterator[Any]:
    """The entries of the outermost array. Not ijson.items, whose time grows with the square of the depth.

    Raises ValueError where the outermost value is no array, or nested over MAX_DEPTH deep.
    """
    if next(events, ("", None))[0] != "start_array":
        raise ValueError("it is no array")
    # The containers that are open, below the outermost array, and the keys under which they go into their parents.
    open_containers: list[Any] = []
    keys: list[str] = []
    for event, value in events:
        if event == "map_key":
            keys[-1] = value
            continue
        if event in ("start_map", "start_array"):
            if len(open_containers) == MAX_DEPTH:
                raise ValueError(f"it is nested over {MAX_DEPTH} deep")
            open_containers.append({} if event == "start_map" else [])
            keys.append("")
            continue
        if event in ("end_map", "end_array"):
            if not open_containers:
                continue
            value = open_containers.pop()
            keys.pop()
        if not open_containers:
            yield value
        elif isinstance(parent := open_containers[-1], dict):
            parent[keys[-1]] = value
        else:
            parent.append(value)


def _in_words(error: Exception) -> str:
    """The first line of what the parser says; the rest is an excerpt with a pointer."""
    return str(error).strip().partition("\n")[0][:200]


class _Recoded:
    """Another encoding as UTF-8, which is what the parser reads."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding=encoding, newline="")

    def read(self, size: int = -1) -> Any:
        return self._text.read(size).encode()
