"""Reading feeds out of bytes, and the real ones where they lie beside the repository."""

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domains.offers.feeds import FeedError, FeedOptions, open_feed, parse_column_mapping
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

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


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real feeds: WAPSI_SHARED_DATA, or ../shared/data beside the repository."""
    default = Path(__file__).parents[5] / "shared" / "data"
    folder = Path(os.environ.get("WAPSI_SHARED_DATA") or default)
    if not (folder / "feeds").is_dir():
        pytest.skip(f"no real feeds in {folder}; set WAPSI_SHARED_DATA to run this test")
    return folder
