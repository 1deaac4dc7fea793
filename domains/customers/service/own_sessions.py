"""The sessions of whoever is signed in."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, select

from domains.customers.errors import SessionNotFound
from domains.customers.models import SessionRow, SubjectKind
from domains.customers.service.sessions import end_session, end_sessions_of
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import time_of
from wapsi.security import audit
from wapsi.security.principal import Principal

LISTED = 100


@dataclass(frozen=True, slots=True)
class OwnSession:
    """`device` is what it said of itself; `used_at` is its last refresh, which is minutes ago at most while in use."""

    id: UUID
    device: str
    created_at: datetime
    used_at: datetime


async def list_sessions(session: ReadSession, principal: Principal) -> list[OwnSession]:
    """Those that have not ended, the one used last first, at most LISTED."""
    newest = (
        select(SessionRow)
        .where(
            SessionRow.subject_kind == SubjectKind(principal.kind),
            SessionRow.subject_id == principal.id,
            SessionRow.used_at.is_(None),
            SessionRow.revoked_at.is_(None),
            SessionRow.expires_at > now(),
        )
        .order_by(SessionRow.created_at.desc(), SessionRow.id.desc())
        .limit(LISTED)
    )
    # A family's id is made at the sign-in.
    return [
        OwnSession(row.family_id, row.user_agent, time_of(row.family_id), row.created_at)
        for row in await session.scalars(newest)
    ]


async def end_own_session(session: WriteSession, principal: Principal, session_id: UUID) -> None:
    """Nothing happens where it has ended already. Raises SessionNotFound for another's."""
    mine = exists().where(
        SessionRow.family_id == session_id,
        SessionRow.subject_kind == SubjectKind(principal.kind),
        SessionRow.subject_id == principal.id,
    )
    if not await session.scalar(select(mine)):
        raise SessionNotFound("You have no such session.", session_id=str(session_id))
    await end_session(session, session_id)
    await _note(session, principal, "session_ended", {"session_id": str(session_id)})


async def end_other_sessions(session: WriteSession, principal: Principal) -> int:
    """Returns how many."""
    ended = await end_sessions_of(session, SubjectKind(principal.kind), principal.id, keep=principal.session_id)
    await _note(session, principal, "other_sessions_ended", {"ended": ended})
    return ended


async def _note(session: WriteSession, principal: Principal, what: str, after: dict[str, object]) -> None:
    if SubjectKind(principal.kind) is SubjectKind.OPERATOR:
        await audit.record(session, principal, action=f"operator.{what}", target=str(principal), after=after)
