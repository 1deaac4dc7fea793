"""What people are told of changes to how they sign in, whoever made them: at every contact that the account has."""

from uuid import UUID

from domains.customers.models import CustomerRow, OperatorRow, SubjectKind
from domains.customers.service.contacts import Contact, contacts_of
from domains.customers.service.message_texts import Template
from domains.customers.service.messages import queue_message
from wapsi.db import WriteSession
from wapsi.messages import Channel
from wapsi.security.signing import Keys


async def tell(session: WriteSession, keys: Keys, kind: SubjectKind, subject_id: UUID, template: Template) -> None:
    """In the transaction of the change: what is rolled back is not told."""
    if kind is SubjectKind.OPERATOR:
        operator = await session.get(OperatorRow, subject_id)
        if operator is not None:
            await queue_message(session, keys, Contact(Channel.EMAIL, operator.email), template, locale="en")
        return
    customer = await session.get(CustomerRow, subject_id)
    if customer is None:
        return
    for contact in contacts_of(customer):
        await queue_message(session, keys, contact, template, locale=customer.locale, customer_id=subject_id)
