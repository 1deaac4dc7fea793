"""Another e-mail or mobile number for an account, or a first one beside the other: a code proves it first."""

from uuid import UUID

from sqlalchemy.exc import IntegrityError

from domains.customers.errors import CodeInvalid, ContactTaken
from domains.customers.models import CustomerRow, CustomerStatus, VerificationPurpose
from domains.customers.service.codes import ask_for_code, end_codes, use_code
from domains.customers.service.contacts import Contact, contacts_of
from domains.customers.service.message_texts import Template
from domains.customers.service.messages import queue_message
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.messages import Channel
from wapsi.security.signing import Keys


async def ask_for_contact(session: WriteSession, keys: Keys, customer_id: UUID, contact: Contact) -> UUID:
    """The change's id. That the contact may be another customer's is told to its owner alone, by a job."""
    row = await session.get(CustomerRow, customer_id)
    locale = "en" if row is None else row.locale
    return await ask_for_code(
        session, keys, VerificationPurpose.CONTACT, contact, locale=locale, customer_id=customer_id
    )


async def finish_contact(session: WriteSession, keys: Keys, customer_id: UUID, change_id: UUID) -> None:
    """For a code that was right. The contacts before it are told. Raises CodeInvalid and ContactTaken."""
    # First, as everybody does who ends codes: two changes at once do not wait for each other.
    row = await session.get_locked(CustomerRow, customer_id)
    verification = await use_code(session, change_id)
    if row is None or row.status != CustomerStatus.ACTIVE or verification.customer_id != customer_id:
        raise CodeInvalid
    contact = Contact(Channel(verification.channel), keys.decrypt(verification.contact_encrypted))
    before = contacts_of(row)
    if contact.channel is Channel.EMAIL:
        row.email, row.email_verified_at = contact.value, now()
    else:
        row.phone, row.phone_verified_at = contact.value, now()
    row.updated_at = now()
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_customers_email" in str(error.orig) or "uq_customers_phone" in str(error.orig):
            raise ContactTaken("This contact has got an account of its own meanwhile.") from None
        raise
    # A code on its way to an address that is not theirs any more must not be worth anything.
    await end_codes(session, customer_id)
    if contact in before:
        return
    for told in before:
        await queue_message(session, keys, told, Template.CONTACT_CHANGED, locale=row.locale, customer_id=customer_id)
