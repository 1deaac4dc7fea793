"""Customers and operators."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
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


class CustomerRow(Base):
    """`email` is lower-case, `phone` in E.164; one of them at least, but neither in a deleted account.

    `referral_code` is what a customer gives to friends.
    """

    __tablename__ = "customers"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'suspended', 'deleted')", name="status"),
        CheckConstraint("email = lower(email)", name="email"),
        CheckConstraint("phone ~ '^[+][1-9][0-9]{6,14}$'", name="phone"),
        CheckConstraint("status = 'deleted' OR email IS NOT NULL OR phone IS NOT NULL", name="contact"),
        Index("uq_customers_phone", "phone", unique=True),
    )

    id: Mapped[PrimaryID]
    email: Mapped[str | None] = mapped_column(unique=True)
    phone: Mapped[str | None]
    email_verified_at: Mapped[datetime | None]
    phone_verified_at: Mapped[datetime | None]
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
