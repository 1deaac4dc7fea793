"""What happened to a thing, in order: every move with its reason, its actor and the event behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from domains.cashback.models import StateChangeRow
from domains.cashback.states import Entity
from wapsi.db import ReadSession, WriteSession
from wapsi.telemetry.setup import current_trace_id


@dataclass(slots=True)
class Cause:
    """Who moves something and why. `actor` is a principal, "network:<slug>" or "system"."""

    actor: str
    reason_code: str
    event_id: UUID | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class StateChange:
    entity: Entity
    entity_id: UUID
    from_state: str | None
    to_state: str
    reason_code: str
    actor: str
    event_id: UUID | None
    trace_id: str | None
    at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)


def record(
    session: WriteSession, entity: Entity, entity_id: UUID, from_state: str | None, to_state: str, cause: Cause
) -> None:
    session.add(
        StateChangeRow(
            entity=entity,
            entity_id=entity_id,
            from_state=from_state,
            to_state=to_state,
            reason_code=cause.reason_code,
            actor=cause.actor,
            event_id=cause.event_id,
            detail={"words": cause.words} if cause.words else {},
            trace_id=current_trace_id(),
        )
    )


async def of(session: ReadSession, *entity_ids: UUID) -> list[StateChange]:
    """All changes of these things, the oldest first."""
    rows = await session.scalars(
        select(StateChangeRow)
        .where(StateChangeRow.entity.in_(list(Entity)), StateChangeRow.entity_id.in_(entity_ids))
        .order_by(StateChangeRow.id)
    )
    return [
        StateChange(
            Entity(row.entity),
            row.entity_id,
            row.from_state,
            row.to_state,
            row.reason_code,
            row.actor,
            row.event_id,
            row.trace_id,
            row.at,
            row.detail,
        )
        for row in rows
    ]
