"""Syncs, catalogues and offers."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

from wapsi.migrations.grants import grant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
ZERO = sa.text("0")
EMPTY = sa.text("''")


def _time(name: str, *, nullable: bool = True, default: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=NOW if default else None)


def _count(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, server_default=ZERO, nullable=False)


def _text(name: str, *, nullable: bool = False, default: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=nullable, server_default=EMPTY if default else None)


def _of_sync() -> sa.Column[Any]:
    return sa.Column("sync_id", sa.Uuid, sa.ForeignKey("syncs.id", ondelete="CASCADE"), nullable=False)


def upgrade() -> None:
    _create_syncs()
    op.create_table(
        "catalogues",
        sa.Column("merchant_id", sa.Uuid, sa.ForeignKey("merchants.id"), nullable=False),
        _count("version"),
        _count("indexed_version"),
        _time("source_time_floor"),
        _time("last_full_seen_at"),
        _time("published_at"),
        _time("indexed_at"),
        sa.PrimaryKeyConstraint("merchant_id", name="pk_catalogues"),
    )
    grant("catalogues", "SELECT, INSERT, UPDATE")
    _create_offers()
    op.create_table(
        "offer_documents",
        sa.Column("id", sa.Uuid, sa.ForeignKey("offers.id", ondelete="CASCADE"), nullable=False),
        sa.Column("document", TSVECTOR, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_offer_documents"),
    )
    op.create_index("ix_offer_documents_document", "offer_documents", ["document"], postgresql_using="gin")
    grant("offer_documents", "SELECT, INSERT, UPDATE, DELETE")
    op.create_table(
        "offer_prices",
        sa.Column("id", sa.Uuid, sa.ForeignKey("offers.id", ondelete="CASCADE"), nullable=False),
        _time("valid_from", nullable=False),
        _time("valid_until", nullable=False),
        sa.Column("price_minor", sa.BigInteger),
        sa.Column("sale_price_minor", sa.BigInteger),
        _text("currency", nullable=True),
        sa.PrimaryKeyConstraint("id", "valid_from", name="pk_offer_prices"),
    )
    grant("offer_prices", "SELECT, INSERT")


def _create_syncs() -> None:
    op.create_table(
        "syncs",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("merchant_id", sa.Uuid, sa.ForeignKey("merchants.id"), nullable=False),
        _text("request_id"),
        _text("mode"),
        _text("state"),
        _text("source", default=True),
        _time("as_of", nullable=False),
        _text("created_by"),
        sa.Column("upload_options", JSONB),
        _count("committed_offset"),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        _text("approved_by", nullable=True),
        *(_count(name) for name in ("processed", "created", "updated", "unchanged", "withdrawn_by_item")),
        *(_count(name) for name in ("stale", "duplicates", "rejected", "withdrawn_unseen", "warnings")),
        _text("reason", default=True),
        _text("message", default=True),
        sa.Column("catalogue_version", sa.BigInteger),
        _text("trace_id", nullable=True),
        _time("created_at", nullable=False, default=True),
        *(_time(name) for name in ("queued_at", "started_at", "finished_at")),
        sa.PrimaryKeyConstraint("id", name="pk_syncs"),
        sa.UniqueConstraint("merchant_id", "request_id", name="uq_syncs_merchant_id_request_id"),
        sa.CheckConstraint(
            "state IN ('open', 'queued', 'processing', 'succeeded', 'partial', 'failed', 'quarantined', 'cancelled')",
            name=op.f("ck_syncs_state"),
        ),
        sa.CheckConstraint("mode IN ('full', 'incremental')", name=op.f("ck_syncs_mode")),
    )
    op.create_index("ix_syncs_merchant_id_id", "syncs", ["merchant_id", "id"])
    grant("syncs", "SELECT, INSERT, UPDATE")
    op.create_table(
        "sync_chunks",
        _of_sync(),
        sa.Column("first_offset", sa.BigInteger, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sync_id", "first_offset", name="pk_sync_chunks"),
    )
    op.create_table(
        "sync_uploads",
        _of_sync(),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sync_id", "position", name="pk_sync_uploads"),
    )
    # Compressed by us (zstd) or by the sender: the server's attempt would cost time and win nothing.
    op.execute("ALTER TABLE sync_chunks ALTER COLUMN payload SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE sync_uploads ALTER COLUMN data SET STORAGE EXTERNAL")
    op.create_table(
        "sync_issues",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        _of_sync(),
        sa.Column("item_offset", sa.BigInteger, nullable=False),
        sa.Column("line", sa.BigInteger, nullable=False),
        *(_text(name) for name in ("offer_id", "severity", "code", "field", "message", "value")),
        sa.PrimaryKeyConstraint("id", name="pk_sync_issues"),
        sa.CheckConstraint("severity IN ('warning', 'error')", name=op.f("ck_sync_issues_severity")),
    )
    op.create_index("ix_sync_issues_sync_id_id", "sync_issues", ["sync_id", "id"])
    for table in ("sync_chunks", "sync_uploads", "sync_issues"):
        grant(table, "SELECT, INSERT, DELETE")


def _create_offers() -> None:
    op.create_table(
        "offers",
        sa.Column("id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.Column("merchant_id", sa.Uuid, sa.ForeignKey("merchants.id"), nullable=False),
        _text("offer_id"),
        _text("status"),
        _time("source_time", nullable=False),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("catalogue_version", sa.BigInteger, nullable=False),
        _time("first_seen_at", nullable=False),
        _time("last_seen_at", nullable=False),
        _time("price_since", nullable=False),
        *(_text(name) for name in ("kind", "title", "description", "link", "image_link")),
        sa.Column("additional_image_links", ARRAY(sa.Text), nullable=False),
        sa.Column("price_minor", sa.BigInteger),
        _text("currency", nullable=True),
        sa.Column("sale_price_minor", sa.BigInteger),
        _time("sale_starts_at"),
        _time("sale_ends_at"),
        _text("availability"),
        _time("expires_at"),
        sa.Column("gtins", ARRAY(sa.Text), nullable=False),
        *(_text(name) for name in ("mpn", "brand", "item_group_id", "google_product_category")),
        sa.Column("product_types", ARRAY(sa.Text), nullable=False),
        *(_text(name) for name in ("condition", "color", "size", "gender", "age_group")),
        sa.Column("adult", sa.Boolean, nullable=False),
        _text("rate_category"),
        sa.Column("cashback_eligible", sa.Boolean, nullable=False),
        sa.Column("custom_attributes", JSONB, nullable=False),
        _text("coupon_code"),
        _time("starts_at"),
        _time("ends_at"),
        sa.PrimaryKeyConstraint("id", name="pk_offers"),
        sa.UniqueConstraint("merchant_id", "offer_id", name="uq_offers_merchant_id_offer_id"),
        sa.CheckConstraint("status IN ('active', 'withdrawn')", name=op.f("ck_offers_status")),
    )
    op.create_index("ix_offers_merchant_id_catalogue_version", "offers", ["merchant_id", "catalogue_version"])
    op.create_index(
        "ix_offers_currency_price_minor_id",
        "offers",
        ["currency", "price_minor", "id"],
        postgresql_where=sa.text("status = 'active'"),
    )
    grant("offers", "SELECT, INSERT, UPDATE")


def downgrade() -> None:
    for table in (
        "offer_prices",
        "offer_documents",
        "offers",
        "catalogues",
        "sync_issues",
        "sync_uploads",
        "sync_chunks",
        "syncs",
    ):
        op.drop_table(table)
