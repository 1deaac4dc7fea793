"""Contacts are verified before an account comes into being: codes, sign-ups that wait, messages to people.

A customer has an e-mail, a mobile number, or both; one who was deleted has neither.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from wapsi.migrations.grants import grant

revision = "0011"
down_revision = "0014"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _made(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _customer(table: str) -> list[Any]:
    key = sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=f"fk_{table}_customer_id_customers")
    return [sa.Column("customer_id", sa.Uuid), key]


def upgrade() -> None:
    _create_verifications()
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("recipient_fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("content_encrypted", sa.LargeBinary),
        sa.Column("state", sa.Text, server_default="queued", nullable=False),
        *_customer("messages"),
        _time("expires_at", nullable=False),
        _made("created_at"),
        _time("sent_at"),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.CheckConstraint("channel IN ('email', 'sms')", name=op.f("ck_messages_channel")),
        sa.CheckConstraint("state IN ('queued', 'sent', 'failed')", name=op.f("ck_messages_state")),
    )
    op.create_index("ix_messages_recipient_fingerprint", "messages", ["recipient_fingerprint", "created_at"])
    op.create_index("ix_messages_customer_id", "messages", ["customer_id"])
    op.create_index("ix_messages_created_at", "messages", ["created_at"])
    grant("messages", "SELECT, INSERT, UPDATE, DELETE")

    for column in (sa.Column("phone", sa.Text), _time("email_verified_at"), _time("phone_verified_at")):
        op.add_column("customers", column)
    op.alter_column("customers", "email", nullable=True)
    # Neither looks at the rows that are there while it holds back the traffic; the second step does, beside it.
    op.execute(
        "ALTER TABLE customers ADD CONSTRAINT ck_customers_phone CHECK (phone ~ '^[+][1-9][0-9]{6,14}$') NOT VALID"
    )
    op.execute(
        "ALTER TABLE customers ADD CONSTRAINT ck_customers_contact"
        " CHECK (status = 'deleted' OR email IS NOT NULL OR phone IS NOT NULL) NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE customers VALIDATE CONSTRAINT ck_customers_phone")
        op.execute("ALTER TABLE customers VALIDATE CONSTRAINT ck_customers_contact")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS uq_customers_phone")
        op.execute("CREATE UNIQUE INDEX CONCURRENTLY uq_customers_phone ON customers (phone)")


def _create_verifications() -> None:
    op.create_table(
        "verifications",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("contact_encrypted", sa.LargeBinary, nullable=False),
        sa.Column("locale", sa.Text, nullable=False),
        *_customer("verifications"),
        sa.Column("code_mac", sa.LargeBinary),
        sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
        _time("expires_at", nullable=False),
        _time("answered_at"),
        _time("used_at"),
        _made("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_verifications"),
        sa.CheckConstraint(
            "purpose IN ('sign_up', 'password_reset', 'contact')", name=op.f("ck_verifications_purpose")
        ),
        sa.CheckConstraint("channel IN ('email', 'sms')", name=op.f("ck_verifications_channel")),
    )
    op.create_index("ix_verifications_customer_id", "verifications", ["customer_id"])
    op.create_index("ix_verifications_expires_at", "verifications", ["expires_at"])
    grant("verifications", "SELECT, INSERT, UPDATE, DELETE")
    op.create_table(
        "sign_ups",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("referred_by", sa.Uuid),
        sa.PrimaryKeyConstraint("id", name="pk_sign_ups"),
        sa.ForeignKeyConstraint(["id"], ["verifications.id"], name="fk_sign_ups_id_verifications", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["referred_by"], ["customers.id"], name="fk_sign_ups_referred_by_customers"),
    )
    grant("sign_ups", "SELECT, INSERT, DELETE")


def downgrade() -> None:
    op.drop_table("messages")
    op.drop_table("sign_ups")
    op.drop_table("verifications")
    # Who has no e-mail cannot sign in any more, but their money stays theirs.
    op.execute("UPDATE customers SET email = id || '@phone.invalid' WHERE email IS NULL")
    op.alter_column("customers", "email", nullable=False)
    op.drop_constraint("ck_customers_contact", "customers")
    for column in ("phone", "email_verified_at", "phone_verified_at"):
        op.drop_column("customers", column)
