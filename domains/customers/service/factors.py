"""An account's second factors as a whole. As soon as there is one, a password alone opens nothing."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, exists, select

from domains.customers.models import PasskeyRow, SubjectKind
from domains.customers.service.message_texts import Template
from domains.customers.service.notices import tell
from domains.customers.service.recovery_codes import (
    recovery_codes_left,
    remove_recovery_codes,
    use_recovery_code,
)
from domains.customers.service.refs import FactorMethod
from domains.customers.service.totp import is_totp_code, remove_totp, totp_of, use_totp
from wapsi.db import ReadSession, WriteSession
from wapsi.security.signing import Keys


@dataclass(frozen=True, slots=True)
class Factors:
    totp: bool
    passkeys: bool
    recovery_codes_left: int

    @property
    def any(self) -> bool:
        return self.totp or self.passkeys

    @property
    def methods(self) -> tuple[FactorMethod, ...]:
        """Best first."""
        there = (
            (FactorMethod.PASSKEY, self.passkeys),
            (FactorMethod.TOTP, self.totp),
            (FactorMethod.RECOVERY_CODE, self.any and self.recovery_codes_left > 0),
        )
        return tuple(method for method, has in there if has)


async def factors_of(session: ReadSession, kind: SubjectKind, subject_id: UUID) -> Factors:
    mine = PasskeyRow.subject_kind == kind, PasskeyRow.subject_id == subject_id
    return Factors(
        totp=await totp_of(session, kind, subject_id) is not None,
        passkeys=bool(await session.scalar(select(exists().where(*mine)))),
        recovery_codes_left=await recovery_codes_left(session, kind, subject_id),
    )


async def use_code(session: WriteSession, keys: Keys, kind: SubjectKind, subject_id: UUID, code: str) -> bool:
    """Whether it is the code of the authenticator app, or a recovery code that was not used yet, which is told."""
    if is_totp_code(code):
        return await use_totp(session, keys, kind, subject_id, code)
    used = await use_recovery_code(session, keys, kind, subject_id, code)
    if used:
        await tell(session, keys, kind, subject_id, Template.RECOVERY_CODE_USED)
    return used


async def remove_factors(session: WriteSession, kind: SubjectKind, subject_id: UUID) -> None:
    """All of them: for an account that goes, or a person who has lost everything. Sessions are the caller's matter."""
    await remove_totp(session, kind, subject_id)
    await remove_recovery_codes(session, kind, subject_id)
    await session.execute(
        delete(PasskeyRow).where(PasskeyRow.subject_kind == kind, PasskeyRow.subject_id == subject_id)
    )
