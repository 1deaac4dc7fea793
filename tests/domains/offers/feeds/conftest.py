"""Reading feeds out of bytes, and the real ones where they lie beside the repository."""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from domains.offers.feeds import FeedError, FeedOptions, open_feed, parse_column_mapping
from tests.fuzz.conftest import tell
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

__all__ = ["tell"]

STATED = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reading:
    """What came out of a feed, and what stopped it."""

    format: str
    encoding: str
    compression: str
    items: list[pb.OfferItem]
    error: FeedError | None

    @property
    def offers(self) -> list[pb.Offer]:
        return [item.offer for item in self.items if item.HasField("offer")]

    @property
    def codes(self) -> list[str]:
        return [issue.code for item in self.items for issue in item.issues]


Read = Callable[..., Reading]
Make = Callable[[str, Sequence[Mapping[str, str]]], str]


@pytest.fixture
def read() -> Read:
    """read(data, maps=["title=name"], **options): raises FeedError where the feed cannot be opened."""

    def run(data: bytes | str, *, maps: Sequence[str] = (), **options: Any) -> Reading:
        stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
        settings: dict[str, Any] = {"default_currency": "PKR", "source_time": STATED, **options}
        feed = open_feed(
            stream, name="feed", options=FeedOptions(column_mapping=parse_column_mapping(maps), **settings)
        )
        items: list[pb.OfferItem] = []
        error = None
        try:
            for item in feed.items():
                items.append(item)
        except FeedError as caught:
            error = caught
        assert not stream.closed, "the stream is the caller's"
        return Reading(feed.format, feed.encoding, feed.compression, items, error)

    return run


KINDS = ("csv", "google_tsv", "awin", "shopify", "jsonl", "json", "rss", "atom", "yml", "pipes")
AWIN = {"id": "merchant_product_id", "title": "product_name", "link": "merchant_deep_link", "price": "search_price"}
SHOPIFY = {"id": "Variant SKU", "title": "Title", "link": "Handle", "price": "Variant Price"}
SHOPIFY |= {"description": "Body (HTML)", "brand": "Vendor"}
YML = {"title": "name", "link": "url", "brand": "vendor"}


def make_feed(kind: str, rows: Sequence[Mapping[str, str]]) -> str:
    """A feed of a kind (KINDS) of rows with the keys of the first; `id`, `title`, `link` and `price` are needed."""
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if kind == "json":
        return json.dumps(rows, ensure_ascii=False, indent=1)
    if kind in ("rss", "atom"):
        tag = "item" if kind == "rss" else "entry"
        items = "".join(f"<{tag}>{_elements(row)}</{tag}>\n" for row in rows)
        if kind == "rss":
            return f"<rss><channel>\n{items}</channel></rss>"
        return f'<feed xmlns="http://www.w3.org/2005/Atom">\n{items}</feed>'
    if kind == "yml":
        offers = [
            f'<offer id="{escape(row["id"])}">{_elements({YML.get(name, name): row[name] for name in row})}</offer>\n'
            for row in rows
        ]
        return f"<yml_catalog><shop><offers>\n{''.join(offers)}</offers></shop></yml_catalog>"
    names = {"awin": AWIN, "shopify": SHOPIFY}.get(kind, {})
    delimiter = {"google_tsv": "\t", "pipes": "|"}.get(kind, ",")
    target = io.StringIO()
    writer = csv.writer(target, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names.get(name, name) for name in rows[0])
    writer.writerows(row.values() for row in rows)
    return target.getvalue()


def _elements(row: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in row.items())


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make() -> Make:
    return make_feed


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real feeds: WAPSI_SHARED_DATA, or ../shared/data beside the repository."""
    default = Path(__file__).parents[5] / "shared" / "data"
    folder = Path(os.environ.get("WAPSI_SHARED_DATA") or default)
    if not (folder / "feeds").is_dir():
        pytest.skip(f"no real feeds in {folder}; set WAPSI_SHARED_DATA to run this test")
    return folder
