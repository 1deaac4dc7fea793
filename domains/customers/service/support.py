"""What operators may see of a customer and do to the account: one at a time, found by what the customer tells them.

There is no list to browse. What is shown is masked, and each look at somebody is in the audit log.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from domains.customers.errors import CustomerNotFound
from domains.customers.models import CustomerRow, CustomerStatus, SubjectKind
from domains.customers.service.contacts import Contact, contact_column
from domains.customers.service.sessions import end_sessions_of
from domains.customers.service.standing import no_such_customer
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.security import audit
from wapsi.security.principal import Principal
from wapsi.state import StateMachine

_S = CustomerStatus
# Deleted is final.
CUSTOMER_STATES = StateMachine("customer", {_S.ACTIVE: [_S.SUSPENDED], _S.SUSPENDED: [_S.ACTIVE]})


@dataclass(frozen=True, slots=True)
class CustomerCard:
    """`email` and `phone` are masked: enough to tell whether it is the one who calls, too little to write to."""

    id: UUID
    email: str | None
    phone: str | None
    display_name: str
    status: CustomerStatus
    currency: str
    locale: str
    created_at: datetime


async def find_customer(session: WriteSession, principal: Principal, contact: Contact) -> CustomerCard:
    """By the whole address or number. Raises CustomerNotFound."""
    row = await session.scalar(select(CustomerRow).where(contact_column(contact.channel) == contact.value))
    if row is None:
        raise CustomerNotFound("No customer has this e-mail or number.")
    await audit.record(session, principal, action="customer.found", target=f"customer:{row.id}")
    return _card(row)


async def get_customer_card(session: ReadSession, customer_id: UUID) -> CustomerCard:
    """Raises CustomerNotFound."""
    row = await session.get(CustomerRow, customer_id)
    if row is None:
        raise no_such_customer(customer_id)
    return _card(row)


async def suspend_customer(
    session: WriteSession, principal: Principal, customer_id: UUID, reason_code: str
) -> CustomerCard:
    """Signs the customer out everywhere; no sign-in, no click and no withdrawal until reactivated. What is under way
    goes on. Raises CustomerNotFound and IllegalMove."""
    card = await _moved(session, principal, customer_id, _S.SUSPENDED, reason_code)
    await end_sessions_of(session, SubjectKind.CUSTOMER, customer_id)
    return card


async def reactivate_customer(
    session: WriteSession, principal: Principal, customer_id: UUID, reason_code: str
) -> CustomerCard:
    """Raises CustomerNotFound and IllegalMove."""
    return await _moved(session, principal, customer_id, _S.ACTIVE, reason_code)


async def _moved(
    session: WriteSession, principal: Principal, customer_id: UUID, target: CustomerStatus, reason_code: str
) -> CustomerCard:
    row = await session.get_locked(CustomerRow, customer_id)
    if row is None:
        raise no_such_customer(customer_id)
    before = _S(row.status)
    row.status = CUSTOMER_STATES.check(before, target)
    row.updated_at = now()
    await session.flush()
    await audit.record(
        session,
        principal,
        action="customer.suspended" if target is _S.SUSPENDED else "customer.reactivated",
        target=f"customer:{customer_id}",
        before={"status": str(before)},
        after={"status": str(target), "reason_code": reason_code},
    )
    return _card(row)


def mask_email(email: str) -> str:
    """a***@example.com: one star more or less would tell the length."""
    name, _, host = email.rpartition("@")
    return f"{name[:1]}***@{host}"


def mask_phone(phone: str) -> str:
    """***567"""
    return f"***{phone[-3:]}"


def _card(row: CustomerRow) -> CustomerCard:
    return CustomerCard(
        id=row.id,
        email=None if row.email is None else mask_email(row.email),
        phone=None if row.phone is None else mask_phone(row.phone),
        display_name=row.display_name,
        status=_S(row.status),
        currency=row.currency,
        locale=row.locale,
        created_at=row.created_at,
    )
