"""Status mappings are proposed, shown with what they would change, and then applied.

`status_mappings` stays what it was: its highest version is the one that counts, for the release before too.
"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from wapsi.migrations.grants import grant

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
_AMOUNTS = ("commission_before_minor", "commission_after_minor", "cashback_before_minor", "cashback_after_minor")


def _moment(name: str, *, given: bool = False) -> sa.Column[datetime]:
    if given:
        return sa.Column(name, sa.DateTime(timezone=True), server_default=NOW, nullable=False)
    return sa.Column(name, sa.DateTime(timezone=True))


def upgrade() -> None:
    op.create_table(
        "mapping_proposals",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("words", JSONB, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("base_version", sa.Integer, nullable=False),
        sa.Column("changed", JSONB, nullable=False),
        sa.Column("version", sa.Integer),
        sa.Column("looked_upto", sa.Uuid),
        sa.Column("events_looked_at", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("error", sa.Text, server_default="", nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("applied_by", sa.Text),
        _moment("created_at", given=True),
        _moment("previewed_at"),
        _moment("activated_at"),
        _moment("updated_at", given=True),
        sa.PrimaryKeyConstraint("id", name="pk_mapping_proposals"),
        sa.UniqueConstraint("source", "version", name="uq_mapping_proposals_source_version"),
        sa.CheckConstraint(
            "state IN ('proposed', 'previewing', 'previewed', 'applying', 'applied', 'stopped', 'discarded')",
            name=op.f("ck_mapping_proposals_state"),
        ),
    )
    # While one is being applied, no other one is.
    op.create_index(
        "uq_mapping_proposals_source_under_way",
        "mapping_proposals",
        ["source"],
        unique=True,
        postgresql_where=sa.text("state = 'applying' OR (state = 'stopped' AND version IS NOT NULL)"),
    )
    op.create_table(
        "mapping_replays",
        sa.Column("proposal_id", sa.Uuid, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("event_ids", ARRAY(sa.Uuid), nullable=False),
        sa.Column("conversion_id", sa.Uuid),
        sa.Column("decided_in", sa.SmallInteger, server_default="0", nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("reason", sa.Text, server_default="", nullable=False),
        sa.Column("message", sa.Text, server_default="", nullable=False),
        sa.Column("state_before", sa.Text),
        sa.Column("state_after", sa.Text),
        sa.Column("currency", sa.String(3)),
        *(sa.Column(name, sa.BigInteger, server_default="0", nullable=False) for name in _AMOUNTS),
        _moment("applied_at"),
        sa.PrimaryKeyConstraint("proposal_id", "external_id", name="pk_mapping_replays"),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["mapping_proposals.id"], name="fk_mapping_replays_proposal_id_mapping_proposals"
        ),
        sa.CheckConstraint("outcome IN ('changed', 'unchanged', 'refused')", name=op.f("ck_mapping_replays_outcome")),
    )
    grant("mapping_proposals", "SELECT, INSERT, UPDATE")
    grant("mapping_replays", "SELECT, INSERT, UPDATE, DELETE")


def downgrade() -> None:
    op.drop_table("mapping_replays")
    op.drop_table("mapping_proposals")
