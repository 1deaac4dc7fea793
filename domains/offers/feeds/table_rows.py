"""Tables with a header: comma, tab, semicolon or pipe between the columns."""

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from domains.offers.feeds.encoding import MAX_LINE_CHARACTERS, Lines, RecordTooLong
from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.rows import Row, too_large, unreadable

MAX_COLUMNS: Final = 2000
_DELIMITERS: Final = ("\t", ",", ";", "|")

# The limit is the process's; the module's own, 131,072, is less than real product descriptions have. A cell that is
# too large is refused later, when the row's id is known.
csv.field_size_limit(MAX_LINE_CHARACTERS)


class Table:
    """`columns` are the header's names; a repeated one is told apart by its number (`image#2`)."""

    def __init__(self, lines: Lines, delimiter: str | None) -> None:
        """Reads the header. Raises FeedError."""
        self._lines = lines
        header = _first_line(lines)
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise FeedError("OPTIONS_INVALID", "The delimiter must be one character, such as ; or |.")
        self.delimiter = delimiter or max(_DELIMITERS, key=_outside_quotes(header).count)
        self._reader = csv.reader(chain([header], lines), delimiter=self.delimiter, strict=True)
        try:
            names = next(self._reader)
        except (csv.Error, StopIteration, RecordTooLong) as error:
            raise FeedError("HEADER_INVALID", "The first line cannot be read as a header. Correct it.", 1) from error
        if len(names) > MAX_COLUMNS or any(not name.isprintable() for name in names):
            raise FeedError("HEADER_INVALID", "The first line is no header of a table. Check what the file is.", 1)
        self.columns = _distinct([name.strip() for name in names])

    @property
    def row_characters(self) -> int:
        """The length of the row that came last."""
        return self._lines.record_characters

    def rows(self) -> Iterator[Row]:
        """The cells of each row. Raises FeedError where a quote is opened and never closed."""
        reader, lines = self._reader, self._lines
        width = len(self.columns)
        while True:
            line = lines.number + 1
            lines.record_characters = 0
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._bad_row(line, str(error))
                continue
            except RecordTooLong as error:
                raise _unclosed_quote(line) from error
            if lines.was_cut:
                lines.was_cut = False
                yield too_large(line)
            elif len(cells) == width:
                yield line, cells
            elif cells and any(cells):
                yield unreadable(
                    line,
                    "WRONG_COLUMN_COUNT",
                    f"The row has {len(cells)} cells, the header {width}. Quote cells that hold the delimiter.",
                    self.delimiter.join(cells),
                )

    def _bad_row(self, line: int, message: str) -> Row:
        self._lines.was_cut = False
        if "unexpected end of data" in message:
            raise _unclosed_quote(line)
        return unreadable(
            line, "QUOTES_INVALID", f"The row's quotes are wrong ({message}). Double quotes inside of quoted cells."
        )


def _unclosed_quote(line: int) -> FeedError:
    message = "A quote opens in this row and is not closed. Double the quotes inside of quoted cells."
    return FeedError("QUOTE_NOT_CLOSED", message, line)


def _first_line(lines: Lines) -> str:
    for line in lines:
        if lines.was_cut:
            break
        if line.strip():
            return line
    raise FeedError("HEADER_INVALID", "The file has no header line that can be read. Check what the file is.")


def _outside_quotes(header: str) -> str:
    return "".join(header.split('"')[::2])


def _distinct(names: Sequence[str]) -> list[str]:
    counts: dict[str, int] = {}
    distinct: list[str] = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        distinct.append(name if counts[name] == 1 else f"{name}#{counts[name]}")
    return distinct
