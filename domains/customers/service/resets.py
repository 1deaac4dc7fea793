"""New passwords: by a code to a contact of the account, or by the password before it. Either tells all contacts."""

from uuid import UUID

from domains.customers.errors import CodeInvalid, PasswordWrong
from domains.customers.models import CustomerRow, CustomerStatus, SubjectKind, VerificationPurpose
from domains.customers.service.codes import ask_for_code, customer_of, end_codes, use_code
from domains.customers.service.contacts import Contact, contacts_of, is_unproven, may_reset
from domains.customers.service.factors import factors_of, remove_factors
from domains.customers.service.message_texts import Template
from domains.customers.service.notices import tell
from domains.customers.service.passwords import check_new_password
from domains.customers.service.sessions import end_sessions_of
from domains.customers.service.subjects import get_account
from wapsi.clock import now
from wapsi.db import Database, WriteSession
from wapsi.messages import Channel
from wapsi.security.passwords import hash_password, verify_password
from wapsi.security.signing import Keys


async def ask_for_reset(session: WriteSession, keys: Keys, contact: Contact) -> UUID:
    """The reset's id, whether or not the contact has an account: a job looks, and sends a code or nothing."""
    return await ask_for_code(session, keys, VerificationPurpose.PASSWORD_RESET, contact, locale="en")


async def finish_reset(
    session: WriteSession, keys: Keys, reset_id: UUID, *, new_password: str, password_hash: str
) -> None:
    """For a code that was right: sets the password and ends all sessions. Raises CodeInvalid and PasswordBreached.

    Only while the contact still is the account's, and the account is active. Second factors stay, unless this is the
    first time that somebody proves the address: they are another's then, who made the account with it.
    """
    # First, as everybody does who ends codes: of two resets at once one waits here, holding nothing.
    customer_id = await customer_of(session, reset_id)
    row = None if customer_id is None else await session.get_locked(CustomerRow, customer_id)
    verification = await use_code(session, reset_id)
    contact = Contact(Channel(verification.channel), keys.decrypt(verification.contact_encrypted))
    if row is None or row.status != CustomerStatus.ACTIVE or contact not in contacts_of(row):
        raise CodeInvalid
    if not may_reset(row, contact):
        raise CodeInvalid
    await check_new_password(new_password, row.display_name, row.email)
    if is_unproven(row, contact):
        row.email_verified_at = now()
        if (await factors_of(session, SubjectKind.CUSTOMER, row.id)).any:
            await tell(session, keys, SubjectKind.CUSTOMER, row.id, Template.FACTORS_RESET)
        await remove_factors(session, SubjectKind.CUSTOMER, row.id)
    await _set_password(session, keys, row, password_hash, keep=None)


async def change_password(
    db: Database, keys: Keys, customer_id: UUID, *, current: str, new: str, keep: UUID | None
) -> None:
    """Sets the password and ends all sessions but `keep`. Raises PasswordWrong, PasswordInvalid and PasswordBreached.

    Units of work of its own, before and after the slow checks, which hold no connection.
    """
    async with db.read() as reading:
        account = await get_account(reading, SubjectKind.CUSTOMER, customer_id)
        row = await reading.get(CustomerRow, customer_id)
        about = (None, None) if row is None else (row.display_name, row.email)
    if not await verify_password(current, account.password_hash if account is not None else None):
        raise _wrong()
    await check_new_password(new, *about)
    password_hash = await hash_password(new)
    async with db.write() as session:
        row = await session.get_locked(CustomerRow, customer_id)
        # Whoever knew the password before the last change does not undo that change.
        if row is None or account is None or row.password_hash != account.password_hash:
            raise _wrong()
        await _set_password(session, keys, row, password_hash, keep=keep)


async def _set_password(
    session: WriteSession, keys: Keys, row: CustomerRow, password_hash: str, *, keep: UUID | None
) -> None:
    row.password_hash = password_hash
    row.updated_at = now()
    await session.flush()
    await end_codes(session, row.id)
    await end_sessions_of(session, SubjectKind.CUSTOMER, row.id, keep=keep, forget_devices=keep is None)
    await tell(session, keys, SubjectKind.CUSTOMER, row.id, Template.PASSWORD_CHANGED)


def _wrong() -> PasswordWrong:
    return PasswordWrong("The password is not the one of this account.")
