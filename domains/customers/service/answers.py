"""What is sent to whoever owns a contact, after somebody claimed it. The only place that looks whether it is known."""

from uuid import UUID

from sqlalchemy import select

from domains.customers.models import CustomerRow, VerificationPurpose, VerificationRow
from domains.customers.service.codes import customer_of, new_code
from domains.customers.service.contacts import Contact, Owner, owner_of
from domains.customers.service.message_texts import Template
from domains.customers.service.messages import has_had_enough, queue_message
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.messages import Channel
from wapsi.security.signing import Keys

_CODES = {
    VerificationPurpose.SIGN_UP: Template.SIGN_UP_CODE,
    VerificationPurpose.PASSWORD_RESET: Template.RESET_CODE,
    VerificationPurpose.CONTACT: Template.CONTACT_CODE,
}


async def answer_verification(session: WriteSession, keys: Keys, verification_id: UUID) -> None:
    """Sends a code, or says that there is an account, or nothing. Once: a repetition finds it answered."""
    customer_id = await customer_of(session, verification_id)
    if customer_id is not None:
        # First, as everybody does who ends codes; writing to the customer would need it later.
        await session.execute(
            select(CustomerRow.id).where(CustomerRow.id == customer_id).with_for_update(read=True, key_share=True)
        )
    row = await session.get_locked(VerificationRow, verification_id)
    if row is None or row.answered_at is not None or row.used_at is not None or row.expires_at <= now():
        return
    row.answered_at = now()
    await session.flush()
    contact = Contact(Channel(row.channel), keys.decrypt(row.contact_encrypted))
    owner = await owner_of(session, contact)
    template = _template(row, owner)
    if template is None or await has_had_enough(session, keys, contact):
        return
    code = ""
    if template is not Template.ACCOUNT_EXISTS:
        code, row.code_mac = new_code(keys, row.id)
    if row.purpose == VerificationPurpose.PASSWORD_RESET and owner is not None:
        row.customer_id = owner.id
    await queue_message(
        session,
        keys,
        contact,
        template,
        locale=row.locale if owner is None else owner.locale,
        customer_id=row.customer_id if owner is None else owner.id,
        code=code,
    )


def _template(row: VerificationRow, owner: Owner | None) -> Template | None:
    purpose = VerificationPurpose(row.purpose)
    if purpose is VerificationPurpose.PASSWORD_RESET:
        return _CODES[purpose] if owner is not None and owner.may_reset else None
    if owner is None or (purpose is VerificationPurpose.CONTACT and owner.id == row.customer_id):
        return _CODES[purpose]
    return Template.ACCOUNT_EXISTS
