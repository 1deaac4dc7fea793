"""Files of sales: CSV or JSON Lines by a field mapping, a row an event, each with its line and its own fault."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Literal

import orjson

from domains.cashback.service.adapters import AdaptedEvent, AdapterSettings, FieldMapping, adapt_row, event_id
from domains.cashback.service.events import Malformed

Format = Literal["csv", "jsonl"]
MAX_LINE_BYTES = 1_000_000
_KIND = "file"
# Bytes that are no UTF-8 become characters that no text has, and bytes again.
_ESCAPED = "surrogateescape"


class FileUnreadable(Malformed):
    """The file as a whole: it is empty, has no header, or is not UTF-8 from its start."""


@dataclass(frozen=True, slots=True)
class FileEvent:
    """`line` is the first of the row, from 1."""

    line: int
    adapted: AdaptedEvent


def read_events(
    file: BinaryIO, format: Format, mapping: FieldMapping, settings: AdapterSettings, received_at: datetime
) -> Iterator[FileEvent]:
    """Row by row, without holding the file. A row that is bad costs only itself. Raises FileUnreadable.

    The same row in another file is the same event; twice in one file it is one too, since nothing tells them apart.
    """
    rows = _csv_rows(file) if format == "csv" else _json_rows(file)
    for line, raw, row in rows:
        if isinstance(row, Malformed):
            name = event_id(_KIND, "", {"raw": raw.hex()})
            yield FileEvent(line, AdaptedEvent(name, raw, None, str(row)))
        else:
            yield FileEvent(line, adapt_row(row, raw, mapping, settings, received_at))


def _json_rows(file: BinaryIO) -> Iterator[tuple[int, bytes, Mapping[str, Any] | Malformed]]:
    for line, text in enumerate(_lines(file), 1):
        raw = text.strip()
        if not raw:
            continue
        try:
            row = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            yield line, raw, Malformed(f"not JSON: {error.msg}")
            continue
        yield line, raw, row if isinstance(row, dict) else Malformed("the line is no JSON object")


def _csv_rows(file: BinaryIO) -> Iterator[tuple[int, bytes, Mapping[str, Any] | Malformed]]:
    """What is kept of a row is its fields as JSON, by the header's names: without those it would mean nothing."""
    reader = csv.reader(_text(_lines(file)), strict=True)
    header = _header(reader)
    while True:
        begins = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield begins, b"", Malformed(f"not CSV: {error}")
            continue
        if not values:
            continue
        row = dict(zip(header, values, strict=False))
        try:
            raw = orjson.dumps(row)
        except orjson.JSONEncodeError:
            yield begins, ",".join(values).encode("utf-8", _ESCAPED), Malformed("the row is not UTF-8")
            continue
        if len(values) != len(header):
            yield begins, raw, Malformed(f"the row has {len(values)} fields, the header {len(header)}")
        else:
            yield begins, raw, row


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader)]
    except StopIteration:
        raise FileUnreadable("the file is empty") from None
    except csv.Error as error:
        raise FileUnreadable(f"the header is not CSV: {error}") from None
    if len(set(header)) != len(header):
        raise FileUnreadable("the header has a name twice")
    if any(not name.isprintable() for name in header):
        raise FileUnreadable("the header is not UTF-8 text")
    return header


def _text(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines):
        text = line.decode("utf-8", _ESCAPED)
        yield text.removeprefix("\ufeff") if number == 0 else text


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Raises FileUnreadable for a line that goes on and on."""
    reader = io.BufferedReader(file) if isinstance(file, io.RawIOBase) else file
    while line := reader.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise FileUnreadable(f"a line has more than {MAX_LINE_BYTES:,} bytes")
        yield line
