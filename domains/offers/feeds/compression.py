"""Compressed feeds, recognised by their first bytes and expanded as a stream with a limit."""

import gzip
import io
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, BinaryIO, Final

import zstandard

from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.options import FeedOptions

BUFFER_BYTES: Final = 64 * 1024
_SPOOL_BYTES: Final = 16 * 1024**2
# Below this the ratio says nothing: a small file of blanks compresses a thousandfold.
_RATIO_FREE_BYTES: Final = 16 * 1024**2
# One of zstd's shortest blocks (4 bytes) makes 128 KiB, so this many bytes make at most 32 MiB at a time.
_ZSTD_INPUT_BYTES: Final = 1024
_ZSTD_WINDOW_BYTES: Final = 128 * 1024**2
# An archive of one file has a table of contents of some hundred bytes, and it is read whole.
_MAX_ZIP_DIRECTORY_BYTES: Final = 1024**2
_ZIP_END_BYTES: Final = 22
_MAX_ZIP_COMMENT_BYTES: Final = 65_536
_ZSTD_MAGICS: Final = (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + number]) + b"\x2a\x4d\x18" for number in range(16)))
_OTHERS: Final = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR", b"\x1f\x9d": "compress"}


class Expanded(io.BufferedReader):
    """The feed's bytes after decompression; `compression` is none, gzip, zip or zstd."""

    compression: str = "none"
    spool: IO[bytes] | None = None

    def release(self) -> None:
        """Frees the temporary file, where there is one. The stream that was given stays open."""
        if self.spool is not None:
            self.spool.close()


def expand(stream: BinaryIO | IO[bytes], options: FeedOptions) -> Expanded:
    """Raises FeedError, now or while it is read."""
    counted = _Counted(stream)
    source = io.BufferedReader(counted, BUFFER_BYTES)
    head = source.peek(8)[:8]
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            raise FeedError("COMPRESSION_UNSUPPORTED", f"The file is packed by {name}. Send it as gzip, zip or zstd.")
    compression, spool = "none", None
    read: Callable[[int], bytes] = source.read
    if head.startswith(b"\x1f\x8b"):
        compression, read = "gzip", gzip.GzipFile(fileobj=source).read
    elif head.startswith(_ZSTD_MAGICS):
        compression, read = "zstd", _ZstdReader(source).read
    elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        compression, spool = "zip", _spool(source, options)
        read = _open_zip(spool).read
    expanded = Expanded(_Limited(read, counted, options, packed=compression != "none"), BUFFER_BYTES)
    expanded.compression = compression
    expanded.spool = spool
    return expanded


class _Counted(io.RawIOBase):
    """Counts what has been read of the file itself, and fills whole buffers, so that a peek sees enough."""

    def __init__(self, stream: BinaryIO | IO[bytes]) -> None:
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer has no length
        filled = 0
        while filled < len(buffer):
            data = self._stream.read(len(buffer) - filled)
            if not data:
                break
            buffer[filled : filled + len(data)] = data
            filled += len(data)
        self.count += filled
        return filled


class _Limited(io.RawIOBase):
    """Counts what comes out, and says in words what goes wrong."""

    def __init__(self, read: Callable[[int], bytes], counted: _Counted, options: FeedOptions, *, packed: bool) -> None:
        self._read = read
        self._counted = counted
        self._options = options
        self._packed = packed
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # as above
        try:
            data = self._read(len(buffer))
        except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, zstandard.ZstdError) as error:
            raise FeedError(
                "COMPRESSION_DAMAGED", f"The compressed file is damaged or cut off ({error}). Send it again."
            ) from error
        self._count += len(data)
        if self._count > self._options.max_expanded_bytes:
            limit_mib = self._options.max_expanded_bytes // 1024**2
            raise FeedError("FEED_TOO_LARGE", f"The feed has over {limit_mib} MiB. Split it.")
        if (
            self._packed
            and self._count > _RATIO_FREE_BYTES
            and self._count > self._counted.count * self._options.max_expansion_ratio
        ):
            raise FeedError(
                "EXPANSION_TOO_LARGE",
                f"The file expands to over {self._options.max_expansion_ratio} times its size, as no feed does. "
                "Send it uncompressed if it is right.",
            )
        buffer[: len(data)] = data
        return len(data)


class _ZstdReader:
    """Frame after frame. zstandard's own stream_reader takes a file that is cut off for a whole one."""

    def __init__(self, source: "io.BufferedReader[_Counted]") -> None:
        self._source = source
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._unread = b""
        self._ready = memoryview(b"")

    def read(self, size: int) -> bytes:
        while not self._ready:
            data = self._unread or self._source.read(_ZSTD_INPUT_BYTES)
            self._unread = b""
            if not data:
                if self._frame is not None:
                    raise EOFError("the last frame has no end")
                return b""
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            self._ready = memoryview(self._frame.decompress(data))
            if self._frame.eof:
                self._unread = self._frame.unused_data
                self._frame = None
        data, self._ready = bytes(self._ready[:size]), self._ready[size:]
        return data


def _spool(source: "io.BufferedReader[_Counted]", options: FeedOptions) -> IO[bytes]:
    """An archive's table of contents is at its end, so it is read whole, onto the disk where it is large."""
    spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115  # lives as long as the feed
    size = 0
    while data := source.read(BUFFER_BYTES):
        size += len(data)
        if size > options.max_expanded_bytes:
            spool.close()
            raise FeedError("FEED_TOO_LARGE", "The archive is larger than any feed may be. Split it.")
        spool.write(data)
    return spool


def _open_zip(spool: IO[bytes]) -> IO[bytes]:
    """The one file of an archive."""
    try:
        _check_directory(spool)
        archive = zipfile.ZipFile(spool)
        members = [info for info in archive.infolist() if _is_feed_file(info.filename)]
        if any(info.filename == "xl/workbook.xml" for info in members):
            raise FeedError("SPREADSHEET", "This is an Excel workbook. Save the sheet as CSV UTF-8 and send that.")
        if len(members) != 1:
            raise FeedError("ZIP_NOT_ONE_FILE", f"The archive has {len(members)} files. Send one feed in each.")
        if members[0].flag_bits & 1:
            raise FeedError("ZIP_ENCRYPTED", "The archive is encrypted. Send it without a password.")
        if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FeedError("ZIP_METHOD_UNSUPPORTED", "The archive is not packed by deflate. Pack it again.")
        return archive.open(members[0])
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError) as error:
        spool.close()
        raise FeedError("COMPRESSION_DAMAGED", f"The zip archive is damaged ({error}). Send it again.") from error
    except FeedError:
        spool.close()
        raise


def _check_directory(spool: IO[bytes]) -> None:
    """Refuses an archive of very many files before each of them takes memory."""
    size = spool.seek(0, io.SEEK_END)
    start = max(size - _MAX_ZIP_COMMENT_BYTES - _ZIP_END_BYTES, 0)
    spool.seek(start)
    tail = spool.read()
    end = tail.rfind(b"PK\x05\x06")
    directory_bytes = int.from_bytes(tail[end + 12 : end + 16], "little")
    locator = tail[max(end - 20, 0) : max(end, 0)]
    if locator.startswith(b"PK\x06\x07"):
        # In this larger form the size stands in a record in front, usually right in front.
        for position in (start + end - 20 - 56, int.from_bytes(locator[8:16], "little")):
            spool.seek(min(max(position, 0), size))
            directory_bytes = max(directory_bytes, int.from_bytes(spool.read(56)[40:48], "little"))
    if end >= 0 and directory_bytes > _MAX_ZIP_DIRECTORY_BYTES:
        raise FeedError("ZIP_NOT_ONE_FILE", "The archive has very many files. Send one feed in each.")


def _is_feed_file(name: str) -> bool:
    parts = name.split("/")
    return bool(parts[-1]) and not parts[-1].startswith(".") and parts[0] != "__MACOSX"
