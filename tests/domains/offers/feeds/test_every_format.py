"""What holds for every format: packing, encodings, and that what is bad is refused by name and costs only itself."""

import gzip
import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

Read = Callable[..., Any]
Make = Callable[..., str]
OPTIONS = {"link_base": "https://shop.example"}
XML = ("rss", "atom", "yml")


def row(number: int, **fields: str) -> dict[str, str]:
    link = f"https://shop.example/{number}"
    return {"id": f"A{number}", "title": f"Lamp {number}", "link": link, "price": "12.50"} | fields


def in_a_zip(data: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("feed", data)
    return target.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "zip": in_a_zip,
    "zstd": zstandard.compress,
}
FORMATS = {
    "csv": "google_csv",
    "pipes": "google_csv",
    "awin": "awin_csv",
    "shopify": "shopify_csv",
    "rss": "google_xml",
    "atom": "google_xml",
}


def ids(found: Any) -> list[str]:
    return [offer.offer_id for offer in found.offers]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_packed_and_in_unicode(read: Read, make: Make, kind: str, packing: str, encoding: str) -> None:
    data = make(kind, [row(1, title="کرتا"), row(2, title="ไทย 灯 🛋")])
    found = read(PACKINGS[packing](data.encode(encoding)), **OPTIONS)
    assert (found.format, found.compression, found.codes, found.error) == (FORMATS.get(kind, kind), packing, [], None)
    assert [offer.title for offer in found.offers] == ["کرتا", "ไทย 灯 🛋"]
    assert [offer.price.amount_minor for offer in found.offers] == [1_250, 1_250]
    assert found.encoding.startswith("utf-8" if encoding.startswith("utf-8") else "utf-16-")


@pytest.mark.parametrize(
    ("encoding", "name", "title"),
    [
        ("cp1252", "windows-1252", "Café – £5"),
        ("cp1256", "windows-1256", "شلوار قميص"),
        ("iso8859-6", "ISO-8859-6", "قميص"),
        ("cp1251", "windows-1251", "Лампа"),
        ("koi8-r", "KOI8-R", "Лампа"),
        ("cp874", "windows-874", "กางเกง"),
        ("tis-620", "TIS-620", "กางเกง"),
        ("gbk", "gbk", "台灯"),
        ("big5", "Big5", "檯燈"),
        ("shift_jis", "Shift_JIS", "ランプ"),
        ("utf-16-le", "utf-16", "کرتا"),
        ("utf-16-be", "UTF-16BE", "کرتا"),
    ],
)
def test_an_encoding_that_is_named(read: Read, make: Make, kind: str, encoding: str, name: str, title: str) -> None:
    data = make(kind, [row(1, title=title), row(2)]).encode(encoding)
    found = read(data, encoding=name, **OPTIONS)
    assert (found.codes, found.error) == ([], None)
    assert [offer.title for offer in found.offers] == [title, "Lamp 2"]
    if kind in XML and not encoding.startswith("utf-16"):
        declared = f'<?xml version="1.0" encoding="{name}"?>'.encode(encoding) + data
        assert read(declared).offers[0].title == title


def test_a_byte_order_mark_counts_more_than_a_name(read: Read, make: Make, kind: str) -> None:
    data = make(kind, [row(1, title="کرتا")])
    for encoding in ("utf-8-sig", "utf-16"):
        assert read(data.encode(encoding), encoding="windows-1252", **OPTIONS).offers[0].title == "کرتا"


def test_bytes_of_another_encoding(read: Read, make: Make, kind: str) -> None:
    """Where rows can be told apart by their bytes, only the row is lost."""
    data = make(kind, [row(1), row(2, title="Caf\udce9"), row(3)]).encode("utf-8", "surrogateescape")
    found = read(data, **OPTIONS)
    if kind in XML:
        assert (ids(found), found.error.reason, found.error.line) == (["A1"], "ENCODING_INVALID", 3)
    elif kind == "json":
        assert (ids(found), found.error.reason) == (["A1"], "JSON_MALFORMED")
    else:
        assert (ids(found), found.codes, found.error) == (["A1", "A3"], ["ENCODING_INVALID"], None)
        assert found.items[1].rejected_offer_id == "A2"


def test_markup_around_bytes_of_another_encoding_does_not_hide_them(read: Read, make: Make) -> None:
    data = make("csv", [row(1, title="<b>Caf\udce9</b>")]).encode("utf-8", "surrogateescape")
    assert read(data).codes == ["ENCODING_INVALID"]


def test_a_handle_in_another_encoding_costs_its_product(read: Read, make: Make) -> None:
    data = make("shopify", [row(1), row(2, link="caf\udce9"), row(3)]).encode("utf-8", "surrogateescape")
    found = read(data, **OPTIONS)
    assert (ids(found), found.codes, found.error) == (["A1", "A3"], ["ENCODING_INVALID"], None)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"price": "NaN"}, "PRICE_INVALID"),
        ({"price": "-1"}, "PRICE_NEGATIVE"),
        ({"price": "1.299"}, "AMBIGUOUS_PRICE"),
        ({"price": "5 doubloons"}, "CURRENCY_UNKNOWN"),
        ({"title": "x" * 1_000_001}, "FIELD_TOO_LARGE"),
        ({"description": "<p>y</p>" * 200_000}, "FIELD_TOO_LARGE"),
        ({"brand": "z" * 5_001}, "FIELD_TOO_LARGE"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_value_costs_its_row(read: Read, make: Make, kind: str, fields: dict[str, str], code: str) -> None:
    others = dict.fromkeys(fields, "5")
    found = read(make(kind, [row(1, **others), row(2, **fields), row(3, **others)]), **OPTIONS)
    assert (ids(found), found.codes, found.error) == (["A1", "A3"], [code], None)
    bad = found.items[1]
    assert (bad.issues[0].severity, bad.rejected_offer_id) == (pb.SEVERITY_ERROR, "A2")
    assert bad.issues[0].message.endswith(".")
    assert len(bad.issues[0].value) <= 80


@pytest.mark.parametrize("field", ["id", "title", "description"])
def test_a_field_of_10_mb(read: Read, make: Make, kind: str, field: str) -> None:
    others = {field: "A"}
    found = read(make(kind, [row(1) | others, row(2) | {field: "x" * 10_000_000}, row(3) | others]), **OPTIONS)
    if kind in (*XML, "json"):
        assert (len(found.offers), found.error.reason) == (1, "RECORD_TOO_LARGE")
    else:
        assert (len(found.offers), found.codes, found.error) == (2, ["FIELD_TOO_LARGE"], None)


def test_nul(read: Read, make: Make, kind: str) -> None:
    data = make(kind, [row(1), row(2, title="La\0mp"), row(3)])
    found = read(data, **OPTIONS)
    if kind in XML:
        assert (ids(found), found.error.reason) == (["A1"], "XML_MALFORMED")
    else:
        assert (ids(found), found.codes, found.error) == (["A1", "A3"], ["NUL_CHARACTER"], None)
    if kind == "jsonl":
        raw = read(data.replace("\\u0000", "\0"))
        assert (ids(raw), raw.codes, raw.error) == (["A1", "A3"], ["JSON_INVALID"], None)


def test_what_breaks_off(read: Read, make: Make, kind: str) -> None:
    """Of a file that ends in a row, what comes before stands, and the end is noticed, where it can be."""
    data = make(kind, [row(1), row(2), row(3)])
    found = read(data[: data.index("Lamp 3") + 2], **OPTIONS)
    assert ids(found)[:2] == ["A1", "A2"]
    if kind in (*XML, "json"):
        assert found.error.reason == ("JSON_MALFORMED" if kind == "json" else "XML_MALFORMED")
        assert len(found.items) == 2
    else:
        assert (found.error, len(found.offers)) == (None, 2)
        assert found.codes == ["JSON_INVALID" if kind == "jsonl" else "WRONG_COLUMN_COUNT"]


def test_digits_of_other_scripts(read: Read, make: Make, kind: str) -> None:
    found = read(make(kind, [row(1, price="۱٬۲۹۹٫۵۰"), row(2, price="١٢٩٩ روپے")]), **OPTIONS)
    assert (found.codes, [offer.price.amount_minor for offer in found.offers]) == ([], [129_950, 129_900])


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_other_ends_of_lines(read: Read, make: Make, kind: str, ends: str) -> None:
    found = read(make(kind, [row(1), row(2)]).replace("\n", ends), **OPTIONS)
    assert (ids(found), found.codes, found.error) == (["A1", "A2"], [], None)
    if kind not in (*XML, "json"):
        assert [item.line for item in found.items] == ([1, 2] if kind == "jsonl" else [2, 3])


@pytest.mark.parametrize("kind", XML)
def test_entities_of_html_that_only_the_dtd_could_declare(read: Read, make: Make, kind: str) -> None:
    """Shop systems write them below a DOCTYPE that names a file, which is not read."""
    root = {"rss": "rss", "atom": "feed", "yml": "yml_catalog"}[kind]
    data = make(kind, [row(1, title="Fish&nbsp;&amp; chips", brand="Caf&eacute;")]).replace("&amp;", "&")
    data = data.replace("</price>", "</price>&nbsp;<!-- between --> text").replace(" & ", " &amp; ")
    found = read(f'<!DOCTYPE {root} SYSTEM "shops.dtd">\n{data}')
    assert (found.codes, found.error) == ([], None)
    assert (found.offers[0].title, found.offers[0].brand) == ("Fish & chips", "Café")
