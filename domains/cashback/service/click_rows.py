"""The rows of clicks, many in a statement: their insertion, and the mark that one was followed."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from wapsi.db.arrays import array
from wapsi.db.rows import add_rows
from wapsi.ids import time_of

# A second click on the same thing within this time is an impatient finger, not another visit.
DUPLICATE_WITHIN = timedelta(seconds=10)

# For a transaction: what is looked for is few rows by their keys, however large the tables were when the
# connection made its plans.
BY_KEYS = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
# By the customer alone, who has few clicks in ten seconds; a merchant has thousands, and "=" would let them be chosen.
_DUPLICATES = """SELECT k.number, c.id
    FROM unnest($1::text::uuid[], $2::text::uuid[], $3::text::uuid[])
        WITH ORDINALITY AS k (customer_id, merchant_id, offer_id, number)
    CROSS JOIN LATERAL (
        SELECT c.id FROM clicks c WHERE c.customer_id = k.customer_id AND c.clicked_at > $4 AND c.clicked_at <= $5
            AND c.merchant_id IS NOT DISTINCT FROM k.merchant_id AND c.offer_id IS NOT DISTINCT FROM k.offer_id
        ORDER BY c.clicked_at DESC LIMIT 1) AS c"""
_COLUMNS = (
    *("clicked_at", "id", "customer_id", "merchant_id", "offer_id", "currency", "landing_url", "target_url"),
    *("rate_schedule_version", "receipt", "receipt_mac", "user_agent", "bot", "trace_id", "duplicate_of"),
)
# One after the other, so that each looks into the partition of its time only.
_TARGETS = """SELECT c.id, c.target_url, c.redirected_at IS NOT NULL
    FROM unnest($1::uuid[], $2::timestamptz[]) AS k (id, clicked_at) CROSS JOIN LATERAL (
        SELECT * FROM clicks c WHERE c.id = k.id AND c.clicked_at = k.clicked_at LIMIT 1) AS c"""
_MARK = """UPDATE clicks c SET redirected_at = now() FROM unnest($1::uuid[], $2::timestamptz[]) AS k (id, clicked_at)
    WHERE c.id = k.id AND c.clicked_at = k.clicked_at AND c.redirected_at IS NULL"""


# Who clicked, where, and on which offer: their ids as bytes, since to hash a UUID calls Python.
Thing = bytes
# More than may run side by side.
REMEMBERED_GROUPS = 4


@dataclass(slots=True)
class NewRow:
    """What is kept of a click."""

    id: UUID
    customer_id: UUID
    merchant_id: UUID
    offer_id: UUID | None
    currency: str
    landing_url: str
    target_url: str
    rate_schedule_version: int
    user_agent: str
    bot: bool
    trace_id: str | None
    receipt: str = ""
    receipt_mac: bytes = b""

    def record(self, at: datetime, duplicate_of: UUID | None) -> tuple[object, ...]:
        """In the order of _COLUMNS."""
        return (
            at,
            self.id,
            self.customer_id,
            self.merchant_id,
            self.offer_id,
            self.currency,
            self.landing_url,
            self.target_url,
            self.rate_schedule_version,
            self.receipt,
            self.receipt_mac,
            self.user_agent,
            self.bot,
            self.trace_id,
            duplicate_of,
        )

    @property
    def thing(self) -> Thing:
        """What was clicked, and by whom."""
        offer = b"" if self.offer_id is None else self.offer_id.bytes
        return self.customer_id.bytes + self.merchant_id.bytes + offer


class UnderWay:
    """Clicks of the last groups of this process, of which some are not committed yet: no statement sees those."""

    def __init__(self) -> None:
        self._groups: deque[tuple[datetime, dict[Thing, UUID]]] = deque(maxlen=REMEMBERED_GROUPS)

    def since(self, moment: datetime) -> list[dict[Thing, UUID]]:
        """The newest first."""
        return [group for at, group in reversed(self._groups) if at > moment]

    def add(self, at: datetime, group: dict[Thing, UUID]) -> None:
        self._groups.append((at, group))

    def forget(self) -> None:
        """When a group was not written."""
        self._groups.clear()


async def insert(driver: asyncpg.Connection, at: datetime, rows: Sequence[NewRow], under_way: UnderWay) -> None:
    """All of one moment. A repeated click is marked with the one before it, wherever that is."""
    if not rows:
        return
    things = [row.thing for row in rows]
    before = await _before(driver, at, dict(zip(things, rows, strict=True)))
    mine: dict[Thing, UUID] = {}
    # The nearest first: this group, those that no statement may see yet, the table.
    known = (mine, *under_way.since(at - DUPLICATE_WITHIN), before)
    records = []
    for row, thing in zip(rows, things, strict=True):
        earlier = None
        for clicks in known:
            earlier = clicks.get(thing)
            if earlier is not None:
                break
        records.append(row.record(at, earlier))
        mine[thing] = row.id
    under_way.add(at, mine)
    await add_rows(driver, "clicks", _COLUMNS, records)


async def _before(driver: asyncpg.Connection, at: datetime, clicks: Mapping[Thing, NewRow]) -> dict[Thing, UUID]:
    """{thing: the last click on it, where it was moments ago}"""
    things, rows = list(clicks), clicks.values()
    customer_ids, merchant_ids = [row.customer_id for row in rows], [row.merchant_id for row in rows]
    offer_ids = [row.offer_id for row in rows]
    found = await driver.fetch(
        _DUPLICATES, array(customer_ids), array(merchant_ids), array(offer_ids), at - DUPLICATE_WITHIN, at
    )
    return {things[row[0] - 1]: row[1] for row in found}


async def follow(driver: asyncpg.Connection, click_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Where each leads; notes the first time. One that does not exist is absent. In a transaction with BY_KEYS."""
    # In one order, so that two groups which meet do not wait for each other.
    ordered = sorted(set(click_ids))
    found = await driver.fetch(_TARGETS, ordered, [time_of(click_id) for click_id in ordered])
    fresh = [row[0] for row in found if not row[2]]
    if fresh:
        await driver.execute(_MARK, fresh, [time_of(click_id) for click_id in fresh])
    return {row[0]: row[1] for row in found}
