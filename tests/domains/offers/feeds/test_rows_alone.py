"""What is kept from row to row changes nothing: a row among others becomes what it becomes alone."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domains.offers.feeds import FeedOptions, open_feed
from domains.offers.feeds.mapping import TARGETS
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

STATED = datetime(2026, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC)
WORDS = st.sampled_from(
    (
        *(
            "",
            " ",
            "Lamp",
            "کرتا",
            "<p>Soft</p>",
            "A &amp; B",
            "zero\u200bwidth",
            "nul\0",
            "x" * 160,
            "y" * 5001,
            "a, b",
        ),
        *("in stock", "IN_STOCK", "soon", "17", "0", "yes", "no", "perhaps", "new", "used", "male", "adult", "kids"),
        *("product", "voucher", "2026-01-31T18:00:00+05:00", "2026-03-01", "2026-03-01/2026-04-01", "yesterday"),
        *(
            "4006381333931",
            "PKR",
            "EUR",
            "XXL",
            "12.50",
            "1.299",
            "12.50 EUR",
            "-5",
            "NaN",
            "caf\udce9",
            "Home > Lamps",
        ),
        *("https://a.example/1.jpg,https://a.example/2.jpg", "https://a.example/1.jpg"),
    )
)
SCALARS = st.one_of(
    WORDS, st.integers(-2, 3), st.booleans(), st.none(), st.sampled_from([0.5, 1.0, 12.5]), st.integers(), st.just(-0.0)
)
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from(["a", "b"]), SCALARS, max_size=2)
)
NAMES = [*TARGETS, "id", "gtin", "image_links", "custom_label_0", "a.b", "a", "x"]
MAPPINGS = st.sampled_from(
    [
        None,
        {"title": "x,title", "product_types": "x|split:,", "custom:z": "x"},
        {"price": "a.b", "availability": "=in stock", "brand": "="},
        {"price": "price,x", "currency": "=EUR", "image_link": "additional_image_links"},
    ]
)


def items(data: str, mapping: dict[str, str] | None, **options: Any) -> list[bytes]:
    settings_ = FeedOptions("PKR", STATED, column_mapping=mapping, **options)
    found: list[bytes] = []
    for item in open_feed(io.BytesIO(data.encode("utf-8", "surrogateescape")), options=settings_).items():
        item.line = 0
        found.append(item.SerializeToString(deterministic=True))
    return found


@settings(max_examples=300)
@given(
    st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8), min_size=1, max_size=8),
    MAPPINGS,
    st.sampled_from([None, "in_stock"]),
)
def test_json_lines(rows: list[dict[str, Any]], mapping: dict[str, str] | None, availability: str | None) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    options = {"format": "jsonl", "default_availability": availability}
    together = items("".join(lines * 3), mapping, **options)
    assert together == [items(line, mapping, **options)[0] for line in lines] * 3


@settings(max_examples=150)
@given(st.lists(st.lists(WORDS, min_size=9, max_size=9), min_size=1, max_size=6))
def test_tables(rows: list[list[str]]) -> None:
    header = ["id", "title", "link", "price", "sale price", "currency", "availability", "product type", "description"]

    def table(rows: list[list[str]]) -> str:
        target = io.StringIO()
        csv.writer(target).writerows([header, *rows])
        return target.getvalue()

    rows = [row for row in rows if any(row)]
    together = items(table(rows * 3), None)
    assert together == [items(table([row]), None)[0] for row in rows] * 3


def test_more_combinations_of_names_than_are_kept() -> None:
    """Every row has a name of its own, and its names in an order of its own."""
    lines = []
    for number in range(1_500):
        row = {"id": str(number), f"other-{number}": 1, "title": "Lamp", "price": 5, "a": {"b": "Neem"}}
        lines.append(json.dumps(dict(reversed(row.items()) if number % 2 else row.items())) + "\n")
    lines.append(json.dumps({"id": "long", "x" * 6_000: 1, "title": "Lamp", "price": 5, "a": {"b": "Neem"}}) + "\n")
    options = FeedOptions("PKR", STATED, column_mapping={"brand": "a.b", "mpn": "none"})
    offers = [item.offer for item in open_feed(io.BytesIO("".join(lines).encode()), options=options).items()]
    assert [offer.offer_id for offer in offers] == [*map(str, range(1_500)), "long"]
    assert {(offer.title, offer.price.amount_minor, offer.brand, offer.mpn) for offer in offers} == {
        ("Lamp", 500, "Neem", "")
    }


def test_an_item_is_its_readers_own() -> None:
    data = b'{"id": "1", "product_types": "a", "availability": "in stock", "price": 5}\n' * 4
    found = open_feed(io.BytesIO(data), options=FeedOptions("PKR", STATED)).items()
    for item in found:
        assert (list(item.offer.product_types), item.offer.price.amount_minor) == (["a"], 500)
        assert item.source_time.ToDatetime(UTC) == STATED
        item.offer.product_types.append("b")
        item.offer.price.amount_minor = 7
        item.source_time.seconds = 1


def test_a_row_with_a_time_of_its_own_has_nothing_of_the_feeds_time() -> None:
    data = b'{"id": "1", "source_time": "2026-02-01T00:00:00Z"}\n{"id": "2"}\n'
    first, second = open_feed(io.BytesIO(data), options=FeedOptions("PKR", STATED)).items()
    assert first.source_time.ToDatetime(UTC) == datetime(2026, 2, 1, tzinfo=UTC)
    assert second.source_time.ToDatetime(UTC) == STATED


def test_pictures_and_issues_come_in_the_same_order_in_every_process() -> None:
    data = json.dumps(
        {
            "source_time": "x",
            "expires_at": "x",
            "additional_image_links": ["https://a.example/3.jpg"],
            "image_link": ["https://a.example/1.jpg", "https://a.example/2.jpg"],
            "condition": "x",
            "id": "1",
        }
    )
    (item,) = open_feed(io.BytesIO(data.encode()), options=FeedOptions("PKR", STATED)).items()
    assert [issue.field for issue in item.issues] == ["expires_at", "condition", "source_time"]
    data = data.replace('"source_time": "x", ', "")
    (item,) = open_feed(io.BytesIO(data.encode()), options=FeedOptions("PKR", STATED)).items()
    assert [link[-5] for link in (item.offer.image_link, *item.offer.additional_image_links)] == ["1", "2", "3"]
    assert pb.SEVERITY_ERROR not in {issue.severity for issue in item.issues}
