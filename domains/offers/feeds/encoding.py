"""Bytes to text: which encoding, and lines of limited length."""

import codecs
import io
import re
from collections.abc import Iterator
from typing import Final

from domains.offers.feeds.errors import FeedError

MAX_LINE_CHARACTERS: Final = 4 * 1024**2
_RECODED_BYTES: Final = 64 * 1024
_LINE_ENDS: Final = ("\n", "\r")
# Families of encodings that feeds come in; Python knows others that are no encodings of text, or slow on purpose.
_FAMILIES: Final = ("utf", "iso8859", "cp", "koi8", "gb", "big5", "euc", "shift_jis", "tis", "mac", "ascii", "latin")
# Python knows some of Microsoft's code pages by one name only.
_WINDOWS: Final = re.compile(r"^windows[-_]?(?=[0-9]+$)", re.IGNORECASE)
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
    name = "utf-8" if given is None else _known(given)
    if given is not None and name != "utf-16":
        return name, 0
    # The first characters of any feed are ASCII, so in UTF-16 every other byte is 0.
    if len(head) >= 4 and head[0] and head[2] and not head[1] and not head[3]:
        return "utf-16-le", 0
    if len(head) >= 4 and head[1] and head[3] and not head[0] and not head[2]:
        return "utf-16-be", 0
    return "utf-8" if given is None else "utf-16-le", 0


def _known(given: str) -> str:
    try:
        name = codecs.lookup(_WINDOWS.sub("cp", given)).name
    except (LookupError, ValueError):
        name = ""
    if not name.startswith(_FAMILIES) or name.startswith(("utf-7", "utf-32")):
        raise FeedError("ENCODING_UNKNOWN", f"{given!r} is no encoding of feeds. Name one such as windows-1252.")
    return "utf-8" if name == "utf-8-sig" else name


class RecordTooLong(Exception):
    """The lines of one row are together longer than one line may be."""


class Lines:
    """The lines of a text, ends included, for the csv module. Iterating goes on where the last iteration stopped.

    Bytes that are not in the encoding become lone surrogates, which no field accepts: only the rows that have them
    are lost. A line longer than MAX_LINE_CHARACTERS is left out and noted in `was_cut`, which the reader resets. So
    does it with `record_characters`, the length of the lines of a row; raises RecordTooLong where that is more.
    """

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self.encoding = encoding
        self.number = 0
        self.was_cut = False
        self.record_characters = 0
        errors = "strict" if encoding.startswith("utf-16") else "surrogateescape"
        self._text = io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="")

    def __iter__(self) -> Iterator[str]:
        readline = self._text.readline
        try:
            while line := readline(MAX_LINE_CHARACTERS):
                self.number += 1
                self.record_characters += len(line)
                if len(line) == MAX_LINE_CHARACTERS and not line.endswith(_LINE_ENDS):
                    self.was_cut = True
                    self.record_characters = 0
                    while not line.endswith(_LINE_ENDS) and (line := readline(MAX_LINE_CHARACTERS)):
                        pass
                    # An empty line cannot open a quote.
                    yield "\n"
                    continue
                if self.record_characters > MAX_LINE_CHARACTERS:
                    raise RecordTooLong
                yield line
        except UnicodeError as error:
            raise _wrong_encoding(self.encoding, self.number + 1) from error


def as_utf_8(stream: io.BufferedReader, encoding: str) -> io.BufferedReader:
    """The same text in UTF-8 with line feeds at the ends of its lines.

    Bytes that are not in the encoding stay as they are, which is never UTF-8: the rows that have them are known by it.
    """
    is_ready = encoding == "utf-8" and b"\r" not in stream.peek().replace(b"\r\n", b"")[:-1]
    return stream if is_ready else io.BufferedReader(_Recoded(stream, encoding), _RECODED_BYTES)


class _Recoded(io.RawIOBase):
    """Raises FeedError with the line, when all that comes before has been read."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding
        errors = "strict" if encoding.startswith("utf-16") else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._newlines = io.IncrementalNewlineDecoder(None, translate=True)
        self._ready = memoryview(b"")
        self._line = 1
        self._is_wrong = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer has no length
        data = None
        while not self._ready and data != b"":
            if self._is_wrong:
                raise _wrong_encoding(self._encoding, self._line)
            data = self._stream.read(_RECODED_BYTES)
            text = self._newlines.decode(self._decode(data), final=not data)
            self._line += text.count("\n")
            self._ready = memoryview(text.encode("utf-8", "surrogateescape"))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _decode(self, data: bytes) -> str:
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            self._is_wrong = True
            return error.object[: error.start].decode(self._encoding)


def _wrong_encoding(encoding: str, line: int) -> FeedError:
    message = f"The feed is not in {encoding} throughout. Name its encoding, such as windows-1252."
    return FeedError("ENCODING_INVALID", message, line)
