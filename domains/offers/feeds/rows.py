"""What the readers of all formats give: rows of raw values."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from domains.offers.feeds.errors import FeedError
from domains.offers.validation.issues import error
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

MAX_FIELD_CHARACTERS: Final = 1_000_000
# What is read without one row being complete.
MAX_RECORD_BYTES: Final = 4 * 1024**2

# A row's values: texts, lists of texts, or what JSON has, by their names; or a table's cells, by their positions.
Values = Mapping[str, Any] | Sequence[str]
# The line in text formats, else the place among the rows, from 1; and the row, or why it cannot be read.
Row = tuple[int, Values | pb.Issue]


class NumberText(str):
    """A number as its digits stand in a JSON file: the point is the decimal point, and no float ever existed."""

    __slots__ = ()


def unreadable(line: int, code: str, message: str, value: str = "") -> Row:
    return line, error(code, "", message, value)


def too_large(line: int) -> Row:
    return unreadable(line, "FIELD_TOO_LARGE", f"The row has over {MAX_RECORD_BYTES // 1024**2} MiB. Shorten it.")


class RecordGuard:
    """A readable that refuses to go on where MAX_RECORD_BYTES went by without a row: memory stays limited.

    A tree of elements or values takes up to thirty times the memory of its text.
    """

    def __init__(self, read: Any) -> None:
        self._read = read
        self._since = 0
        self.total = 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._read(size)
        self.total += len(data)
        if self.total - self._since > MAX_RECORD_BYTES:
            raise FeedError("RECORD_TOO_LARGE", f"{MAX_RECORD_BYTES // 1024**2} MiB went by without a whole row.")
        return data

    def row_done(self) -> None:
        self._since = self.total
