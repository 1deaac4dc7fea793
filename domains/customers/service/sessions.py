"""Sessions: signing in, in one step or two, rotating refresh tokens, signing out.

One sign-in is one family of refresh tokens, each used once. A token that comes a second time was stolen, or its
thief was faster: nobody knows which, so the whole family ends.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, exists, select, text, update

from domains.customers.errors import ChallengeInvalid, SecondFactorInvalid
from domains.customers.models import SessionRow, SubjectKind
from domains.customers.service.authentication import ACCESS_TOKEN_TYPE, AUDIENCE
from domains.customers.service.challenges import (
    LIFETIME_S,
    Challenge,
    ChallengePurpose,
    attempt,
    forget_challenges,
    make_challenge,
    read_challenge,
    spend,
)
from domains.customers.service.factors import Factors, factors_of, use_code
from domains.customers.service.passkeys import credential_ids, owner_of_passkey, sign_in_options, use_passkey
from domains.customers.service.refs import SecondStep, Tokens
from domains.customers.service.revocations import SESSION_ENDED
from domains.customers.service.subjects import Account, find_account, get_account, hold_account
from wapsi.clock import now
from wapsi.config import Settings
from wapsi.db import Database, ReadSession, WriteSession
from wapsi.ids import new_id, time_of
from wapsi.security.passwords import verify_password
from wapsi.security.permissions import PASSKEY, PASSWORD_AND_CODE, PASSWORD_AND_PASSKEY, PASSWORD_ONLY
from wapsi.security.principal import CredentialsInvalid
from wapsi.security.signing import Keys

log = structlog.get_logger(__name__)

USER_AGENT_MAX_LENGTH = 200
# An expired token is kept a while, so that its reuse still ends the family.
KEEP_EXPIRED = timedelta(days=7)
FORGET_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class SessionIssuer:
    """Makes tokens. `user_agent` is kept so that people recognise their devices."""

    keys: Keys
    settings: Settings

    async def sign_in(
        self, db: Database, kind: SubjectKind, login: str, password: str, user_agent: str
    ) -> Tokens | SecondStep:
        """Raises CredentialsInvalid: one answer, after the same time, for whatever is wrong.

        Whoever has a second factor gets no tokens yet, but a challenge for `verify`.

        Opens two units of work, before and after the slow check of the password: a burst of sign-ins must not hold
        all of the process's connections while it waits for a processor.
        """
        async with db.read() as reading:
            account = await find_account(reading, kind, login)
        matches = await verify_password(password, account.password_hash if account is not None else None)
        if account is None or not matches or not account.active:
            # By its id: what was typed may be somebody's address, or their password.
            log.info("sign_in_refused", subject=None if account is None else str(account))
            raise CredentialsInvalid
        async with db.write() as session:
            current = await hold_account(session, kind, account.id)
            if current is None or not current.active or current.password_hash != account.password_hash:
                raise CredentialsInvalid
            factors = await factors_of(session, kind, current.id)
            if factors.any:
                return await self._second_step(session, current, factors)
            return await self.issue(session, current, PASSWORD_ONLY, user_agent)

    def second_step(self, challenge: str) -> Challenge:
        """What `sign_in` gave. Raises ChallengeInvalid."""
        return read_challenge(self.keys, self.settings, ChallengePurpose.SECOND_FACTOR, challenge)

    async def verify(
        self, db: Database, challenge: Challenge, proof: str | Mapping[str, Any], user_agent: str
    ) -> Tokens:
        """The second step, by a code of an authenticator app, a recovery code, or a passkey's answer.

        Raises ChallengeInvalid and SecondFactorInvalid.
        """
        async with db.write() as session:
            account = await self._answered(session, challenge)
            subject = account.kind, account.id
            if isinstance(proof, str):
                right, amr = await use_code(session, self.keys, *subject, proof), PASSWORD_AND_CODE
            else:
                used = await use_passkey(session, self.settings, challenge.nonce, proof, subject)
                right, amr = used is not None, PASSWORD_AND_PASSKEY
            tokens = None
            if right:
                await spend(session, challenge)
                tokens = await self.issue(session, account, amr, user_agent)
        # Outside, since the attempt counts.
        if tokens is None:
            log.info("second_factor_refused", subject=str(account))
            raise SecondFactorInvalid
        return tokens

    def passkey_options(self) -> tuple[str, dict[str, Any]]:
        """A challenge for whoever has a passkey, and what a browser needs to ask for it."""
        token, nonce = make_challenge(self.keys, self.settings, ChallengePurpose.PASSKEY_SIGN_IN)
        return token, sign_in_options(self.settings, nonce)

    async def sign_in_by_passkey(
        self, db: Database, challenge: str, answer: Mapping[str, Any], user_agent: str
    ) -> Tokens:
        """Raises ChallengeInvalid, and CredentialsInvalid for whatever is wrong with the answer."""
        asked = read_challenge(self.keys, self.settings, ChallengePurpose.PASSKEY_SIGN_IN, challenge)
        async with db.write() as session:
            await attempt(session, asked)
            owner = await owner_of_passkey(session, answer)
            # The account first, as whoever deletes it does, and its passkeys then.
            account = None if owner is None else await hold_account(session, *owner)
            used = await use_passkey(session, self.settings, asked.nonce, answer)
            tokens = None
            if account is not None and account.active and used == owner:
                await spend(session, asked)
                tokens = await self.issue(session, account, PASSKEY, user_agent)
        if tokens is None:
            raise CredentialsInvalid
        return tokens

    async def _answered(self, session: WriteSession, challenge: Challenge) -> Account:
        """Counts an answer to the second step's challenge. Raises ChallengeInvalid."""
        assert challenge.kind is not None
        assert challenge.subject_id is not None
        await attempt(session, challenge)
        account = await hold_account(session, challenge.kind, challenge.subject_id)
        if account is None or not account.active or challenge.password_mark not in self._marks(account):
            raise ChallengeInvalid
        return account

    async def _second_step(self, session: WriteSession, account: Account, factors: Factors) -> SecondStep:
        token, nonce = make_challenge(
            self.keys,
            self.settings,
            ChallengePurpose.SECOND_FACTOR,
            (account.kind, account.id),
            self._marks(account)[0],
        )
        options = None
        if factors.passkeys:
            known = await credential_ids(session, account.kind, account.id)
            options = sign_in_options(self.settings, nonce, known)
        return SecondStep(token, LIFETIME_S, factors.methods, options)

    def _marks(self, account: Account) -> list[str]:
        """A challenge dies with the password that it was given for. The current secret's first."""
        return [mac[:16].hex() for mac in self.keys.macs("password-mark", account.password_hash.encode())]

    async def refresh(self, session: WriteSession, refresh_token: str, user_agent: str) -> Tokens | None:
        """New tokens for one that was not used yet, else None.

        It does not raise: where it refuses, it may have ended the family, and that must be committed.
        """
        hashes = self.keys.macs("refresh-token", refresh_token.encode())
        by_hash = select(SessionRow).where(SessionRow.refresh_hash.in_(hashes))
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
        return await self.issue(session, account, row.amr.split(), user_agent, family_id)

    async def issue(
        self,
        session: WriteSession,
        account: Account,
        amr: Sequence[str],
        user_agent: str,
        family_id: UUID | None = None,
    ) -> Tokens:
        """For an account that has proven all that it must: a new session, or the next tokens of one.

        `amr`: how the session began.
        """
        if family_id is None:
            family_id = new_id()
            log.info("signed_in", subject=str(account), amr=list(amr))
        moment = now()
        refresh_token = secrets.token_urlsafe(32)
        settings = self.settings
        refresh_ttl_s = self._refresh_ttl_s(account.kind, family_id, moment)
        access_ttl_s = min(settings.access_token_ttl_s, refresh_ttl_s)
        session.add(
            SessionRow(
                id=new_id(),
                subject_kind=account.kind,
                subject_id=account.id,
                family_id=family_id,
                refresh_hash=self.keys.mac("refresh-token", refresh_token.encode()),
                expires_at=moment + timedelta(seconds=refresh_ttl_s),
                user_agent=user_agent[:USER_AGENT_MAX_LENGTH],
                amr=" ".join(amr),
            )
        )
        await session.flush()
        claims = {
            "iss": settings.public_url,
            "aud": AUDIENCE,
            "sub": str(account.id),
            "sid": str(family_id),
            "kind": str(account.kind),
            "amr": list(amr),
            "iat": int(moment.timestamp()),
            "exp": int(moment.timestamp()) + access_ttl_s,
        }
        if account.role is not None:
            claims["role"] = account.role
        access_token = self.keys.sign(ACCESS_TOKEN_TYPE, claims)
        return Tokens(access_token, refresh_token, access_ttl_s, refresh_ttl_s)

    def _refresh_ttl_s(self, kind: SubjectKind, family_id: UUID, moment: datetime) -> int:
        """How long the session may be left alone, cut off where it has lasted as long as any may."""
        settings = self.settings
        idle_s, longest_s = settings.refresh_token_ttl_s, settings.session_longest_s
        if kind is SubjectKind.OPERATOR:
            idle_s, longest_s = settings.operator_refresh_token_ttl_s, settings.operator_session_longest_s
        # The id of a session tells when it began.
        lasted_s = int((moment - time_of(family_id)).total_seconds())
        return max(1, min(idle_s, longest_s - lasted_s))


async def end_session(session: WriteSession, family_id: UUID) -> None:
    """Signs out: no refresh token of the family is good any more. Nothing happens where it has ended already."""
    await _lock_family(session, family_id)
    await _revoke_family(session, family_id, now())


async def has_ended(session: ReadSession, family_id: UUID) -> bool:
    """As of now; most requests believe what their process heard within a second."""
    ended = exists().where(SessionRow.family_id == family_id, SessionRow.revoked_at.is_not(None))
    return bool(await session.scalar(select(ended)))


async def strengthen_session(session: WriteSession, family_id: UUID, amr: Sequence[str]) -> None:
    """It has proven more than at its beginning; its next tokens say so."""
    await _lock_family(session, family_id)
    await session.execute(update(SessionRow).where(SessionRow.family_id == family_id).values(amr=" ".join(amr)))


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
    """Deletes tokens that expired a while ago, at most FORGET_AT_ONCE; returns how many.

    And challenges that are too old to be answered.
    """
    await forget_challenges(session)
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
    session.tell(SESSION_ENDED, family_id)
