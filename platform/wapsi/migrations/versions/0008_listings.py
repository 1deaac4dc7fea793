"""What shoppers filter, sort and search by: a row an offer, beside the offer, and how often each value occurs.

Search is empty until it has been built anew: `indexed_version` goes back to 0, and the periodic offers.reprice notices
and enqueues what follows (docs/deployment.md). The previous release's search fails from here on; its listings go on.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from wapsi.migrations.grants import APP_ROLE, grant

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

EMPTY = sa.text("''")
ZERO = sa.text("0")

# The words of a text: lower case, one space between them, nothing in them that a tsvector would read as its own
# syntax. U+001F stays: it stands between the fields of an offer. Its twin for queries is in
# domains/offers/service/words.py; a test keeps them alike.
_ARABIC_LETTERS = "\u064a\u0649\u0643\u0647\u0629\u06c0\u06c3" + "".join(
    map(chr, [*range(0x660, 0x66A), *range(0x6F0, 0x6FA)])
)
_URDU_LETTERS = "\u06cc\u06cc\u06a9\u06c1\u06c1\u06c1\u06c1" + "01234567890123456789"
_SEARCH_WORDS = rf"""
CREATE FUNCTION search_words(given text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE words text := given;
BEGIN
    IF octet_length(words) <> char_length(words) THEN
        IF words IS NOT NFKC NORMALIZED THEN
            words := normalize(words, NFKC);
        END IF;
        IF words ~ '[\u0610-\u06FF]' THEN
            words := regexp_replace(words, '[\u0610-\u061A\u0640\u064B-\u065F\u0670\u06D6-\u06ED]+', '', 'g');
            words := translate(words, '{_ARABIC_LETTERS}', '{_URDU_LETTERS}');
        END IF;
    END IF;
    words := regexp_replace(lower(words COLLATE pg_c_utf8),
        '[\u0001-\u001E\u0020-\u002F\u003A-\u0040\u005B-\u0060\u007B-\u00BF'
        '\u00D7\u00F7\u0600-\u060F\u061B-\u061F\u066A-\u066D\u06D4\u2000-\u206F\u2190-\u2BFF\u3000-\u303F'
        '\uFE00-\uFE0F\uFF00-\uFF0F]+', ' ', 'g');
    IF char_length(words) > 250 AND words ~ '[^ ]{{251}}' THEN
        words := regexp_replace(words, '([^ ]{{250}})', '\1 ', 'g');
    END IF;
    RETURN btrim(words);
END $$
"""
# One spelling for the many of Roman Urdu, on what search_words returned.
_FOLDINGS = (
    ("ee", "i"),
    ("oo", "u"),
    ("ay", "e"),
    ("ey", "e"),
    *((2 * letter, letter) for letter in "abcdfgijklmnprstuz"),
)
_FOLDED = "words"
for _spelling, _one in _FOLDINGS:
    _FOLDED = f"replace({_FOLDED}, '{_spelling}', '{_one}')"
_SEARCH_FOLD = f"""
CREATE FUNCTION search_fold(words text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN translate({_FOLDED}, 'ywq', 'ivk')
"""


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True))


def upgrade() -> None:
    op.execute(_SEARCH_WORDS)
    op.execute(_SEARCH_FOLD)
    for name in ("search_words", "search_fold"):
        op.execute(f"GRANT EXECUTE ON FUNCTION {name}(text) TO {APP_ROLE}")
    op.add_column("merchants", sa.Column("revision", sa.BigInteger, server_default=ZERO, nullable=False))
    op.add_column("catalogues", sa.Column("priced_version", sa.Integer))
    _create_listings()
    op.create_table(
        "facet_counts",
        sa.Column("merchant_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("offers", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "kind", "value", name="pk_facet_counts"),
        sa.CheckConstraint("kind IN ('brand', 'category', 'word')", name=op.f("ck_facet_counts_kind")),
    )
    op.create_index(
        "ix_facet_counts_kind_value", "facet_counts", ["kind", "value"], postgresql_ops={"value": "text_pattern_ops"}
    )
    grant("facet_counts", "SELECT, INSERT, UPDATE, DELETE")
    op.drop_table("offer_documents")
    op.execute("UPDATE catalogues SET indexed_version = 0")
    with op.get_context().autocommit_block():
        op.drop_index("ix_offers_currency_price_minor_id", "offers", postgresql_concurrently=True)


def _create_listings() -> None:
    op.create_table(
        "offer_listings",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("merchant_id", sa.Uuid, nullable=False),
        sa.Column("currency", sa.Text),
        sa.Column("price_minor", sa.BigInteger),
        sa.Column("net_minor", sa.BigInteger),
        sa.Column("quality", sa.SmallInteger, server_default=ZERO, nullable=False),
        sa.Column("brand", sa.Text, server_default=EMPTY, nullable=False),
        # Sorted by bytes: what lies below a level is a range.
        sa.Column("category", sa.Text(collation="C"), server_default=EMPTY, nullable=False),
        sa.Column("availability", sa.Text, nullable=False),
        _time("changes_at"),
        sa.Column("document", TSVECTOR, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_offer_listings"),
    )
    op.create_index("ix_offer_listings_document", "offer_listings", ["document"], postgresql_using="gin")
    for columns, where in (
        (["brand", "id"], "brand <> ''"),
        (["category", "id"], "category <> ''"),
        (["brand", "currency", "price_minor", "id"], "brand <> ''"),
        (["brand", "currency", "net_minor", "id"], "brand <> ''"),
        (["category", "currency", "price_minor", "id"], "category <> ''"),
        (["category", "currency", "net_minor", "id"], "category <> ''"),
        (["currency", "price_minor", "id"], None),
        (["currency", "net_minor", "id"], None),
        (["merchant_id", "currency", "price_minor", "id"], None),
        (["merchant_id", "currency", "net_minor", "id"], None),
        (["availability", "id"], "availability <> 'in_stock'"),
        (["changes_at"], "changes_at IS NOT NULL"),
    ):
        op.create_index(
            f"ix_offer_listings_{'_'.join(columns)}",
            "offer_listings",
            columns,
            postgresql_where=None if where is None else sa.text(where),
        )
    grant("offer_listings", "SELECT, INSERT, UPDATE, DELETE")


def downgrade() -> None:
    op.create_table(
        "offer_documents",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("document", TSVECTOR, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_offer_documents"),
    )
    op.create_index("ix_offer_documents_document", "offer_documents", ["document"], postgresql_using="gin")
    grant("offer_documents", "SELECT, INSERT, UPDATE, DELETE")
    # Each merchant's next publication fills it.
    op.execute("UPDATE catalogues SET indexed_version = 0")
    op.drop_table("facet_counts")
    op.drop_table("offer_listings")
    op.drop_column("catalogues", "priced_version")
    op.drop_column("merchants", "revision")
    op.execute("DROP FUNCTION search_fold(text)")
    op.execute("DROP FUNCTION search_words(text)")
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_offers_currency_price_minor_id",
            "offers",
            ["currency", "price_minor", "id"],
            postgresql_where=sa.text("status = 'active'"),
            postgresql_concurrently=True,
        )
