"""Affiliate networks, merchants and their rate schedules."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from wapsi.migrations.grants import grant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def _id() -> sa.Column[UUID]:
    return sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False)


def _made(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=NOW, nullable=False)


def _text(name: str, *, default: str | None = None, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, server_default=default, nullable=nullable)


def _days(name: str, default: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, server_default=default, nullable=False)


def upgrade() -> None:
    op.create_table(
        "affiliate_networks",
        _id(),
        _text("slug"),
        _text("name"),
        _text("kind"),
        sa.Column("secret_current", sa.LargeBinary, nullable=False),
        sa.Column("secret_previous", sa.LargeBinary),
        sa.Column("secret_previous_until", sa.DateTime(timezone=True)),
        _made("created_at"),
        _made("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_affiliate_networks"),
        sa.UniqueConstraint("slug", name="uq_affiliate_networks_slug"),
        sa.CheckConstraint("kind IN ('aggregator', 'in_house')", name=op.f("ck_affiliate_networks_kind")),
        sa.CheckConstraint(
            "(secret_previous IS NULL) = (secret_previous_until IS NULL)",
            name=op.f("ck_affiliate_networks_secret_previous"),
        ),
    )
    grant("affiliate_networks", "SELECT, INSERT, UPDATE")
    _create_merchants()
    _create_rates()


def _create_merchants() -> None:
    op.create_table(
        "merchants",
        _id(),
        _text("slug"),
        _text("name"),
        _text("description", default=""),
        _text("logo_url", nullable=True),
        _text("status", default="draft"),
        sa.Column("network_id", sa.Uuid),
        sa.Column("currency", sa.String(3), nullable=False),
        _text("deep_link_template", nullable=True),
        sa.Column("allowed_landing_hosts", ARRAY(sa.Text), server_default="{}", nullable=False),
        _days("click_window_days", "30"),
        _days("tracking_days", "3"),
        _days("validation_days", "45"),
        sa.Column("feed_settings", JSONB, server_default="{}", nullable=False),
        _made("created_at"),
        _made("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_merchants"),
        sa.UniqueConstraint("slug", name="uq_merchants_slug"),
        sa.ForeignKeyConstraint(
            ["network_id"], ["affiliate_networks.id"], name="fk_merchants_network_id_affiliate_networks"
        ),
        sa.CheckConstraint("status IN ('draft', 'active', 'paused', 'archived')", name=op.f("ck_merchants_status")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_merchants_currency")),
        sa.CheckConstraint("click_window_days BETWEEN 1 AND 365", name=op.f("ck_merchants_click_window_days")),
        sa.CheckConstraint("tracking_days BETWEEN 0 AND 365", name=op.f("ck_merchants_tracking_days")),
        sa.CheckConstraint("validation_days BETWEEN 0 AND 730", name=op.f("ck_merchants_validation_days")),
    )
    op.create_index("ix_merchants_network_id", "merchants", ["network_id"])
    grant("merchants", "SELECT, INSERT, UPDATE")


def _create_rates() -> None:
    op.create_table(
        "rate_schedules",
        _id(),
        sa.Column("merchant_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        _text("exclusions", default=""),
        _text("terms", default=""),
        _text("published_by"),
        _made("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_rate_schedules"),
        sa.UniqueConstraint("merchant_id", "version", name="uq_rate_schedules_merchant_id_version"),
        sa.UniqueConstraint("merchant_id", "valid_from", name="uq_rate_schedules_merchant_id_valid_from"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name="fk_rate_schedules_merchant_id_merchants"),
        sa.CheckConstraint("version >= 1", name=op.f("ck_rate_schedules_version")),
    )
    op.create_table(
        "rates",
        sa.Column("schedule_id", sa.Uuid, nullable=False),
        _text("rate_category", default=""),
        _text("customer_type"),
        _text("kind"),
        sa.Column("percent_bps", sa.Integer),
        sa.Column("fixed_minor", sa.BigInteger),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("cap_minor", sa.BigInteger),
        sa.PrimaryKeyConstraint("schedule_id", "rate_category", "customer_type", name="pk_rates"),
        sa.ForeignKeyConstraint(["schedule_id"], ["rate_schedules.id"], name="fk_rates_schedule_id_rate_schedules"),
        sa.CheckConstraint("customer_type IN ('new', 'existing', 'unknown')", name=op.f("ck_rates_customer_type")),
        sa.CheckConstraint(
            "(kind = 'percent' AND percent_bps IS NOT NULL AND percent_bps BETWEEN 0 AND 10000 AND fixed_minor IS NULL)"
            " OR (kind = 'fixed' AND fixed_minor IS NOT NULL AND fixed_minor >= 0 AND percent_bps IS NULL)",
            name=op.f("ck_rates_kind"),
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_rates_currency")),
        sa.CheckConstraint("cap_minor > 0", name=op.f("ck_rates_cap_minor")),
    )
    for table in ("rate_schedules", "rates"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        grant(table, "SELECT, INSERT")


def downgrade() -> None:
    for table in ("rates", "rate_schedules", "merchants", "affiliate_networks"):
        op.drop_table(table)
