"""Customers, operators, producers, sessions and payout methods."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from wapsi.migrations.grants import grant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def _id() -> sa.Column[UUID]:
    return sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False)


def _made(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=NOW, nullable=False)


def _time(name: str, *, nullable: bool = True) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, default: str | None = None, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, server_default=default, nullable=nullable)


def upgrade() -> None:
    _create_customers()
    op.create_table(
        "operators",
        _id(),
        _text("email"),
        _text("password_hash"),
        _text("role"),
        _text("status", default="active"),
        _made("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_operators"),
        sa.UniqueConstraint("email", name="uq_operators_email"),
        sa.CheckConstraint("status IN ('active', 'disabled')", name=op.f("ck_operators_status")),
        sa.CheckConstraint("role IN ('support', 'catalogue', 'finance', 'admin')", name=op.f("ck_operators_role")),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_operators_email")),
    )
    grant("operators", "SELECT, INSERT, UPDATE")
    _create_producers()
    op.create_table(
        "sessions",
        _id(),
        _text("subject_kind"),
        sa.Column("subject_id", sa.Uuid, nullable=False),
        sa.Column("family_id", sa.Uuid, nullable=False),
        sa.Column("refresh_hash", sa.LargeBinary, nullable=False),
        _made("created_at"),
        _time("expires_at", nullable=False),
        _time("used_at"),
        _time("revoked_at"),
        _text("user_agent", default=""),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("refresh_hash", name="uq_sessions_refresh_hash"),
        sa.CheckConstraint("subject_kind IN ('customer', 'operator')", name=op.f("ck_sessions_subject_kind")),
    )
    op.create_index("ix_sessions_subject_kind_subject_id", "sessions", ["subject_kind", "subject_id"])
    op.create_index("ix_sessions_family_id", "sessions", ["family_id"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    grant("sessions", "SELECT, INSERT, UPDATE, DELETE")
    _create_payout_methods()


def _create_customers() -> None:
    op.create_table(
        "customers",
        _id(),
        _text("email"),
        _text("password_hash"),
        _text("display_name"),
        sa.Column("currency", sa.String(3), server_default="PKR", nullable=False),
        _text("locale", default="en"),
        _text("status", default="active"),
        _text("referral_code"),
        sa.Column("referred_by", sa.Uuid),
        sa.Column("preferences", JSONB, server_default="{}", nullable=False),
        _made("created_at"),
        _made("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_customers"),
        sa.UniqueConstraint("email", name="uq_customers_email"),
        sa.UniqueConstraint("referral_code", name="uq_customers_referral_code"),
        sa.ForeignKeyConstraint(["referred_by"], ["customers.id"], name="fk_customers_referred_by_customers"),
        sa.CheckConstraint("status IN ('active', 'suspended', 'deleted')", name=op.f("ck_customers_status")),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_customers_email")),
    )
    op.create_index("ix_customers_referred_by", "customers", ["referred_by"])
    grant("customers", "SELECT, INSERT, UPDATE")


def _create_producers() -> None:
    op.create_table(
        "producers",
        _id(),
        _text("name"),
        _text("key_prefix"),
        sa.Column("key_hash", sa.LargeBinary, nullable=False),
        sa.Column("network_id", sa.Uuid),
        _time("expires_at"),
        _time("revoked_at"),
        _time("last_used_at"),
        _made("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_producers"),
        sa.UniqueConstraint("key_prefix", name="uq_producers_key_prefix"),
        sa.ForeignKeyConstraint(
            ["network_id"], ["affiliate_networks.id"], name="fk_producers_network_id_affiliate_networks"
        ),
    )
    grant("producers", "SELECT, INSERT, UPDATE")
    op.create_table(
        "producer_merchants",
        sa.Column("producer_id", sa.Uuid, nullable=False),
        sa.Column("merchant_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("producer_id", "merchant_id", name="pk_producer_merchants"),
        sa.ForeignKeyConstraint(["producer_id"], ["producers.id"], name="fk_producer_merchants_producer_id_producers"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name="fk_producer_merchants_merchant_id_merchants"),
    )
    grant("producer_merchants", "SELECT, INSERT, DELETE")


def _create_payout_methods() -> None:
    op.create_table(
        "payout_methods",
        _id(),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        _text("kind"),
        _text("provider", nullable=True),
        _text("label"),
        sa.Column("account_encrypted", sa.LargeBinary, nullable=False),
        sa.Column("account_fingerprint", sa.LargeBinary, nullable=False),
        _text("masked"),
        _text("status", default="active"),
        _made("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_payout_methods"),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name="fk_payout_methods_customer_id_customers"),
        sa.CheckConstraint(
            "(kind = 'bank_account' AND provider IS NULL)"
            " OR (kind = 'mobile_wallet' AND provider IS NOT NULL AND provider IN ('easypaisa', 'jazzcash'))",
            name=op.f("ck_payout_methods_kind"),
        ),
        sa.CheckConstraint("status IN ('active', 'removed')", name=op.f("ck_payout_methods_status")),
    )
    op.create_index(
        "uq_payout_methods_customer_id_account_fingerprint",
        "payout_methods",
        ["customer_id", "account_fingerprint"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    grant("payout_methods", "SELECT, INSERT, UPDATE")


def downgrade() -> None:
    for table in ("payout_methods", "sessions", "producer_merchants", "producers", "operators", "customers"):
        op.drop_table(table)
