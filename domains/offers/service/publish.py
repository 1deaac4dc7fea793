"""Writing a plan into a merchant's catalogue, in bulk, inside one transaction that holds the catalogue's lock."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domains.offers.models import OfferRow
from domains.offers.service.chunks import CHUNK_ITEMS, ItemIndex
from domains.offers.service.plan import ChunkWork, Plan, from_microseconds, to_microseconds
from domains.offers.service.prepare import STATED_COLUMNS, ChunkRead, Preparation, Prepared
from wapsi.clock import now
from wapsi.db import Database, WriteSession
from wapsi.queue import outbox

INDEX_DOCUMENTS = "offers.index_documents"
SEARCH_QUEUE = "search"
# Grows with each publication, and again when search has followed it.
VERSION_SQL = "SELECT coalesce(sum(version + indexed_version), 0) FROM catalogues"

_TOMBSTONE_COLUMNS = (
    "merchant_id",
    "catalogue_version",
    "status",
    "availability",
    "offer_id",
    "source_time",
    "content_hash",
)
OFFER_COLUMNS = tuple(column.name for column in OfferRow.__table__.columns)


@dataclass(frozen=True, slots=True)
class LockedCatalogue:
    """Every active offer counts as stated at least at `floor_at`."""

    version: int
    revertible_version: int | None
    floor_at: datetime | None


async def lock_catalogue(session: WriteSession, merchant_id: UUID) -> LockedCatalogue:
    """Publications of one merchant go one after the other; this is where they wait."""
    await session.execute(
        text("INSERT INTO catalogues (merchant_id) VALUES (:id) ON CONFLICT DO NOTHING"), {"id": merchant_id}
    )
    row = (
        await session.execute(
            text(
                "SELECT version, revertible_version, source_time_floor FROM catalogues"
                " WHERE merchant_id = :id FOR UPDATE"
            ),
            {"id": merchant_id},
        )
    ).one()
    return LockedCatalogue(row.version, row.revertible_version, row.source_time_floor)


async def announce_publication(db: Database, merchant_id: UUID) -> UUID:
    """For listings (see RunningPublicationRow), in a transaction of its own; `finish` or `end_publication` ends it.

    New offers have ids after the one that is given back.
    """
    async with db.write() as session:
        announced = await session.execute(
            text(
                "INSERT INTO running_publications (merchant_id) VALUES (:id)"
                " ON CONFLICT (merchant_id) DO UPDATE SET first_id = excluded.first_id RETURNING first_id"
            ),
            {"id": merchant_id},
        )
        first_id: UUID = announced.scalar_one()
        return first_id


async def end_publication(session: WriteSession, merchant_id: UUID) -> None:
    await session.execute(text("DELETE FROM running_publications WHERE merchant_id = :id"), {"id": merchant_id})


class Publication:
    """The writes of one publication: `write_chunks`, then `write_rest`, then `finish`."""

    def __init__(self, session: WriteSession, sync_id: UUID, merchant_id: UUID, version: int) -> None:
        self._session = session
        self._sync_id = sync_id
        self._merchant_id = merchant_id
        self._now = now()
        self._own = (merchant_id, version)
        self._withdrawn = 0
        self._changed: list[tuple[Any, ...]] = []
        self._has_changed_table = False
        self.version = version
        self.created = self.updated = self.rejected = self.withdrawn_by_item = 0

    async def write_chunks(
        self, plan: Plan, preparation: Preparation, on_progress: Callable[[int], Awaitable[None]]
    ) -> None:
        """Postgres takes the rows of one chunk and reads another while a thread prepares the one between."""
        ready: Prepared | None = None
        chunk = await self._read(plan.work[0]) if plan.work else None
        following = iter(plan.work[1:])
        while chunk is not None:
            writing = self._write_and_read(ready, next(following, None), on_progress)
            preparing = asyncio.to_thread(preparation.prepare, chunk)
            chunk, ready = await asyncio.gather(writing, preparing)
        await self._write(ready, on_progress)

    async def _write_and_read(
        self, ready: Prepared | None, work: ChunkWork | None, on_progress: Callable[[int], Awaitable[None]]
    ) -> ChunkRead | None:
        await self._write(ready, on_progress)
        return None if work is None else await self._read(work)

    async def _read(self, work: ChunkWork) -> ChunkRead:
        driver = await self._session.driver()
        row = await driver.fetchrow(_READ_CHUNK, self._sync_id, work.first_offset)
        return ChunkRead(
            work=work,
            payload=row["payload"],
            index=ItemIndex(row["offer_ids"], row["content_hashes"], row["source_times"], row["kinds"]),
        )

    async def _write(self, ready: Prepared | None, on_progress: Callable[[int], Awaitable[None]]) -> None:
        if ready is None:
            return
        driver = await self._session.driver()
        if ready.creates:
            # Straight into the table: the catalogue is locked, so nobody else can have made them.
            # In one piece, and not as a file, of which pieces are read in threads (or as bytes, which are a path).
            await driver.copy_to_table("offers", source=memoryview(ready.creates), columns=ready.create_columns)
        self._changed += ready.updates
        if len(self._changed) >= CHUNK_ITEMS:
            await self._copy_changed(driver)
        if ready.withdraw:
            offer_ids, times = _columns(ready.withdraw)
            kept = await driver.execute(_KEEP_WITHDRAWN, self._merchant_id, self.version, offer_ids)
            # A deletion that is sent again is counted, but it is no change that could be taken back.
            self._withdrawn += rows_of(kept)
            await driver.execute(_WITHDRAW, self._merchant_id, self.version, offer_ids, times)
        if ready.entomb:
            tombstones = [
                (*self._own, "withdrawn", "out_of_stock", offer_id, from_microseconds(time_us), b"")
                for offer_id, time_us in ready.entomb.items()
            ]
            await driver.copy_records_to_table("offers", records=tombstones, columns=_TOMBSTONE_COLUMNS)
        self.created += ready.created
        self.updated += len(ready.updates)
        self.rejected += ready.rejected
        self.withdrawn_by_item += len(ready.withdraw) + len(ready.entomb)
        await on_progress(ready.end_offset)

    async def _copy_changed(self, driver: Any) -> None:
        """Gathered from many chunks: of most of them, only a few offers have changed."""
        if not self._has_changed_table:
            await driver.execute(_CREATE_CHANGED)
            self._has_changed_table = True
        await driver.copy_records_to_table("changed_offers", records=self._changed, columns=STATED_COLUMNS)
        self._changed = []

    async def write_rest(self, plan: Plan, *, as_of: datetime) -> None:
        """What is done at once for the whole feed: changes, withdrawals, times. Rows are kept as they were before."""
        driver = await self._session.driver()
        if self._changed:
            await self._copy_changed(driver)
        if self._has_changed_table:
            await driver.execute(_WRITE_CHANGED, self._merchant_id, self.version, self._now)
        if plan.unseen:
            await driver.execute(_KEEP_UNSEEN, self.version)
            await driver.execute(_WITHDRAW_UNSEEN, self.version, as_of)
        if plan.touched:
            await driver.execute(_TOUCH, self._now)

    def changed_anything(self, plan: Plan) -> bool:
        return bool(self.created or self.updated or self._withdrawn or plan.unseen)

    async def finish(
        self, *, floor_at: datetime | None, full: bool, changed: bool, stated_at: datetime, feed_is_all: bool
    ) -> None:
        """Moves the catalogue on. Only a publication that changed something is a new version, and search follows it.

        `stated_at`: when the newest of what was written was stated. `feed_is_all`: the sync's feed, all of it, is what
        is published now.
        """
        await self._session.execute(
            _MOVE_ON,
            {
                "version": self.version,
                "changed": changed,
                "floor": floor_at,
                "full": full,
                "feed_sync_id": self._sync_id if feed_is_all else None,
                "id": self._merchant_id,
            },
        )
        if not changed:
            return
        driver = await self._session.driver()
        await driver.execute(_FORGET_REVISIONS, self._merchant_id, self.version)
        args: dict[str, str | int] = {"merchant_id": str(self._merchant_id), "stated_us": to_microseconds(stated_at)}
        await outbox.enqueue(self._session, INDEX_DOCUMENTS, args, queue=SEARCH_QUEUE)


def rows_of(status: str) -> int:
    """How many rows a command changed, by its status, such as 'UPDATE 12'."""
    return int(status.rpartition(" ")[2])


def _columns(offers: Mapping[str, int]) -> tuple[list[str], list[Any]]:
    return list(offers), [from_microseconds(value) for value in offers.values()]


_READ_CHUNK = (
    "SELECT payload, offer_ids, content_hashes, source_times, kinds FROM sync_chunks"
    " WHERE sync_id = $1 AND first_offset = $2"
)
_CREATE_CHANGED = (
    f"CREATE TEMP TABLE changed_offers ON COMMIT DROP AS SELECT {', '.join(STATED_COLUMNS)} FROM offers WITH NO DATA"  # noqa: S608  # constants
)
_REVISION = f"INSERT INTO offer_revisions (replaced_in, {', '.join(OFFER_COLUMNS)}) SELECT "
_REVISED = ", ".join(f"o.{column}" for column in OFFER_COLUMNS)
_KEEP_WITHDRAWN = (
    f"{_REVISION} $2, {_REVISED} FROM offers o"
    " WHERE o.merchant_id = $1 AND o.status = 'active' AND o.offer_id = ANY($3)"
)
_KEEP_UNSEEN = f"{_REVISION} $1, {_REVISED} FROM offers o JOIN sync_unseen u ON u.id = o.id"
_FORGET_REVISIONS = "DELETE FROM offer_revisions WHERE merchant_id = $1 AND replaced_in < $2"
PRICE_DIFFERS = (
    "(o.price_minor, o.sale_price_minor, o.currency) IS DISTINCT FROM (c.price_minor, c.sale_price_minor, c.currency)"
)
# Of the rows as they were: all are kept for a rollback, and those whose price ends for the price history. (A tombstone
# of an offer that we never had has no price that could end.)
_WRITE_CHANGED = (
    f"WITH o AS MATERIALIZED (SELECT {_REVISED} FROM changed_offers c JOIN offers o"  # noqa: S608  # constants
    " ON o.merchant_id = $1 AND o.offer_id = c.offer_id),"
    f" kept AS ({_REVISION} $2, {_REVISED} FROM o),"
    " ended AS (INSERT INTO offer_prices (id, valid_from, valid_until, price_minor, sale_price_minor, currency)"
    " SELECT o.id, o.price_since, $3, o.price_minor, o.sale_price_minor, o.currency"
    " FROM o JOIN changed_offers c ON c.offer_id = o.offer_id"
    f" WHERE o.price_minor IS NOT NULL AND {PRICE_DIFFERS}) "
    "UPDATE offers SET status = 'active', catalogue_version = $2, last_seen_at = $3,"
    f" price_since = CASE WHEN {PRICE_DIFFERS} THEN $3 ELSE o.price_since END, "
    + ", ".join(f"{column} = c.{column}" for column in STATED_COLUMNS[1:])
    + " FROM o JOIN changed_offers c ON c.offer_id = o.offer_id WHERE offers.id = o.id"
)
_WITHDRAW = (
    "UPDATE offers o SET status = 'withdrawn', source_time = greatest(o.source_time, w.at),"
    " catalogue_version = CASE WHEN o.status = 'active' THEN $2 ELSE o.catalogue_version END"
    " FROM unnest($3::text[], $4::timestamptz[]) AS w (offer_id, at)"
    " WHERE o.merchant_id = $1 AND o.offer_id = w.offer_id"
)
_WITHDRAW_UNSEEN = (
    "UPDATE offers o SET status = 'withdrawn', catalogue_version = $1, source_time = greatest(o.source_time, $2)"
    " FROM sync_unseen u WHERE o.id = u.id"
)
_TOUCH = "UPDATE offers o SET source_time = t.stated_at, last_seen_at = $1 FROM sync_touched t WHERE o.id = t.id"
_MOVE_ON = text(
    "UPDATE catalogues SET version = CASE WHEN :changed THEN :version ELSE version END,"
    " revertible_version = CASE WHEN :changed THEN :version ELSE revertible_version END,"
    " feed_sync_id = CASE WHEN :full OR :changed THEN CAST(:feed_sync_id AS uuid) ELSE feed_sync_id END,"
    " published_at = CASE WHEN :changed THEN now() ELSE published_at END, source_time_floor = :floor,"
    " last_full_seen_at = CASE WHEN :full THEN now() ELSE last_full_seen_at END WHERE merchant_id = :id"
)
