"""Writes a whole group: its postings in one statement, its rows in another, however many they are."""

from binascii import b2a_base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from domains.cashback.service import ledger
from domains.cashback.service.drafts import Draft
from domains.cashback.service.records import Adjustment, Change, Conversion, Event, Reward
from wapsi.db.arrays import array


@dataclass(slots=True)
class Written:
    """What is to be written together. A row is in one of the lists only."""

    events: list[Event] = field(default_factory=list)
    new_conversions: list[Conversion] = field(default_factory=list)
    changed_conversions: list[Conversion] = field(default_factory=list)
    new_rewards: list[Reward] = field(default_factory=list)
    changed_rewards: list[Reward] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)


_TYPES = {
    **dict.fromkeys(("id", "conversion_id", "customer_id", "merchant_id", "network_id", "click_id"), "uuid"),
    **dict.fromkeys(("entity_id", "event_id", "posting_id", "transaction_id"), "uuid"),
    **dict.fromkeys(("occurred_at", "last_event_at", "updated_at", "created_at", "handled_at"), "timestamptz"),
    **dict.fromkeys(("expected_confirmation_at", "confirmed_at"), "timestamptz"),
    **dict.fromkeys(("mapping_version", "rate_schedule_version"), "integer"),
}
_JSON = ("fields", "attribution", "line_items", "pricing", "detail")


class _Table:
    """One statement over rows that come as one JSON array, which both sides read faster than an array a column."""

    def __init__(self, name: str, row: type[Any], changing_from: str | None = None) -> None:
        columns = [column.name for column in fields(row)]
        self._name = name
        self._updates = changing_from is not None
        self._written = columns if changing_from is None else ["id", *columns[columns.index(changing_from) :]]

    def statement(self, number: int) -> str:
        """`number` is its parameter's."""
        types = ", ".join(f"{column} {_type(column)}" for column in self._written)
        rows = f"json_to_recordset(${number}::text::json) AS k ({types})"
        if self._updates:
            sets = ", ".join(f"{column} = {_value(column)}" for column in self._written[1:])
            # Of the two the planner might take the table first, and then does it by these ids.
            ids = f"ARRAY(SELECT (row ->> 'id')::uuid FROM json_array_elements(${number}::text::json) AS row)"  # noqa: S608
            return f"UPDATE {self._name} AS t SET {sets} FROM {rows} WHERE t.id = k.id AND t.id = ANY ({ids})"  # noqa: S608
        names, values = ", ".join(self._written), ", ".join(map(_value, self._written))
        return f"INSERT INTO {self._name} ({names}) SELECT {values} FROM {rows}"  # noqa: S608


def _type(column: str) -> str:
    if column in _JSON:
        return "jsonb"
    return "bigint" if column.endswith("_minor") else _TYPES.get(column, "text")


def _value(column: str) -> str:
    return f"decode(k.{column}, 'base64')" if column == "raw" else f"k.{column}"


def _plain(value: Any) -> Any:
    """For JSON: what the driver read as a UUID of its own kind, and bytes."""
    return b2a_base64(value, newline=False).decode() if isinstance(value, bytes) else str(value)


# Constraints between them are checked at the end of the statement, in which all are written.
_EVENTS = _Table("conversion_events", Event)
_NEW_CONVERSIONS = _Table("conversions", Conversion)
_CHANGED_CONVERSIONS = _Table("conversions", Conversion, changing_from="click_id")
_NEW_REWARDS = _Table("rewards", Reward)
_CHANGED_REWARDS = _Table("rewards", Reward, changing_from="state")
_ADJUSTMENTS = _Table("conversion_adjustments", Adjustment)
_CHANGES = _Table("state_changes", Change)
_statements: dict[tuple[bool, tuple[_Table, ...]], str] = {}
# A posting would take something from a customer, which needs the balances locked: nothing is written then.
REFUSED = "WL007"
# For the rest of the statement, in which the foreign keys are checked at the end. The session keeps their plans, and
# one that was made while a table was empty and analysed reads all of it.
_BY_KEY = "set_config('enable_seqscan', 'off', true)"
# Of post_new_sales, before those of the postings.
_OWN_PARAMETERS = 2


async def write(driver: asyncpg.Connection, written: Written) -> None:
    """Raises what the ledger refuses a posting for: nothing of the group may stay then."""
    postings = [posting for draft in written.drafts for posting in draft.postings]
    if postings:
        for fault in await ledger.post_many(driver, postings):
            if fault is not None:
                raise fault
    tables, documents = _documents(written)
    if tables:
        await driver.execute(_together(tables), *documents)


async def write_at_once(
    driver: asyncpg.Connection, written: Written, locks: Sequence[int], customer_ids: Collection[UUID]
) -> None:
    """The same in one statement, which takes these locks first: without a transaction around it, it is one.

    Raises the driver's error with the state REFUSED, or a UniqueViolationError, and then has written nothing.
    """
    postings = [posting for draft in written.drafts for posting in draft.postings]
    tables, documents = _documents(written)
    await driver.execute(
        _together(tables, posting=True), array(locks), array([*customer_ids]), *ledger.arguments(postings), *documents
    )
    ledger.count(postings)


def _documents(written: Written) -> tuple[tuple[_Table, ...], list[str]]:
    """The tables that get rows, and their rows."""
    rows: list[tuple[_Table, Sequence[Any]]] = [
        (_EVENTS, written.events),
        (_NEW_CONVERSIONS, written.new_conversions),
        (_CHANGED_CONVERSIONS, written.changed_conversions),
        (_NEW_REWARDS, written.new_rewards),
        (_CHANGED_REWARDS, written.changed_rewards),
        (_ADJUSTMENTS, [adjustment for draft in written.drafts for adjustment in draft.adjustments]),
        (_CHANGES, [change for draft in written.drafts for change in draft.changes]),
    ]
    some = [(table, values) for table, values in rows if values]
    documents = [orjson.dumps(values, default=_plain).decode() for _, values in some]
    return tuple(table for table, _ in some), documents


def _together(tables: tuple[_Table, ...], *, posting: bool = False) -> str:
    known = _statements.get((posting, tables))
    if known is None:
        first = 1 + (_OWN_PARAMETERS + ledger.PARAMETERS if posting else 0)
        parts = [f"w{number} AS ({table.statement(number)})" for number, table in enumerate(tables, start=first)]
        if posting:
            given = f"$1::text::bigint[], $2::text::uuid[], {ledger.parameters(1 + _OWN_PARAMETERS)}"
            parts.insert(0, f"posted AS MATERIALIZED (SELECT post_new_sales({given}) AS number, {_BY_KEY})")
        # Of constants too.
        known = f"WITH {', '.join(parts)} SELECT " + ("number FROM posted" if posting else "1")  # noqa: S608
        _statements[posting, tables] = known
    return known
