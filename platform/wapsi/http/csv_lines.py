"""Lines of tables that people open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable


def csv_line(values: Iterable[object]) -> str:
    """A spreadsheet runs a cell that begins with one of these as a formula: an apostrophe makes it text."""
    buffer = io.StringIO()
    csv.writer(buffer).writerow(
        f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
        for value in values
    )
    return buffer.getvalue()
