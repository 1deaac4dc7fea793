"""Authenticator apps: six digits that change every half minute (RFC 6238)."""

import hmac
from dataclasses import dataclass
from uuid import UUID

import pyotp
from sqlalchemy import delete, func, update
from sqlalchemy.dialects.postgresql import insert

from domains.customers.errors import FactorExists
from domains.customers.models import SubjectKind, TOTPRow
from domains.customers.service.subjects import Account
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.security.signing import Keys

ISSUER = "Wapsi"
STEP_S = 30
DIGITS = 6
# A clock that is a little off, and a code that was typed slowly.
STEPS_AROUND = (-1, 0, 1)


@dataclass(frozen=True, slots=True)
class TOTPSecret:
    """For the authenticator app; shown once. `uri` is what a QR code holds."""

    secret: str
    uri: str


async def begin_totp(session: WriteSession, keys: Keys, account: Account) -> TOTPSecret:
    """A secret that counts once a code of it was seen; a second beginning replaces the first. Raises FactorExists."""
    secret = pyotp.random_base32()
    unconfirmed = TOTPRow.confirmed_at.is_(None)
    values = {"secret_encrypted": keys.encrypt(secret), "created_at": func.now()}
    begun = await session.scalar(
        insert(TOTPRow)
        .values(subject_kind=account.kind, subject_id=account.id, **values)
        .on_conflict_do_update(
            index_elements=[TOTPRow.subject_kind, TOTPRow.subject_id], set_=values, where=unconfirmed
        )
        .returning(TOTPRow.subject_id)
    )
    if begun is None:
        raise FactorExists("There is an authenticator app already. Remove it first.")
    return TOTPSecret(secret, pyotp.TOTP(secret).provisioning_uri(name=account.label, issuer_name=ISSUER))


async def totp_of(session: ReadSession, kind: SubjectKind, subject_id: UUID) -> TOTPRow | None:
    """One that was confirmed."""
    row = await session.get(TOTPRow, (kind, subject_id))
    return row if row is not None and row.confirmed_at is not None else None


async def confirm_totp(session: WriteSession, keys: Keys, kind: SubjectKind, subject_id: UUID, code: str) -> bool:
    """Whether there is one that waits, and the code is its."""
    row = await session.get_locked(TOTPRow, (kind, subject_id))
    if row is None or row.confirmed_at is not None or not _take(row, keys, code):
        return False
    row.confirmed_at = now()
    await session.flush()
    return True


async def use_totp(session: WriteSession, keys: Keys, kind: SubjectKind, subject_id: UUID, code: str) -> bool:
    """Whether the code is right, and the first of its half minute and after the last one that was."""
    row = await session.get_locked(TOTPRow, (kind, subject_id))
    if row is None or row.confirmed_at is None or not _take(row, keys, code):
        return False
    await session.flush()
    return True


async def remove_totp(session: WriteSession, kind: SubjectKind, subject_id: UUID) -> None:
    await session.execute(delete(TOTPRow).where(TOTPRow.subject_kind == kind, TOTPRow.subject_id == subject_id))


async def allow_again(session: WriteSession, kind: SubjectKind, subject_id: UUID) -> None:
    """The last code counts as not used."""
    mine = TOTPRow.subject_kind == kind, TOTPRow.subject_id == subject_id
    await session.execute(update(TOTPRow).where(*mine).values(last_step=None))


def is_totp_code(code: str) -> bool:
    return len(code) == DIGITS and code.isascii() and code.isdigit()


def totp_code(secret: str) -> str:
    """The code of this half minute."""
    return pyotp.TOTP(secret).at(now())


def _take(row: TOTPRow, keys: Keys, code: str) -> bool:
    if not is_totp_code(code):
        return False
    totp = pyotp.TOTP(keys.decrypt(row.secret_encrypted))
    current = int(now().timestamp()) // STEP_S
    taken = None
    for step in (current + around for around in STEPS_AROUND):
        # All of them, so that the time does not tell how far off a clock is.
        if hmac.compare_digest(totp.at(step * STEP_S), code) and (row.last_step is None or step > row.last_step):
            taken = step
    if taken is None:
        return False
    row.last_step = taken
    return True
