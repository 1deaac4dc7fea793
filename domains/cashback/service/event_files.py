"""Files of sales: CSV or JSON Lines by a field mapping, a row an event, each with its line and its own fault."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Literal

import orjson

from domains.cashback.service.adapters import (
    GENERIC,
    STANDARD,
    AdaptedEvent,
    AdapterSettings,
    FieldMapping,
    Postback,
    adapt,
    adapt_row,
    event_id,
    mapping_of,
)
from domains.cashback.service.events import Malformed

Format = Literal["csv", "jsonl"]
MAX_LINE_BYTES = 1_000_000
_KIND = "file"
# Bytes that are no UTF-8 become characters that no text has, and bytes again.
_ESCAPED = "surrogateescape"
# A table in our own words: as the fields of an event, amounts in minor units.
_STANDARD_COLUMNS = {
    "fields": {
        "order_amount": "order_amount_minor",
        "commission": "commission_minor",
        **{
            name: name
            for name in (
                "event_id",
                "conversion_id",
                "click_id",
                "merchant",
                "status",
                "amounts",
                "currency",
                "rate_category",
                "customer_type",
                "occurred_at",
                "reason",
            )
        },
    },
    "amounts": "minor",
}


class FileUnreadable(Malformed):
    """The file as a whole: it is empty, has no header, or is not UTF-8 from its start."""


@dataclass(frozen=True, slots=True)
class FileEvent:
    """`line` is the first of the row, from 1."""

    line: int
    adapted: AdaptedEvent


def format_of(name: str) -> Format:
    """By how a file's name ends."""
    return "jsonl" if name.lower().endswith((".jsonl", ".ndjson")) else "csv"


def read_events(
    file: BinaryIO, format: Format, mapping: FieldMapping, settings: AdapterSettings, received_at: datetime
) -> Iterator[FileEvent]:
    """Row by row, without holding the file. A row that is bad costs only itself. Raises FileUnreadable.

    The same row in another file is the same event; twice in one file it is one too, since nothing tells them apart.
    """
    return _events(file, format, lambda row, raw: adapt_row(row, raw, mapping, settings, received_at))


def read_file(
    file: BinaryIO, format: Format, kind: str, settings: AdapterSettings, received_at: datetime
) -> Iterator[FileEvent]:
    """A network's file, by its mapping of files, or else as its messages are read. Raises FileUnreadable."""
    mapping = settings.file_mapping or (settings.mapping if kind == GENERIC else {})
    if not mapping and kind == STANDARD and format == "csv":
        mapping = _STANDARD_COLUMNS
    if mapping:
        return read_events(file, format, mapping_of(mapping), settings, received_at)

    def read_row(row: Mapping[str, Any], raw: bytes) -> AdaptedEvent:
        found = adapt(kind, Postback("POST", b"", "application/json", raw, received_at), settings)
        if len(found) == 1:
            return found[0]
        return AdaptedEvent(found[0].external_event_id, raw, None, "the line has several events: give each its own")

    return _events(file, format, read_row)


def _events(
    file: BinaryIO, format: Format, read_row: Callable[[Mapping[str, Any], bytes], AdaptedEvent]
) -> Iterator[FileEvent]:
    rows = _csv_rows(file) if format == "csv" else _json_rows(file)
    for line, raw, row in rows:
        if isinstance(row, Malformed):
            name = event_id(_KIND, "", {"raw": raw.hex()})
            yield FileEvent(line, AdaptedEvent(name, raw, None, str(row)))
        else:
            yield FileEvent(line, read_row(row, raw))


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
