"""Bytes to text: which encoding, and lines of limited length."""

import codecs
import io
from collections.abc import Iterator
from typing import Final

from domains.offers.feeds.errors import FeedError

MAX_LINE_CHARACTERS: Final = 4 * 1024**2
# Families of encodings that feeds come in; Python knows others that are no encodings of text, or slow on purpose.
_FAMILIES: Final = ("utf", "iso8859", "cp", "koi8", "gb", "big5", "euc", "shift_jis", "tis", "mac", "ascii", "latin")
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def choose_encoding(head: bytes, given: str | None) -> tuple[str, int]:
    """(codec, length of the byte order mark). The mark counts most, then what was given, then the look of it."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            if name == "utf-32":
                raise FeedError("ENCODING_UNSUPPORTED", "The feed is in UTF-32. Send it as UTF-8.")
            return name, len(mark)
    if given is not None:
        return _known(given), 0
    # The first characters of any feed are ASCII, so in UTF-16 every other byte is 0.
    if len(head) >= 4 and head[0] and head[2] and not head[1] and not head[3]:
        return "utf-16-le", 0
    if len(head) >= 4 and head[1] and head[3] and not head[0] and not head[2]:
        return "utf-16-be", 0
    return "utf-8", 0


def _known(given: str) -> str:
    try:
        name = codecs.lookup(given).name
    except (LookupError, ValueError):
        name = ""
    if not name.startswith(_FAMILIES) or name.startswith(("utf-7", "utf-32")):
        raise FeedError("ENCODING_UNKNOWN", f"{given!r} is no encoding of feeds. Name one such as windows-1252.")
    return "utf-8" if name == "utf-8-sig" else name


class Lines:
    """The lines of a text, ends included, for the csv module and JSON Lines.

    Bytes that are not in the encoding become lone surrogates, which no field accepts: only the rows that have them
    are lost. A line longer than MAX_LINE_CHARACTERS is cut and noted in `was_cut`, which the reader resets.
    """

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self.encoding = encoding
        self.number = 0
        self.was_cut = False
        errors = "strict" if encoding.startswith("utf-16") else "surrogateescape"
        self._text = io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._readline()
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == MAX_LINE_CHARACTERS and not line.endswith(("\n", "\r")):
            self.was_cut = True
            while (rest := self._readline()) and not rest.endswith(("\n", "\r")):
                pass
        return line

    def _readline(self) -> str:
        try:
            return self._text.readline(MAX_LINE_CHARACTERS)
        except UnicodeError as error:
            raise FeedError(
                "ENCODING_INVALID",
                f"The feed is not in {self.encoding} throughout. Name its encoding, such as windows-1252.",
                self.number + 1,
            ) from error
