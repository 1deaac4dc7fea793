"""What people are told of their account: of how it is signed in to and of money that leaves, whoever it was, at every
contact that it has; of the rest at one.
"""

from uuid import UUID

from domains.customers.models import CustomerRow, CustomerStatus, OperatorRow, SubjectKind
from domains.customers.service.contacts import Contact, contacts_of
from domains.customers.service.message_texts import NEWS, Template
from domains.customers.service.messages import queue_message
from wapsi.db import WriteSession
from wapsi.messages import Channel
from wapsi.queue import outbox
from wapsi.security.signing import Keys

TELL_CUSTOMER = "customers.tell"


async def tell(session: WriteSession, keys: Keys, kind: SubjectKind, subject_id: UUID, template: Template) -> None:
    """In the transaction of the change: what is rolled back is not told."""
    if kind is SubjectKind.OPERATOR:
        operator = await session.get(OperatorRow, subject_id)
        if operator is not None:
            await queue_message(session, keys, Contact(Channel.EMAIL, operator.email), template, locale="en")
        return
    customer = await session.get(CustomerRow, subject_id)
    if customer is None or customer.status == CustomerStatus.DELETED:
        return
    contacts = contacts_of(customer)
    for contact in contacts[:1] if template in NEWS else contacts:
        await queue_message(session, keys, contact, template, locale=customer.locale, customer_id=subject_id)


async def tell_soon(session: WriteSession, customer_id: UUID, template: Template) -> None:
    """The same by a job: for who has rows locked that a deletion of the account waits for."""
    await outbox.enqueue(session, TELL_CUSTOMER, {"customer_id": str(customer_id), "template": template})
