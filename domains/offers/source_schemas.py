"""REST shapes of feed sources. Periods are in seconds."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from domains.offers.service import SyncMode
from domains.offers.service.sources import NewSource

_Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
_Column = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]+$")]


class FeedReading(BaseModel):
    """How the file is to be read, where its content does not say it; the merchant's feed settings come before it."""

    model_config = ConfigDict(extra="forbid")

    format: _Text | None = Field(None, description="Such as google_xml, awin_csv, shopify_csv, jsonl.")
    encoding: _Text | None = None
    delimiter: _Text | None = None
    default_currency: _Text | None = Field(None, description="For prices without one; default: the merchant's.")
    default_availability: _Text | None = None
    link_base: _Text | None = Field(None, description="The shop's address, for Shopify exports.")
    map: list[_Column] = Field([], max_length=100, description="target=source, for columns with names of their own.")


class FeedSourceIn(BaseModel):
    """With a `url` the feed is fetched; with a `late_after_s` it is missed. One of them is needed."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(
        None,
        max_length=2000,
        description="https. What may be a key in it is never shown again; the URL as it is shown keeps the stored one.",
    )
    mode: Literal["full", "incremental"] = "full"
    every_s: int = Field(3600, ge=300, le=2_592_000, strict=True, description="How often it is fetched.")
    late_after_s: int | None = Field(
        None,
        ge=300,
        le=7_776_000,
        strict=True,
        description="How long without a feed is too long; null: it is not watched.",
    )
    options: FeedReading = FeedReading()
    enabled: StrictBool = True

    def to_source(self) -> NewSource:
        return NewSource(
            url=self.url,
            mode=SyncMode(self.mode),
            every_s=self.every_s,
            late_after_s=self.late_after_s,
            options=self.options.model_dump(exclude_defaults=True),
            enabled=self.enabled,
        )


class FeedSource(BaseModel):
    """A source. In its `url` what may be a key is hidden as ***.

    `last_outcome`: synced (the file became the sync `last_sync_id`), unchanged, or failed (`last_reason`, and
    `last_message` in words). `confirmed_at`: when the published file was last found unchanged. `late_since` is null
    while the feed is on time.
    """

    model_config = ConfigDict(from_attributes=True)

    merchant: str
    url: str | None
    mode: str
    every_s: int
    late_after_s: int | None
    options: dict[str, Any]
    enabled: bool
    next_fetch_at: datetime | None
    last_fetched_at: datetime | None
    last_outcome: str | None
    last_reason: str
    last_message: str
    last_sync_id: UUID | None
    failures: int
    confirmed_at: datetime | None
    late_since: datetime | None
    created_at: datetime
    updated_at: datetime
    updated_by: str
