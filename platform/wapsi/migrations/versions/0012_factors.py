"""Second factors and passkeys; a session knows how it began, and one that ended is found by when it did."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from wapsi.migrations.grants import grant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_SUBJECT_KINDS = "subject_kind IN ('customer', 'operator')"


def _time(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True))


def _made() -> sa.Column[datetime]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _subject() -> tuple[sa.Column[str], sa.Column[object]]:
    return sa.Column("subject_kind", sa.Text, nullable=False), sa.Column("subject_id", sa.Uuid, nullable=False)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_sessions_revoked_at",
            "sessions",
            ["revoked_at"],
            postgresql_where=sa.text("revoked_at IS NOT NULL"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )
    _create_codes()
    op.create_table(
        "passkeys",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        *_subject(),
        sa.Column("credential_id", sa.LargeBinary, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("sign_count", sa.BigInteger, nullable=False),
        sa.Column("backed_up", sa.Boolean, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        _made(),
        _time("last_used_at"),
        sa.PrimaryKeyConstraint("id", name="pk_passkeys"),
        sa.UniqueConstraint("credential_id", name="uq_passkeys_credential_id"),
        sa.CheckConstraint(_SUBJECT_KINDS, name=op.f("ck_passkeys_subject_kind")),
    )
    op.create_index("ix_passkeys_subject_kind_subject_id", "passkeys", ["subject_kind", "subject_id"])
    grant("passkeys", "SELECT, INSERT, UPDATE, DELETE")
    op.create_table(
        "challenges",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        _time("spent_at"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_challenges"),
    )
    op.create_index("ix_challenges_expires_at", "challenges", ["expires_at"])
    grant("challenges", "SELECT, INSERT, UPDATE, DELETE")
    # What signed in before did so with a password.
    op.add_column("sessions", sa.Column("amr", sa.Text, server_default="pwd", nullable=False))


def _create_codes() -> None:
    op.create_table(
        "totp_factors",
        *_subject(),
        sa.Column("secret_encrypted", sa.LargeBinary, nullable=False),
        _made(),
        _time("confirmed_at"),
        sa.Column("last_step", sa.BigInteger),
        sa.PrimaryKeyConstraint("subject_kind", "subject_id", name="pk_totp_factors"),
        sa.CheckConstraint(_SUBJECT_KINDS, name=op.f("ck_totp_factors_subject_kind")),
    )
    grant("totp_factors", "SELECT, INSERT, UPDATE, DELETE")
    op.create_table(
        "recovery_codes",
        *_subject(),
        sa.Column("code_hash", sa.LargeBinary, nullable=False),
        _made(),
        _time("used_at"),
        sa.PrimaryKeyConstraint("subject_kind", "subject_id", "code_hash", name="pk_recovery_codes"),
        sa.CheckConstraint(_SUBJECT_KINDS, name=op.f("ck_recovery_codes_subject_kind")),
    )
    grant("recovery_codes", "SELECT, INSERT, UPDATE, DELETE")


def downgrade() -> None:
    op.drop_index("ix_sessions_revoked_at", table_name="sessions")
    op.drop_column("sessions", "amr")
    for table in ("challenges", "passkeys", "recovery_codes", "totp_factors"):
        op.drop_table(table)
