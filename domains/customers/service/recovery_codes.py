"""Ten codes on paper, each good once, for the day the phone is lost."""

import secrets
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from domains.customers.models import RecoveryCodeRow, SubjectKind
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.security.signing import Keys

RECOVERY_CODES = 10
# Crockford's base 32, twice five of them: fifty bits, of which ten thousand guesses an hour find nothing.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_HALF = 5
# What people read for what is not in the alphabet.
_MISREAD = str.maketrans("ILO", "110", "- ")


async def new_recovery_codes(session: WriteSession, keys: Keys, kind: SubjectKind, subject_id: UUID) -> list[str]:
    """In place of those that there were. Shown once."""
    await remove_recovery_codes(session, kind, subject_id)
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(2 * _HALF)) for _ in range(RECOVERY_CODES)]
    await session.execute(
        insert(RecoveryCodeRow),
        [
            {"subject_kind": kind, "subject_id": subject_id, "code_hash": _hashes(keys, kind, subject_id, code)[0]}
            for code in codes
        ],
    )
    return [f"{code[:_HALF]}-{code[_HALF:]}" for code in codes]


async def use_recovery_code(session: WriteSession, keys: Keys, kind: SubjectKind, subject_id: UUID, code: str) -> bool:
    """Whether the code was there and unused. Case and dashes do not count."""
    plain = code.upper().translate(_MISREAD)
    if len(plain) != 2 * _HALF:
        return False
    used = await session.scalar(
        update(RecoveryCodeRow)
        .where(
            *_mine(kind, subject_id),
            RecoveryCodeRow.code_hash.in_(_hashes(keys, kind, subject_id, plain)),
            RecoveryCodeRow.used_at.is_(None),
        )
        .values(used_at=now())
        .returning(RecoveryCodeRow.subject_id)
    )
    return used is not None


async def recovery_codes_left(session: ReadSession, kind: SubjectKind, subject_id: UUID) -> int:
    unused = select(func.count()).select_from(RecoveryCodeRow)
    return await session.scalar(unused.where(*_mine(kind, subject_id), RecoveryCodeRow.used_at.is_(None))) or 0


async def remove_recovery_codes(session: WriteSession, kind: SubjectKind, subject_id: UUID) -> None:
    await session.execute(delete(RecoveryCodeRow).where(*_mine(kind, subject_id)))


def _mine(kind: SubjectKind, subject_id: UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return RecoveryCodeRow.subject_kind == kind, RecoveryCodeRow.subject_id == subject_id


def _hashes(keys: Keys, kind: SubjectKind, subject_id: UUID, code: str) -> list[bytes]:
    return keys.macs("recovery-code", f"{kind} {subject_id} {code}".encode())
