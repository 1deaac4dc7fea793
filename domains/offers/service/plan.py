"""What a sync would change, told by the database in one statement: the index of its chunks against the stored offers.

Nothing is decoded for it, and memory does not grow with the feed: of each item one letter comes back. An item whose
hash is stored was accepted before under the same rules; only others are read, validated and written.
"""

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


_NOTHING_TO_DO = frozenset({Action.UNCHANGED.value, Action.STALE.value})


@dataclass(frozen=True, slots=True)
class Plan:
    """`actions` by the first offset of a chunk, one letter an item.

    `unseen` active offers are not in this FULL feed: their ids are in the temporary table sync_unseen. Those of
    unchanged offers whose time moves are in sync_touched. `oldest_us` is the oldest time that the feed states,
    `newest_us` the newest of what is new or changed; microseconds since 1970, 0 for none.
    """

    actions: dict[int, str]
    unseen: int
    touched: int
    oldest_us: int
    newest_us: int

    def count(self, action: Action) -> int:
        lower = action.value.lower()
        return sum(letters.count(action.value) + letters.count(lower) for letters in self.actions.values())

    @property
    def items(self) -> int:
        return sum(map(len, self.actions.values()))

    def chunks_with_work(self) -> Iterator[int]:
        """The first offsets of chunks that have to be read."""
        return (first for first, letters in sorted(self.actions.items()) if not _NOTHING_TO_DO.issuperset(letters))


@dataclass(frozen=True, slots=True)
class PlanRules:
    """`latest_us`: what is stated later is refused. `floor_us`: every active offer counts as stated at least then
    (see CatalogueRow). `as_of_us`: the moment that a FULL feed describes. All in microseconds since 1970.
    """

    full: bool
    latest_us: int
    floor_us: int
    as_of_us: int


async def make_plan(session: WriteSession, sync_id: UUID, merchant_id: UUID, rules: PlanRules) -> Plan:
    """Needs the catalogue's lock. Makes the temporary tables sync_touched and sync_unseen."""
    driver = await session.driver()
    await driver.execute(_TEMPORARY)
    rows = await driver.fetch(
        _COMPARE, sync_id, merchant_id, rules.latest_us, rules.floor_us, rules.full, rules.as_of_us
    )
    summary = next(row for row in rows if row["first_offset"] is None)
    return Plan(
        actions={row["first_offset"]: row["actions"] for row in rows if row["first_offset"] is not None},
        unseen=summary["unseen"],
        touched=summary["touched"],
        oldest_us=summary["oldest_us"],
        newest_us=summary["newest_us"],
    )


# A hash join of a whole feed and what it needs to sort fit into this; a larger feed goes to temporary files.
_TEMPORARY = """
SET LOCAL work_mem = '32MB';
CREATE TEMP TABLE sync_touched (id uuid NOT NULL, stated_at timestamptz NOT NULL) ON COMMIT DROP;
CREATE TEMP TABLE sync_unseen (id uuid NOT NULL) ON COMMIT DROP
"""

_COMPARE = """
WITH items AS (
    SELECT c.first_offset, i.*, i.kind < 2 AND i.time_us <= $3 AS is_placed
    FROM sync_chunks c, unnest(c.offer_ids, c.content_hashes, c.source_times_us, c.kinds)
        WITH ORDINALITY AS i (offer_id, content_hash, time_us, kind, n)
    WHERE c.sync_id = $1
),
ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY offer_id, is_placed ORDER BY time_us DESC, first_offset DESC, n DESC) AS rank
    FROM items
),
known AS (
    SELECT id, offer_id, content_hash, status = 'active' AS is_active, CASE WHEN status = 'active' THEN
        greatest((extract(epoch FROM source_time) * 1000000)::int8, $4)
        ELSE (extract(epoch FROM source_time) * 1000000)::int8 END AS stated_us
    FROM offers WHERE merchant_id = $2
),
compared AS MATERIALIZED (
    SELECT r.first_offset, r.n, r.kind, r.time_us, k.id, k.is_active, k.stated_us, CASE
        WHEN r.kind = 2 THEN 'R'
        WHEN NOT r.is_placed THEN 'X'
        WHEN r.rank > 1 THEN 'D'
        WHEN k.id IS NULL THEN 'C'
        WHEN r.time_us < k.stated_us THEN 'S'
        WHEN k.is_active AND k.content_hash = r.content_hash THEN 'E'
        ELSE 'U' END AS action
    FROM ranked r FULL JOIN known k ON k.offer_id = r.offer_id
),
times AS (
    SELECT coalesce(min(time_us) FILTER (WHERE action NOT IN ('R', 'X', 'D')), 0) AS oldest_us,
        coalesce(max(time_us) FILTER (WHERE action IN ('C', 'U')), 0) AS newest_us
    FROM compared WHERE first_offset IS NOT NULL
),
touched AS (
    INSERT INTO sync_touched
    SELECT id, to_timestamp(0) + time_us * interval '1 microsecond' FROM compared, times
    WHERE first_offset IS NOT NULL AND action = 'E' AND time_us > stated_us AND NOT ($5 AND time_us <= oldest_us)
    RETURNING id
),
unseen AS (
    INSERT INTO sync_unseen
    SELECT id FROM compared WHERE $5 AND first_offset IS NULL AND is_active AND stated_us <= $6
    RETURNING id
)
SELECT first_offset, string_agg(CASE WHEN kind = 1 THEN lower(action) ELSE action END, '' ORDER BY n) AS actions,
    NULL::int8 AS unseen, NULL::int8 AS touched, NULL::int8 AS oldest_us, NULL::int8 AS newest_us
FROM compared WHERE first_offset IS NOT NULL GROUP BY first_offset
UNION ALL
SELECT NULL, NULL, (SELECT count(*) FROM unseen), (SELECT count(*) FROM touched), oldest_us, newest_us FROM times
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
