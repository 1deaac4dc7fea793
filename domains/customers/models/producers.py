"""Programs that bring offers and report sales."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, PrimaryKeyConstraint, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID

# In place of a hash: matches no key.
NO_KEY = b""


class ProducerRow(Base):
    """A program that brings offers or reports sales.

    `key_prefix`, `key_hash`, `expires_at` and `last_used_at` are for processes of the release before, which know one
    key a producer: they go with the next release.
    """

    __tablename__ = "producers"

    id: Mapped[PrimaryID]
    name: Mapped[str]
    key_prefix: Mapped[str] = mapped_column(unique=True)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    network_id: Mapped[UUID | None] = mapped_column(ForeignKey("affiliate_networks.id"))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class ProducerKeyRow(Base):
    """One key of a producer. Only the prefix and a hash are kept; `scopes` are the permissions that it carries.

    `certificate_sha256`: good only with the client certificate that has this fingerprint; null: with any, or none.
    """

    __tablename__ = "producer_keys"
    __table_args__ = (
        CheckConstraint("cardinality(scopes) > 0", name="scopes"),
        CheckConstraint("octet_length(hash) = 32", name="hash"),
        CheckConstraint("octet_length(certificate_sha256) = 32", name="certificate_sha256"),
    )

    prefix: Mapped[str] = mapped_column(primary_key=True)
    producer_id: Mapped[UUID] = mapped_column(ForeignKey("producers.id"), index=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    certificate_sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class ProducerMerchantRow(Base):
    """A merchant that a producer may speak for."""

    __tablename__ = "producer_merchants"
    __table_args__ = (PrimaryKeyConstraint("producer_id", "merchant_id"),)

    producer_id: Mapped[UUID] = mapped_column(ForeignKey("producers.id"))
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
