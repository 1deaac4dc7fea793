"""What a sale is made of: each line with its rate category, of which cashback is priced.

The previous release leaves the lines of a sale as they were.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("conversions", sa.Column("line_items", JSONB, server_default="[]", nullable=False))


def downgrade() -> None:
    op.drop_column("conversions", "line_items")
