"""JSON Lines, and one JSON array of objects.

No number passes through a float on its way to an item. orjson, which is the fastest, makes floats; but nothing takes
one for a value (`as_texts` raises InexactNumber), so that the digits are taken from the line instead: by a look behind
the key, or else by Python's json, which hands over the digits of all numbers.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import orjson

from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.rows import NumberText, RecordGuard, Row, Values, too_large, unreadable
from domains.offers.validation.issues import error
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

MAX_LINE_BYTES: Final = 4 * 1024**2
# Where nothing but errors comes at first, the file is something else.
_MAX_BAD_FIRST_ROWS: Final = 10
# Rows that are handed on together: a row may be as large as a line, and the next is not to be read beside it.
_BATCH_ROWS: Final = 250
_BATCH_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 50
_DECODER: Final = json.JSONDecoder(parse_float=NumberText, parse_int=NumberText, parse_constant=NumberText)
_NUMBER_OF_KEY: Final = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
# A Row, and the line that it was read from.
LineRow = tuple[int, Values | pb.Issue, bytes]


class JSONLines:
    """One object a line, in UTF-8."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._lines = iter(partial(stream.readline, MAX_LINE_BYTES), b"")
        self._line = b""

    def rows(self) -> Iterator[Row]:
        """Raises FeedError where the first lines are all no objects."""
        bad = number = 0
        found = False
        for line in self._lines:
            number += 1
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                any(rest.endswith(b"\n") for rest in self._lines)
                yield too_large(number)
                continue
            try:
                values = orjson.loads(line)
            except ValueError:
                values = None
            if type(values) is dict:
                found = True
                self._line = line
                yield number, values
                # A row can be large: the next is not to be read beside it.
                del values
                continue
            text = line.decode("utf-8", "surrogateescape").strip()
            if not text:
                continue
            decoded = _decoded(text)
            found = found or isinstance(decoded, dict)
            if not found:
                bad += 1
                if bad > _MAX_BAD_FIRST_ROWS:
                    raise FeedError(
                        "JSON_LINES_INVALID",
                        "The first lines are no JSON objects. Send one object a line, or one array of objects.",
                        number,
                    )
            yield number, decoded

    def batches(self) -> Iterator[Sequence[LineRow]]:
        """The rows, those together that follow one another and are not large. Before one is looked at, `go_to` it."""
        batch: list[LineRow] = []
        size = 0
        try:
            for number, values in self.rows():
                batch.append((number, values, self._line))
                size += len(self._line)
                del values
                if size >= _BATCH_BYTES or len(batch) == _BATCH_ROWS:
                    yield batch
                    batch, size = [], 0
        except FeedError:
            # What was read before it comes first.
            yield batch
            raise
        if batch:
            yield batch

    def go_to(self, line: bytes) -> None:
        self._line = line

    def digits(self, key: str, number: float) -> NumberText | None:
        """Of a number in the row that came last. None where its key is not in the line as it is, or again elsewhere."""
        line, quoted = self._line, b'"%b"' % key.encode()
        position = line.find(quoted)
        if position < 0 or line.find(quoted, position + 1) >= 0:
            return None
        match = _NUMBER_OF_KEY.match(line, position + len(quoted))
        return NumberText(match[1].decode()) if match is not None and float(match[1]) == number else None

    def exact(self) -> dict[str, Any] | pb.Issue:
        """The row that came last, with the digits of all its numbers."""
        return _decoded(self._line.decode())


def _decoded(text: str) -> dict[str, Any] | pb.Issue:
    """By Python's json, which reads what orjson does not (NaN, halves of surrogates) and says what is wrong where."""
    try:
        values = _DECODER.decode(text)
    except (ValueError, RecursionError) as problem:
        return error("JSON_INVALID", "", f"The line is no JSON object: {problem}. Correct it.", text)
    if not isinstance(values, dict):
        return error("JSON_INVALID", "", "The line is JSON, but no object. Send one object a line.", text)
    return values


def json_array_rows(stream: io.BufferedReader) -> Iterator[Row]:
    """The objects of an array in UTF-8, numbered from 1. Raises FeedError where the JSON is broken."""
    # Imported here: JSON Lines do without.
    import ijson  # type: ignore[import-untyped]

    guard = RecordGuard(stream.read1)
    number = 0
    try:
        for values in _entries(ijson.basic_parse(guard)):
            number += 1
            guard.row_done()
            if isinstance(values, dict):
                yield number, values
            else:
                yield unreadable(number, "JSON_INVALID", "The entry is no object. Send an array of objects.")
    except (ijson.JSONError, ValueError) as problem:
        raise FeedError(
            "JSON_MALFORMED", f"The JSON breaks off after entry {number}: {_in_words(problem)}. Correct the feed."
        ) from problem


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
    """The first line of what the parser says; the rest is an excerpt with a pointer, as bytes where it is no UTF-8."""
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return text.strip().partition("\n")[0].rstrip(".")[:200]
