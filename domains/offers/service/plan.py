"""What a sync would change, told by the database in one statement: the index of its chunks against the stored offers.

Nothing is decoded for it, and memory does not grow with the feed: of an item that has to be read three bytes come
back. An item whose hash is stored was accepted before under the same rules; only others are validated and written.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from wapsi.db import WriteSession

SHRINK_GUARD_MIN_OFFERS = 20
_MICROSECONDS = 1_000_000


class Action(StrEnum):
    """What to do with one item. In lower case: and its producer had something to say about it."""

    UNCHANGED = "E"
    CREATE = "C"
    UPDATE = "U"
    # Older than what is stored, or than a tombstone.
    STALE = "S"
    # A newer item of the same offer_id is in this sync.
    DUPLICATE = "D"
    # The producer could not make an offer of the row.
    REJECTED = "R"
    # Without an id or a usable time: validation says what is wrong.
    UNPLACED = "X"


@dataclass(frozen=True, slots=True)
class ChunkWork:
    """The items of a chunk that have to be read. Packed, since a first load has work for every item of a feed.

    `positions` in the chunk are unsigned 16-bit integers, big-endian and ascending; `actions` has a letter for each.
    """

    first_offset: int
    positions: bytes
    actions: str

    def items(self) -> Iterator[tuple[int, str]]:
        """(position in the chunk, letter)"""
        return zip(self.places(), self.actions, strict=True)

    def places(self) -> tuple[int, ...]:
        return struct.unpack(f">{len(self.actions)}H", self.positions)


@dataclass(frozen=True, slots=True)
class Plan:
    """`work` is in the order of the feed; all other items are only counted.

    `absent` active offers are not in the feed. `unseen` of them a FULL feed withdraws: their ids are in the temporary
    table sync_unseen. Those of unchanged offers whose time moves are in sync_touched. `oldest_at` is the oldest time
    that the feed states, `newest_at` the newest of what is new or changed.
    """

    work: list[ChunkWork]
    items: int
    creates: int
    unchanged: int
    stale: int
    duplicates: int
    absent: int
    unseen: int
    touched: int
    oldest_at: datetime | None
    newest_at: datetime | None


@dataclass(frozen=True, slots=True)
class PlanRules:
    """What is stated later than `latest_at` is refused. Every active offer counts as stated at least at `floor_at`
    (see CatalogueRow). `as_of` is the moment that a FULL feed describes.
    """

    full: bool
    latest_at: datetime
    floor_at: datetime | None
    as_of: datetime


async def make_plan(session: WriteSession, sync_id: UUID, merchant_id: UUID, rules: PlanRules) -> Plan:
    """Needs the catalogue's lock. Makes the temporary tables sync_touched and sync_unseen."""
    driver = await session.driver()
    await driver.execute(_TEMPORARY)
    rows = await driver.fetch(
        _COMPARE, sync_id, merchant_id, to_microseconds(rules.latest_at), rules.floor_at, rules.full, rules.as_of
    )
    summary = next(row for row in rows if row["first_offset"] is None)
    work = [ChunkWork(row["first_offset"], row["positions"], row["actions"]) for row in rows if row is not summary]
    work.sort(key=lambda chunk: chunk.first_offset)
    return Plan(
        work=work,
        items=summary["items"],
        creates=summary["creates"],
        unchanged=summary["unchanged"],
        stale=summary["stale"],
        duplicates=summary["duplicates"],
        absent=summary["absent"],
        unseen=summary["unseen"],
        touched=summary["touched"],
        oldest_at=summary["oldest_at"],
        newest_at=summary["newest_at"],
    )


# A hash join of a whole feed and what it needs to sort fit into this; a larger feed goes to temporary files.
_TEMPORARY = """
SET LOCAL work_mem = '32MB';
CREATE TEMP TABLE sync_touched (id uuid NOT NULL, stated_at timestamptz NOT NULL) ON COMMIT DROP;
CREATE TEMP TABLE sync_unseen (id uuid NOT NULL) ON COMMIT DROP
"""

# Both of the first are materialised: a packed column must not be fetched anew for each item, nor be carried along with
# each into the sorting.
_COMPARE = """
WITH chunks AS MATERIALIZED (
    SELECT first_offset, items, offer_ids || '' AS offer_ids, content_hashes || ''::bytea AS content_hashes,
        source_times || ''::bytea AS source_times, kinds || ''::bytea AS kinds
    FROM sync_chunks WHERE sync_id = $1
),
unpacked AS MATERIALIZED (
    SELECT c.first_offset, i.n, i.offer_id, substring(c.content_hashes FROM (i.n::int - 1) * 16 + 1 FOR 16)
        AS content_hash, substring(c.source_times FROM (i.n::int - 1) * 8 + 1 FOR 8)::int8 AS time_us,
        get_byte(c.kinds, i.n::int - 1) AS kind
    FROM chunks c, string_to_table(c.offer_ids, E'\n') WITH ORDINALITY AS i (offer_id, n) WHERE i.n <= c.items
),
items AS (
    SELECT first_offset, n, offer_id, content_hash, kind, kind < 2 AND time_us <= $3 AS is_placed,
        to_timestamp(0) + time_us * interval '1 microsecond' AS stated_at
    FROM unpacked
),
ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY offer_id, is_placed ORDER BY stated_at DESC, first_offset DESC, n DESC) AS rank
    FROM items
),
known AS (
    SELECT id, offer_id, content_hash, status = 'active' AS is_active,
        CASE WHEN status = 'active' THEN greatest(source_time, $4) ELSE source_time END AS counts_as_stated_at
    FROM offers WHERE merchant_id = $2
),
compared AS MATERIALIZED (
    SELECT r.first_offset, r.n, r.kind, r.stated_at, k.id, k.is_active, k.counts_as_stated_at, CASE
        WHEN r.kind = 2 THEN 'R'
        WHEN NOT r.is_placed THEN 'X'
        WHEN r.rank > 1 THEN 'D'
        WHEN k.id IS NULL THEN 'C'
        WHEN r.stated_at < k.counts_as_stated_at THEN 'S'
        WHEN k.is_active AND k.content_hash = r.content_hash THEN 'E'
        ELSE 'U' END AS action
    FROM ranked r FULL JOIN known k ON k.offer_id = r.offer_id
),
summary AS (
    SELECT min(stated_at) FILTER (WHERE action NOT IN ('R', 'X', 'D')) AS oldest_at,
        max(stated_at) FILTER (WHERE action IN ('C', 'U')) AS newest_at,
        count(*) FILTER (WHERE action = 'C') AS creates,
        count(*) FILTER (WHERE action = 'E') AS unchanged, count(*) FILTER (WHERE action = 'S') AS stale,
        count(*) FILTER (WHERE action = 'D') AS duplicates, count(*) AS items
    FROM compared WHERE first_offset IS NOT NULL
),
touched AS (
    INSERT INTO sync_touched
    SELECT id, stated_at FROM compared
    WHERE action = 'E' AND stated_at > counts_as_stated_at
        AND NOT ($5 AND stated_at <= (SELECT oldest_at FROM summary))
    RETURNING id
),
unseen AS (
    INSERT INTO sync_unseen
    SELECT id FROM compared WHERE $5 AND first_offset IS NULL AND is_active AND counts_as_stated_at <= $6
    RETURNING id
),
work AS (
    SELECT first_offset, n, CASE WHEN kind = 1 THEN lower(action) ELSE action END AS action
    FROM compared WHERE first_offset IS NOT NULL AND (action NOT IN ('E', 'S') OR kind = 1)
)
SELECT first_offset, string_agg(int2send((n - 1)::int2), '' ORDER BY n) AS positions,
    string_agg(action, '' ORDER BY n) AS actions,
    NULL::int8 AS items, NULL::int8 AS creates, NULL::int8 AS unchanged, NULL::int8 AS stale, NULL::int8 AS duplicates,
    NULL::int8 AS absent, NULL::int8 AS unseen, NULL::int8 AS touched,
    NULL::timestamptz AS oldest_at, NULL::timestamptz AS newest_at
FROM work GROUP BY first_offset
UNION ALL
SELECT NULL, NULL, NULL, items, creates, unchanged, stale, duplicates,
    (SELECT count(*) FROM compared WHERE first_offset IS NULL AND is_active), (SELECT count(*) FROM unseen),
    (SELECT count(*) FROM touched), oldest_at, newest_at
FROM summary
"""


def shrinks_too_much(unseen: int, active_before: int, limit_percent: int) -> bool:
    """Whether the unseen offers are more than that share of what customers see now."""
    return active_before >= SHRINK_GUARD_MIN_OFFERS and unseen * 100 > active_before * limit_percent


def to_microseconds(moment: datetime) -> int:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * _MICROSECONDS + delta.microseconds


def from_microseconds(value: int) -> datetime:
    seconds, rest = divmod(value, _MICROSECONDS)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest)
