"""Tables of the offers domain, and the states of a sync and an offer."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID
from wapsi.state import StateMachine


class SyncMode(StrEnum):
    FULL = "full"
    INCREMENTAL = "incremental"


class SyncState(StrEnum):
    OPEN = "open"
    QUEUED = "queued"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"


_S = SyncState
SYNC_STATES = StateMachine(
    "sync",
    {
        _S.OPEN: [_S.QUEUED, _S.CANCELLED, _S.FAILED],
        _S.QUEUED: [_S.PROCESSING, _S.CANCELLED, _S.FAILED],
        _S.PROCESSING: [_S.SUCCEEDED, _S.PARTIAL, _S.FAILED, _S.QUARANTINED],
        # Approved it is queued again and publishes; discarded it is cancelled.
        _S.QUARANTINED: [_S.QUEUED, _S.CANCELLED],
    },
)
# Nothing more happens by itself.
SETTLED_SYNC_STATES = frozenset({_S.SUCCEEDED, _S.PARTIAL, _S.FAILED, _S.QUARANTINED, _S.CANCELLED})


class OfferStatus(StrEnum):
    ACTIVE = "active"
    WITHDRAWN = "withdrawn"


class SyncRow(Base):
    """One run that brings a merchant's feed. `committed_offset` items are durable in sync_chunks."""

    __tablename__ = "syncs"
    __table_args__ = (
        UniqueConstraint("merchant_id", "request_id"),
        Index("ix_syncs_merchant_id_id", "merchant_id", "id"),
        CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in SyncState)})", name="state"),
        CheckConstraint("mode IN ('full', 'incremental')", name="mode"),
    )

    id: Mapped[PrimaryID]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    request_id: Mapped[str]
    mode: Mapped[str]
    state: Mapped[str]
    source: Mapped[str] = mapped_column(server_default="")
    as_of: Mapped[datetime]
    created_by: Mapped[str]
    # An upload that is still to be parsed into chunks; null for syncs over gRPC.
    upload_options: Mapped[dict[str, Any] | None]
    committed_offset: Mapped[int] = mapped_column(BigInteger, server_default="0")
    checksum: Mapped[bytes] = mapped_column(LargeBinary)
    approved_by: Mapped[str | None]
    processed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created: Mapped[int] = mapped_column(BigInteger, server_default="0")
    updated: Mapped[int] = mapped_column(BigInteger, server_default="0")
    unchanged: Mapped[int] = mapped_column(BigInteger, server_default="0")
    withdrawn_by_item: Mapped[int] = mapped_column(BigInteger, server_default="0")
    stale: Mapped[int] = mapped_column(BigInteger, server_default="0")
    duplicates: Mapped[int] = mapped_column(BigInteger, server_default="0")
    rejected: Mapped[int] = mapped_column(BigInteger, server_default="0")
    withdrawn_unseen: Mapped[int] = mapped_column(BigInteger, server_default="0")
    warnings: Mapped[int] = mapped_column(BigInteger, server_default="0")
    reason: Mapped[str] = mapped_column(server_default="")
    message: Mapped[str] = mapped_column(server_default="")
    catalogue_version: Mapped[int | None] = mapped_column(BigInteger)
    trace_id: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    queued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class SyncChunkRow(Base):
    """A batch of items as it was pushed: a serialised PushOffersRequest, zstd-compressed."""

    __tablename__ = "sync_chunks"
    __table_args__ = (PrimaryKeyConstraint("sync_id", "first_offset"),)

    sync_id: Mapped[UUID] = mapped_column(ForeignKey("syncs.id", ondelete="CASCADE"))
    first_offset: Mapped[int] = mapped_column(BigInteger)
    items: Mapped[int]
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class SyncUploadRow(Base):
    """A piece of an uploaded feed file, in order."""

    __tablename__ = "sync_uploads"
    __table_args__ = (PrimaryKeyConstraint("sync_id", "position"),)

    sync_id: Mapped[UUID] = mapped_column(ForeignKey("syncs.id", ondelete="CASCADE"))
    position: Mapped[int]
    data: Mapped[bytes] = mapped_column(LargeBinary)


class SyncIssueRow(Base):
    """What was wrong with one row of a sync."""

    __tablename__ = "sync_issues"
    __table_args__ = (
        Index("ix_sync_issues_sync_id_id", "sync_id", "id"),
        CheckConstraint("severity IN ('warning', 'error')", name="severity"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    sync_id: Mapped[UUID] = mapped_column(ForeignKey("syncs.id", ondelete="CASCADE"))
    item_offset: Mapped[int] = mapped_column(BigInteger)
    line: Mapped[int] = mapped_column(BigInteger)
    offer_id: Mapped[str]
    severity: Mapped[str]
    code: Mapped[str]
    field: Mapped[str]
    message: Mapped[str]
    value: Mapped[str]


class CatalogueRow(Base):
    """A merchant's published catalogue.

    `version` grows with each publication; `indexed_version` is how far search has followed. Every active offer
    counts as stated at least at `source_time_floor`: the oldest item of the last FULL sync. That spares a FULL
    sync of an unchanged feed one UPDATE an offer.
    """

    __tablename__ = "catalogues"

    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    indexed_version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    source_time_floor: Mapped[datetime | None]
    last_full_seen_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    indexed_at: Mapped[datetime | None]


class OfferRow(Base):
    """An offer, or the tombstone of one: withdrawn, with the source's time, so that nothing older brings it back."""

    __tablename__ = "offers"
    __table_args__ = (
        UniqueConstraint("merchant_id", "offer_id"),
        Index("ix_offers_merchant_id_catalogue_version", "merchant_id", "catalogue_version"),
        Index(
            "ix_offers_currency_price_minor_id",
            "currency",
            "price_minor",
            "id",
            postgresql_where=text("status = 'active'"),
        ),
        CheckConstraint("status IN ('active', 'withdrawn')", name="status"),
    )

    id: Mapped[PrimaryID]
    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"))
    offer_id: Mapped[str]
    status: Mapped[str]
    source_time: Mapped[datetime]
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)
    catalogue_version: Mapped[int] = mapped_column(BigInteger)
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    price_since: Mapped[datetime]
    kind: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    link: Mapped[str]
    image_link: Mapped[str]
    additional_image_links: Mapped[list[str]] = mapped_column(ARRAY(Text))
    price_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    sale_price_minor: Mapped[int | None] = mapped_column(BigInteger)
    sale_starts_at: Mapped[datetime | None]
    sale_ends_at: Mapped[datetime | None]
    availability: Mapped[str]
    expires_at: Mapped[datetime | None]
    gtins: Mapped[list[str]] = mapped_column(ARRAY(Text))
    mpn: Mapped[str]
    brand: Mapped[str]
    item_group_id: Mapped[str]
    google_product_category: Mapped[str]
    product_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    condition: Mapped[str]
    color: Mapped[str]
    size: Mapped[str]
    gender: Mapped[str]
    age_group: Mapped[str]
    adult: Mapped[bool]
    rate_category: Mapped[str]
    cashback_eligible: Mapped[bool]
    custom_attributes: Mapped[dict[str, str]]
    coupon_code: Mapped[str]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]


class OfferDocumentRow(Base):
    """What full-text search reads. Beside the offer and not in it, so that a merge does not wait for a GIN index."""

    __tablename__ = "offer_documents"
    __table_args__ = (Index("ix_offer_documents_document", "document", postgresql_using="gin"),)

    id: Mapped[UUID] = mapped_column(ForeignKey("offers.id", ondelete="CASCADE"), primary_key=True)
    document: Mapped[Any] = mapped_column(TSVECTOR)


class OfferPriceRow(Base):
    """A price that an offer had and has no more; the present one is in the offer, valid from its `price_since`."""

    __tablename__ = "offer_prices"
    __table_args__ = (PrimaryKeyConstraint("id", "valid_from"),)

    id: Mapped[UUID] = mapped_column(ForeignKey("offers.id", ondelete="CASCADE"))
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime]
    price_minor: Mapped[int | None] = mapped_column(BigInteger)
    sale_price_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
