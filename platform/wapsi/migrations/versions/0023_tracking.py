"""How merchants track: counted by the hour, and worked out in a job instead of for each who asks."""

import sqlalchemy as sa
from alembic import op

from wapsi.migrations.grants import grant

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_COUNTS = ("clicks", "sales", "lag_sample", "confirmation_sample", "confirmed", "declined")
_TIMES = ("lag_p50_s", "lag_p95_s", "confirmation_p50_s", "confirmation_p95_s")


def upgrade() -> None:
    op.create_table(
        "tracking_hours",
        sa.Column("merchant_id", sa.Uuid, nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("clicks", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("sales", sa.BigInteger, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "hour", name="pk_tracking_hours"),
    )
    op.create_index("ix_tracking_hours_hour", "tracking_hours", ["hour"])
    op.create_table(
        "merchant_tracking",
        sa.Column("merchant_id", sa.Uuid, nullable=False),
        *(sa.Column(name, sa.BigInteger, server_default="0", nullable=False) for name in _COUNTS),
        *(sa.Column(name, sa.BigInteger) for name in _TIMES),
        sa.Column("state", sa.Text, server_default="unknown", nullable=False),
        sa.Column("window_hours", sa.Integer),
        sa.Column("window_sales", sa.BigInteger),
        sa.Column("expected_sales", sa.BigInteger),
        sa.Column("state_since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name="pk_merchant_tracking"),
        sa.CheckConstraint("state IN ('unknown', 'normal', 'low', 'high')", name=op.f("ck_merchant_tracking_state")),
    )
    grant("tracking_hours", "SELECT, INSERT, UPDATE, DELETE")
    grant("merchant_tracking", "SELECT, INSERT, UPDATE")


def downgrade() -> None:
    op.drop_table("merchant_tracking")
    op.drop_table("tracking_hours")
