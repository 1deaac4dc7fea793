"""Campaigns that raise a merchant's rates for a while, for all or for some."""

import sqlalchemy as sa
from alembic import op

from wapsi.migrations.grants import grant

revision = "0022"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate_boosts",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("merchant_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("rate_category", sa.Text, nullable=True),
        sa.Column("customer_type", sa.Text, nullable=True),
        sa.Column("joined_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("added_bps", sa.Integer, nullable=True),
        sa.Column("added_minor", sa.BigInteger, nullable=True),
        sa.Column("raised_cap_minor", sa.BigInteger, nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rate_boosts"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name="fk_rate_boosts_merchant_id_merchants"),
        sa.CheckConstraint("customer_type IN ('new', 'existing')", name=op.f("ck_rate_boosts_customer_type")),
        sa.CheckConstraint("num_nonnulls(added_bps, added_minor) = 1", name=op.f("ck_rate_boosts_kind")),
        sa.CheckConstraint(
            "added_bps BETWEEN 1 AND 10000 AND added_minor > 0 AND raised_cap_minor > 0",
            name=op.f("ck_rate_boosts_amounts"),
        ),
        sa.CheckConstraint("ends_at >= starts_at", name=op.f("ck_rate_boosts_ends_at")),
    )
    op.create_index("ix_rate_boosts_merchant_id_ends_at", "rate_boosts", ["merchant_id", "ends_at"])
    # What was announced stays as it was; only its end may come earlier.
    grant("rate_boosts", "SELECT, INSERT, UPDATE (ends_at)")


def downgrade() -> None:
    op.drop_table("rate_boosts")
