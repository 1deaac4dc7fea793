"""How a person is reached: an e-mail address or a mobile number, in one form."""

from dataclasses import dataclass
from typing import Self
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute

from domains.customers.models import CustomerRow, CustomerStatus
from domains.customers.service.account_numbers import check_mobile_number
from domains.customers.service.accounts import normalise_email
from wapsi.db import ReadSession
from wapsi.messages import Channel
from wapsi.security.signing import Keys


@dataclass(frozen=True, slots=True)
class Contact:
    """`value` is a lower-case e-mail address, or a number in E.164."""

    channel: Channel
    value: str

    @classmethod
    def of(cls, *, email: str | None, phone: str | None) -> Self:
        """From one of the two. Raises MobileNumberInvalid."""
        if email is not None:
            return cls(Channel.EMAIL, normalise_email(email))
        assert phone is not None
        return cls(Channel.SMS, check_mobile_number(phone))

    @property
    def email(self) -> str | None:
        return self.value if self.channel is Channel.EMAIL else None

    @property
    def phone(self) -> str | None:
        return self.value if self.channel is Channel.SMS else None

    def fingerprint(self, keys: Keys) -> bytes:
        """Tells whether two are the same, and nothing else about them."""
        return self.fingerprints(keys)[0]

    def fingerprints(self, keys: Keys) -> list[bytes]:
        """And those by which earlier secrets would have known it."""
        return keys.macs("contact", f"{self.channel} {self.value}".encode())


def login_of(email: str | None, phone: str | None) -> str:
    """What somebody signs in with, in one form. Raises MobileNumberInvalid."""
    return email if email is not None else Contact.of(email=None, phone=phone).value


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a contact is; `may_reset`: whether it is good for a new password."""

    id: UUID
    active: bool
    locale: str
    may_reset: bool


def contact_column(channel: Channel) -> InstrumentedAttribute[str | None]:
    return CustomerRow.email if channel is Channel.EMAIL else CustomerRow.phone


async def owner_of(session: ReadSession, contact: Contact) -> Owner | None:
    row = await session.scalar(select(CustomerRow).where(contact_column(contact.channel) == contact.value))
    if row is None:
        return None
    active = row.status == CustomerStatus.ACTIVE
    return Owner(row.id, active, row.locale, active and may_reset(row, contact))


def is_unproven(row: CustomerRow, contact: Contact) -> bool:
    """Of an account from before addresses had to be proven: whoever made it may not be whose address it is."""
    return contact.channel is Channel.EMAIL and row.email_verified_at is None


def may_reset(row: CustomerRow, contact: Contact) -> bool:
    """Beside a number that was proven, an address that was not may be a stranger's, by a slip of the hand."""
    return not (is_unproven(row, contact) and row.phone_verified_at is not None)


def contacts_of(row: CustomerRow) -> list[Contact]:
    contacts = [(Channel.EMAIL, row.email), (Channel.SMS, row.phone)]
    return [Contact(channel, value) for channel, value in contacts if value is not None]
