"""What each verification of the ledger found, so that to be told of it does not take walking the ledger."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from wapsi.migrations.grants import grant

revision = "0032"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger_verifications",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("violations", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_verifications"),
    )
    grant("ledger_verifications", "SELECT, INSERT")


def downgrade() -> None:
    op.drop_table("ledger_verifications")
