"""How each network's messages are read, addresses for those that sign nothing, and files of sales."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from wapsi.migrations.grants import grant

revision = "0017"
down_revision = "0019"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
_COUNTS = ("rows", "applied", "ignored", "unknown_status", "refused", "repeated")


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, server_default=default, nullable=False)


def upgrade() -> None:
    op.create_table(
        "network_adapters",
        sa.Column("network_id", sa.Uuid, nullable=False),
        _text("kind"),
        sa.Column("settings", JSONB, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("allowed_addresses", ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("token_hash", sa.LargeBinary),
        sa.Column("token_previous_hash", sa.LargeBinary),
        sa.Column("token_previous_until", sa.DateTime(timezone=True)),
        _text("updated_by"),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("network_id", name="pk_network_adapters"),
        sa.ForeignKeyConstraint(
            ["network_id"], ["affiliate_networks.id"], name="fk_network_adapters_network_id_affiliate_networks"
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_network_adapters_version")),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_network_adapters_token_hash")),
        sa.CheckConstraint(
            "octet_length(token_previous_hash) = 32", name=op.f("ck_network_adapters_token_previous_hash")
        ),
        sa.CheckConstraint(
            "(token_previous_hash IS NULL) = (token_previous_until IS NULL)",
            name=op.f("ck_network_adapters_token_previous"),
        ),
    )
    grant("network_adapters", "SELECT, INSERT, UPDATE")
    _files()


def _files() -> None:
    op.create_table(
        "sales_files",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("network_id", sa.Uuid, nullable=False),
        *(_text(name) for name in ("request_id", "name", "format")),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        _text("state"),
        *(sa.Column(name, sa.Integer, server_default="0", nullable=False) for name in _COUNTS),
        _text("error", ""),
        _text("created_by"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_sales_files"),
        sa.UniqueConstraint("network_id", "request_id", name="uq_sales_files_network_id_request_id"),
        sa.ForeignKeyConstraint(
            ["network_id"], ["affiliate_networks.id"], name="fk_sales_files_network_id_affiliate_networks"
        ),
        sa.CheckConstraint("format IN ('csv', 'jsonl')", name=op.f("ck_sales_files_format")),
        sa.CheckConstraint("state IN ('queued', 'done', 'failed')", name=op.f("ck_sales_files_state")),
        sa.CheckConstraint("octet_length(sha256) = 32", name=op.f("ck_sales_files_sha256")),
    )
    grant("sales_files", "SELECT, INSERT, UPDATE")
    op.create_table(
        "sales_file_pieces",
        sa.Column("file_id", sa.Uuid, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("file_id", "position", name="pk_sales_file_pieces"),
        sa.ForeignKeyConstraint(["file_id"], ["sales_files.id"], name="fk_sales_file_pieces_file_id_sales_files"),
    )
    grant("sales_file_pieces", "SELECT, INSERT, DELETE")
    op.create_table(
        "sales_file_lines",
        sa.Column("file_id", sa.Uuid, nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        _text("sale"),
        sa.Column("event_id", sa.Uuid, nullable=False),
        *(_text(name) for name in ("outcome", "reason", "message")),
        sa.Column("repeated", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("file_id", "line", name="pk_sales_file_lines"),
        sa.ForeignKeyConstraint(["file_id"], ["sales_files.id"], name="fk_sales_file_lines_file_id_sales_files"),
        sa.CheckConstraint(
            "outcome IN ('applied', 'ignored', 'unknown_status', 'refused')", name=op.f("ck_sales_file_lines_outcome")
        ),
    )
    grant("sales_file_lines", "SELECT, INSERT")


def downgrade() -> None:
    """Settings of networks and reports of files are lost; what the files brought stays."""
    for table in ("sales_file_lines", "sales_file_pieces", "sales_files", "network_adapters"):
        op.drop_table(table)
