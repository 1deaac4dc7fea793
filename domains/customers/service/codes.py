"""Codes that prove a contact: eight digits, good for ten minutes (ASVS 6.5.5), five attempts and one use.

Asking for one is the same work whoever asks: a row, and a job that looks afterwards whether there is an account
(service/answers.py). So neither the answer nor its time tells who is a customer.
"""

import hmac
import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select, update

from domains.customers.errors import CodeInvalid
from domains.customers.models import VerificationPurpose, VerificationRow
from domains.customers.service.contacts import Contact
from wapsi.clock import now
from wapsi.db import Database, WriteSession
from wapsi.ids import new_id
from wapsi.queue import outbox
from wapsi.security.signing import Keys

# With so many, all the guesses that limits let through in a year stay below one in a hundred.
CODE_LENGTH = 8
CODE_TTL = timedelta(minutes=10)
CODE_ATTEMPTS = 5
# What was asked for and never proven is forgotten, with the addresses in it.
KEEP_UNUSED = timedelta(days=1)
FORGET_AT_ONCE = 50_000
_NO_CODE = bytes(32)
_PURPOSE = "verification-code"


async def ask_for_code(
    session: WriteSession,
    keys: Keys,
    purpose: VerificationPurpose,
    contact: Contact,
    *,
    locale: str,
    customer_id: UUID | None = None,
) -> UUID:
    """The verification's id. What is sent to the contact, and whether, a job decides."""
    moment = now()
    row = VerificationRow(
        id=new_id(),
        purpose=purpose,
        channel=contact.channel,
        contact_encrypted=keys.encrypt(contact.value),
        locale=locale,
        customer_id=customer_id,
        expires_at=moment + CODE_TTL,
        created_at=moment,
    )
    session.add(row)
    await session.flush()
    await outbox.enqueue(session, "customers.answer_verification", {"verification_id": str(row.id)})
    return row.id


def new_code(keys: Keys, verification_id: UUID) -> tuple[str, bytes]:
    """A code and what is kept of it."""
    code = f"{secrets.randbelow(10**CODE_LENGTH):0{CODE_LENGTH}}"
    return code, keys.mac(_PURPOSE, _marked(verification_id, code))


async def is_right_code(
    db: Database,
    keys: Keys,
    purpose: VerificationPurpose,
    verification_id: UUID,
    code: str,
    *,
    customer_id: UUID | None = None,
) -> bool:
    """Counts an attempt first, in a unit of work of its own: a refusal must not take the count back with it.

    The same statement and the same comparison whether there is such a verification or not. `customer_id` is whose it
    must be, where it is somebody's.
    """
    statement = (
        update(VerificationRow)
        .where(
            VerificationRow.id == verification_id,
            VerificationRow.purpose == purpose,
            VerificationRow.attempts < CODE_ATTEMPTS,
            VerificationRow.expires_at > now(),
            VerificationRow.used_at.is_(None),
        )
        .values(attempts=VerificationRow.attempts + 1)
        .returning(VerificationRow.code_mac)
    )
    if customer_id is not None:
        statement = statement.where(VerificationRow.customer_id == customer_id)
    async with db.write() as session:
        code_mac = await session.scalar(statement)
    macs = keys.macs(_PURPOSE, _marked(verification_id, code))
    return any(hmac.compare_digest(mac, code_mac or _NO_CODE) for mac in macs)


async def customer_of(session: WriteSession, verification_id: UUID) -> UUID | None:
    """Whose password or contact it will change."""
    customer_id: UUID | None = await session.scalar(
        select(VerificationRow.customer_id).where(VerificationRow.id == verification_id)
    )
    return customer_id


async def use_code(session: WriteSession, verification_id: UUID) -> VerificationRow:
    """For one whose code was right: of several at once, one goes on. Raises CodeInvalid."""
    row = await session.scalar(
        select(VerificationRow)
        .where(VerificationRow.id == verification_id, VerificationRow.used_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise CodeInvalid
    row.used_at = now()
    await session.flush()
    return row


async def end_codes(session: WriteSession, customer_id: UUID) -> None:
    """Codes that are under way for this customer change nothing any more: the password or a contact is another now."""
    await session.execute(
        update(VerificationRow)
        .where(VerificationRow.customer_id == customer_id, VerificationRow.used_at.is_(None))
        .values(used_at=now())
    )


async def forget_verifications(session: WriteSession) -> int:
    """Deletes those that ended a day ago, with the sign-ups that waited for them; returns how many."""
    old = select(VerificationRow.id).where(VerificationRow.expires_at < now() - KEEP_UNUSED).limit(FORGET_AT_ONCE)
    gone = await session.scalars(
        delete(VerificationRow).where(VerificationRow.id.in_(old)).returning(VerificationRow.id)
    )
    return len(gone.all())


def _marked(verification_id: UUID, code: str) -> bytes:
    return verification_id.bytes + code.encode("utf-8", "replace")
