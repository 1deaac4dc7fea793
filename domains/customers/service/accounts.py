"""Customers' accounts."""

import secrets
from collections.abc import Sequence
from typing import Any, TypedDict
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from domains.customers.errors import CustomerNotFound, ReferralCodeUnknown
from domains.customers.models import CustomerRow, CustomerStatus
from domains.customers.service.refs import CustomerRef, Profile
from wapsi.clock import now
from wapsi.db import Reads, ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.telemetry.statements import noted

PASSWORD_MIN_LENGTH = 10
PASSWORD_MAX_LENGTH = 200
DEFAULT_PREFERENCES = {"notify_by_email": True, "marketing": False}

# Crockford's base 32: nothing that is misread when a friend dictates it.
_CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_LENGTH = 10

_SHOWN = (
    "id, email, phone, email_verified_at IS NOT NULL AS email_verified,"
    " phone_verified_at IS NOT NULL AS phone_verified, display_name, currency, locale, status, referral_code,"
    " preferences, created_at"
)
_READ = f"SELECT {_SHOWN} FROM customers WHERE id = $1 AND status <> 'deleted'"  # noqa: S608  # constants
_UPDATE = (
    "UPDATE customers SET display_name = coalesce($2, display_name), locale = coalesce($3, locale),"  # noqa: S608
    " preferences = preferences || $4::text::jsonb, updated_at = $5"
    f" WHERE id = $1 AND status <> 'deleted' RETURNING {_SHOWN}"
)


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


async def get_profile(reads: Reads, customer_id: UUID) -> Profile:
    """Raises CustomerNotFound."""
    return _profile(customer_id, await reads.fetch_current(_READ, customer_id))


async def profile_within(session: ReadSession, customer_id: UUID) -> Profile:
    """As this transaction sees it. Raises CustomerNotFound."""
    driver = await session.driver()
    return _profile(customer_id, await noted(driver.fetch(_READ, customer_id), _READ))


async def update_profile(driver: asyncpg.Connection, customer_id: UUID, changes: ProfileChanges) -> Profile:
    """In one statement. Raises CustomerNotFound."""
    preferences = orjson.dumps(changes.get("preferences", {})).decode()
    arguments = customer_id, changes.get("display_name"), changes.get("locale"), preferences, now()
    return _profile(customer_id, await noted(driver.fetch(_UPDATE, *arguments), _UPDATE))


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


def _profile(customer_id: UUID, rows: Sequence[asyncpg.Record]) -> Profile:
    if not rows:
        raise _not_found(customer_id)
    [row] = rows
    preferences = {**DEFAULT_PREFERENCES, **row["preferences"]}
    return Profile(**{**row, "status": CustomerStatus(row["status"]), "preferences": preferences})
