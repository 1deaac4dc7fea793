"""Writing a plan into a merchant's catalogue, in bulk, inside one transaction that holds the catalogue's lock."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from domains.offers.service.issues import IssueLog
from domains.offers.service.plan import StoredOffer, from_microseconds, to_microseconds
from domains.offers.validation import ValidatedOffer, ValidationRules, content_hash, validate_item
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.ids import new_id
from wapsi.queue import outbox
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

INDEX_DOCUMENTS = "offers.index_documents"
SEARCH_QUEUE = "search"

# Columns that a feed states, in the order in which they are copied.
CONTENT_COLUMNS = (
    "kind",
    "title",
    "description",
    "link",
    "image_link",
    "additional_image_links",
    "price_minor",
    "currency",
    "sale_price_minor",
    "sale_starts_at",
    "sale_ends_at",
    "availability",
    "expires_at",
    "gtins",
    "mpn",
    "brand",
    "item_group_id",
    "google_product_category",
    "product_types",
    "condition",
    "color",
    "size",
    "gender",
    "age_group",
    "adult",
    "rate_category",
    "cashback_eligible",
    "custom_attributes",
    "coupon_code",
    "starts_at",
    "ends_at",
)
_STATED_COLUMNS = ("offer_id", "source_time", "content_hash", *CONTENT_COLUMNS)
_INSERT_COLUMNS = (
    "id",
    "merchant_id",
    "status",
    "catalogue_version",
    "first_seen_at",
    "last_seen_at",
    "price_since",
    *_STATED_COLUMNS,
)
Chunks = AsyncIterable[tuple[int, Sequence[pb.OfferItem]]]


@dataclass(frozen=True, slots=True)
class LockedCatalogue:
    """`floor_us`: every active offer counts as stated at least then; 0 before the first FULL sync."""

    version: int
    floor_us: int


async def lock_catalogue(session: WriteSession, merchant_id: UUID) -> LockedCatalogue:
    """Until the transaction ends nobody else publishes for this merchant."""
    await session.execute(
        text("INSERT INTO catalogues (merchant_id) VALUES (:id) ON CONFLICT DO NOTHING"), {"id": merchant_id}
    )
    row = (
        await session.execute(
            text("SELECT version, source_time_floor FROM catalogues WHERE merchant_id = :id FOR UPDATE"),
            {"id": merchant_id},
        )
    ).one()
    floor = row.source_time_floor
    return LockedCatalogue(row.version, to_microseconds(floor) if floor is not None else 0)


async def stored_offers(session: WriteSession, merchant_id: UUID) -> dict[str, StoredOffer]:
    """Hash, time and status of every offer of the merchant, tombstones too."""
    driver = await session.driver()
    records = await driver.fetch(
        "SELECT offer_id, content_hash, (extract(epoch FROM source_time) * 1000000)::int8 AS source_time_us,"
        " status = 'active' AS active FROM offers WHERE merchant_id = $1",
        merchant_id,
    )
    return {
        record["offer_id"]: StoredOffer(record["content_hash"], record["source_time_us"], record["active"])
        for record in records
    }


class Publication:
    """The writes of one publication. Rows that fail validation are rejected, logged, and cost only themselves."""

    def __init__(
        self, session: WriteSession, merchant_id: UUID, version: int, rules: ValidationRules, issues: IssueLog
    ) -> None:
        self.session = session
        self._merchant_id = merchant_id
        self.version = version
        self._rules = rules
        self.issues = issues
        self._now = now()
        self.rejected = 0

    async def _validated(self, chunks: Chunks, wanted: set[int]) -> AsyncIterator[tuple[Any, ...]]:
        """Records of _STATED_COLUMNS for the wanted items that are valid."""
        async for first_offset, items in chunks:
            for offset, item in enumerate(items, first_offset):
                if offset not in wanted:
                    continue
                offer, problems = validate_item(item, self._rules)
                if problems:
                    self.issues.add(offset, item, problems)
                if offer is None:
                    self.rejected += 1
                    continue
                yield _record(item, offer)

    async def reject(self, chunks: Chunks, unplaced: set[int]) -> None:
        """Items that could not be compared: validation says why."""
        if not unplaced:
            return
        async for _record_that_is_valid in self._validated(chunks, unplaced):
            raise AssertionError("an item without an id or a usable time passed validation")

    async def create(self, chunks: Chunks, wanted: set[int]) -> int:
        """COPY straight into the table: the catalogue is locked, so nobody else can have made them."""
        if not wanted:
            return 0
        before = self.rejected
        own = (self._merchant_id, "active", self.version, self._now, self._now, self._now)
        driver = await self.session.driver()

        async def records() -> AsyncIterator[tuple[Any, ...]]:
            async for stated in self._validated(chunks, wanted):
                yield (new_id(), *own, *stated)

        await driver.copy_records_to_table("offers", records=records(), columns=_INSERT_COLUMNS)
        return len(wanted) - (self.rejected - before)

    async def update(self, chunks: Chunks, wanted: set[int]) -> int:
        """COPY into a temporary table, keep the prices that end, then one UPDATE."""
        if not wanted:
            return 0
        before = self.rejected
        driver = await self.session.driver()
        columns = ", ".join(_STATED_COLUMNS)
        await driver.execute(
            f"CREATE TEMP TABLE changed_offers ON COMMIT DROP AS SELECT {columns} FROM offers WITH NO DATA"  # noqa: S608  # constants
        )
        await driver.copy_records_to_table(
            "changed_offers", records=self._validated(chunks, wanted), columns=_STATED_COLUMNS
        )
        await driver.execute(_KEEP_OLD_PRICES, self._merchant_id, self._now)
        await driver.execute(_UPDATE_CHANGED, self._merchant_id, self.version, self._now)
        return len(wanted) - (self.rejected - before)

    async def withdraw(self, offers: Mapping[str, int]) -> None:
        """Explicit deletions. {offer_id: microseconds}"""
        if offers:
            driver = await self.session.driver()
            times = [from_microseconds(value) for value in offers.values()]
            await driver.execute(_WITHDRAW, self._merchant_id, self.version, list(offers), times)

    async def withdraw_unseen(self, offer_ids: Sequence[str], as_of_us: int) -> None:
        await self.withdraw(dict.fromkeys(offer_ids, as_of_us))

    async def touch(self, offers: Mapping[str, int]) -> None:
        """Moves the source time of unchanged offers. {offer_id: microseconds}"""
        if offers:
            driver = await self.session.driver()
            times = [from_microseconds(value) for value in offers.values()]
            await driver.execute(_TOUCH, self._merchant_id, self._now, list(offers), times)

    async def entomb(self, offers: Mapping[str, int]) -> None:
        """Tombstones of offers that we never had: an older message about them must not bring them in."""
        if not offers:
            return
        driver = await self.session.driver()
        own = (self._merchant_id, "withdrawn", self.version, self._now, self._now, self._now)
        records = [
            (new_id(), *own, offer_id, from_microseconds(time_us), b"", *_EMPTY_CONTENT)
            for offer_id, time_us in offers.items()
        ]
        await driver.copy_records_to_table("offers", records=records, columns=_INSERT_COLUMNS)

    async def finish(self, *, floor_us: int, full: bool) -> None:
        """Moves the catalogue on, and asks search to follow."""
        await self.session.execute(
            text(
                "UPDATE catalogues SET version = :version, published_at = now(), source_time_floor = :floor,"
                " last_full_seen_at = CASE WHEN :full THEN now() ELSE last_full_seen_at END WHERE merchant_id = :id"
            ),
            {
                "version": self.version,
                "floor": from_microseconds(floor_us) if floor_us else None,
                "full": full,
                "id": self._merchant_id,
            },
        )
        await outbox.enqueue(self.session, INDEX_DOCUMENTS, {"merchant_id": str(self._merchant_id)}, queue=SEARCH_QUEUE)


def _record(item: pb.OfferItem, offer: ValidatedOffer) -> tuple[Any, ...]:
    stated_at = item.source_time.ToDatetime(tzinfo=UTC)
    content = [getattr(offer, column) for column in CONTENT_COLUMNS]
    content[_ATTRIBUTES] = orjson.dumps(content[_ATTRIBUTES]).decode()
    return (offer.offer_id, stated_at, content_hash(item.offer), *content)


_ATTRIBUTES = CONTENT_COLUMNS.index("custom_attributes")
_EMPTY_BY_COLUMN: dict[str, Any] = {
    "additional_image_links": (),
    "gtins": (),
    "product_types": (),
    **dict.fromkeys(("price_minor", "currency", "sale_price_minor")),
    **dict.fromkeys(("sale_starts_at", "sale_ends_at", "expires_at", "starts_at", "ends_at")),
    "adult": False,
    "cashback_eligible": False,
    "custom_attributes": "{}",
    "kind": "product",
    "availability": "out_of_stock",
}
_EMPTY_CONTENT = tuple(_EMPTY_BY_COLUMN.get(column, "") for column in CONTENT_COLUMNS)

_KEEP_OLD_PRICES = (
    "INSERT INTO offer_prices (id, valid_from, valid_until, price_minor, sale_price_minor, currency)"
    " SELECT o.id, o.price_since, $2, o.price_minor, o.sale_price_minor, o.currency"
    " FROM offers o JOIN changed_offers c ON c.offer_id = o.offer_id WHERE o.merchant_id = $1"
    " AND (o.price_minor, o.sale_price_minor, o.currency)"
    " IS DISTINCT FROM (c.price_minor, c.sale_price_minor, c.currency)"
)
_UPDATE_CHANGED = (
    "UPDATE offers o SET status = 'active', catalogue_version = $2, last_seen_at = $3, price_since = CASE WHEN"  # noqa: S608  # constants
    " (o.price_minor, o.sale_price_minor, o.currency)"
    " IS DISTINCT FROM (c.price_minor, c.sale_price_minor, c.currency) THEN $3 ELSE o.price_since END, "
    + ", ".join(f"{column} = c.{column}" for column in _STATED_COLUMNS[1:])
    + " FROM changed_offers c WHERE o.merchant_id = $1 AND o.offer_id = c.offer_id"
)
_WITHDRAW = (
    "UPDATE offers o SET status = 'withdrawn', catalogue_version = $2, source_time = greatest(o.source_time, w.at)"
    " FROM unnest($3::text[], $4::timestamptz[]) AS w (offer_id, at)"
    " WHERE o.merchant_id = $1 AND o.offer_id = w.offer_id"
)
_TOUCH = (
    "UPDATE offers o SET source_time = t.at, last_seen_at = $2"
    " FROM unnest($3::text[], $4::timestamptz[]) AS t (offer_id, at)"
    " WHERE o.merchant_id = $1 AND o.offer_id = t.offer_id"
)
