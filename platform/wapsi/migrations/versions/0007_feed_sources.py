"""Where merchants' feeds are fetched from, and when a merchant counts as late."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from wapsi.migrations.grants import grant

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

EMPTY = sa.text("''")


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True))


def upgrade() -> None:
    op.create_table(
        "feed_sources",
        sa.Column("merchant_id", sa.Uuid, sa.ForeignKey("merchants.id"), nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("sealed_url", sa.LargeBinary),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("every_s", sa.Integer, nullable=False),
        sa.Column("late_after_s", sa.Integer),
        sa.Column("options", JSONB, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("etag", "last_modified", "content_sha256")),
        sa.Column("last_sync_id", sa.Uuid),
        _time("next_fetch_at"),
        _time("last_fetched_at"),
        sa.Column("last_outcome", sa.Text),
        *(sa.Column(name, sa.Text, server_default=EMPTY, nullable=False) for name in ("last_reason", "last_message")),
        sa.Column("failures", sa.Integer, server_default=sa.text("0"), nullable=False),
        _time("confirmed_at"),
        sa.Column("watched_since", sa.DateTime(timezone=True), nullable=False),
        _time("late_since"),
        *(
            sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)
            for name in ("created_at", "updated_at")
        ),
        sa.Column("updated_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name="pk_feed_sources"),
        sa.CheckConstraint("mode IN ('full', 'incremental')", name=op.f("ck_feed_sources_mode")),
        sa.CheckConstraint("every_s BETWEEN 300 AND 2592000", name=op.f("ck_feed_sources_every_s")),
        sa.CheckConstraint("late_after_s BETWEEN 300 AND 7776000", name=op.f("ck_feed_sources_late_after_s")),
        sa.CheckConstraint("(url IS NULL) = (sealed_url IS NULL)", name=op.f("ck_feed_sources_sealed_url")),
        sa.CheckConstraint("url IS NOT NULL OR late_after_s IS NOT NULL", name=op.f("ck_feed_sources_purpose")),
        sa.CheckConstraint(
            "last_outcome IN ('synced', 'unchanged', 'failed')", name=op.f("ck_feed_sources_last_outcome")
        ),
    )
    grant("feed_sources", "SELECT, INSERT, UPDATE, DELETE")


def downgrade() -> None:
    op.drop_table("feed_sources")
