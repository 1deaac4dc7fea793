"""Whatever a file has in it: reading it ends, with items and with nothing but FeedError."""

import contextlib
import gzip
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from domains.offers.feeds import FORMATS, FeedError, FeedOptions, open_feed
from domains.offers.validation import ValidationRules, validate_item
from tests.fuzz.effort import a_round, rounds
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

Make = Callable[..., str]
Tell = Callable[[str], None]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
RULES = ValidationRules("PKR", None, NOW)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        (
            *("Lamp", "کرتا", "<p>Soft &amp; light</p>", "<html>", "a\tb\nc", '"quoted"', "1,2;3|4", "\0", "\u200b"),
            *("12.50", "PKR 1,299.00", "1.299,00", "NaN", "-5", "in stock", "0", "yes", "2026-03-01", "4006381333931"),
            *("https://shop.example/1", "https://a.example/1,https://a.example/2", "x" * 6_000, "<b>" * 400),
        )
    ),
)
NAMES = ("description", "brand", "availability", "gtin", "sale_price", "image_link", "product_type", "expiration_date")
ROWS = st.lists(
    st.fixed_dictionaries(dict.fromkeys(("id", "title", "link", "price", *NAMES), TEXTS)), min_size=1, max_size=3
)
PIECES = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        (
            *(
                b"\0",
                b"\xff\xfe",
                b"\xef\xbb\xbf",
                b'"',
                b"'",
                b"<",
                b"</",
                b"&",
                b"&nbsp;",
                b"]]>",
                b"<![CDATA[",
                b"<!--",
            ),
            *(b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"<?xml version='1.0' encoding='gbk'?>", b"\r", b"\n", b"\r\n", b"\t"),
            *(b"{", b"}", b"[", b"]", b",", b":", b"\\u0000", b"\\ud800", b"1e999", b"-0", b"1.5", b"null", b"<item>"),
            *(b"[" * 3_000, b"<a>" * 300, b"x" * 70_000, b"\xe9", b"\x80", b'","\n' * 500, b"a=1 " * 500),
        )
    ),
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), PIECES), max_size=5)
OPTIONS = st.fixed_dictionaries(
    {
        "format": st.sampled_from([None, None, None, *FORMATS]),
        "encoding": st.sampled_from([None, None, None, "utf-8", "utf-16", "utf-16-be", "cp1252", "gbk", "shift_jis"]),
        "delimiter": st.sampled_from([None, None, ";", " ", "\\", "\x01", "é"]),
        "link_base": st.sampled_from([None, "https://shop.example", ""]),
        "default_availability": st.sampled_from([None, "in_stock"]),
        "column_mapping": st.sampled_from(
            [
                None,
                {"offer_id": "id|after_last:/", "title": "title,name", "product_types": "brand|split:s"},
                {"link": "id|urlencode|prefix:https://shop.example/", "price": "price|before:,", "brand": "a.0.b"},
                {"offer_id": "=1", "title": "=2", "link": "=3"},
            ]
        ),
    }
)
PACKINGS: Sequence[Callable[[bytes], bytes]] = (bytes, bytes, gzip.compress, zstandard.compress)


def read_whole(data: bytes, options: dict[str, Any]) -> None:
    with contextlib.suppress(FeedError):
        settings_ = FeedOptions("PKR", NOW, max_expanded_bytes=50 * 1024**2, **options)
        with open_feed(io.BytesIO(data), options=settings_) as feed:
            for item in feed.items():
                assert item.HasField("offer") or item.issues
                again = pb.OfferItem.FromString(item.SerializeToString())
                assert again == item
                validate_item(again, RULES)


def edited(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    changed = bytearray(data)
    for place, length, piece in edits:
        start = int(place * len(changed))
        changed[start : start + length] = piece
    return bytes(changed)


def test_arbitrary_bytes(tell: Tell) -> None:
    tried = count()

    @a_round(300)
    @given(st.binary(max_size=2_000), OPTIONS)
    def check(data: bytes, options: dict[str, Any]) -> None:
        next(tried)
        read_whole(data, options)

    for _ in rounds(0.08):
        check()
    tell(f"feeds, arbitrary bytes: {next(tried)} cases")


def test_damaged_feeds(make: Make, kind: str, tell: Tell) -> None:
    tried = count()

    @a_round(150)
    @given(
        rows=ROWS,
        edits=EDITS,
        options=OPTIONS,
        encoding=st.sampled_from(["utf-8", "utf-8", "utf-16", "cp1256"]),
        pack=st.sampled_from(PACKINGS),
        packed_edits=st.one_of(st.just([]), EDITS),
    )
    def check(
        rows: list[dict[str, str]],
        edits: list[tuple[float, int, bytes]],
        options: dict[str, Any],
        encoding: str,
        pack: Callable[[bytes], bytes],
        packed_edits: list[tuple[float, int, bytes]],
    ) -> None:
        next(tried)
        data = make(kind, rows).encode(encoding, "replace")
        read_whole(edited(pack(edited(data, edits)), packed_edits), options)

    for _ in rounds(0.012):
        check()
    tell(f"feeds, damaged {kind}: {next(tried)} cases")


@pytest.mark.parametrize("kind", ["csv", "google_tsv", "awin", "pipes", "jsonl", "json"])
def test_any_texts_of_whole_feeds_are_rows(make: Make, kind: str, tell: Tell) -> None:
    tried = count()

    @a_round(100)
    @given(rows=ROWS)
    def check(rows: list[dict[str, str]]) -> None:
        next(tried)
        # Python's writer of CSV does not quote a carriage return.
        rows = [{name: text.replace("\r", "") for name, text in row.items()} for row in rows]
        data = make(kind, rows).encode()
        assert len(list(open_feed(io.BytesIO(data), options=FeedOptions("PKR", NOW)).items())) == len(rows)

    for _ in rounds(0.01):
        check()
    tell(f"feeds, whole {kind}: {next(tried)} cases")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_streams_that_give_little_at_a_time(make: Make, kind: str, size: int) -> None:
    class Slow(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def read(self, wanted: int = -1) -> bytes:
            return self._data.read(min(wanted, size) if wanted > 0 else size)

    rows = [{"id": str(number), "title": "کرتا", "link": f"l{number}", "price": "5"} for number in range(5)]
    for encoding in ("utf-8", "utf-16"):
        data = make(kind, rows).encode(encoding)
        for packed in (data, gzip.compress(data), zstandard.compress(data)):
            options = FeedOptions("PKR", NOW, link_base="https://shop.example")
            items = list(open_feed(Slow(packed), options=options).items())  # type: ignore[arg-type]
            assert [item.offer.title for item in items] == ["کرتا"] * 5
