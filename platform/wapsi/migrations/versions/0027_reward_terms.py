"""When cashback is confirmed, and what becomes of it where it is taken back after a withdrawal: a merchant's terms.

The previous release confirms on approval and lets the customer owe, whatever the merchant's terms: set others after it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0023"
branch_labels = None
depends_on = None

_TERMS = {
    "confirmation": ("on_approval", "'on_approval', 'after_validation'"),
    "clawback": ("owed", "'owed', 'waived'"),
}
_TABLES = ("merchants", "rewards")


def upgrade() -> None:
    for table in _TABLES:
        for name, (default, words) in _TERMS.items():
            op.add_column(table, sa.Column(name, sa.Text, server_default=default, nullable=False))
            op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{name} CHECK ({name} IN ({words})) NOT VALID")
    op.add_column("rewards", sa.Column("waived_minor", sa.BigInteger, server_default="0", nullable=False))
    with op.get_context().autocommit_block():
        for table in _TABLES:
            for name in _TERMS:
                op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT ck_{table}_{name}")


def downgrade() -> None:
    op.drop_column("rewards", "waived_minor")
    for table in _TABLES:
        for name in _TERMS:
            op.drop_column(table, name)
