"""The audit log: who changed what, when, from what to what. Append-only, in the transaction of the change itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, select
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
    __table_args__ = (
        Index("ix_audit_log_actor_id", "actor", "id"),
        Index("ix_audit_log_action_id", "action", "id"),
        Index("ix_audit_log_target_id", "target", "id"),
    )

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


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is None is not asked for. From `since` on, up to but without `until`."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_entries(
    session: ReadSession, *, limit: int, older_than: UUID | None = None, only: AuditFilter = AuditFilter()
) -> list[AuditEntry]:
    """The newest first; `older_than` is the id of the last entry seen."""
    statement = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if older_than is not None:
        statement = statement.where(AuditRow.id < older_than)
    for column, value in ((AuditRow.actor, only.actor), (AuditRow.action, only.action), (AuditRow.target, only.target)):
        if value is not None:
            statement = statement.where(column == value)
    if only.since is not None:
        statement = statement.where(AuditRow.at >= only.since)
    if only.until is not None:
        statement = statement.where(AuditRow.at < only.until)
    rows = await session.scalars(statement)
    return [
        AuditEntry(row.id, row.at, row.actor, row.action, row.target, row.before, row.after, row.trace_id)
        for row in rows
    ]
