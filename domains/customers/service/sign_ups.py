"""Signing up: an account comes into being when its contact is proven, so nobody can take a stranger's address."""

from uuid import UUID

from sqlalchemy import delete, select

from domains.customers.errors import CodeInvalid, ContactTaken
from domains.customers.models import SignUpRow, VerificationPurpose
from domains.customers.service.accounts import create_customer, get_referrer
from domains.customers.service.codes import ask_for_code, use_code
from domains.customers.service.contacts import Contact
from wapsi.db import WriteSession
from wapsi.messages import Channel
from wapsi.security.signing import Keys


async def sign_up(
    session: WriteSession,
    keys: Keys,
    contact: Contact,
    *,
    password_hash: str,
    display_name: str,
    locale: str,
    referral_code: str | None = None,
) -> UUID:
    """The sign-up's id. Does not look whether the contact has an account: a job does, and tells its owner alone.

    Takes a hash, so that hashing, the slow part, holds no connection. Raises ReferralCodeUnknown, whatever the contact.
    """
    referred_by = None if referral_code is None else await get_referrer(session, referral_code)
    sign_up_id = await ask_for_code(session, keys, VerificationPurpose.SIGN_UP, contact, locale=locale)
    session.add(
        SignUpRow(id=sign_up_id, password_hash=password_hash, display_name=display_name, referred_by=referred_by)
    )
    await session.flush()
    return sign_up_id


async def finish_sign_up(session: WriteSession, keys: Keys, sign_up_id: UUID) -> UUID:
    """Makes the account, for a code that was right; returns its id. Raises CodeInvalid and ContactTaken.

    ContactTaken tells a stranger nothing: who has the code owns the contact.
    """
    verification = await use_code(session, sign_up_id)
    waiting = await session.scalar(select(SignUpRow).where(SignUpRow.id == sign_up_id))
    if waiting is None:
        raise CodeInvalid
    contact = Contact(Channel(verification.channel), keys.decrypt(verification.contact_encrypted))
    customer_id = await create_customer(
        session,
        email=contact.email,
        phone=contact.phone,
        password_hash=waiting.password_hash,
        display_name=waiting.display_name,
        locale=verification.locale,
        referred_by=waiting.referred_by,
    )
    if customer_id is None:
        raise ContactTaken("This contact has got an account meanwhile. Sign in with it, or ask for a new password.")
    await session.execute(delete(SignUpRow).where(SignUpRow.id == sign_up_id))
    return customer_id
