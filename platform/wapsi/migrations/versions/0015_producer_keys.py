"""Producers have several keys, so that one is replaced without a moment in which none is good.

The columns on `producers` stay for processes of the release before: what they write is copied here by a trigger. What
is made from now on has no hash there, so they refuse it until they are replaced.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from wapsi.migrations.grants import grant

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None

# The scopes are what every key was good for until now.
_COPY = """
INSERT INTO producer_keys (prefix, producer_id, hash, scopes, created_at, expires_at, revoked_at, last_used_at)
SELECT key_prefix, id, key_hash,
    '{conversions:report,merchants:read,syncs:read,syncs:write}',
    created_at, expires_at, revoked_at, last_used_at FROM producers
"""
_COPY_BACK = """
UPDATE producers SET key_prefix = k.prefix, key_hash = k.hash, expires_at = k.expires_at
FROM (
    SELECT DISTINCT ON (producer_id) producer_id, prefix, hash, expires_at FROM producer_keys
    WHERE revoked_at IS NULL AND certificate_sha256 IS NULL
    AND scopes @> '{conversions:report,merchants:read,syncs:read,syncs:write}'
    ORDER BY producer_id, created_at DESC, prefix
) k WHERE k.producer_id = producers.id AND octet_length(producers.key_hash) = 0
"""
_FUNCTION = """
CREATE FUNCTION copy_producer_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        UPDATE producer_keys SET revoked_at = now() WHERE prefix = OLD.key_prefix AND revoked_at IS NULL;
    END IF;
    INSERT INTO producer_keys (prefix, producer_id, hash, scopes, expires_at)
    VALUES (NEW.key_prefix, NEW.id, NEW.key_hash,
        '{conversions:report,merchants:read,syncs:read,syncs:write}', NEW.expires_at);
    RETURN NULL;
END $$
"""
_TRIGGERS = (
    """
CREATE TRIGGER copy_new_producer_key AFTER INSERT ON producers
FOR EACH ROW WHEN (octet_length(NEW.key_hash) > 0) EXECUTE FUNCTION copy_producer_key()
""",
    """
CREATE TRIGGER copy_rotated_producer_key AFTER UPDATE ON producers
FOR EACH ROW WHEN (OLD.key_hash <> NEW.key_hash AND octet_length(NEW.key_hash) > 0)
EXECUTE FUNCTION copy_producer_key()
""",
)


def _text(sql: str) -> str:
    return sql.replace(":", r"\:")


def upgrade() -> None:
    op.create_table(
        "producer_keys",
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("producer_id", sa.Uuid, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        sa.Column("certificate_sha256", sa.LargeBinary),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        *(sa.Column(name, sa.DateTime(timezone=True)) for name in ("expires_at", "revoked_at", "last_used_at")),
        sa.PrimaryKeyConstraint("prefix", name="pk_producer_keys"),
        sa.ForeignKeyConstraint(["producer_id"], ["producers.id"], name="fk_producer_keys_producer_id_producers"),
        sa.CheckConstraint("cardinality(scopes) > 0", name=op.f("ck_producer_keys_scopes")),
        sa.CheckConstraint("octet_length(hash) = 32", name=op.f("ck_producer_keys_hash")),
        sa.CheckConstraint("octet_length(certificate_sha256) = 32", name=op.f("ck_producer_keys_certificate_sha256")),
    )
    op.create_index("ix_producer_keys_producer_id", "producer_keys", ["producer_id"])
    grant("producer_keys", "SELECT, INSERT, UPDATE")
    op.execute(_text(_FUNCTION))
    for trigger in _TRIGGERS:
        op.execute(_text(trigger))
    op.execute(_text(_COPY))


def downgrade() -> None:
    """Of the keys made since, each producer keeps the newest one that may do all: the release before knows one, and
    neither scopes nor certificates."""
    op.execute("DROP TRIGGER copy_rotated_producer_key ON producers")
    op.execute("DROP TRIGGER copy_new_producer_key ON producers")
    op.execute("DROP FUNCTION copy_producer_key()")
    op.execute(_text(_COPY_BACK))
    op.drop_table("producer_keys")
