"""Payouts that are held are released by two operators; the audit log is found by who, what and whose.

The previous release goes on: it releases alone, as before, and does not count rounds.
"""

import sqlalchemy as sa
from alembic import op

from wapsi.migrations.grants import grant

revision = "0014"
down_revision = "0010"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
_LOG = ("actor", "action", "target")


def upgrade() -> None:
    # First, while nothing else is done: where it is broken off, it begins anew, without what was left half made.
    with op.get_context().autocommit_block():
        for column in _LOG:
            name = f"ix_audit_log_{column}_id"
            op.drop_index(name, "audit_log", postgresql_concurrently=True, if_exists=True)
            op.create_index(name, "audit_log", [column, "id"], postgresql_concurrently=True, if_not_exists=True)
    op.add_column("payouts", sa.Column("approval_round", sa.Integer, server_default="0", nullable=False))
    op.create_table(
        "payout_approvals",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("payout_id", sa.Uuid, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("operator_id", sa.Uuid, nullable=False),
        sa.Column("reason_code", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_payout_approvals"),
        sa.UniqueConstraint(
            "payout_id", "round", "operator_id", name="uq_payout_approvals_payout_id_round_operator_id"
        ),
        sa.ForeignKeyConstraint(["payout_id"], ["payouts.id"], name="fk_payout_approvals_payout_id_payouts"),
    )
    op.execute(
        "CREATE TRIGGER payout_approvals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payout_approvals"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    grant("payout_approvals", "SELECT, INSERT")


def downgrade() -> None:
    for column in _LOG:
        op.drop_index(f"ix_audit_log_{column}_id", "audit_log", if_exists=True)
    op.drop_table("payout_approvals")
    op.drop_column("payouts", "approval_round")
