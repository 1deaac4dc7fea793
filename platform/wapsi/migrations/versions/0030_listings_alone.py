"""Lists are read from offer_listings alone: it holds what they show, and documents lie in a table of their own.

A page of a list otherwise reads twenty offers in as many places of a table that is larger than memory. Rows that are
there already have none of it: `listed_version` is 0 everywhere, and lists go on reading `offers` until a merchant's
listings have been written anew, which the periodic offers.reprice asks for. The release before writes listings without
what they show, and does not move `listed_version`: what it wrote is written once more. Its search goes on without what
is published meanwhile.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from wapsi.migrations.grants import grant

revision = "0030"
down_revision = "0031"
branch_labels = None
depends_on = None

_EMPTY = sa.text("''")
_COLUMNS: tuple[sa.Column[Any], ...] = (
    sa.Column("offer_id", sa.Text, server_default=_EMPTY, nullable=False),
    sa.Column("kind", sa.Text, server_default=sa.text("'product'"), nullable=False),
    sa.Column("title", sa.Text, server_default=_EMPTY, nullable=False),
    sa.Column("image_link", sa.Text, server_default=_EMPTY, nullable=False),
    sa.Column("full_price_minor", sa.BigInteger),
    sa.Column("sale_price_minor", sa.BigInteger),
    sa.Column("sale_starts_at", sa.DateTime(timezone=True)),
    sa.Column("sale_ends_at", sa.DateTime(timezone=True)),
    sa.Column("shown_brand", sa.Text, server_default=_EMPTY, nullable=False),
    sa.Column("shown_category", sa.Text, server_default=_EMPTY, nullable=False),
    sa.Column("rate_category", sa.Text, server_default=_EMPTY, nullable=False),
    sa.Column("cashback_eligible", sa.Boolean, server_default=sa.true(), nullable=False),
    sa.Column("coupon_code", sa.Text, server_default=_EMPTY, nullable=False),
    sa.Column("ends_at", sa.DateTime(timezone=True)),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
)
_INDEXES = ("brand", "category")


def upgrade() -> None:
    # Where it is broken off, it begins anew, without what was left half made.
    with op.get_context().autocommit_block():
        for column in _INDEXES:
            name = f"ix_offer_listings_merchant_id_{column}_id"
            op.drop_index(name, "offer_listings", postgresql_concurrently=True, if_exists=True)
            op.create_index(
                name,
                "offer_listings",
                ["merchant_id", column, "id"],
                postgresql_concurrently=True,
                if_not_exists=True,
                postgresql_where=sa.text(f"{column} <> ''"),
            )
    op.create_table(
        "offer_documents",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("quality", sa.SmallInteger, nullable=False),
        sa.Column("document", TSVECTOR, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_offer_documents"),
    )
    op.execute("INSERT INTO offer_documents SELECT id, quality, document FROM offer_listings")
    op.create_index("ix_offer_documents_document", "offer_documents", ["document"], postgresql_using="gin")
    grant("offer_documents", "SELECT, INSERT, UPDATE, DELETE")
    # Last, as from here on nobody else reads listings.
    op.add_column("catalogues", sa.Column("listed_version", sa.BigInteger, server_default=sa.text("0"), nullable=False))
    for added in _COLUMNS:
        op.add_column("offer_listings", added)
    op.alter_column("offer_listings", "document", nullable=True)


def downgrade() -> None:
    for column in _INDEXES:
        op.drop_index(f"ix_offer_listings_merchant_id_{column}_id", "offer_listings", if_exists=True)
    op.execute(
        "UPDATE offer_listings l SET document = d.document FROM offer_documents d"
        " WHERE d.id = l.id AND l.document IS NULL"
    )
    op.execute("DELETE FROM offer_listings WHERE document IS NULL")
    op.alter_column("offer_listings", "document", nullable=False)
    op.drop_table("offer_documents")
    for added in reversed(_COLUMNS):
        op.drop_column("offer_listings", added.name)
    op.drop_column("catalogues", "listed_version")
