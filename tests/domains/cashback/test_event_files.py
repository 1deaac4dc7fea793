"""Files of sales, row by row: made up ones with faults, and real shops' orders."""

import io
import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from domains.cashback.service.adapters import AdapterSettings, mapping_of
from domains.cashback.service.event_files import FileEvent, FileUnreadable, read_events

NOW = datetime(2025, 11, 30, tzinfo=UTC)
MAPPING = mapping_of(
    {
        "fields": {
            "conversion_id": "order",
            "status": "state",
            "order_amount": "total",
            "currency": "ccy",
            "occurred_at": "at",
        }
    }
)
HEADER = "order,state,total,ccy,at\n"


def read(text: str | bytes, format: Any = "csv", settings: AdapterSettings | None = None) -> list[FileEvent]:
    raw = text.encode() if isinstance(text, str) else text
    return list(read_events(io.BytesIO(raw), format, MAPPING, settings or AdapterSettings(), NOW))


def faults(events: list[FileEvent]) -> dict[int, str]:
    return {one.line: one.adapted.fault for one in events if one.adapted.event is None}


def test_row_is_an_event_with_its_line() -> None:
    [first, second] = read(HEADER + 'a-1,new,"1,250.50",PKR,2025-11-29T10:00:00Z\n"a\n2",paid,3,JPY,1763460000\n')
    assert (first.line, second.line) == (2, 3)
    assert first.adapted.event is not None
    assert (first.adapted.event.conversion_id, first.adapted.event.order_amount_minor) == ("a-1", 125050)
    assert second.adapted.event is not None
    assert (second.adapted.event.conversion_id, second.adapted.event.order_amount_minor) == ("a\n2", 3)
    assert orjson.loads(first.adapted.raw)["total"] == "1,250.50"


def test_bad_row_costs_only_itself() -> None:
    rows = ["a-1,new,1,PKR,2025-11-29", "a-2,new,1", ",new,1,PKR,2025-11-29", "a-4,new,x,PKR,2025-11-29"]
    rows += ["a-5,new,1,XXY,2025-11-29", "a-6,new,1,PKR,yesterday", "", "a-8,new,1,PKR,2025-11-29"]
    events = read(HEADER + "\n".join(rows))
    assert set(faults(events)) == {3, 4, 5, 6, 7}
    assert [one.line for one in events if one.adapted.event is not None] == [2, 9]
    assert "3 fields" in faults(events)[3]


def test_line_that_is_not_utf_8_costs_only_itself() -> None:
    events = read(HEADER.encode() + b"a-1,new,1,PKR,2025-11-29\na\xff,new,1,PKR,2025-11-29\na-3,new,1,PKR,2025-11-29\n")
    assert faults(events) == {3: "the row is not UTF-8"}


def test_json_lines_are_read_alike() -> None:
    lines = [b'{"order": "a-1", "state": "new", "total": 12.5, "ccy": "PKR", "at": "2025-11-29"}', b"", b"{", b"[1]"]
    events = read(b"\n".join(lines), "jsonl")
    assert set(faults(events)) == {3, 4}
    assert events[0].adapted.event is not None
    assert events[0].adapted.event.order_amount_minor == 1250


def test_same_row_in_another_file_is_the_same_event() -> None:
    row = "a-1,new,1,PKR,2025-11-29\n"
    [one], [_, again] = read(HEADER + row), read(HEADER + "b,new,1,PKR,2025-11-29\n" + row)
    assert one.adapted.external_event_id == again.adapted.external_event_id


@pytest.mark.parametrize(
    "text", [b"", b"a,a\n1,2\n", b"\xff\xfea\x00,\x00b\x00\n\x00", b'"a\nb', HEADER.encode() + b"x" * 1_000_002]
)
def test_file_that_is_none_is_refused_as_a_whole(text: bytes) -> None:
    with pytest.raises(FileUnreadable):
        read(text)


def test_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert faults(read(b"\xef\xbb\xbf" + HEADER.encode() + b"a-1,new,1,PKR,2025-11-29\n")) == {}


DATA = Path(os.environ.get("WAPSI_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data")) / "orders"


@pytest.fixture
def orders() -> Iterator[Any]:
    if not DATA.is_dir():
        pytest.skip("no shared data beside the repository")
    opened = []

    def orders(name: str) -> Any:
        file = (DATA / name).open("rb")
        opened.append(file)
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file))

    yield orders
    for file in opened:
        file.close()


def test_amazon_orders_with_two_formats_of_dates(orders: Any) -> None:
    mapping = mapping_of(
        {
            "fields": {
                "conversion_id": ["Order ID", "index"],
                "status": "Status",
                "order_amount": "Amount",
                "currency": "currency",
                "rate_category": "Category",
                "occurred_at": "Date",
            },
            "times": ["%m-%d-%y", "%m-%d-%Y"],
        }
    )
    settings = AdapterSettings(currency="INR", time_zone="Asia/Kolkata")
    events = list(read_events(orders("amazon_in_sale_report_24k.csv.zst"), "csv", mapping, settings, NOW))
    assert len(events) == 24_055
    assert faults(events) == {}
    told = [one.adapted.event for one in events if one.adapted.event is not None]
    words = Counter(event.status for event in told)
    assert len(words) == 12
    assert (words["Shipped - Delivered to Buyer"], words["Cancelled"]) == (17_950, 3_308)
    assert len({event.conversion_id.split(":")[0] for event in told}) == 22_296
    assert {event.occurred_at.year for event in told} == {2022}
    assert len({one.adapted.external_event_id for one in events}) == 24_055


def test_olist_orders_join_nothing_and_say_when(orders: Any) -> None:
    mapping = mapping_of(
        {
            "fields": {
                "conversion_id": "order_id",
                "status": "order_status",
                "occurred_at": "order_purchase_timestamp",
            },
            "times": ["%m/%d/%Y %H:%M"],
        }
    )
    settings = AdapterSettings(time_zone="America/Sao_Paulo")
    events = list(read_events(orders("olist_orders_9999.csv.zst"), "csv", mapping, settings, NOW))
    told = [one.adapted.event for one in events if one.adapted.event is not None]
    assert (len(events), faults(events)) == (9_999, {})
    assert Counter(event.status for event in told)["canceled"] == 58
    assert {event.order_amount_minor for event in told} == {None}
