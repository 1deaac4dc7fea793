"""Tables of the customers domain: customers, operators, producers, and their sessions and keys."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, Currency, PrimaryID


class CustomerStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


class OperatorStatus(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class SubjectKind(StrEnum):
    """Who can hold a session."""

    CUSTOMER = "customer"
    OPERATOR = "operator"


class PayoutMethodKind(StrEnum):
    BANK_ACCOUNT = "bank_account"
    MOBILE_WALLET = "mobile_wallet"


class WalletProvider(StrEnum):
    EASYPAISA = "easypaisa"
    JAZZCASH = "jazzcash"


class PayoutMethodStatus(StrEnum):
    ACTIVE = "active"
    REMOVED = "removed"


class CustomerRow(Base):
    """`email` is lower-case. `referral_code` is what a customer gives to friends."""

    __tablename__ = "customers"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'suspended', 'deleted')", name="status"),
        CheckConstraint("email = lower(email)", name="email"),
    )

    id: Mapped[PrimaryID]
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    display_name: Mapped[str]
    currency: Mapped[Currency] = mapped_column(server_default="PKR")
    locale: Mapped[str] = mapped_column(server_default="en")
    status: Mapped[str] = mapped_column(server_default="active")
    referral_code: Mapped[str] = mapped_column(unique=True)
    referred_by: Mapped[UUID | None] = mapped_column(ForeignKey("customers.id"), index=True)
    preferences: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class OperatorRow(Base):
    __tablename__ = "operators"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'disabled')", name="status"),
        CheckConstraint("role IN ('support', 'catalogue', 'finance', 'admin')", name="role"),
        CheckConstraint("email = lower(email)", name="email"),
    )

    id: Mapped[PrimaryID]
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="active")
    created_at: Mapped[CreatedAt]


class ProducerRow(Base):
    """A program that brings offers or reports sales. Of its key only the prefix and a hash are kept."""

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


class ProducerMerchantRow(Base):
    """A merchant that a producer may speak for."""

    __tablename__ = "producer_merchants"
    __table_args__ = (PrimaryKeyConstraint("producer_id", "merchant_id"),)

    producer_id: Mapped[UUID] = mapped_column(ForeignKey("producers.id"))
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))


class SessionRow(Base):
    """One refresh token. A rotation uses it up and adds another of the same family: one sign-in, one family."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("subject_kind IN ('customer', 'operator')", name="subject_kind"),
        Index("ix_sessions_subject_kind_subject_id", "subject_kind", "subject_id"),
    )

    id: Mapped[PrimaryID]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    family_id: Mapped[UUID] = mapped_column(index=True)
    refresh_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    user_agent: Mapped[str] = mapped_column(server_default="")


class PayoutMethodRow(Base):
    """Where a customer is paid. The account is encrypted; `account_fingerprint` tells whether it is there already."""

    __tablename__ = "payout_methods"
    __table_args__ = (
        CheckConstraint(
            "(kind = 'bank_account' AND provider IS NULL)"
            " OR (kind = 'mobile_wallet' AND provider IS NOT NULL AND provider IN ('easypaisa', 'jazzcash'))",
            name="kind",
        ),
        CheckConstraint("status IN ('active', 'removed')", name="status"),
        Index(
            "uq_payout_methods_customer_id_account_fingerprint",
            "customer_id",
            "account_fingerprint",
            unique=True,
            postgresql_where=text("status = 'active'"),
        ),
    )

    id: Mapped[PrimaryID]
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"))
    kind: Mapped[str]
    provider: Mapped[str | None]
    label: Mapped[str]
    account_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    account_fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    masked: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="active")
    created_at: Mapped[CreatedAt]
