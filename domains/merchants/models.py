"""Tables of the merchants domain, and the states of a merchant."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, Currency, PrimaryID
from wapsi.state import StateMachine


class NetworkKind(StrEnum):
    """AGGREGATOR stands between many merchants and us; IN_HOUSE is a merchant's own affiliate programme."""

    AGGREGATOR = "aggregator"
    IN_HOUSE = "in_house"


class MerchantStatus(StrEnum):
    """A paused merchant is shown, but takes no new clicks."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


_S = MerchantStatus
MERCHANT_STATES = StateMachine(
    "merchant",
    {
        _S.DRAFT: [_S.ACTIVE],
        _S.ACTIVE: [_S.PAUSED],
        _S.PAUSED: [_S.ACTIVE, _S.ARCHIVED],
    },
)
# What the public sees.
PUBLIC_STATUSES = (MerchantStatus.ACTIVE, MerchantStatus.PAUSED)


class CustomerType(StrEnum):
    """Whether the merchant has sold to the customer before; UNKNOWN where it does not say."""

    NEW = "new"
    EXISTING = "existing"
    UNKNOWN = "unknown"


class ConfirmationTerms(StrEnum):
    """ON_APPROVAL: cashback is confirmed when the merchant approves the sale. AFTER_VALIDATION: when the days of its
    validation are over, neither earlier nor later, unless the sale was declined before."""

    ON_APPROVAL = "on_approval"
    AFTER_VALIDATION = "after_validation"


class ClawbackTerms(StrEnum):
    """What becomes of cashback that is taken back after it was withdrawn. OWED: it is kept back from what the customer
    earns next. WAIVED: the customer keeps it, and the loss is ours."""

    OWED = "owed"
    WAIVED = "waived"


class RateKind(StrEnum):
    PERCENT = "percent"
    FIXED = "fixed"


class NetworkRow(Base):
    """An affiliate network. Its secrets sign postbacks; the previous one counts until `secret_previous_until`."""

    __tablename__ = "affiliate_networks"
    __table_args__ = (
        CheckConstraint("kind IN ('aggregator', 'in_house')", name="kind"),
        CheckConstraint("(secret_previous IS NULL) = (secret_previous_until IS NULL)", name="secret_previous"),
    )

    id: Mapped[PrimaryID]
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    kind: Mapped[str]
    secret_current: Mapped[bytes] = mapped_column(LargeBinary)
    secret_previous: Mapped[bytes | None] = mapped_column(LargeBinary)
    secret_previous_until: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class MerchantRow(Base):
    __tablename__ = "merchants"
    __table_args__ = (
        CheckConstraint("status IN ('draft', 'active', 'paused', 'archived')", name="status"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint("click_window_days BETWEEN 1 AND 365", name="click_window_days"),
        CheckConstraint("tracking_days BETWEEN 0 AND 365", name="tracking_days"),
        CheckConstraint("validation_days BETWEEN 0 AND 730", name="validation_days"),
        CheckConstraint("confirmation IN ('on_approval', 'after_validation')", name="confirmation"),
        CheckConstraint("clawback IN ('owed', 'waived')", name="clawback"),
    )

    id: Mapped[PrimaryID]
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    logo_url: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="draft")
    network_id: Mapped[UUID | None] = mapped_column(ForeignKey("affiliate_networks.id"), index=True)
    currency: Mapped[Currency]
    deep_link_template: Mapped[str | None]
    allowed_landing_hosts: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    click_window_days: Mapped[int] = mapped_column(server_default="30")
    tracking_days: Mapped[int] = mapped_column(server_default="3")
    validation_days: Mapped[int] = mapped_column(server_default="45")
    confirmation: Mapped[str] = mapped_column(server_default="on_approval")
    clawback: Mapped[str] = mapped_column(server_default="owed")
    feed_settings: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    # Grows with each change that shoppers may see: of the merchant, its status, its rates, or what they make of prices.
    revision: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class RateScheduleRow(Base):
    """What a merchant's customers earn from `valid_from` until the next schedule's. Never changed: see the trigger."""

    __tablename__ = "rate_schedules"
    __table_args__ = (
        UniqueConstraint("merchant_id", "version"),
        UniqueConstraint("merchant_id", "valid_from"),
        CheckConstraint("version >= 1", name="version"),
    )

    id: Mapped[PrimaryID]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    version: Mapped[int]
    valid_from: Mapped[datetime]
    exclusions: Mapped[str] = mapped_column(server_default="")
    terms: Mapped[str] = mapped_column(server_default="")
    published_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class RateRow(Base):
    """One line of a schedule. The empty `rate_category` is what holds where no other does."""

    __tablename__ = "rates"
    __table_args__ = (
        PrimaryKeyConstraint("schedule_id", "rate_category", "customer_type"),
        CheckConstraint("customer_type IN ('new', 'existing', 'unknown')", name="customer_type"),
        CheckConstraint(
            "(kind = 'percent' AND percent_bps IS NOT NULL AND percent_bps BETWEEN 0 AND 10000 AND fixed_minor IS NULL)"
            " OR (kind = 'fixed' AND fixed_minor IS NOT NULL AND fixed_minor >= 0 AND percent_bps IS NULL)",
            name="kind",
        ),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint("cap_minor > 0", name="cap_minor"),
    )

    schedule_id: Mapped[UUID] = mapped_column(ForeignKey("rate_schedules.id"))
    rate_category: Mapped[str] = mapped_column(server_default="")
    customer_type: Mapped[str]
    kind: Mapped[str]
    percent_bps: Mapped[int | None]
    fixed_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    cap_minor: Mapped[int | None] = mapped_column(BigInteger)


class BoostRow(Base):
    """A campaign: what it adds to the rates of clicks in [starts_at, ends_at). Of a null `rate_category` or
    `customer_type` all are raised; `joined_from`: only for customers who joined since. Only ever changed by ending."""

    __tablename__ = "rate_boosts"
    __table_args__ = (
        CheckConstraint("customer_type IN ('new', 'existing')", name="customer_type"),
        CheckConstraint("num_nonnulls(added_bps, added_minor) = 1", name="kind"),
        CheckConstraint("added_bps BETWEEN 1 AND 10000 AND added_minor > 0 AND raised_cap_minor > 0", name="amounts"),
        CheckConstraint("ends_at >= starts_at", name="ends_at"),
        Index("ix_rate_boosts_merchant_id_ends_at", "merchant_id", "ends_at"),
    )

    id: Mapped[PrimaryID]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    name: Mapped[str]
    rate_category: Mapped[str | None]
    customer_type: Mapped[str | None]
    joined_from: Mapped[datetime | None]
    added_bps: Mapped[int | None]
    added_minor: Mapped[int | None] = mapped_column(BigInteger)
    raised_cap_minor: Mapped[int | None] = mapped_column(BigInteger)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]
