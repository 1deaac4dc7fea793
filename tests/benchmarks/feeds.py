"""Feeds of any size made from the real one: its texts and prices, new ids. The same arguments give the same rows."""

import csv
import io
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import zstandard

from tests.benchmarks.paths import ROOT
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

CURRENCY = "THB"
LANDING_HOST = "boonthavorn.com"
LARGE = 50_000
SHARED_DATA = "WAPSI_SHARED_DATA"
# How `wapsi feed push` reads the files: the columns are the real feed's own.
COLUMN_MAPPING = (
    "offer_id=sku",
    "title=name",
    "description=name_zh",
    "link=url",
    "image_link=image_url",
    "availability=stock",
    "product_types=category_zh",
)
# Every row's sku is 7 digits, as most of the real ones are; a factor without a common divisor scatters them.
_FIRST_SKU, _SKUS, _SCATTER = 1_000_000, 9_000_000, 7919


class FeedsMissing(Exception):
    """The real feed is not here, so nothing can be made from it."""


class Row(NamedTuple):
    """One product, without the real feed's columns that are empty or repeat another."""

    sku: str
    name: str
    name_zh: str
    price_minor: int
    url: str
    image_url: str
    brand: str
    category_zh: str
    stock: str


FILE_COLUMNS = ("sku", "name", "name_zh", "price", "currency", "url", "image_url", "brand", "category_zh", "stock")


@dataclass(frozen=True, slots=True)
class Feed:
    """`size` distinct offers. Each `revision` changes the price of another `changed_percent` of the one before."""

    size: int = LARGE
    seed: int = 1
    revision: int = 0
    changed_percent: int = 5

    def rows(self) -> Iterator[Row]:
        """Raises FeedsMissing."""
        real = _real_rows()
        order = list(range(len(real)))
        random.Random(self.seed).shuffle(order)
        for position in range(self.size):
            row = real[order[position % len(order)]]
            sku = str(_FIRST_SKU + (position * _SCATTER + self.seed) % _SKUS)
            yield row._replace(
                sku=sku,
                price_minor=row.price_minor + 100 * self._changes(position),
                url=f"{row.url.removesuffix(row.sku)}{sku}",
                image_url=row.image_url.replace(row.sku, sku),
            )

    def _changes(self, position: int) -> int:
        """How many revisions have changed this row: exactly the wanted share of each, scattered over the feed."""
        limit = self.size * self.changed_percent // 100
        changed = ((position * _SCATTER + number * 104_729) % self.size for number in range(1, self.revision + 1))
        return sum(place < limit for place in changed)

    def items(self, stated_at: datetime) -> Iterator[pb.OfferItem]:
        """What a producer sends. Raises FeedsMissing."""
        for line, row in enumerate(self.rows(), 1):
            offer = pb.Offer(
                offer_id=row.sku,
                title=row.name,
                description=row.name_zh,
                link=row.url,
                image_link=row.image_url,
                price=pb.Money(amount_minor=row.price_minor, currency=CURRENCY),
                availability=pb.AVAILABILITY_IN_STOCK,
                brand=row.brand,
                product_types=[row.category_zh] if row.category_zh else [],
            )
            item = pb.OfferItem(offer=offer, line=line)
            item.source_time.FromDatetime(stated_at)
            yield item

    def landmark(self) -> Row:
        """A row of whose price there is only one, changed by the last revision: who finds it at that price sees this
        feed and none before. Takes a second, the first time. Raises FeedsMissing."""
        return _landmark(self)

    def is_newest(self, position: int) -> bool:
        """Whether the last revision changed this row, or there was none."""
        if not self.revision:
            return True
        return (position * _SCATTER + self.revision * 104_729) % self.size < self.size * self.changed_percent // 100

    def write(self, path: Path) -> Path:
        """As CSV or JSON Lines, by the file's suffix. Raises FeedsMissing."""
        with path.open("w", encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                writer = csv.writer(file)
                writer.writerow(FILE_COLUMNS)
                writer.writerows(file_row(row) for row in self.rows())
            else:
                for row in self.rows():
                    record = dict(zip(FILE_COLUMNS, file_row(row), strict=True))
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
        return path


def file_row(row: Row) -> list[str | int | float]:
    """Values of FILE_COLUMNS; the price as the real feed has it: whole, or with the digits that it needs."""
    whole, rest = divmod(row.price_minor, 100)
    price = whole if not rest else row.price_minor / 100
    return [row.sku, row.name, row.name_zh, price, CURRENCY, *row[4:]]


@lru_cache(maxsize=64)
def _landmark(feed: Feed) -> Row:
    rows = list(feed.rows())
    prices = Counter(row.price_minor for row in rows)
    return next(row for position, row in enumerate(rows) if prices[row.price_minor] == 1 and feed.is_newest(position))


@lru_cache(maxsize=1)
def _real_rows() -> list[Row]:
    with require_real_feed().open("rb") as compressed, zstandard.ZstdDecompressor().stream_reader(compressed) as stream:
        return [_real_row(json.loads(line)) for line in io.TextIOWrapper(stream, encoding="utf-8")]


def _real_row(raw: dict[str, str | int | float]) -> Row:
    texts = {name: str(raw[name]) for name in Row._fields if name != "price_minor"}
    return Row(price_minor=round(float(raw["price"]) * 100), **texts)


def require_real_feed() -> Path:
    """Where it is. Raises FeedsMissing."""
    named = os.environ.get(SHARED_DATA)
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    path = folder / "feeds" / "thai_boonthavorn.jsonl.zst"
    if not path.exists():
        raise FeedsMissing(f"{path} is not there; {SHARED_DATA} names another folder with the real feeds.")
    return path
