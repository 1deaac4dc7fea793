"""Chunks carry an index of their items, publications keep what they replaced, and enqueued jobs are announced.

The columns of a chunk's index have defaults, so that the previous release can go on writing chunks while this one
starts; a sync with such chunks fails (PROCESSING_FAILED) and is pushed again.

Rows that are written 50,000 at a time lose their foreign keys, which cost a quarter of a first load: the application
may delete neither merchants nor offers (docs/decisions/0008).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from wapsi.migrations.grants import grant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INDEX_COLUMNS = (
    ("offer_ids", sa.Text),
    ("content_hashes", sa.LargeBinary),
    ("source_times", sa.LargeBinary),
    ("kinds", sa.LargeBinary),
)


def upgrade() -> None:
    for name, kind in _INDEX_COLUMNS:
        op.add_column("sync_chunks", sa.Column(name, kind, server_default=sa.text("''"), nullable=False))
        # Read once and thrown away: compressing them wins nothing.
        op.execute(f"ALTER TABLE sync_chunks ALTER COLUMN {name} SET STORAGE EXTERNAL")
    op.drop_constraint("ck_syncs_mode", "syncs")
    op.create_check_constraint(op.f("ck_syncs_mode"), "syncs", "mode IN ('full', 'incremental', 'rollback')")
    op.drop_constraint("offers_merchant_id_fkey", "offers")
    op.drop_constraint("offer_documents_id_fkey", "offer_documents")
    op.drop_constraint("offer_prices_id_fkey", "offer_prices")
    op.add_column("catalogues", sa.Column("revertible_version", sa.BigInteger))
    op.add_column("catalogues", sa.Column("feed_sync_id", sa.Uuid))
    op.add_column("syncs", sa.Column("feed_digest", sa.LargeBinary))
    for name, default in _OFFER_DEFAULTS.items():
        op.execute(f"ALTER TABLE offers ALTER COLUMN {name} SET DEFAULT {default}")
    _create_revisions()
    op.create_table(
        "running_publications",
        sa.Column("merchant_id", sa.Uuid, sa.ForeignKey("merchants.id"), nullable=False),
        sa.Column("first_id", sa.Uuid, server_default=sa.func.uuidv7(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", name="pk_running_publications"),
    )
    grant("running_publications", "SELECT, INSERT, UPDATE, DELETE")
    op.execute(_ANNOUNCE)
    op.execute("CREATE TRIGGER announce_jobs AFTER INSERT ON jobs FOR EACH STATEMENT EXECUTE FUNCTION announce_jobs()")
    # Search follows a publication in the order of this index, a batch at a time.
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_offers_merchant_id_catalogue_version_id",
            "offers",
            ["merchant_id", "catalogue_version", "id"],
            postgresql_concurrently=True,
        )
        op.drop_index("ix_offers_merchant_id_catalogue_version", "offers", postgresql_concurrently=True)
        op.create_index(
            "ix_offers_merchant_id_id",
            "offers",
            ["merchant_id", "id"],
            postgresql_where=sa.text("status = 'active'"),
            postgresql_concurrently=True,
        )


# A column that has its default in all rows of a batch is left out of the COPY.
_OFFER_DEFAULTS = {
    **dict.fromkeys(("first_seen_at", "last_seen_at", "price_since"), "now()"),
    **dict.fromkeys(("additional_image_links", "gtins", "product_types", "custom_attributes"), "'{}'"),
    **dict.fromkeys(("title", "description", "link", "image_link", "mpn", "brand", "item_group_id"), "''"),
    **dict.fromkeys(("google_product_category", "condition", "color", "size", "gender", "age_group"), "''"),
    **dict.fromkeys(("rate_category", "coupon_code"), "''"),
    "status": "'active'",
    "kind": "'product'",
    "availability": "'in_stock'",
    "adult": "false",
    "cashback_eligible": "true",
}

_ANNOUNCE = """
CREATE FUNCTION announce_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('wapsi_jobs', '');
    RETURN NULL;
END $$
"""


def _create_revisions() -> None:
    """All of an offer's columns, as they were before the publication `replaced_in`."""
    moments = ("source_time", "first_seen_at", "last_seen_at", "price_since")
    optional_moments = ("sale_starts_at", "sale_ends_at", "expires_at", "starts_at", "ends_at")
    op.create_table(
        "offer_revisions",
        sa.Column("replaced_in", sa.BigInteger, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("merchant_id", sa.Uuid, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("offer_id", "status")),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=False) for name in moments),
        *(sa.Column(name, sa.DateTime(timezone=True)) for name in optional_moments),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("catalogue_version", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("kind", "title", "description", "link", "image_link")),
        *(
            sa.Column(name, ARRAY(sa.Text), nullable=False)
            for name in ("additional_image_links", "gtins", "product_types")
        ),
        *(sa.Column(name, sa.BigInteger) for name in ("price_minor", "sale_price_minor")),
        sa.Column("currency", sa.Text),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("availability", "mpn", "brand", "item_group_id")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("google_product_category", "condition", "color")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("size", "gender", "age_group", "rate_category")),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("adult", "cashback_eligible")),
        sa.Column("custom_attributes", JSONB, nullable=False),
        sa.Column("coupon_code", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "replaced_in", "id", name="pk_offer_revisions"),
    )
    grant("offer_revisions", "SELECT, INSERT, DELETE")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_offers_merchant_id_catalogue_version",
            "offers",
            ["merchant_id", "catalogue_version"],
            postgresql_concurrently=True,
        )
        op.drop_index("ix_offers_merchant_id_catalogue_version_id", "offers", postgresql_concurrently=True)
        op.drop_index("ix_offers_merchant_id_id", "offers", postgresql_concurrently=True)
    op.drop_table("running_publications")
    op.execute("DROP TRIGGER announce_jobs ON jobs")
    op.execute("DROP FUNCTION announce_jobs()")
    for name in _OFFER_DEFAULTS:
        op.execute(f"ALTER TABLE offers ALTER COLUMN {name} DROP DEFAULT")
    op.drop_table("offer_revisions")
    op.drop_column("syncs", "feed_digest")
    op.drop_column("catalogues", "feed_sync_id")
    op.drop_column("catalogues", "revertible_version")
    for table, column, target in (
        ("offers", "merchant_id", "merchants"),
        ("offer_documents", "id", "offers"),
        ("offer_prices", "id", "offers"),
    ):
        name = f"{table}_{column}_fkey"
        on_delete = None if target == "merchants" else "CASCADE"
        op.create_foreign_key(name, table, target, [column], ["id"], ondelete=on_delete)
    op.execute("UPDATE syncs SET mode = 'incremental' WHERE mode = 'rollback'")
    op.drop_constraint("ck_syncs_mode", "syncs")
    op.create_check_constraint(op.f("ck_syncs_mode"), "syncs", "mode IN ('full', 'incremental')")
    for name, _kind in _INDEX_COLUMNS:
        op.drop_column("sync_chunks", name)
