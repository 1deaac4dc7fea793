"""What a proposed mapping changes, or has changed: in numbers, sale by sale, and in the story of one sale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text

from domains.cashback.models import ProposalRow, ReplayRow
from domains.cashback.states import ConversionState, ReplayOutcome
from wapsi.db import ReadSession

_TOTALS = text(
    "SELECT outcome, state_before, state_after, currency, reason, count(*) AS sales,"
    " sum(cardinality(event_ids))::bigint AS events,"
    " sum(commission_after_minor - commission_before_minor)::bigint AS commission_minor,"
    " sum(cashback_after_minor - cashback_before_minor)::bigint AS cashback_minor"
    " FROM mapping_replays WHERE proposal_id = :id GROUP BY 1, 2, 3, 4, 5 ORDER BY count(*) DESC, 2, 3"
)


@dataclass(frozen=True, slots=True)
class Moves:
    """So many sales go from one state to another; `state_before` is None where they were not known as sales."""

    state_before: ConversionState | None
    state_after: ConversionState | None
    sales: int


@dataclass(frozen=True, slots=True)
class Sum:
    """In one currency, by how much what is booked goes up or down."""

    currency: str
    commission_change_minor: int
    cashback_change_minor: int


@dataclass(frozen=True, slots=True)
class Refusals:
    """Sales that stay as they are, though the words say otherwise now."""

    reason: str
    state: ConversionState | None
    sales: int


@dataclass(frozen=True, slots=True)
class Difference:
    """`waiting` sales are not decided yet."""

    events: int
    sales: int
    waiting: int
    unchanged: int
    moves: list[Moves]
    sums: list[Sum]
    refused: list[Refusals]


@dataclass(frozen=True, slots=True)
class SaleDifference:
    """`applied_at` is None while it is a preview. A `reason` beside a change is of events that were refused."""

    external_id: str
    conversion_id: UUID | None
    event_ids: list[UUID]
    outcome: ReplayOutcome | None
    state_before: ConversionState | None
    state_after: ConversionState | None
    currency: str | None
    commission_before_minor: int
    commission_after_minor: int
    cashback_before_minor: int
    cashback_after_minor: int
    reason: str
    message: str
    applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A time at which events of a sale were read anew, by another version of the mapping; `words` have another state
    in it."""

    version: int
    at: datetime
    event_ids: list[UUID]
    words: Mapping[str, str]
    outcome: ReplayOutcome
    message: str
    applied_by: str


async def difference(session: ReadSession, proposal_id: UUID) -> Difference:
    """What is known of it so far."""
    lines = (await session.execute(_TOTALS, {"id": proposal_id})).all()
    moves: dict[tuple[str | None, str | None], int] = {}
    sums: dict[str, tuple[int, int]] = {}
    refused: dict[tuple[str, str | None], int] = {}
    for line in lines:
        if line.outcome == ReplayOutcome.CHANGED:
            moved = (line.state_before, line.state_after)
            moves[moved] = moves.get(moved, 0) + line.sales
            commission, cashback = sums.get(line.currency, (0, 0))
            sums[line.currency] = (commission + line.commission_minor, cashback + line.cashback_minor)
        elif line.outcome == ReplayOutcome.REFUSED:
            refusal = (line.reason, line.state_before)
            refused[refusal] = refused.get(refusal, 0) + line.sales
    return Difference(
        events=sum(line.events for line in lines),
        sales=sum(line.sales for line in lines),
        waiting=sum(line.sales for line in lines if line.outcome is None),
        unchanged=sum(line.sales for line in lines if line.outcome == ReplayOutcome.UNCHANGED),
        moves=[Moves(_state(before), _state(after), sales) for (before, after), sales in moves.items()],
        sums=[Sum(currency, *changes) for currency, changes in sorted(sums.items())],
        refused=[Refusals(reason, _state(state), sales) for (reason, state), sales in refused.items()],
    )


async def sales_of_difference(
    session: ReadSession,
    proposal_id: UUID,
    *,
    limit: int,
    outcome: ReplayOutcome | None = None,
    after: str | None = None,
) -> list[SaleDifference]:
    """By the network's ids of them."""
    statement = (
        select(ReplayRow).where(ReplayRow.proposal_id == proposal_id).order_by(ReplayRow.external_id).limit(limit)
    )
    if outcome is not None:
        statement = statement.where(ReplayRow.outcome == outcome)
    if after is not None:
        statement = statement.where(ReplayRow.external_id > after)
    return [
        SaleDifference(
            external_id=row.external_id,
            conversion_id=row.conversion_id,
            event_ids=list(row.event_ids),
            outcome=None if row.outcome is None else ReplayOutcome(row.outcome),
            state_before=_state(row.state_before),
            state_after=_state(row.state_after),
            currency=row.currency,
            commission_before_minor=row.commission_before_minor,
            commission_after_minor=row.commission_after_minor,
            cashback_before_minor=row.cashback_before_minor,
            cashback_after_minor=row.cashback_after_minor,
            reason=row.reason,
            message=row.message,
            applied_at=row.applied_at,
        )
        for row in await session.scalars(statement)
    ]


async def readings_of(session: ReadSession, source: str, external_id: str) -> Sequence[Reading]:
    """Of one sale, those that were for good, the oldest first."""
    rows = await session.execute(
        select(ProposalRow.version, ProposalRow.changed, ProposalRow.applied_by, ReplayRow)
        .join(ReplayRow, ReplayRow.proposal_id == ProposalRow.id)
        .where(
            ProposalRow.source == source,
            ProposalRow.version.is_not(None),
            ReplayRow.external_id == external_id,
            ReplayRow.applied_at.is_not(None),
        )
        .order_by(ProposalRow.version)
    )
    return [
        Reading(
            row.version,
            row.ReplayRow.applied_at,
            list(row.ReplayRow.event_ids),
            row.changed,
            ReplayOutcome(row.ReplayRow.outcome),
            row.ReplayRow.message,
            row.applied_by or "",
        )
        for row in rows.all()
    ]


def _state(name: str | None) -> ConversionState | None:
    return None if name is None else ConversionState(name)
