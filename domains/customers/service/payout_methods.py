"""Where customers are paid. The account is readable only for a payout; all else sees it masked."""

from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert

from domains.customers.errors import (
    CustomerNotFound,
    PayoutMethodExists,
    PayoutMethodLimit,
    PayoutMethodNotFound,
)
from domains.customers.models import (
    CustomerRow,
    CustomerStatus,
    PayoutMethodKind,
    PayoutMethodRow,
    PayoutMethodStatus,
    SubjectKind,
    WalletProvider,
)
from domains.customers.service.account_numbers import check_iban, check_mobile_number, mask
from domains.customers.service.message_texts import Template
from domains.customers.service.notices import tell
from domains.customers.service.refs import PayoutMethodRef
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.security.signing import Keys

MAX_PAYOUT_METHODS = 10


async def add_bank_account(
    session: WriteSession, keys: Keys, customer_id: UUID, *, iban: str, label: str
) -> PayoutMethodRef:
    """Raises IBANInvalid, PayoutMethodExists, PayoutMethodLimit and CustomerNotFound."""
    return await _add(session, keys, customer_id, PayoutMethodKind.BANK_ACCOUNT, None, check_iban(iban), label)


async def add_mobile_wallet(
    session: WriteSession,
    keys: Keys,
    customer_id: UUID,
    *,
    provider: WalletProvider,
    mobile_number: str,
    label: str,
) -> PayoutMethodRef:
    """Raises MobileNumberInvalid, PayoutMethodExists, PayoutMethodLimit and CustomerNotFound."""
    number = check_mobile_number(mobile_number)
    return await _add(session, keys, customer_id, PayoutMethodKind.MOBILE_WALLET, provider, number, label)


async def list_payout_methods(session: ReadSession, customer_id: UUID) -> list[PayoutMethodRef]:
    """The oldest first."""
    rows = await session.scalars(_active(customer_id).order_by(PayoutMethodRow.id))
    return [_ref(row) for row in rows]


async def get_payout_method(session: ReadSession, customer_id: UUID, method_id: UUID) -> PayoutMethodRef:
    """One that can be paid to. Raises PayoutMethodNotFound for another customer's and for a removed one too."""
    row = await session.scalar(_active(customer_id).where(PayoutMethodRow.id == method_id))
    if row is None:
        raise _not_found(method_id)
    return _ref(row)


async def remove_payout_method(session: WriteSession, customer_id: UUID, method_id: UUID) -> None:
    """Payouts that are under way still reach it. Raises PayoutMethodNotFound."""
    row = await session.scalar(_active(customer_id).where(PayoutMethodRow.id == method_id).with_for_update())
    if row is None:
        raise _not_found(method_id)
    row.status = PayoutMethodStatus.REMOVED
    await session.flush()


async def payout_account(session: ReadSession, keys: Keys, customer_id: UUID, method_id: UUID) -> str:
    """The IBAN, or the mobile number in E.164, for the payout provider alone; of a removed method too.

    Raises PayoutMethodNotFound.
    """
    row = await session.scalar(
        select(PayoutMethodRow).where(PayoutMethodRow.customer_id == customer_id, PayoutMethodRow.id == method_id)
    )
    if row is None:
        raise _not_found(method_id)
    return keys.decrypt(row.account_encrypted)


async def _add(
    session: WriteSession,
    keys: Keys,
    customer_id: UUID,
    kind: PayoutMethodKind,
    provider: WalletProvider | None,
    account: str,
    label: str,
) -> PayoutMethodRef:
    # The lock keeps two requests at once from passing the limit together.
    customer = await session.get_locked(CustomerRow, customer_id)
    if customer is None or customer.status == CustomerStatus.DELETED:
        raise CustomerNotFound("There is no such customer.", customer_id=str(customer_id))
    count = await session.scalar(_active(customer_id).with_only_columns(func.count()))
    if (count or 0) >= MAX_PAYOUT_METHODS:
        raise PayoutMethodLimit(f"A customer may have at most {MAX_PAYOUT_METHODS} payout methods. Remove one first.")
    fingerprints = account_fingerprints(keys, kind, provider, account)
    known = _active(customer_id).where(PayoutMethodRow.account_fingerprint.in_(fingerprints))
    if await session.scalar(known) is not None:
        raise PayoutMethodExists("You have added this account already.")
    row = await session.scalar(
        insert(PayoutMethodRow)
        .values(
            id=new_id(),
            customer_id=customer_id,
            kind=kind,
            provider=provider,
            label=label,
            account_encrypted=keys.encrypt(account),
            account_fingerprint=fingerprints[0],
            masked=mask(account),
        )
        .returning(PayoutMethodRow)
    )
    assert row is not None
    await tell(session, keys, SubjectKind.CUSTOMER, customer_id, Template.PAYOUT_METHOD_ADDED)
    return _ref(row)


def account_fingerprints(keys: Keys, kind: str, provider: str | None, account: str) -> list[bytes]:
    """That of the current secret first, then those by which earlier ones would have kept it."""
    return keys.macs("payout-account", f"{kind} {provider} {account}".encode())


def _active(customer_id: UUID) -> Select[PayoutMethodRow]:
    return select(PayoutMethodRow).where(
        PayoutMethodRow.customer_id == customer_id, PayoutMethodRow.status == PayoutMethodStatus.ACTIVE
    )


def _not_found(method_id: UUID) -> PayoutMethodNotFound:
    return PayoutMethodNotFound("You have no such payout method.", payout_method_id=str(method_id))


def _ref(row: PayoutMethodRow) -> PayoutMethodRef:
    return PayoutMethodRef(
        id=row.id,
        customer_id=row.customer_id,
        kind=PayoutMethodKind(row.kind),
        label=row.label,
        masked=row.masked,
        provider=None if row.provider is None else WalletProvider(row.provider),
        created_at=row.created_at,
    )
