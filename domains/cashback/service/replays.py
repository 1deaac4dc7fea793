"""Reading events anew by another mapping: as a preview, which writes nothing but the difference, and then for good.

First a walk through the inbox collects the sales whose events the mapping reads otherwise, window by window. Then each
of these sales is decided, by the same code that decides on new events, as if its events came now. What has been said of
a sale since is not undone: an event that a later one has replaced, or on which an operator has decided, stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from domains.cashback.models import ProposalRow
from domains.cashback.service import conversions, loading
from domains.cashback.service.events import EventResult, SaleEvent, Source
from domains.cashback.service.handling import Handling, Known
from domains.cashback.service.mappings import mapped
from domains.cashback.service.proposals import OVERLAP, REPLAY_MAPPING, source_named
from domains.cashback.service.records import Conversion, Reward
from domains.cashback.service.reports import Report
from domains.cashback.service.writing import write
from domains.cashback.states import (
    PROPOSAL_STATES,
    ConversionState,
    Door,
    EventOutcome,
    ProposalState,
    ReplayOutcome,
    RewardState,
)
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.ids import least_id
from wapsi.queue import outbox
from wapsi.queue.jobs import Job
from wapsi.security.signing import Keys
from wapsi.telemetry.setup import current_trace_id

_P = ProposalState
PREVIEWED, REPLAYED = 1, 2
# Events that the walk looks at in one statement, and sales that are decided together.
WINDOW = 5_000
SALES_AT_ONCE = 50
# Of an event of which only the word counts.
_NO_AMOUNTS: dict[str, Any] = {
    "order_amount_minor": None,
    "commission_minor": None,
    "rate_category": "",
    "line_items": None,
    "customer_type": "unknown",
}
# Until nobody can still be writing an event that was read by the version before.
LATE = timedelta(seconds=75)

_FORGET = """WITH old AS (SELECT external_id FROM mapping_replays WHERE proposal_id = $1 LIMIT 5000)
    DELETE FROM mapping_replays r USING old WHERE r.proposal_id = $1 AND r.external_id = old.external_id"""
_NEXT_WINDOW = """SELECT id AS upto, count(*) OVER () AS events FROM (
        SELECT id FROM conversion_events WHERE id > $1 ORDER BY id LIMIT $2) AS w ORDER BY id DESC LIMIT 1"""
_WORDS = """SELECT DISTINCT raw_status FROM conversion_events
    WHERE id > $1 AND id <= $2 AND source = $3 AND outcome IN ('applied', 'ignored', 'unknown_status')"""
# Sales that are there already get the events that are new, and are decided once more.
_COLLECT = """INSERT INTO mapping_replays AS r (proposal_id, external_id, event_ids)
    SELECT $4, fields ->> 'conversion_id', array_agg(id ORDER BY id) FROM conversion_events
    WHERE id > $1 AND id <= $2 AND source = $3 AND outcome IN ('applied', 'ignored', 'unknown_status')
        AND raw_status = ANY($5) AND mapping_version IS DISTINCT FROM $6 GROUP BY 2
    ON CONFLICT (proposal_id, external_id) DO UPDATE SET decided_in = least(r.decided_in, 1),
        event_ids = ARRAY(SELECT DISTINCT unnest(r.event_ids || excluded.event_ids) ORDER BY 1)
    WHERE NOT excluded.event_ids <@ r.event_ids"""
_TO_DECIDE = """SELECT external_id, event_ids FROM mapping_replays
    WHERE proposal_id = $1 AND external_id > $2 AND decided_in < $3 ORDER BY external_id LIMIT $4"""
# Those that are to be read anew, and whatever else has been said of their sales.
_EVENTS = """SELECT id, door, external_event_id, raw_status, fields::text AS fields, outcome, actor, received_at,
        id = ANY($1) AS again, conversion_id
    FROM conversion_events WHERE id = ANY($1) OR conversion_id IN (
        SELECT id FROM conversions WHERE source = $2 AND external_id = ANY($3)) ORDER BY id"""
_NOTE_EVENTS = """UPDATE conversion_events e SET outcome = k.outcome, error = k.error, message = k.message,
        conversion_id = k.conversion_id, mapping_version = $2, handled_at = now()
    FROM json_to_recordset($1::text::json) AS k (id uuid, outcome text, error text, message text, conversion_id uuid)
    WHERE e.id = k.id"""
# Decided a second time, because of an event that came late: what the first time changed stands.
_NOTE_SALES = """UPDATE mapping_replays r SET decided_in = $2::int, conversion_id = k.conversion_id,
        outcome = CASE WHEN r.applied_at IS NULL OR k.outcome = 'changed' THEN k.outcome ELSE r.outcome END,
        reason = k.reason, message = k.message, currency = k.currency,
        state_before = CASE WHEN r.applied_at IS NULL THEN k.state_before ELSE r.state_before END,
        commission_before_minor = CASE WHEN r.applied_at IS NULL THEN k.commission_before_minor
            ELSE r.commission_before_minor END,
        cashback_before_minor = CASE WHEN r.applied_at IS NULL THEN k.cashback_before_minor
            ELSE r.cashback_before_minor END,
        state_after = k.state_after, commission_after_minor = k.commission_after_minor,
        cashback_after_minor = k.cashback_after_minor,
        applied_at = CASE WHEN $2::int = 2 THEN coalesce(r.applied_at, now()) END
    FROM json_to_recordset($3::text::json) AS k (external_id text, conversion_id uuid, outcome text, reason text,
        message text, currency text, state_before text, state_after text, commission_before_minor bigint,
        commission_after_minor bigint, cashback_before_minor bigint, cashback_after_minor bigint)
    WHERE r.proposal_id = $1 AND r.external_id = k.external_id"""


@dataclass(frozen=True, slots=True)
class _Event:
    """Of the inbox. `said_at` orders what was said: by the network's time, an operator's by ours."""

    id: UUID
    door: Door
    external_event_id: str
    told: SaleEvent | None
    outcome: EventOutcome
    actor: str
    received_at: datetime
    again: bool
    conversion_id: UUID | None

    @property
    def order(self) -> tuple[datetime, UUID]:
        return (self.received_at if self.told is None else self.told.occurred_at), self.id

    @property
    def says_state(self) -> bool:
        return self.outcome is EventOutcome.APPLIED and self.told is not None and self.told.amounts != "change"


async def run_preview(job: Job, proposal_id: UUID) -> None:
    """Resumes where an attempt before has stopped."""
    await _forget(job, proposal_id)
    await _walk(job, proposal_id, _P.PREVIEWING)
    await _decide_all(job, proposal_id, _P.PREVIEWING)
    async with job.write() as session:
        await _move(session, proposal_id, _P.PREVIEWING, _P.PREVIEWED)
        await job.complete(session)


async def run_replay(job: Job, proposal_id: UUID) -> None:
    """Resumes where an attempt before has stopped. Ends with a second look, when nothing can come late any more."""
    await _walk(job, proposal_id, _P.APPLYING)
    await _decide_all(job, proposal_id, _P.APPLYING)
    async with job.write() as session:
        row = await session.get_locked(ProposalRow, proposal_id)
        if row is not None and row.state == _P.APPLYING:
            assert row.activated_at is not None
            if now() < row.activated_at + LATE:
                row.looked_upto = least_id(row.activated_at - OVERLAP)
                await outbox.enqueue(
                    session, REPLAY_MAPPING, {"proposal_id": str(proposal_id)}, due_at=row.activated_at + LATE
                )
            else:
                row.state = PROPOSAL_STATES.check(_P(row.state), _P.APPLIED)
            row.updated_at = now()
            await session.flush()
        await job.complete(session)


async def stop(session: WriteSession, proposal_id: UUID, error: str) -> None:
    """Its job has failed for the last time: an operator may go on with it."""
    row = await session.get_locked(ProposalRow, proposal_id)
    if row is not None and row.state in (_P.PREVIEWING, _P.APPLYING):
        row.state, row.error, row.updated_at = _P.STOPPED, error, now()
        await session.flush()


async def _move(session: WriteSession, proposal_id: UUID, current: ProposalState, target: ProposalState) -> None:
    row = await session.get_locked(ProposalRow, proposal_id)
    if row is not None and row.state == current:
        row.state, row.updated_at = PROPOSAL_STATES.check(current, target), now()
        await session.flush()


async def _forget(job: Job, proposal_id: UUID) -> None:
    """What a preview before has found, unless this one has begun already."""
    while True:
        async with job.write() as session:
            row = await session.get(ProposalRow, proposal_id)
            if row is None or row.state != _P.PREVIEWING or row.looked_upto is not None:
                return
            if await (await session.driver()).execute(_FORGET, proposal_id) == "DELETE 0":
                return


async def _walk(job: Job, proposal_id: UUID, state: ProposalState) -> None:
    while True:
        async with job.write() as session:
            row = await session.get_locked(ProposalRow, proposal_id)
            if row is None or row.state != state:
                return
            driver = await session.driver()
            after = row.looked_upto or UUID(int=0)
            window = await driver.fetchrow(_NEXT_WINDOW, after, WINDOW)
            if window is None:
                return
            found = await driver.fetch(_WORDS, after, window["upto"], row.source)
            words = [word for [word] in found if mapped(row.changed, word) is not None]
            if words:
                await driver.execute(_COLLECT, after, window["upto"], row.source, row.id, words, row.version)
            row.looked_upto = window["upto"]
            row.events_looked_at += window["events"]
            await session.flush()


async def _decide_all(job: Job, proposal_id: UUID, state: ProposalState) -> None:
    after = ""
    while True:
        async with job.write() as session:
            row = await session.get(ProposalRow, proposal_id)
            if row is None or row.state != state:
                return
            driver = await session.driver()
            phase = PREVIEWED if state is _P.PREVIEWING else REPLAYED
            sales = await driver.fetch(_TO_DECIDE, proposal_id, after, phase, SALES_AT_ONCE)
            if not sales:
                return
            await _decide(session, job.runtime.keys, row, [(sale[0], sale[1]) for sale in sales])
            after = sales[-1]["external_id"]


async def _decide(
    session: WriteSession, keys: Keys, row: ProposalRow, sales: Sequence[tuple[str, Sequence[UUID]]]
) -> None:
    driver = await session.driver()
    source = await source_named(session, row.source)
    names = [(source.name, external_id) for external_id, _ in sales]
    if row.state == _P.APPLYING:
        await loading.lock(driver, sales=names)
    ids = [event_id for _, event_ids in sales for event_id in event_ids]
    by_sale = await _events(driver, source, [external_id for external_id, _ in sales], ids)
    told = [(source, event.told) for events in by_sale.values() for event in events if event.again and event.told]
    click_ids = {loading.click_id_of(event): None for _, event in told}
    seen = await loading.look(driver, [], names, [id_ for id_ in click_ids if id_ is not None])
    version = row.base_version + 1 if row.version is None else row.version
    seen.mappings[source.name] = (version, dict(row.words))
    known = await conversions.load_known(driver, keys, seen, told)
    before = dict(known.sales)
    noted: list[dict[str, Any]] = []
    decided = [
        _decide_sale(known, source, row, name, by_sale.get(name[1], ()), before.get(name), noted) for name in names
    ]
    if row.state == _P.APPLYING:
        await write(driver, conversions.written_of(known, before, []))
        if noted:
            await driver.execute(_NOTE_EVENTS, orjson.dumps(noted, default=str).decode(), version)
    phase = REPLAYED if row.state == _P.APPLYING else PREVIEWED
    await driver.execute(_NOTE_SALES, row.id, phase, orjson.dumps(decided, default=str).decode())


async def _events(
    driver: asyncpg.Connection, source: Source, sales: Sequence[str], ids: Sequence[UUID]
) -> Mapping[str, list[_Event]]:
    """{sale: what was said of it}, as it came."""
    by_sale: dict[str, list[_Event]] = {}
    sale_of: dict[UUID, str] = {}
    rows = await driver.fetch(_EVENTS, ids, source.name, sales)
    for row in rows:
        fields = orjson.loads(row["fields"])
        if "conversion_id" in fields and row["conversion_id"] is not None:
            sale_of[row["conversion_id"]] = fields["conversion_id"]
    for row in rows:
        fields = orjson.loads(row["fields"])
        event = None if row["door"] == Door.OPERATOR or not fields else SaleEvent.model_validate(fields)
        sale = sale_of.get(row["conversion_id"]) if event is None else event.conversion_id
        if sale is not None:
            by_sale.setdefault(sale, []).append(
                _Event(
                    row["id"],
                    Door(row["door"]),
                    row["external_event_id"],
                    event,
                    EventOutcome(row["outcome"]),
                    row["actor"],
                    row["received_at"],
                    row["again"],
                    row["conversion_id"],
                )
            )
    return by_sale


def _decide_sale(
    known: Known,
    source: Source,
    row: ProposalRow,
    name: tuple[str, str],
    events: Sequence[_Event],
    before: tuple[Conversion, Reward | None] | None,
    noted: list[dict[str, Any]],
) -> dict[str, Any]:
    """What becomes of a sale, as its line of the difference; `noted` gets what becomes of its events."""
    outcome, reason, message = ReplayOutcome.UNCHANGED, "", ""
    for event in sorted((event for event in events if event.again), key=lambda event: event.order):
        result = _read_again(known, source, row, event, events)
        if result.outcome is EventOutcome.APPLIED:
            outcome = ReplayOutcome.CHANGED
        elif result.reason not in ("OLDER_EVENT", "NOTHING_NEW"):
            reason, message = result.reason, result.message
        if result.outcome is EventOutcome.APPLIED or event.outcome is EventOutcome.UNKNOWN_STATUS:
            noted.append(
                {
                    "id": event.id,
                    "outcome": result.outcome,
                    "error": result.reason or None,
                    "message": result.message or None,
                    "conversion_id": result.conversion_id or event.conversion_id,
                }
            )
    if outcome is ReplayOutcome.UNCHANGED and reason:
        outcome = ReplayOutcome.REFUSED
    after = known.sales.get(name)
    line: dict[str, Any] = {"external_id": name[1], "outcome": outcome, "reason": reason, "message": message}
    sale = after or before
    if sale is not None:
        line |= {"conversion_id": sale[0].id, "currency": sale[0].currency}
    return line | _figures("before", before) | _figures("after", after)


def _figures(when: str, sale: tuple[Conversion, Reward | None] | None) -> dict[str, Any]:
    """What is booked for it."""
    if sale is None:
        return {f"state_{when}": None, f"commission_{when}_minor": 0, f"cashback_{when}_minor": 0}
    conversion, reward = sale
    earned = 0
    if reward is not None and reward.state not in (RewardState.DECLINED, RewardState.REVERSED):
        earned = reward.amount_minor
    declined = conversion.state == ConversionState.DECLINED
    return {
        f"state_{when}": conversion.state,
        f"commission_{when}_minor": 0 if declined else conversion.commission_minor,
        f"cashback_{when}_minor": earned,
    }


def _read_again(known: Known, source: Source, row: ProposalRow, event: _Event, events: Sequence[_Event]) -> EventResult:
    assert event.told is not None
    if event.told.amounts == "change":
        return _stays(event, "NOTHING_NEW", "A correction says nothing of the state.")
    unread = event.outcome is EventOutcome.UNKNOWN_STATUS
    for other in events:
        if other.told is None and other.received_at > event.received_at:
            return _stays(event, "OPERATOR_DECIDED", "An operator has decided on this sale since.")
        if other.says_state and (unread or not other.again) and other.order > event.order:
            return _stays(event, "OLDER_EVENT", "A later event of this sale is known already.")
    told = event.told
    if not unread:
        # Its amounts were taken, or not, when it came: only its word is read anew.
        told = told.model_copy(update=_NO_AMOUNTS)
    row_now, _ = known.sales.get((source.name, told.conversion_id), (None, None))
    if row_now is not None and told.occurred_at < row_now.last_event_at:
        # Later than it came corrections only, which say nothing of the state, but what the amounts are.
        told = told.model_copy(update=_NO_AMOUNTS | {"occurred_at": row_now.last_event_at})
    report = Report(
        event.external_event_id,
        event.door,
        b"",
        row.applied_by or row.created_by,
        told,
        trace_id=current_trace_id(),
    )
    return Handling(known, source, report, event.id).result()


def _stays(event: _Event, reason: str, message: str) -> EventResult:
    return EventResult(event.id, EventOutcome.IGNORED, event.conversion_id, reason, message, repeated=False)
