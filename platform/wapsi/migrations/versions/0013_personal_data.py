"""Favourites, what was left on accounts that are gone, and the way to take a person off what stays.

Notes of claims stood in the changes of state too, which are never changed: they are in the claims alone from now on.
"""

import sqlalchemy as sa
from alembic import op

from wapsi.migrations.grants import APP_ROLE, grant

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_NOW = sa.text("now()")
# Of a click only that it was followed, and what is personal in it, may change.
_PERSONAL_IN_CLICKS = "user_agent, landing_url, target_url"


def upgrade() -> None:
    op.create_table(
        "favourites",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("thing_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_favourites"),
        sa.UniqueConstraint("customer_id", "kind", "thing_id", name="uq_favourites_customer_id_kind_thing_id"),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name="fk_favourites_customer_id_customers"),
        sa.CheckConstraint("kind IN ('merchant', 'offer')", name=op.f("ck_favourites_kind")),
    )
    op.create_index("ix_favourites_customer_id_id", "favourites", ["customer_id", "id"])
    grant("favourites", "SELECT, INSERT, DELETE")
    op.create_table(
        "forfeitures",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("bucket", sa.Text, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("transaction_id", sa.Uuid, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_forfeitures"),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name="fk_forfeitures_customer_id_customers"),
        sa.ForeignKeyConstraint(
            ["transaction_id"], ["ledger_transactions.id"], name="fk_forfeitures_transaction_id_ledger_transactions"
        ),
        sa.CheckConstraint("bucket IN ('available', 'owed')", name=op.f("ck_forfeitures_bucket")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_forfeitures_amount_minor")),
    )
    op.create_index("ix_forfeitures_customer_id", "forfeitures", ["customer_id"])
    op.execute(
        "CREATE TRIGGER forfeitures_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON forfeitures"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    grant("forfeitures", "SELECT, INSERT")
    op.execute(f"GRANT UPDATE ({_PERSONAL_IN_CLICKS}) ON clicks TO {APP_ROLE}")
    op.execute("ALTER TABLE state_changes DISABLE TRIGGER state_changes_append_only")
    op.execute("UPDATE state_changes SET detail = '{}' WHERE entity = 'claim' AND detail <> '{}'")
    op.execute("ALTER TABLE state_changes ENABLE TRIGGER state_changes_append_only")


def downgrade() -> None:
    op.execute(f"REVOKE UPDATE ({_PERSONAL_IN_CLICKS}) ON clicks FROM {APP_ROLE}")
    op.drop_table("forfeitures")
    op.drop_table("favourites")
