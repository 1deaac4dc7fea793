"""Challenges: a signed text that says what is still to be proven, good for five minutes and for one answer.

Nothing is stored before one is answered: who only asks for challenges fills no table.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert

from domains.customers.errors import ChallengeInvalid
from domains.customers.models import ChallengeRow, SubjectKind
from wapsi.clock import now
from wapsi.config import Settings
from wapsi.db import WriteSession
from wapsi.ids import new_id
from wapsi.security.signing import Keys, SignatureInvalid

TYPE = "challenge+jwt"
LIFETIME_S = 300
ATTEMPTS = 5
NOBODY = "nobody"
_NONCE_BYTES = 32


class ChallengePurpose(StrEnum):
    """The audience of the token: one that was made for one purpose is good for no other."""

    SECOND_FACTOR = "wapsi/second-factor"
    PASSKEY_SIGN_IN = "wapsi/passkey-sign-in"
    PASSKEY_REGISTRATION = "wapsi/passkey-registration"


@dataclass(frozen=True, slots=True)
class Challenge:
    """`subject_id` is None where it is not known yet who signs in; `nonce` is what a passkey signs.

    `password_mark` tells whether the password is still the one that was checked.
    """

    id: UUID
    kind: SubjectKind | None
    subject_id: UUID | None
    nonce: bytes
    password_mark: str
    expires_at: datetime


def make_challenge(
    keys: Keys,
    settings: Settings,
    purpose: ChallengePurpose,
    subject: tuple[SubjectKind, UUID] | None = None,
    password_mark: str = "",
) -> tuple[str, bytes]:
    """The token, and the nonce in it."""
    moment = int(now().timestamp())
    nonce = secrets.token_bytes(_NONCE_BYTES)
    claims: dict[str, Any] = {
        "iss": settings.public_url,
        "aud": purpose,
        "sub": NOBODY if subject is None else str(subject[1]),
        "jti": str(new_id()),
        "nonce": nonce.hex(),
        "iat": moment,
        "exp": moment + LIFETIME_S,
    }
    if subject is not None:
        claims |= {"kind": subject[0], "mark": password_mark}
    return keys.sign(TYPE, claims), nonce


def read_challenge(keys: Keys, settings: Settings, purpose: ChallengePurpose, token: str) -> Challenge:
    """Raises ChallengeInvalid."""
    try:
        claims = keys.verify(TYPE, token, audience=purpose, issuer=settings.public_url)
        known = claims["sub"] != NOBODY
        return Challenge(
            id=UUID(claims["jti"]),
            kind=SubjectKind(claims["kind"]) if known else None,
            subject_id=UUID(claims["sub"]) if known else None,
            nonce=bytes.fromhex(claims["nonce"]),
            password_mark=claims["mark"] if known else "",
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )
    except (SignatureInvalid, KeyError, ValueError, TypeError):
        raise ChallengeInvalid from None


async def attempt(session: WriteSession, challenge: Challenge) -> None:
    """Counts one answer, which must be committed whatever comes of it; others wait. Raises ChallengeInvalid."""
    counted = await session.scalar(
        insert(ChallengeRow)
        .values(id=challenge.id, attempts=1, expires_at=challenge.expires_at)
        .on_conflict_do_update(
            index_elements=[ChallengeRow.id],
            set_={"attempts": ChallengeRow.attempts + 1},
            where=(ChallengeRow.attempts < ATTEMPTS) & ChallengeRow.spent_at.is_(None),
        )
        .returning(ChallengeRow.attempts)
    )
    if counted is None:
        raise ChallengeInvalid


async def spend(session: WriteSession, challenge: Challenge) -> None:
    """After `attempt`: it is answered, and good for nothing any more."""
    await session.execute(update(ChallengeRow).where(ChallengeRow.id == challenge.id).values(spent_at=now()))


async def forget_challenges(session: WriteSession) -> None:
    """Those that have expired, which their signature tells."""
    past = now() - timedelta(seconds=LIFETIME_S)
    await session.execute(delete(ChallengeRow).where(ChallengeRow.expires_at < past))
