"""Codes that prove a contact, and what waits for them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID


class VerificationPurpose(StrEnum):
    SIGN_UP = "sign_up"
    PASSWORD_RESET = "password_reset"  # noqa: S105  # a purpose
    CONTACT = "contact"


class VerificationRow(Base):
    """A contact that somebody claims to be theirs. Of the code only an HMAC is kept; None where none was sent.

    `customer_id` is whose password or contact it will change.
    """

    __tablename__ = "verifications"
    __table_args__ = (
        CheckConstraint("purpose IN ('sign_up', 'password_reset', 'contact')", name="purpose"),
        CheckConstraint("channel IN ('email', 'sms')", name="channel"),
    )

    id: Mapped[PrimaryID]
    purpose: Mapped[str]
    channel: Mapped[str]
    contact_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    locale: Mapped[str]
    customer_id: Mapped[UUID | None] = mapped_column(ForeignKey("customers.id"), index=True)
    code_mac: Mapped[bytes | None] = mapped_column(LargeBinary)
    attempts: Mapped[int] = mapped_column(server_default="0")
    expires_at: Mapped[datetime] = mapped_column(index=True)
    answered_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class SignUpRow(Base):
    """An account that comes into being when its verification, of the same id, is proven."""

    __tablename__ = "sign_ups"

    id: Mapped[UUID] = mapped_column(ForeignKey("verifications.id", ondelete="CASCADE"), primary_key=True)
    password_hash: Mapped[str]
    display_name: Mapped[str]
    referred_by: Mapped[UUID | None] = mapped_column(ForeignKey("customers.id"))
