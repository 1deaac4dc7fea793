"""What this domain keeps about a customer: handed out, and removed at the end of the account."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import delete, select, update

from domains.customers.errors import CustomerNotFound, CustomerSuspended
from domains.customers.models import (
    CustomerRow,
    CustomerStatus,
    FavouriteRow,
    MessageRow,
    PayoutMethodRow,
    PayoutMethodStatus,
    SubjectKind,
    VerificationRow,
)
from domains.customers.service.factors import remove_factors
from domains.customers.service.sessions import end_sessions_of
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.personal_data import Holder, Section
from wapsi.security.signing import Keys

ERASED_AT_ONCE = 1000


def _with_account(keys: Keys, row: asyncpg.Record) -> Mapping[str, Any]:
    """In full: it is theirs, and asked for by them."""
    fields = dict(row)
    return fields | {"account": keys.decrypt(fields.pop("account_encrypted"))}


_SECTIONS = (
    # Who brought the customer is somebody else.
    Section(
        "profile",
        "SELECT id, email, phone, email_verified_at, phone_verified_at, display_name, currency, locale, status,"
        " referral_code,"
        " referred_by IS NOT NULL AS was_referred, preferences, created_at, updated_at"
        " FROM customers WHERE id = $1 AND id > $2 LIMIT $3",
    ),
    Section(
        "sessions",
        "SELECT id, family_id AS session_id, created_at, expires_at, used_at, revoked_at, user_agent FROM sessions"
        " WHERE subject_kind = 'customer' AND subject_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    ),
    Section(
        "payout_methods",
        "SELECT id, kind, provider, label, masked, account_encrypted, status, created_at FROM payout_methods"
        " WHERE customer_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        shape=_with_account,
    ),
    # What a person proves, not the secrets of it.
    Section(
        "passkeys",
        "SELECT id, name, backed_up, created_at, last_used_at FROM passkeys"
        " WHERE subject_kind = 'customer' AND subject_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    ),
    Section(
        "authenticator_apps",
        "SELECT subject_id AS id, created_at, confirmed_at FROM totp_factors"
        " WHERE subject_kind = 'customer' AND subject_id = $1 AND subject_id > $2 LIMIT $3",
    ),
    Section(
        "favourites",
        "SELECT id, kind, thing_id, created_at FROM favourites WHERE customer_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    ),
    # What they said is wiped when they have left.
    Section(
        "messages",
        "SELECT id, channel, template, state, created_at, sent_at FROM messages"
        " WHERE customer_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    ),
    Section(
        "codes",
        "SELECT id, purpose, channel, attempts, created_at, expires_at, used_at FROM verifications"
        " WHERE customer_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    ),
)


async def _settle(session: WriteSession, customer_id: UUID, *, forfeit: bool) -> Mapping[str, Any]:
    """Raises CustomerNotFound and CustomerSuspended; of two deletions at once the second finds none."""
    row = await session.get_locked(CustomerRow, customer_id)
    if row is None or row.status == CustomerStatus.DELETED:
        raise CustomerNotFound("There is no such customer.", customer_id=str(customer_id))
    if row.status != CustomerStatus.ACTIVE:
        raise CustomerSuspended("This account is suspended and cannot be deleted now. Ask support.")
    return {}


async def _erase(session: WriteSession, customer_id: UUID) -> None:
    await session.execute(
        update(CustomerRow)
        .where(CustomerRow.id == customer_id)
        .values(
            status=CustomerStatus.DELETED,
            email=None,
            phone=None,
            email_verified_at=None,
            phone_verified_at=None,
            password_hash="",
            display_name="",
            locale="en",
            preferences={},
            # No sign-up can name it: it has another length than a code.
            referral_code=f"deleted {customer_id}",
            referred_by=None,
            updated_at=now(),
        )
    )
    await session.execute(update(CustomerRow).where(CustomerRow.referred_by == customer_id).values(referred_by=None))
    # Their rows stay: payouts of the past point at them.
    await session.execute(
        update(PayoutMethodRow)
        .where(PayoutMethodRow.customer_id == customer_id)
        .values(status=PayoutMethodStatus.REMOVED, label="", masked="", account_encrypted=b"", account_fingerprint=b"")
    )
    for model in (FavouriteRow, MessageRow, VerificationRow):
        await session.execute(delete(model).where(model.customer_id == customer_id))
    await remove_factors(session, SubjectKind.CUSTOMER, customer_id)
    await end_sessions_of(session, SubjectKind.CUSTOMER, customer_id, forget_devices=True)


async def erased_customers(session: ReadSession, after: UUID) -> Sequence[UUID]:
    """Deleted accounts by id, at most ERASED_AT_ONCE; `after` is the last one seen."""
    rows = await session.scalars(
        select(CustomerRow.id)
        .where(CustomerRow.status == CustomerStatus.DELETED, CustomerRow.id > after)
        .order_by(CustomerRow.id)
        .limit(ERASED_AT_ONCE)
    )
    return rows.all()


PERSONAL_DATA = Holder("customers", _erase, _SECTIONS, _settle)
