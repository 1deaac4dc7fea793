"""The audit log: who changed what, when, from what to what. Append-only, in the transaction of the change itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base, ReadSession, WriteSession
from wapsi.db.base import CreatedAt, PrimaryID
from wapsi.ids import new_id
from wapsi.security.principal import Principal
from wapsi.telemetry.setup import current_trace_id

# Who acts where nobody signed in: the command line on the server itself.
SYSTEM = "system"


class AuditRow(Base):
    __tablename__ = "audit_log"

    id: Mapped[PrimaryID]
    at: Mapped[CreatedAt]
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    trace_id: Mapped[str | None]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`actor` is "operator:<id>" or "system"; `target` names the thing, such as "merchant:daraz"."""

    id: UUID
    at: datetime
    actor: str
    action: str
    target: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    trace_id: str | None


async def record(
    session: WriteSession,
    principal: Principal | None,
    *,
    action: str,
    target: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Adds one entry. `before` and `after` hold JSON values, never secrets; without a principal the system acted."""
    session.add(
        AuditRow(
            id=new_id(),
            actor=SYSTEM if principal is None else str(principal),
            action=action,
            target=target,
            before=None if before is None else dict(before),
            after=None if after is None else dict(after),
            trace_id=current_trace_id(),
        )
    )
    await session.flush()


async def list_entries(session: ReadSession, *, limit: int, older_than: UUID | None = None) -> list[AuditEntry]:
    """The newest first; `older_than` is the id of the last entry seen."""
    statement = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if older_than is not None:
        statement = statement.where(AuditRow.id < older_than)
    rows = await session.scalars(statement)
    return [
        AuditEntry(row.id, row.at, row.actor, row.action, row.target, row.before, row.after, row.trace_id)
        for row in rows
    ]
