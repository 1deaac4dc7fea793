"""What a group of events needs to know, in a number of statements that does not depend on how many they are."""

import base64
import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from domains.cashback.service import receipts
from domains.cashback.service.events import EventResult, LineItem, SaleEvent
from domains.cashback.service.postings import Sale
from domains.cashback.service.records import Conversion, Reward
from domains.cashback.states import EventOutcome
from domains.merchants.service.sellers import sellers
from wapsi.db import WriteSession
from wapsi.ids import time_of
from wapsi.security.signing import Keys

# (source, the source's own id): of a sale, or of an event.
Key = tuple[str, str]

_CONVERSION = ", ".join(
    f"c.{column.name}" + ("::text" if column.name in ("attribution", "line_items") else "")
    for column in fields(Conversion)
)
_REWARD = ", ".join("r.pricing::text" if column.name == "pricing" else f"r.{column.name}" for column in fields(Reward))
# And for the rest of the transaction: whatever is looked for is few rows by their keys, however large the tables were
# when the session made its plans, those of its foreign keys too.
_LOCK = """SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true),
    (SELECT count(pg_advisory_xact_lock(key)::text) FROM unnest($1::bigint[]) AS key)"""
# One round trip for all of a group that is not known yet; `sale_ids` are there only where it is not so. LATERAL and
# LIMIT, here and below: of a join the planner may take the table first, and walk all of it.
_LOOK = """SELECT
    (SELECT json_agg(json_build_array(e.source, e.external_event_id, e.id, e.outcome, e.conversion_id, e.error,
            e.message))::text
        FROM unnest($1::text[], $2::text[]) AS k (source, external_event_id) CROSS JOIN LATERAL (
            SELECT * FROM conversion_events e
            WHERE e.source = k.source AND e.external_event_id = k.external_event_id LIMIT 1) AS e),
    (SELECT array_agg(c.id) FROM unnest($3::text[], $4::text[]) AS k (source, external_id) CROSS JOIN LATERAL (
        SELECT c.id FROM conversions c WHERE c.source = k.source AND c.external_id = k.external_id LIMIT 1) AS c),
    (SELECT json_agg(json_build_array(c.id, c.customer_id, c.merchant_id, c.receipt,
            encode(c.receipt_mac, 'base64')))::text
        FROM unnest($5::uuid[], $6::timestamptz[]) AS k (id, clicked_at) CROSS JOIN LATERAL (
            SELECT * FROM clicks c WHERE c.id = k.id AND c.clicked_at = k.clicked_at LIMIT 1) AS c),
    (SELECT json_agg(json_build_array(m.source, m.version, m.mapping))::text
        FROM (SELECT DISTINCT ON (source) source, version, mapping FROM status_mappings
            WHERE source = ANY($3) ORDER BY source, version DESC) AS m)"""
# Constants are put together here, and nothing else.
_SALES = f"SELECT {_CONVERSION} FROM conversions c WHERE c.id = ANY($1) ORDER BY c.id FOR UPDATE"  # noqa: S608
_SALE = f"SELECT {_CONVERSION} FROM conversions c WHERE c.id = $1"  # noqa: S608
# As texts, whose order is the same: for that of the ids themselves the planner might walk all rewards in it.
_REWARDS = f"SELECT {_REWARD} FROM rewards r WHERE r.conversion_id = ANY($1) ORDER BY r.id::text FOR UPDATE"  # noqa: S608
_REWARD_BY_ID = f"SELECT {_REWARD} FROM rewards r WHERE r.id = $1 FOR UPDATE"  # noqa: S608
# One after the other, so that each looks into the partition of its time only.
_CLICKS = """SELECT c.id, c.customer_id, c.merchant_id, c.receipt, c.receipt_mac
    FROM unnest($1::uuid[], $2::timestamptz[]) AS k (id, clicked_at) CROSS JOIN LATERAL (
        SELECT * FROM clicks c WHERE c.id = k.id AND c.clicked_at = k.clicked_at LIMIT 1) AS c"""
_POSITION_OF_ATTRIBUTION = [column.name for column in fields(Conversion)].index("attribution")
_POSITION_OF_LINES = [column.name for column in fields(Conversion)].index("line_items")
_POSITION_OF_PRICING = [column.name for column in fields(Reward)].index("pricing")


@dataclass(slots=True)
class Click:
    """What attribution asks of a click."""

    id: UUID
    customer_id: UUID
    merchant_id: UUID
    receipt: str
    receipt_mac: bytes | None


class Clicks:
    """The clicks behind a group of events; each receipt is read once."""

    def __init__(self, keys: Keys, clicks: Iterable[Click]) -> None:
        self._keys = keys
        self._clicks = {click.id: click for click in clicks}
        self._by_text = {str(click_id): click for click_id, click in self._clicks.items()}
        self._receipts: dict[UUID, receipts.Receipt] = {}

    def find(self, click_id: UUID) -> Click | None:
        return self._clicks.get(click_id)

    def named(self, event: SaleEvent) -> Click | None:
        """The click that an event names, where we made it."""
        found = self._by_text.get(event.click_id)
        if found is not None or not event.click_id:
            return found
        click_id = click_id_of(event)
        return None if click_id is None else self._clicks.get(click_id)

    def receipt(self, click_id: UUID) -> receipts.Receipt:
        """Raises ReceiptInvalid."""
        known = self._receipts.get(click_id)
        if known is None:
            known = self._receipts[click_id] = self._read(self._clicks[click_id])
        return known

    def _read(self, click: Click) -> receipts.Receipt:
        return receipts.read(self._keys, click.receipt, click.receipt_mac)


def click_id_of(event: SaleEvent) -> UUID | None:
    try:
        return UUID(event.click_id)
    except ValueError:
        return None


async def lock(driver: asyncpg.Connection, *, events: Iterable[Key] = (), sales: Iterable[Key] = ()) -> None:
    """What is about one event or one sale follows one another, also while there is no row of it yet."""
    await driver.execute(_LOCK, lock_numbers(events=events, sales=sales))


def lock_numbers(*, events: Iterable[Key] = (), sales: Iterable[Key] = ()) -> list[int]:
    """Of the locks, in the one order in which all take them, so that two groups never wait for each other."""
    return sorted({_number("event", key) for key in events} | {_number("sale", key) for key in sales})


def _number(kind: str, key: Key) -> int:
    name = f"{kind}\0{key[0]}\0{key[1]}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True)


@dataclass(frozen=True, slots=True)
class Look:
    """What one statement found: what became of events that came before, which sales there are already, the clicks that
    are named, and the mappings of the sources."""

    events: dict[Key, EventResult]
    sale_ids: list[UUID]
    clicks: list[Click]
    mappings: dict[str, tuple[int, dict[str, str]]]


async def look(
    driver: asyncpg.Connection, events: Collection[Key], sales: Collection[Key], click_ids: Iterable[UUID]
) -> Look:
    ids, times = dated(click_ids)
    row = await driver.fetchrow(
        _LOOK,
        [source for source, _ in events],
        [event_id for _, event_id in events],
        [source for source, _ in sales],
        [external_id for _, external_id in sales],
        ids,
        times,
    )
    assert row is not None
    return Look(
        results_of(row[0]),
        row[1] or [],
        [
            Click(UUID(c[0]), UUID(c[1]), UUID(c[2]), c[3], c[4] and base64.b64decode(c[4]))
            for c in orjson.loads(row[2] or "[]")
        ],
        {source: (version, words) for source, version, words in orjson.loads(row[3] or "[]")},
    )


def results_of(events: str | None) -> dict[Key, EventResult]:
    """What became of events that came before, from JSON."""
    return {
        (source, event_id): EventResult(
            UUID(id_),
            EventOutcome(outcome),
            None if conversion_id is None else UUID(conversion_id),
            reason or "",
            message or "",
            repeated=True,
        )
        for source, event_id, id_, outcome, conversion_id, reason, message in orjson.loads(events or "[]")
    }


async def load_conversions(driver: asyncpg.Connection, ids: Collection[UUID]) -> list[Conversion]:
    """Locked, in the order of their ids."""
    return [_conversion(row) for row in await driver.fetch(_SALES, ids)] if ids else []


async def load_rewards(driver: asyncpg.Connection, conversion_ids: Collection[UUID]) -> dict[UUID, Reward]:
    """{sale: reward}, locked."""
    if not conversion_ids:
        return {}
    rows = [_reward(row) for row in await driver.fetch(_REWARDS, list(conversion_ids))]
    return {row.conversion_id: row for row in rows}


async def load_sale(session: WriteSession, conversion_id: UUID) -> Sale | None:
    """Locked, as the events about it lock it."""
    driver = await session.driver()
    found = await driver.fetchrow("SELECT source, external_id FROM conversions WHERE id = $1", conversion_id)
    if found is None:
        return None
    await lock(driver, sales=[(found[0], found[1])])
    [conversion] = await load_conversions(driver, [conversion_id])
    rewards = await load_rewards(driver, [conversion_id])
    return await _sale(driver, conversion, rewards.get(conversion_id))


async def load_sale_of_reward(session: WriteSession, reward_id: UUID) -> Sale | None:
    """The reward is locked: whoever moves the sale on waits for it."""
    driver = await session.driver()
    row = await driver.fetchrow(_REWARD_BY_ID, reward_id)
    if row is None:
        return None
    reward = _reward(row)
    conversion = await driver.fetchrow(_SALE, reward.conversion_id)
    assert conversion is not None
    return await _sale(driver, _conversion(conversion), reward)


async def _sale(driver: asyncpg.Connection, conversion: Conversion, reward: Reward | None) -> Sale:
    [seller] = await sellers(driver, (), [conversion.merchant_id])
    return Sale(conversion, reward, seller.slug, conversion.source.removeprefix("direct:"))


async def load_clicks(driver: asyncpg.Connection, click_ids: Iterable[UUID]) -> list[Click]:
    ids, times = dated(click_ids)
    return [Click(*row) for row in await driver.fetch(_CLICKS, ids, times)] if ids else []


def dated(click_ids: Iterable[UUID]) -> tuple[list[UUID], list[datetime]]:
    """With the times that are in them. An id that we did not make finds nothing."""
    ids, times = [], []
    for click_id in click_ids:
        try:
            times.append(time_of(click_id))
        except (ValueError, OverflowError):
            continue
        ids.append(click_id)
    return ids, times


def _conversion(row: asyncpg.Record) -> Conversion:
    values = list(row)
    values[_POSITION_OF_ATTRIBUTION] = orjson.loads(values[_POSITION_OF_ATTRIBUTION])
    values[_POSITION_OF_LINES] = [LineItem(**line) for line in orjson.loads(values[_POSITION_OF_LINES])]
    return Conversion(*values)


def _reward(row: asyncpg.Record) -> Reward:
    values = list(row)
    values[_POSITION_OF_PRICING] = orjson.loads(values[_POSITION_OF_PRICING])
    return Reward(*values)
