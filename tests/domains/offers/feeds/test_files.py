"""The file as a whole: compression, encodings, broken and hostile files. Nothing but FeedError ever comes out."""

import contextlib
import gzip
import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domains.offers.feeds import FORMATS, FeedError, FeedOptions, open_feed, rows
from domains.offers.validation.text import clean

Read = Callable[..., Any]
CSV = "id,title,link,price\n1,کرتا,https://shop.example/1,5\n2,Lamp,https://shop.example/2,5\n"
OPTIONS = FeedOptions("PKR", datetime(2026, 3, 1, tzinfo=UTC))
BOMB = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<rss version="2.0"><channel><item><id>&b;</id></item></channel></rss>"""
OUTSIDE = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<rss version="2.0"><channel><item><id>&x;</id></item></channel></rss>"""


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


PACKED = {
    "none": CSV.encode(),
    "gzip": gzip.compress(CSV.encode()),
    "zstd": zstandard.compress(CSV.encode()),
    "zip": zipped({"a/feed.csv": CSV.encode(), "__MACOSX/a/._feed.csv": b"x", "a/.hidden": b"x"}),
}


def reason(read: Read, data: bytes | str, **options: Any) -> str:
    """Of the error that opening or reading ends with."""
    error: FeedError | None
    try:
        error = read(data, **options).error
    except FeedError as caught:
        error = caught
    assert error is not None
    assert error.message.endswith(".")
    return error.reason


@pytest.mark.parametrize("compression", PACKED)
def test_compression_is_known_by_the_first_bytes(read: Read, compression: str) -> None:
    found = read(PACKED[compression])
    assert (found.compression, len(found.offers), found.error) == (compression, 2, None)


def test_a_stream_that_cannot_be_sought_is_enough(read: Read) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self._data.read(min(size, 7) if size > 0 else 7)

    for data in PACKED.values():
        assert len(list(open_feed(Pipe(data), options=OPTIONS).items())) == 2


def test_several_members_and_frames_are_one_file(read: Read) -> None:
    first, second = CSV.encode()[:40], CSV.encode()[40:]
    assert len(read(gzip.compress(first) + gzip.compress(second)).offers) == 2
    assert len(read(zstandard.compress(first) + zstandard.compress(second)).offers) == 2


@pytest.mark.parametrize("compression", ["gzip", "zstd", "zip"])
def test_a_file_that_is_cut_off_is_no_whole_feed(read: Read, compression: str) -> None:
    data = PACKED[compression]
    assert reason(read, data[:-5]) == "COMPRESSION_DAMAGED"
    assert reason(read, data[: len(data) // 2]) == "COMPRESSION_DAMAGED"


@pytest.mark.parametrize(
    "make", [gzip.compress, zstandard.compress, lambda data: zipped({"f.csv": data})], ids=["gzip", "zstd", "zip"]
)
def test_a_file_that_expands_beyond_reason_is_stopped(read: Read, make: Callable[[bytes], bytes]) -> None:
    # 96 MiB of blanks behind good rows.
    data = make(CSV.encode() + (b" " * 1024**2 + b"\n") * 96)
    tracemalloc.start()
    try:
        assert reason(read, data) == "EXPANSION_TOO_LARGE"
        assert tracemalloc.get_traced_memory()[1] < 48 * 1024**2
    finally:
        tracemalloc.stop()


def test_the_absolute_limit_counts_for_plain_files_too(read: Read) -> None:
    assert reason(read, CSV + "\n" * 5000, max_expanded_bytes=4000) == "FEED_TOO_LARGE"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "FEED_EMPTY"),
        (b"\xef\xbb\xbf \r\n", "FEED_EMPTY"),
        (b"BZh91AY&SY", "COMPRESSION_UNSUPPORTED"),
        (b"\xfd7zXZ\x00\x00", "COMPRESSION_UNSUPPORTED"),
        (zipped({"a.csv": b"x", "b.csv": b"y"}), "ZIP_NOT_ONE_FILE"),
        (zipped({}), "ZIP_NOT_ONE_FILE"),
        (zipped({"xl/workbook.xml": b"x", "[Content_Types].xml": b"y"}), "SPREADSHEET"),
        (zipped({"a.csv": CSV.encode()}, zipfile.ZIP_BZIP2), "ZIP_METHOD_UNSUPPORTED"),
        (b"<!DOCTYPE html><html><body>503</body></html>", "FEED_IS_WEB_PAGE"),
        (b"<html><head></head></html>", "FEED_IS_WEB_PAGE"),
        (b"<orders><order/></orders>", "XML_NOT_A_FEED"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "HEADER_INVALID"),
        (b'{\n "id": 1,\n' + b' "a": 1,\n' * 20 + b"}", "JSON_LINES_INVALID"),
        (b'[{"id": "1"}, {"id"', "JSON_MALFORMED"),
        (b'[{"id": "1"}] trailing', "JSON_MALFORMED"),
        (b"[" * 50_000, "JSON_MALFORMED"),
        (b'id,title,link,price\n1,"Lamp,https://shop.example/1,5\n2,b,c,5\n', "QUOTE_NOT_CLOSED"),
    ],
    ids=range(17),
)
def test_what_is_no_feed_is_refused_by_name(read: Read, data: bytes, expected: str) -> None:
    assert reason(read, data) == expected


def test_a_quote_that_swallows_the_rest_is_found_before_memory_is_gone(read: Read) -> None:
    rows = "".join(f"{number},Lamp,https://shop.example/{number},5\n" for number in range(40_000))
    found = read('id,title,link,price\n1,Lamp,https://shop.example/1,5\n2,"Lamp,x,5\n' + rows)
    assert (found.error.reason, found.error.line, len(found.offers)) == ("QUOTE_NOT_CLOSED", 3, 1)


def test_broken_xml_keeps_what_came_before(read: Read) -> None:
    items = "".join(f"<item>\n<id>{number}</id></item>\n" for number in range(3))
    found = read(f"<rss><channel>\n{items}<item><link>https://shop.example/?a=1&b=2</link></item></channel></rss>")
    assert [offer.offer_id for offer in found.offers] == ["0", "1", "2"]
    assert (found.error.reason, found.error.line) == ("XML_MALFORMED", 8)


def test_xml_that_breaks_off_is_broken(read: Read) -> None:
    found = read("<rss><channel><item><id>1</id></item>")
    assert (len(found.offers), found.error.reason) == (1, "XML_MALFORMED")


@pytest.mark.parametrize(
    "document",
    [
        BOMB,
        OUTSIDE,
        BOMB.replace("<!DOCTYPE", "<!--" + " " * 40_000 + "-->\n<!DOCTYPE"),
        '<!DOCTYPE rss [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p"> %p;]><rss><channel/></rss>',
        "<!DOCTYPE rss [<!ELEMENT rss ANY>]><rss><channel/></rss>",
    ],
    ids=["laughs", "file", "behind a long comment", "parameter entity", "element"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_that_declares_anything_is_refused(read: Read, document: str, encoding: str) -> None:
    data = document.replace('<?xml version="1.0"?>', "").lstrip().encode(encoding)
    assert reason(read, data) in ("XML_DECLARATIONS", "XML_NOT_A_FEED")


def test_an_entity_that_is_not_declared_breaks_the_document(read: Read) -> None:
    assert reason(read, "<rss><channel><item><id>&nbsp;</id></item></channel></rss>") == "XML_MALFORMED"


@pytest.mark.parametrize("start", ["<rss><channel><item>" + "<a>x</a>" * 200_000, '[{"id": "' + "x" * 1_500_000])
def test_a_row_without_an_end_does_not_fill_the_memory(read: Read, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_RECORD_BYTES", 1024**2)
    assert reason(read, start) == "RECORD_TOO_LARGE"


def test_a_text_of_12_mb_in_xml_is_refused(read: Read) -> None:
    assert reason(read, "<rss><channel><item><id>" + "x" * 12_000_000) == "RECORD_TOO_LARGE"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "xml"])
def test_unicode_is_recognised(read: Read, kind: str, encoding: str) -> None:
    row = {"id": "1", "title": "کرتا", "link": "https://shop.example/1"}
    data = {
        "csv": "id,title,link\n1,کرتا,https://shop.example/1\n",
        "jsonl": json.dumps(row, ensure_ascii=False) + "\n",
        "json": json.dumps([row], ensure_ascii=False),
        "xml": "<rss><channel><item><id>1</id><title>کرتا</title></item></channel></rss>",
    }[kind]
    if kind == "xml" and encoding in ("utf-16-le", "utf-16-be"):
        data = f'<?xml version="1.0" encoding="{encoding[:6]}"?>{data}'
    found = read(data.encode(encoding))
    assert found.error is None
    assert found.offers[0].title == "کرتا"


def test_an_8_bit_encoding_is_given_or_declared(read: Read) -> None:
    assert read(CSV.encode("cp1256", "replace"), encoding="windows-1256").offers[0].title[0] == "ک"
    declared = '<?xml version="1.0" encoding="windows-1252"?><rss><channel><item><id>é</id></item></channel></rss>'
    found = read(declared.encode("cp1252"))
    assert (found.encoding, found.offers[0].offer_id) == ("windows-1252", "é")
    bare = declared[declared.index("<rss") :].encode("cp1252")
    assert reason(read, bare) == "ENCODING_INVALID"
    assert read(bare, encoding="cp1252").offers[0].offer_id == "é"
    assert read('[{"id": "é"}]'.encode("cp1252"), encoding="latin-1").offers[0].offer_id == "é"


def test_bytes_of_another_encoding_cost_the_rows_that_have_them(read: Read) -> None:
    found = read(b"id,title,link\n1,Caf\xe9,https://shop.example/1\n2,Lamp,https://shop.example/2\n")
    assert [offer.offer_id for offer in found.offers] == ["2"]
    assert found.codes == ["ENCODING_INVALID"]
    assert "windows-1252" in found.items[0].issues[0].message


@pytest.mark.parametrize("encoding", ["nope", "hex", "unicode_escape", "idna", "utf-7", "utf-32", "a\0b"])
def test_what_is_no_encoding_of_feeds_is_refused(read: Read, encoding: str) -> None:
    assert reason(read, CSV, encoding=encoding) == "ENCODING_UNKNOWN"


def test_utf_16_that_is_none_is_refused(read: Read) -> None:
    assert reason(read, CSV.encode("utf-16") + b"\x00\xd8\x00") in ("ENCODING_INVALID",)


def test_memory_does_not_grow_with_the_feed() -> None:
    class Endless(io.RawIOBase):
        """Rows without end, made as they are read."""

        def __init__(self) -> None:
            self._buffer = b"id,title,link,price\n"
            self._number = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            while len(self._buffer) < size:
                self._number += 1
                self._buffer += b"%d,Lamp,https://shop.example/%d,5\n" % (self._number, self._number)
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return data

    def peak_after(rows: int, items: Iterator[object]) -> int:
        for _ in range(rows):
            next(items)
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        items = open_feed(Endless(), options=OPTIONS).items()
        early = peak_after(2_000, items)
        assert peak_after(20_000, items) < early + 256 * 1024
    finally:
        tracemalloc.stop()


def consume(data: bytes, options: FeedOptions) -> None:
    """Fails on anything but FeedError, and on items that neither have an offer nor say why."""
    with contextlib.suppress(FeedError), open_feed(io.BytesIO(data), options=options) as feed:
        for item in feed.items():
            assert item.HasField("offer") or item.issues
            item.SerializeToString()


SEEDS = st.sampled_from(
    [
        CSV.encode(),
        b"Handle,Title,Variant Price,Option1 Value,Image Src\na,b,1,c,d\n",
        b'{"id": "1", "price": 5, "custom_attributes": {"a": "b"}}\n',
        b'[{"id": "1", "gtins": ["2"]}]',
        b"<rss><channel><item><id>1</id><price>5</price></item></channel></rss>",
        b'<yml_catalog><offer id="1"><param name="a">b</param></offer></yml_catalog>',
        PACKED["gzip"],
        PACKED["zstd"],
        PACKED["zip"],
    ]
)


@settings(max_examples=400)
@given(
    st.binary(max_size=300), st.sampled_from([None, *FORMATS]), st.sampled_from([None, "utf-16-le", "cp1252", "gbk"])
)
@example(b"\x1f\x8b", None, None)
@example(b"\x28\xb5\x2f\xfd", None, None)
@example(b"PK\x03\x04", None, None)
@example(b"\xff\xfe", None, None)
def test_random_bytes_raise_nothing_but_feed_errors(data: bytes, format_: str | None, encoding: str | None) -> None:
    consume(
        data, FeedOptions("PKR", OPTIONS.source_time, format=format_, encoding=encoding, link_base="https://s.example")
    )


@settings(max_examples=600)
@given(SEEDS, st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4)), max_size=5))
def test_damaged_feeds_raise_nothing_but_feed_errors(seed: bytes, damage: list[tuple[int, bytes]]) -> None:
    data = bytearray(seed)
    for place, piece in damage:
        place %= len(data) + 1
        data[place : place + len(piece)] = piece
    consume(bytes(data), OPTIONS)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_passes_through_each_format(text: str) -> None:
    row = {"id": "1", "title": text, "description": text, "brand": text}
    lines = (json.dumps(row) + "\n").encode()
    consume(lines, OPTIONS)
    items = list(open_feed(io.BytesIO(lines), options=OPTIONS).items())
    if items[0].HasField("offer") and not {"<", "&"} & set(text) and len(text) < 50:
        assert items[0].offer.title == clean(text)[0]
