"""What shoppers filter, sort and search by, and how often each value occurs."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, PrimaryKeyConstraint, SmallInteger, Text, text, true
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base

# Behind the id they order nothing. But of an offer that costs too little the index says so, and its row is not read (a
# brand may have a hundred thousand offers of which ten are asked for); and what is sorted by price is in the index.
_PRICES = ("currency", "price_minor", "net_minor")
_NOT_IN_STOCK = text("availability <> 'in_stock'")
EmptyText = Annotated[str, mapped_column(server_default="")]


class OfferListingRow(Base):
    """What shoppers filter, sort and search by: a row an active offer, written by the job that follows publications.

    Beside the offer and not in it, so that a merge does not wait for these indexes. `price_minor` is what is paid now,
    `net_minor` that less the cashback of a customer of whom the merchant says nothing; both until `changes_at`.
    `brand` and `category` are in lower case, a category's levels joined by ' > '. `quality` counts what speaks for the
    offer (0 to 4). From `offer_id` on it is what a list shows of the offer, as it is there: a page reads these rows
    alone, which are narrow, so that all of them stay in memory. `document` and its index are for the release before,
    and go with the next.
    """

    __tablename__ = "offer_listings"
    __table_args__ = (
        Index("ix_offer_listings_document", "document", postgresql_using="gin"),
        *(
            Index(
                f"ix_offer_listings_{'_'.join(columns)}_id_prices",
                *(*columns, "id", *_PRICES),
                postgresql_where=text(f"{columns[-1]} <> ''"),
            )
            for columns in (("brand",), ("category",), ("merchant_id", "brand"), ("merchant_id", "category"))
        ),
        *(
            Index(f"ix_offer_listings_{'_'.join(columns)}", *columns, postgresql_where=text(f"{column} <> ''"))
            for column in ("brand", "category")
            for columns in ((column, "currency", "price_minor", "id"), (column, "currency", "net_minor", "id"))
        ),
        *(
            Index(f"ix_offer_listings_{'_'.join(columns)}_id", *columns, "id")
            for price in ("price_minor", "net_minor")
            for columns in (("currency", price), ("merchant_id", "currency", price))
        ),
        Index("ix_offer_listings_availability_id", "availability", "id", postgresql_where=_NOT_IN_STOCK),
        Index("ix_offer_listings_changes_at", "changes_at", postgresql_where=text("changes_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    merchant_id: Mapped[UUID]
    currency: Mapped[str | None]
    price_minor: Mapped[int | None] = mapped_column(BigInteger)
    net_minor: Mapped[int | None] = mapped_column(BigInteger)
    quality: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    brand: Mapped[EmptyText]
    # Sorted by bytes: what lies below a level is a range.
    category: Mapped[str] = mapped_column(Text(collation="C"), server_default="")
    availability: Mapped[str]
    changes_at: Mapped[datetime | None]
    document: Mapped[Any | None] = mapped_column(TSVECTOR)
    offer_id: Mapped[EmptyText]
    kind: Mapped[str] = mapped_column(server_default="product")
    title: Mapped[EmptyText]
    image_link: Mapped[EmptyText]
    # Without a sale.
    full_price_minor: Mapped[int | None] = mapped_column(BigInteger)
    sale_price_minor: Mapped[int | None] = mapped_column(BigInteger)
    sale_starts_at: Mapped[datetime | None]
    sale_ends_at: Mapped[datetime | None]
    shown_brand: Mapped[EmptyText]
    shown_category: Mapped[EmptyText]
    rate_category: Mapped[EmptyText]
    cashback_eligible: Mapped[bool] = mapped_column(server_default=true())
    coupon_code: Mapped[EmptyText]
    ends_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]


class OfferDocumentRow(Base):
    """The words by which a listed offer is found: what `document` holds is said in service/documents.py.

    A partition a sample, the larger ones in parts: what most searches read lies together. The sample is part of the
    key, so only its writers (INDEX_BATCH) see to it that an offer is in no more than one.
    """

    __tablename__ = "offer_documents"
    __table_args__ = (
        PrimaryKeyConstraint("id", "sample"),
        Index("ix_offer_documents_document", "document", postgresql_using="gin"),
        {"postgresql_partition_by": "LIST (sample)"},
    )

    id: Mapped[UUID]
    quality: Mapped[int] = mapped_column(SmallInteger)
    document: Mapped[Any] = mapped_column(TSVECTOR)
    # 2: the smallest one.
    sample: Mapped[int] = mapped_column(SmallInteger)


class FacetCountRow(Base):
    """In how many listed offers of a merchant a brand, a category or a word of a title occurs."""

    __tablename__ = "facet_counts"
    __table_args__ = (
        PrimaryKeyConstraint("merchant_id", "kind", "value"),
        Index("ix_facet_counts_kind_value", "kind", "value", postgresql_ops={"value": "text_pattern_ops"}),
        CheckConstraint("kind IN ('brand', 'category', 'word')", name="kind"),
    )

    merchant_id: Mapped[UUID]
    kind: Mapped[str]
    value: Mapped[str]
    offers: Mapped[int]
