"""Claims book: how each was settled, what was asked and answered, who approved goodwill, and when one expires.

The previous release goes on: it moves claims, without settling any, and sets none of the new columns.
"""

import sqlalchemy as sa
from alembic import op

from wapsi.migrations.grants import grant

revision = "0019"
down_revision = "0021"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
_INDEXES = (
    ("ix_claims_merchant_id_order_id", "claims", ["merchant_id", "order_id"], None),
    ("ix_claims_due_at", "claims", ["due_at"], "due_at IS NOT NULL"),
    ("ix_rewards_enquiries", "rewards", ["id"], "state = 'pending' AND enquired_at IS NOT NULL"),
)


def upgrade() -> None:
    # First, while nothing else is done: where it is broken off, it begins anew, without what was left half made.
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE claims ADD COLUMN IF NOT EXISTS due_at timestamptz")
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
    for column in (
        sa.Column("approval_round", sa.Integer, server_default="0", nullable=False),
        sa.Column("resolution", sa.Text),
        sa.Column("conversion_id", sa.Uuid),
        sa.Column("goodwill_minor", sa.BigInteger),
    ):
        op.add_column("claims", column)
    op.create_table(
        "claim_messages",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("claim_id", sa.Uuid, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_claim_messages"),
        sa.CheckConstraint("author IN ('customer', 'operator')", name=op.f("ck_claim_messages_author")),
        sa.ForeignKeyConstraint(["claim_id"], ["claims.id"], name="fk_claim_messages_claim_id_claims"),
    )
    op.create_index("ix_claim_messages_claim_id_id", "claim_messages", ["claim_id", "id"])
    grant("claim_messages", "SELECT, INSERT, DELETE")
    op.create_table(
        "claim_approvals",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("claim_id", sa.Uuid, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("operator_id", sa.Uuid, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("reason_code", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_claim_approvals"),
        sa.UniqueConstraint("claim_id", "round", "operator_id", name="uq_claim_approvals_claim_id_round_operator_id"),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_claim_approvals_amount_minor")),
        sa.ForeignKeyConstraint(["claim_id"], ["claims.id"], name="fk_claim_approvals_claim_id_claims"),
    )
    op.execute(
        "CREATE TRIGGER claim_approvals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON claim_approvals"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    grant("claim_approvals", "SELECT, INSERT")
    # Checked by what is written from now on; all that is there is null.
    for name, rule in (
        ("resolution", "resolution IN ('sale', 'goodwill')"),
        ("goodwill_minor", "goodwill_minor > 0"),
    ):
        op.execute(f"ALTER TABLE claims ADD CONSTRAINT ck_claims_{name} CHECK ({rule}) NOT VALID")
    with op.get_context().autocommit_block():
        for name in ("resolution", "goodwill_minor"):
            op.execute(f"ALTER TABLE claims VALIDATE CONSTRAINT ck_claims_{name}")


def downgrade() -> None:
    for name, table, _, _ in _INDEXES:
        op.drop_index(name, table, if_exists=True)
    op.drop_table("claim_approvals")
    op.drop_table("claim_messages")
    for name in ("resolution", "goodwill_minor"):
        op.drop_constraint(f"ck_claims_{name}", "claims", type_="check")
    for column in ("due_at", "approval_round", "resolution", "conversion_id", "goodwill_minor"):
        op.drop_column("claims", column)
