"""Reads the corpus' feeds, and writes their items and checksums anew. What is expected of them is written by hand."""

import json
from collections.abc import Iterator
from typing import Any

from conformance import FOLDER, load, read_items
from google.protobuf import json_format

from domains.offers.feeds import FeedOptions, open_feed, parse_column_mapping
from wapsi.producer.checksum import EMPTY_CHECKSUM, combine
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb


def feed_options(case: Any, step: Any) -> FeedOptions:
    options = {"default_currency": "PKR"} | case.options
    mapping = parse_column_mapping(options.pop("map", []))
    return FeedOptions(source_time=step.stated, column_mapping=mapping, **options)


def read_feed(case: Any, step: Any) -> Iterator[pb.OfferItem]:
    """Raises FeedError."""
    if step.feed == step.items:
        yield from read_items(step.items)
        return
    with step.feed.open("rb") as stream, open_feed(stream, options=feed_options(case, step)) as feed:
        yield from feed.items()


def checksum(items: list[pb.OfferItem]) -> str:
    serialised = [item.SerializeToString(deterministic=True) for item in items]
    return combine(EMPTY_CHECKSUM, 0, serialised).hex()


def as_line(item: pb.OfferItem) -> str:
    found = json_format.MessageToDict(item)
    attributes = found.get("offer", {}).get("customAttributes", {})
    # A protobuf map has no order of its own.
    attributes |= {name: attributes.pop(name) for name in sorted(attributes)}
    return json.dumps(found, ensure_ascii=False) + "\n"


def main() -> None:
    checksums = {}
    for case in load():
        for step in case.steps:
            if step.is_readable:
                items = list(read_feed(case, step))
                step.items.write_text("".join(map(as_line, items)), encoding="utf-8")
                checksums[step.feed.relative_to(FOLDER).as_posix()] = checksum(items)
    (FOLDER / "checksums.json").write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
