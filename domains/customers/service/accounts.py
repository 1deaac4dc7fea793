"""Customers' accounts."""

import secrets
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from domains.customers.errors import CustomerNotFound, ReferralCodeUnknown
from domains.customers.models import CustomerRow, CustomerStatus
from domains.customers.service.refs import CustomerRef, Profile
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id

PASSWORD_MIN_LENGTH = 10
PASSWORD_MAX_LENGTH = 200
DEFAULT_PREFERENCES = {"notify_by_email": True, "marketing": False}

# Crockford's base 32: nothing that is misread when a friend dictates it.
_CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_LENGTH = 10


class ProfileChanges(TypedDict, total=False):
    """What is to change; a key that is absent stays. `preferences` is merged into what is stored."""

    display_name: str
    locale: str
    preferences: dict[str, Any]


def normalise_email(email: str) -> str:
    """One account a mailbox as people mean it: case and surrounding spaces do not count."""
    return email.strip().lower()


async def create_customer(
    session: WriteSession,
    *,
    email: str | None = None,
    phone: str | None = None,
    password_hash: str,
    display_name: str,
    locale: str = "en",
    referred_by: UUID | None = None,
) -> UUID | None:
    """An account whose contact is proven; its id, or None where the contact has one already. `phone` is in E.164."""
    moment = now()
    made: UUID | None = await session.scalar(
        insert(CustomerRow)
        .values(
            id=new_id(),
            email=None if email is None else normalise_email(email),
            email_verified_at=None if email is None else moment,
            phone=phone,
            phone_verified_at=None if phone is None else moment,
            password_hash=password_hash,
            display_name=display_name,
            locale=locale,
            referral_code=_new_referral_code(),
            referred_by=referred_by,
            preferences=DEFAULT_PREFERENCES,
        )
        .on_conflict_do_nothing(index_elements=[CustomerRow.email if phone is None else CustomerRow.phone])
        .returning(CustomerRow.id)
    )
    return made


async def get_customer(session: ReadSession, customer_id: UUID) -> CustomerRef:
    """Whatever the status. Raises CustomerNotFound."""
    row = await session.get(CustomerRow, customer_id)
    if row is None:
        raise _not_found(customer_id)
    return CustomerRef(row.id, row.email, row.display_name, row.currency, CustomerStatus(row.status))


async def get_profile(session: ReadSession, customer_id: UUID) -> Profile:
    """Raises CustomerNotFound."""
    row = await session.get(CustomerRow, customer_id)
    if row is None or row.status == CustomerStatus.DELETED:
        raise _not_found(customer_id)
    return _profile(row)


async def update_profile(session: WriteSession, customer_id: UUID, changes: ProfileChanges) -> Profile:
    """Raises CustomerNotFound."""
    row = await session.get_locked(CustomerRow, customer_id)
    if row is None or row.status == CustomerStatus.DELETED:
        raise _not_found(customer_id)
    row.display_name = changes.get("display_name", row.display_name)
    row.locale = changes.get("locale", row.locale)
    row.preferences = {**row.preferences, **changes.get("preferences", {})}
    row.updated_at = now()
    await session.flush()
    return _profile(row)


async def get_referrer(session: ReadSession, code: str) -> UUID:
    """Whose code it is. Raises ReferralCodeUnknown."""
    customer_id = await session.scalar(
        select(CustomerRow.id).where(
            CustomerRow.referral_code == code.upper(), CustomerRow.status == CustomerStatus.ACTIVE
        )
    )
    if customer_id is None:
        raise ReferralCodeUnknown("This referral code is not known. Leave it out or correct it.")
    return customer_id


def _new_referral_code() -> str:
    return "".join(secrets.choice(_CODE_ALPHABET) for _ in range(_CODE_LENGTH))


def _not_found(customer_id: UUID) -> CustomerNotFound:
    return CustomerNotFound("There is no such customer.", customer_id=str(customer_id))


def _profile(row: CustomerRow) -> Profile:
    return Profile(
        id=row.id,
        email=row.email,
        phone=row.phone,
        email_verified=row.email_verified_at is not None,
        phone_verified=row.phone_verified_at is not None,
        display_name=row.display_name,
        currency=row.currency,
        locale=row.locale,
        status=CustomerStatus(row.status),
        referral_code=row.referral_code,
        preferences={**DEFAULT_PREFERENCES, **row.preferences},
        created_at=row.created_at,
    )
