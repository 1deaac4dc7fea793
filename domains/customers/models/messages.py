"""What is sent to people."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID


class MessageState(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


class MessageRow(Base):
    """`content_encrypted` holds recipient, subject and text until the message has left, or has failed.

    `recipient_fingerprint` counts what one contact was sent.
    """

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("channel IN ('email', 'sms')", name="channel"),
        CheckConstraint("state IN ('queued', 'sent', 'failed')", name="state"),
        Index("ix_messages_recipient_fingerprint", "recipient_fingerprint", "created_at"),
        Index("ix_messages_created_at", "created_at"),
    )

    id: Mapped[PrimaryID]
    channel: Mapped[str]
    template: Mapped[str]
    recipient_fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    content_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(server_default="queued")
    customer_id: Mapped[UUID | None] = mapped_column(ForeignKey("customers.id"), index=True)
    expires_at: Mapped[datetime]
    created_at: Mapped[CreatedAt]
    sent_at: Mapped[datetime | None]
