"""Adding and removing second factors, by whoever is signed in and has just shown the password. Each is told.

The first factor brings ten recovery codes and ends all other sessions: they had shown less.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete

from domains.customers.errors import ChallengeInvalid, CustomerNotFound, FactorCodeWrong, FactorNotFound
from domains.customers.models import PasskeyRow, SubjectKind
from domains.customers.service.challenges import ChallengePurpose, attempt, make_challenge, read_challenge, spend
from domains.customers.service.factors import Factors, factors_of, remove_factors, use_code
from domains.customers.service.message_texts import Template
from domains.customers.service.notices import tell
from domains.customers.service.passkeys import (
    PasskeyRef,
    credential_ids,
    find_passkey,
    registration_options,
    store_passkey,
)
from domains.customers.service.recovery_codes import new_recovery_codes, remove_recovery_codes
from domains.customers.service.sessions import end_sessions_of, has_ended, strengthen_session
from domains.customers.service.subjects import Account, hold_account
from domains.customers.service.totp import (
    TOTPSecret,
    allow_again,
    begin_totp,
    confirm_totp,
    remove_totp,
    totp_code,
    totp_of,
)
from wapsi.config import Settings
from wapsi.db import ReadSession, WriteSession
from wapsi.security import audit
from wapsi.security.permissions import PASSWORD_AND_CODE, PASSWORD_AND_PASSKEY
from wapsi.security.principal import CredentialsInvalid, Principal, SecondFactorNeeded
from wapsi.security.signing import Keys


async def get_factors(session: ReadSession, principal: Principal) -> Factors:
    return await factors_of(session, SubjectKind(principal.kind), principal.id)


async def start_totp(session: WriteSession, keys: Keys, principal: Principal) -> TOTPSecret:
    """Raises FactorExists and SecondFactorNeeded."""
    account = await strong_account(session, principal)
    return await begin_totp(session, keys, account)


async def finish_totp(session: WriteSession, keys: Keys, principal: Principal, code: str) -> list[str]:
    """Takes the app's first code; the recovery codes, if these are the first. Raises FactorCodeWrong."""
    account = await strong_account(session, principal)
    before = await get_factors(session, principal)
    if not await confirm_totp(session, keys, account.kind, account.id, code):
        raise FactorCodeWrong
    return await added(session, keys, principal, before, Template.TOTP_ADDED, PASSWORD_AND_CODE)


async def drop_totp(session: WriteSession, keys: Keys, principal: Principal, code: str) -> bool:
    """Whether the code was right, and the authenticator app is gone; its last code counts as used either way.

    Raises FactorNotFound. Does not raise for a wrong code: what was used up must be committed.
    """
    kind = SubjectKind(principal.kind)
    # First, as whoever deletes the account does: what is told of this points at it.
    await hold_account(session, kind, principal.id)
    before = await get_factors(session, principal)
    if await totp_of(session, kind, principal.id) is None:
        raise FactorNotFound("There is no authenticator app to remove.")
    if not await use_code(session, keys, kind, principal.id, code):
        return False
    await remove_totp(session, kind, principal.id)
    await removed(session, keys, principal, before, Template.TOTP_REMOVED)
    return True


async def renew_recovery_codes(session: WriteSession, keys: Keys, principal: Principal) -> list[str]:
    """In place of the earlier ones. Raises FactorNotFound and SecondFactorNeeded."""
    account = await strong_account(session, principal)
    before = await get_factors(session, principal)
    if not before.any:
        raise FactorNotFound("Recovery codes come with a second factor. Add one first.")
    codes = await new_recovery_codes(session, keys, account.kind, account.id)
    await _note(session, keys, principal, Template.RECOVERY_CODES_RENEWED, before)
    return codes


async def enrol_operator(session: WriteSession, keys: Keys, operator_id: UUID) -> str:
    """For the sample operator of `wapsi up`: an app that counts at once; its secret."""
    account = await hold_account(session, SubjectKind.OPERATOR, operator_id)
    assert account is not None
    secret = (await begin_totp(session, keys, account)).secret
    if not await confirm_totp(session, keys, account.kind, account.id, totp_code(secret)):
        raise FactorCodeWrong
    # The code that confirmed it was nobody's: the first one that is typed counts.
    await allow_again(session, account.kind, account.id)
    return secret


async def reset_operator_factors(
    session: WriteSession, keys: Keys, operator_id: UUID, *, principal: Principal | None
) -> None:
    """For who has lost everything: the password alone signs in, and adds a factor anew. All sessions end."""
    kind = SubjectKind.OPERATOR
    before = await factors_of(session, kind, operator_id)
    await remove_factors(session, kind, operator_id)
    await end_sessions_of(session, kind, operator_id)
    await tell(session, keys, kind, operator_id, Template.FACTORS_RESET)
    await audit.record(
        session,
        principal,
        action="operator.factors_reset",
        target=f"operator:{operator_id}",
        before=_in_words(before),
        after=_in_words(await factors_of(session, kind, operator_id)),
    )


async def start_passkey(
    session: WriteSession, keys: Keys, settings: Settings, principal: Principal
) -> tuple[str, dict[str, Any]]:
    """The challenge, and what the device needs. Raises SecondFactorNeeded."""
    account = await strong_account(session, principal)
    token, nonce = make_challenge(keys, settings, ChallengePurpose.PASSKEY_REGISTRATION, (account.kind, account.id))
    known = await credential_ids(session, account.kind, account.id)
    return token, registration_options(settings, account, nonce, known)


async def finish_passkey(
    session: WriteSession,
    keys: Keys,
    settings: Settings,
    principal: Principal,
    challenge: str,
    answer: Mapping[str, Any],
    name: str,
) -> tuple[PasskeyRef, list[str]]:
    """With the recovery codes, if it is the first factor.

    Raises ChallengeInvalid, SecondFactorNeeded, PasskeyInvalid, PasskeyExists and PasskeyLimit.
    """
    asked = read_challenge(keys, settings, ChallengePurpose.PASSKEY_REGISTRATION, challenge)
    account = await strong_account(session, principal)
    if (asked.kind, asked.subject_id) != (account.kind, account.id):
        raise ChallengeInvalid
    before = await get_factors(session, principal)
    await attempt(session, asked)
    passkey = await store_passkey(session, settings, account, asked.nonce, answer, name)
    await spend(session, asked)
    codes = await added(session, keys, principal, before, Template.PASSKEY_ADDED, PASSWORD_AND_PASSKEY)
    return passkey, codes


async def drop_passkey(session: WriteSession, keys: Keys, principal: Principal, passkey_id: UUID) -> None:
    """Raises PasskeyNotFound and SecondFactorNeeded."""
    account = await strong_account(session, principal)
    before = await get_factors(session, principal)
    row = await find_passkey(session, account.kind, account.id, passkey_id)
    await session.execute(delete(PasskeyRow).where(PasskeyRow.id == row.id))
    await removed(session, keys, principal, before, Template.PASSKEY_REMOVED)


async def strong_account(session: WriteSession, principal: Principal) -> Account:
    """The caller's account, locked, if the session has shown a second factor or the account has none.

    Otherwise whoever has only the password could add a factor of their own. And only while the session goes on by what
    the database says: a factor outlives it, and a reset of the password a moment ago was to keep somebody out.

    Raises SecondFactorNeeded and CredentialsInvalid.
    """
    account = await hold_account(session, SubjectKind(principal.kind), principal.id)
    if account is None:
        raise CustomerNotFound("There is no such account any more.")
    if principal.session_id is not None and await has_ended(session, principal.session_id):
        raise CredentialsInvalid
    if not principal.has_second_factor and (await get_factors(session, principal)).any:
        raise SecondFactorNeeded("Sign in with the second factor that this account has, then try again.")
    return account


async def added(
    session: WriteSession, keys: Keys, principal: Principal, before: Factors, change: Template, amr: Sequence[str]
) -> list[str]:
    """After a factor was added: the recovery codes, where there were none."""
    kind = SubjectKind(principal.kind)
    if principal.session_id is not None:
        await strengthen_session(session, principal.session_id, amr)
    if not before.any:
        await end_sessions_of(session, kind, principal.id, keep=principal.session_id)
    codes = [] if before.any else await new_recovery_codes(session, keys, kind, principal.id)
    await _note(session, keys, principal, change, before)
    return codes


async def removed(session: WriteSession, keys: Keys, principal: Principal, before: Factors, change: Template) -> None:
    """After a factor was removed: recovery codes alone are of no use."""
    kind = SubjectKind(principal.kind)
    if not (await get_factors(session, principal)).any:
        await remove_recovery_codes(session, kind, principal.id)
        if kind is SubjectKind.OPERATOR:
            # What the role may do was given to the factor; without it this session would keep that for hours.
            await end_sessions_of(session, kind, principal.id)
    await _note(session, keys, principal, change, before)


async def _note(session: WriteSession, keys: Keys, principal: Principal, change: Template, before: Factors) -> None:
    """All are told of theirs. Operators' changes are for others to see too; customers' are their own matter."""
    await tell(session, keys, SubjectKind(principal.kind), principal.id, change)
    if SubjectKind(principal.kind) is SubjectKind.OPERATOR:
        await audit.record(
            session,
            principal,
            action=f"operator.{change}",
            target=str(principal),
            before=_in_words(before),
            after=_in_words(await get_factors(session, principal)),
        )


def _in_words(factors: Factors) -> dict[str, object]:
    return {
        "totp": factors.totp,
        "passkeys": factors.passkeys,
        "recovery_codes_left": factors.recovery_codes_left,
    }
