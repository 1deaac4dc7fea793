"""Indexes for what waits: bonuses that are held, and changes that came before their sale."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_bonuses_state_id", "bonuses", ["state", "id"], None),
    (
        "ix_conversion_events_waiting",
        "conversion_events",
        ["received_at"],
        "outcome = 'refused' AND error = 'SALE_NOT_KNOWN_YET'",
    ),
)


def upgrade() -> None:
    # Where it is broken off, it begins anew, without what was left half made.
    with op.get_context().autocommit_block():
        for name, table, columns, where in _INDEXES:
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
            op.create_index(
                name,
                table,
                columns,
                postgresql_concurrently=True,
                if_not_exists=True,
                postgresql_where=None if where is None else sa.text(where),
            )


def downgrade() -> None:
    for name, table, _, _ in _INDEXES:
        op.drop_index(name, table, if_exists=True)
