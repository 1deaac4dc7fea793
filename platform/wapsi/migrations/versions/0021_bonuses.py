"""Bonuses for who joins and who invites, by rules that are data."""

import sqlalchemy as sa
from alembic import op

from wapsi.migrations.grants import grant

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_NOW = sa.text("now()")
_ENTITIES = "'conversion', 'reward', 'claim', 'payout'"


def upgrade() -> None:
    op.create_table(
        "bonus_rules",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("terms", sa.Text, server_default="", nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("min_reward_minor", sa.BigInteger, nullable=False),
        sa.Column("within_days", sa.Integer, nullable=False),
        sa.Column("hold_days", sa.Integer, nullable=False),
        sa.Column("max_per_customer", sa.Integer, nullable=True),
        sa.Column("budget_minor", sa.BigInteger, nullable=True),
        sa.Column("spent_minor", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bonus_rules"),
        sa.CheckConstraint("kind IN ('sign_up', 'referred', 'referrer')", name=op.f("ck_bonus_rules_kind")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_bonus_rules_currency")),
        sa.CheckConstraint("amount_minor > 0 AND min_reward_minor >= 0", name=op.f("ck_bonus_rules_amounts")),
        sa.CheckConstraint("max_per_customer >= 1", name=op.f("ck_bonus_rules_max_per_customer")),
        sa.CheckConstraint(
            "spent_minor BETWEEN 0 AND coalesce(budget_minor, spent_minor)", name=op.f("ck_bonus_rules_budget_minor")
        ),
        sa.CheckConstraint(
            "within_days BETWEEN 1 AND 730 AND hold_days BETWEEN 0 AND 365", name=op.f("ck_bonus_rules_days")
        ),
        sa.CheckConstraint("ends_at >= starts_at", name=op.f("ck_bonus_rules_ends_at")),
    )
    # What was promised stays promised.
    grant("bonus_rules", "SELECT, INSERT, UPDATE (ends_at, spent_minor)")
    op.create_table(
        "bonuses",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("rule_id", sa.Uuid, nullable=False),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("newcomer_id", sa.Uuid, nullable=False),
        sa.Column("reward_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("reason_code", sa.Text, nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("posting_id", sa.Uuid, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bonuses"),
        sa.UniqueConstraint("rule_id", "customer_id", "reward_id", name="uq_bonuses_rule_id_customer_id_reward_id"),
        sa.ForeignKeyConstraint(["rule_id"], ["bonus_rules.id"], name="fk_bonuses_rule_id_bonus_rules"),
        sa.ForeignKeyConstraint(
            ["posting_id"], ["ledger_transactions.id"], name="fk_bonuses_posting_id_ledger_transactions"
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'confirmed', 'declined', 'held', 'reversed')", name=op.f("ck_bonuses_state")
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_bonuses_amount_minor")),
    )
    op.create_index(
        "uq_bonuses_booked",
        "bonuses",
        ["rule_id", "customer_id", "newcomer_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('pending', 'held', 'confirmed')"),
    )
    op.create_index("ix_bonuses_customer_id_id", "bonuses", ["customer_id", "id"])
    op.create_index("ix_bonuses_newcomer_id", "bonuses", ["newcomer_id"])
    op.create_index("ix_bonuses_reward_id", "bonuses", ["reward_id"])
    op.create_index("ix_bonuses_pending", "bonuses", ["available_at"], postgresql_where=sa.text("state = 'pending'"))
    grant("bonuses", "SELECT, INSERT, UPDATE")
    op.create_table(
        "bonus_search",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state_change_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_bonus_search"),
    )
    # What happened before there were rules has been promised nothing.
    op.execute("INSERT INTO bonus_search SELECT 'rewards', coalesce(max(id), 0) FROM state_changes")
    grant("bonus_search", "SELECT, INSERT, UPDATE")
    _name_entities(f"{_ENTITIES}, 'bonus'")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE state_changes VALIDATE CONSTRAINT ck_state_changes_entity")


def downgrade() -> None:
    for table in ("bonus_search", "bonuses", "bonus_rules"):
        op.drop_table(table)
    _name_entities(_ENTITIES)


def _name_entities(entities: str) -> None:
    """Without a look at the rows that are there."""
    op.execute(
        "ALTER TABLE state_changes DROP CONSTRAINT ck_state_changes_entity,"
        f" ADD CONSTRAINT ck_state_changes_entity CHECK (entity IN ({entities})) NOT VALID"
    )
