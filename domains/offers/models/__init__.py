"""Tables of the offers domain, and the states of a sync and an offer. What shoppers search is in `listings`."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from domains.offers.models import listings as listings
from wapsi.db import Base
from wapsi.db.base import CreatedAt, PrimaryID
from wapsi.state import StateMachine


class SyncMode(StrEnum):
    FULL = "full"
    INCREMENTAL = "incremental"
    # Takes the last publication back. Made by operators, not by producers.
    ROLLBACK = "rollback"


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
        # Succeeded at once: the feed is known to be the published one.
        _S.OPEN: [_S.QUEUED, _S.SUCCEEDED, _S.CANCELLED, _S.FAILED],
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
        CheckConstraint("mode IN ('full', 'incremental', 'rollback')", name="mode"),
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
    # What a FULL feed is made of, where its producer says it.
    feed_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
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
    """A batch of items as it was pushed (a serialised PushOffersRequest, zstd-compressed), with an index over them.

    The index is packed (see ItemIndex in service/chunks.py); a chunk without one cannot be processed.
    """

    __tablename__ = "sync_chunks"
    __table_args__ = (PrimaryKeyConstraint("sync_id", "first_offset"),)

    sync_id: Mapped[UUID] = mapped_column(ForeignKey("syncs.id", ondelete="CASCADE"))
    first_offset: Mapped[int] = mapped_column(BigInteger)
    items: Mapped[int]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    offer_ids: Mapped[str] = mapped_column(server_default="")
    content_hashes: Mapped[bytes] = mapped_column(LargeBinary, server_default="")
    source_times: Mapped[bytes] = mapped_column(LargeBinary, server_default="")
    kinds: Mapped[bytes] = mapped_column(LargeBinary, server_default="")


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

    `version` grows with each publication that changes something; `indexed_version` is how far search has followed, and
    `listed_version` how far offer_listings shows what is published (behind where an earlier release followed).
    What `revertible_version` replaced is in offer_revisions. Every active offer counts as stated at least at
    `source_time_floor`: the oldest item of the last FULL sync. That spares a FULL sync of an unchanged feed one UPDATE
    an offer.
    """

    __tablename__ = "catalogues"

    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    indexed_version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    listed_version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    # Of the merchant's rates: with which the net prices of all its listings are computed. 0 is that of no rates.
    priced_version: Mapped[int | None]
    revertible_version: Mapped[int | None] = mapped_column(BigInteger)
    # The sync whose feed is all that is published, where that feed can be known again by its digest.
    feed_sync_id: Mapped[UUID | None]
    source_time_floor: Mapped[datetime | None]
    last_full_seen_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    indexed_at: Mapped[datetime | None]


EmptyText = Annotated[str, mapped_column(server_default="")]
EmptyList = Annotated[list[str], mapped_column(ARRAY(Text), server_default="{}")]


class RunningPublicationRow(Base):
    """A publication that is being written: the merchant's offers with `first_id` or a later id cannot be seen yet.

    Listings of the newest begin before them. Without that, each would walk over all the rows of each running merge at
    the end of the index, only to find that it may not see them.
    """

    __tablename__ = "running_publications"

    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    first_id: Mapped[UUID] = mapped_column(server_default=func.uuidv7())


class OfferRow(Base):
    """An offer, or the tombstone of one: withdrawn, with the source's time, so that nothing older brings it back.

    Never deleted. Written only by who holds the lock of the merchant's catalogue, whose row has the foreign key.
    Columns have defaults: in most feeds most columns are empty, and are not even copied.
    """

    __tablename__ = "offers"
    __table_args__ = (
        UniqueConstraint("merchant_id", "offer_id"),
        Index("ix_offers_merchant_id_catalogue_version_id", "merchant_id", "catalogue_version", "id"),
        Index("ix_offers_merchant_id_id", "merchant_id", "id", postgresql_where=text("status = 'active'")),
        CheckConstraint("status IN ('active', 'withdrawn')", name="status"),
    )

    id: Mapped[PrimaryID]
    merchant_id: Mapped[UUID]
    offer_id: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=OfferStatus.ACTIVE)
    source_time: Mapped[datetime]
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)
    catalogue_version: Mapped[int] = mapped_column(BigInteger)
    first_seen_at: Mapped[CreatedAt]
    last_seen_at: Mapped[CreatedAt]
    price_since: Mapped[CreatedAt]
    kind: Mapped[str] = mapped_column(server_default="product")
    title: Mapped[EmptyText]
    description: Mapped[EmptyText]
    link: Mapped[EmptyText]
    image_link: Mapped[EmptyText]
    additional_image_links: Mapped[EmptyList]
    price_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    sale_price_minor: Mapped[int | None] = mapped_column(BigInteger)
    sale_starts_at: Mapped[datetime | None]
    sale_ends_at: Mapped[datetime | None]
    availability: Mapped[str] = mapped_column(server_default="in_stock")
    expires_at: Mapped[datetime | None]
    gtins: Mapped[EmptyList]
    mpn: Mapped[EmptyText]
    brand: Mapped[EmptyText]
    item_group_id: Mapped[EmptyText]
    google_product_category: Mapped[EmptyText]
    product_types: Mapped[EmptyList]
    condition: Mapped[EmptyText]
    color: Mapped[EmptyText]
    size: Mapped[EmptyText]
    gender: Mapped[EmptyText]
    age_group: Mapped[EmptyText]
    adult: Mapped[bool] = mapped_column(server_default=false())
    rate_category: Mapped[EmptyText]
    cashback_eligible: Mapped[bool] = mapped_column(server_default=true())
    custom_attributes: Mapped[dict[str, str]] = mapped_column(server_default="{}")
    coupon_code: Mapped[EmptyText]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]


class OfferPriceRow(Base):
    """A price that an offer had and has no more; the present one is in the offer, valid from its `price_since`."""

    __tablename__ = "offer_prices"
    __table_args__ = (PrimaryKeyConstraint("id", "valid_from"),)

    id: Mapped[UUID]
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime]
    price_minor: Mapped[int | None] = mapped_column(BigInteger)
    sale_price_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]


# Offers as they were before the publication `replaced_in` changed or withdrew them, kept until the next one that
# changes anything: what a rollback restores.
offer_revisions = Table(
    "offer_revisions",
    Base.metadata,
    Column("replaced_in", BigInteger, nullable=False),
    *(Column(column.name, column.type, nullable=column.nullable) for column in OfferRow.__table__.columns),
    PrimaryKeyConstraint("merchant_id", "replaced_in", "id"),
)


class FetchOutcome(StrEnum):
    SYNCED = "synced"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class FeedSourceRow(Base):
    """Where a merchant's feed is fetched from and how often, and after how long without one the merchant is late.

    Without a URL nothing is fetched (the feed is pushed), and the merchant is only watched. The URL may hold a key:
    `sealed_url` is the whole of it, encrypted, `url` what people may see. `content_sha256` is the file that
    `last_sync_id` brought; `confirmed_at` is when a fetch last found that published file unchanged.
    """

    __tablename__ = "feed_sources"
    __table_args__ = (
        CheckConstraint("mode IN ('full', 'incremental')", name="mode"),
        CheckConstraint("every_s BETWEEN 300 AND 2592000", name="every_s"),
        CheckConstraint("late_after_s BETWEEN 300 AND 7776000", name="late_after_s"),
        CheckConstraint("(url IS NULL) = (sealed_url IS NULL)", name="sealed_url"),
        CheckConstraint("url IS NOT NULL OR late_after_s IS NOT NULL", name="purpose"),
        CheckConstraint("last_outcome IN ('synced', 'unchanged', 'failed')", name="last_outcome"),
    )

    merchant_id: Mapped[UUID] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    url: Mapped[str | None]
    sealed_url: Mapped[bytes | None] = mapped_column(LargeBinary)
    mode: Mapped[str]
    every_s: Mapped[int]
    late_after_s: Mapped[int | None]
    options: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    enabled: Mapped[bool]
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]
    content_sha256: Mapped[str | None]
    last_sync_id: Mapped[UUID | None]
    next_fetch_at: Mapped[datetime | None]
    last_fetched_at: Mapped[datetime | None]
    last_outcome: Mapped[str | None]
    last_reason: Mapped[str] = mapped_column(server_default="")
    last_message: Mapped[str] = mapped_column(server_default="")
    failures: Mapped[int] = mapped_column(server_default="0")
    confirmed_at: Mapped[datetime | None]
    watched_since: Mapped[datetime]
    late_since: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    updated_by: Mapped[str]
