"""Sessions: signing in, rotating refresh tokens, signing out.

One sign-in is one family of refresh tokens, each used once. A token that comes a second time was stolen, or its
thief was faster: nobody knows which, so the whole family ends.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select, text, update

from domains.customers.models import SessionRow, SubjectKind
from domains.customers.service.authentication import ACCESS_TOKEN_TYPE, AUDIENCE
from domains.customers.service.refs import Tokens
from domains.customers.service.subjects import Account, find_account, get_account, hold_account
from wapsi.clock import now
from wapsi.config import Settings
from wapsi.db import Database, WriteSession
from wapsi.ids import new_id
from wapsi.security.passwords import verify_password
from wapsi.security.principal import CredentialsInvalid
from wapsi.security.signing import Keys

USER_AGENT_MAX_LENGTH = 200
# An expired token is kept a while, so that its reuse still ends the family.
KEEP_EXPIRED = timedelta(days=7)
FORGET_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class SessionIssuer:
    """Makes tokens. `user_agent` is kept so that people recognise their devices."""

    keys: Keys
    settings: Settings

    async def sign_in(self, db: Database, kind: SubjectKind, login: str, password: str, user_agent: str) -> Tokens:
        """Raises CredentialsInvalid: one answer, after the same time, for whatever is wrong.

        Opens two units of work, before and after the slow check of the password: a burst of sign-ins must not hold
        all of the process's connections while it waits for a processor.
        """
        async with db.read() as reading:
            account = await find_account(reading, kind, login)
        matches = await verify_password(password, account.password_hash if account is not None else None)
        if account is None or not matches or not account.active:
            raise CredentialsInvalid
        async with db.write() as session:
            current = await hold_account(session, kind, account.id)
            if current is None or not current.active or current.password_hash != account.password_hash:
                raise CredentialsInvalid
            return await self._issue(session, kind, current, new_id(), user_agent)

    async def refresh(self, session: WriteSession, refresh_token: str, user_agent: str) -> Tokens | None:
        """New tokens for one that was not used yet, else None.

        It does not raise: where it refuses, it may have ended the family, and that must be committed.
        """
        by_hash = select(SessionRow).where(SessionRow.refresh_hash == self._hash(refresh_token))
        family_id = await session.scalar(by_hash.with_only_columns(SessionRow.family_id))
        if family_id is None:
            return None
        await _lock_family(session, family_id)
        row = await session.scalar(by_hash)
        moment = now()
        if row is None or row.expires_at <= moment:
            return None
        kind = SubjectKind(row.subject_kind)
        account = await get_account(session, kind, row.subject_id)
        if row.used_at is not None or row.revoked_at is not None or account is None or not account.active:
            await _revoke_family(session, family_id, moment)
            return None
        row.used_at = moment
        return await self._issue(session, kind, account, family_id, user_agent)

    async def _issue(
        self, session: WriteSession, kind: SubjectKind, account: Account, family_id: UUID, user_agent: str
    ) -> Tokens:
        moment = now()
        refresh_token = secrets.token_urlsafe(32)
        settings = self.settings
        session.add(
            SessionRow(
                id=new_id(),
                subject_kind=kind,
                subject_id=account.id,
                family_id=family_id,
                refresh_hash=self._hash(refresh_token),
                expires_at=moment + timedelta(seconds=settings.refresh_token_ttl_s),
                user_agent=user_agent[:USER_AGENT_MAX_LENGTH],
            )
        )
        await session.flush()
        claims = {
            "iss": settings.public_url,
            "aud": AUDIENCE,
            "sub": str(account.id),
            "sid": str(family_id),
            "kind": str(kind),
            "iat": int(moment.timestamp()),
            "exp": int(moment.timestamp()) + settings.access_token_ttl_s,
        }
        if account.role is not None:
            claims["role"] = account.role
        access_token = self.keys.sign(ACCESS_TOKEN_TYPE, claims)
        return Tokens(access_token, refresh_token, settings.access_token_ttl_s, settings.refresh_token_ttl_s)

    def _hash(self, refresh_token: str) -> bytes:
        return self.keys.mac("refresh-token", refresh_token.encode())


async def end_session(session: WriteSession, family_id: UUID) -> None:
    """Signs out: no refresh token of the family is good any more. Nothing happens where it has ended already."""
    await _lock_family(session, family_id)
    await _revoke_family(session, family_id, now())


async def end_sessions_of(
    session: WriteSession,
    kind: SubjectKind,
    subject_id: UUID,
    *,
    keep: UUID | None = None,
    forget_devices: bool = False,
) -> int:
    """Signs out everywhere, but for the session `keep`; returns of how many. What led to it was written before.

    `forget_devices`: what tells a person's devices apart goes too.
    """
    mine = (SessionRow.subject_kind == kind, SessionRow.subject_id == subject_id)
    live = (
        select(SessionRow.family_id)
        .where(*mine, SessionRow.used_at.is_(None), SessionRow.revoked_at.is_(None), SessionRow.expires_at > now())
        .distinct()
        .order_by(SessionRow.family_id)
    )
    families = [family_id for family_id in await session.scalars(live) if family_id != keep]
    for family_id in families:
        await end_session(session, family_id)
    if forget_devices:
        await session.execute(update(SessionRow).where(*mine).values(user_agent=""))
    return len(families)


async def forget_sessions(session: WriteSession) -> int:
    """Deletes tokens that expired a while ago, at most FORGET_AT_ONCE; returns how many."""
    old = select(SessionRow.id).where(SessionRow.expires_at < now() - KEEP_EXPIRED).limit(FORGET_AT_ONCE)
    gone = await session.scalars(delete(SessionRow).where(SessionRow.id.in_(old)).returning(SessionRow.id))
    return len(gone.all())


async def _lock_family(session: WriteSession, family_id: UUID) -> None:
    """A rotation adds a row that a revocation in another transaction would not see; so they take turns."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"session family {family_id}"}
    )


async def _revoke_family(session: WriteSession, family_id: UUID, moment: datetime) -> None:
    await session.execute(
        update(SessionRow)
        .where(SessionRow.family_id == family_id, SessionRow.revoked_at.is_(None))
        .values(revoked_at=moment)
    )
