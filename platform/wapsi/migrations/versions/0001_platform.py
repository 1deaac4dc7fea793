"""Jobs, idempotent answers and the audit log."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from wapsi.migrations.grants import APP_ROLE, grant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def _timestamp(name: str, *, nullable: bool = False, default: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=NOW if default else None)


def upgrade() -> None:
    op.execute(f"GRANT USAGE ON SCHEMA public TO {APP_ROLE}")
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'WA001'; END $$"
    )
    _create_jobs()
    op.create_table(
        "idempotent_answers",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("location", sa.Text),
        _timestamp("created_at", default=True),
        sa.PrimaryKeyConstraint("scope", "key", name="pk_idempotent_answers"),
    )
    op.create_index("ix_idempotent_answers_created_at", "idempotent_answers", ["created_at"])
    grant("idempotent_answers", "SELECT, INSERT, DELETE")
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        _timestamp("at", default=True),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("before", JSONB),
        sa.Column("after", JSONB),
        sa.Column("trace_id", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.execute(
        "CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    grant("audit_log", "SELECT, INSERT")


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("args", JSONB, nullable=False),
        sa.Column("state", sa.Text, server_default="ready", nullable=False),
        sa.Column("attempt", sa.Integer, server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        _timestamp("due_at", default=True),
        _timestamp("wake_at", nullable=True, default=True),
        sa.Column("sends", sa.Integer, server_default="0", nullable=False),
        _timestamp("lease_until", nullable=True),
        sa.Column("dedupe_key", sa.Text),
        sa.Column("trace_context", JSONB, server_default="{}", nullable=False),
        sa.Column("last_error", sa.Text),
        _timestamp("created_at", default=True),
        _timestamp("started_at", nullable=True),
        _timestamp("finished_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("dedupe_key", name="uq_jobs_dedupe_key"),
        sa.CheckConstraint("state IN ('ready', 'running', 'done', 'dead')", name=op.f("ck_jobs_state")),
    )
    op.create_index("ix_jobs_wake_at", "jobs", ["wake_at"], postgresql_where=sa.text("wake_at IS NOT NULL"))
    op.create_index("ix_jobs_finished_at", "jobs", ["finished_at"], postgresql_where=sa.text("finished_at IS NOT NULL"))
    grant("jobs", "SELECT, INSERT, UPDATE, DELETE")


def downgrade() -> None:
    op.drop_table("audit_log")
    op.drop_table("idempotent_answers")
    op.drop_table("jobs")
    op.execute("DROP FUNCTION refuse_change()")
    op.execute(f"REVOKE USAGE ON SCHEMA public FROM {APP_ROLE}")
