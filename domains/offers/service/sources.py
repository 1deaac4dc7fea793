"""Where merchants' feeds are fetched from, as operators set and see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text

from domains.merchants import service as merchants
from domains.offers.config import get_feed_fetch_settings
from domains.offers.errors import FeedSourceInvalid, FeedSourceNotFound, MerchantNotSyncable
from domains.offers.models import FeedSourceRow, SyncMode
from domains.offers.service.upload import upload_options
from wapsi.clock import now
from wapsi.config import Settings
from wapsi.db import ReadSession, WriteSession
from wapsi.fetch import HIDDEN, Fetcher, FetchError, FetchLimits, shown
from wapsi.security import audit
from wapsi.security.principal import Principal
from wapsi.security.reencryption import Encrypted
from wapsi.security.signing import Keys, SignatureInvalid


@dataclass(frozen=True, slots=True)
class NewSource:
    """`options` say how the file is to be read: as `upload_options` takes them, and `map`, the column specs."""

    url: str | None = field(repr=False)
    mode: SyncMode
    every_s: int
    late_after_s: int | None
    options: Mapping[str, Any]
    enabled: bool


@dataclass(frozen=True, slots=True)
class SourceView:
    """A source as operators see it: what may be a key in its URL is hidden. `merchant` is the slug."""

    merchant: str
    merchant_id: UUID
    url: str | None
    mode: str
    every_s: int
    late_after_s: int | None
    options: Mapping[str, Any]
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


def make_fetcher(settings: Settings) -> Fetcher:
    """One for the feeds of this process's settings."""
    limits = FetchLimits(size_bytes=settings.feed_upload_limit_bytes)
    return Fetcher(limits, allow_http=get_feed_fetch_settings().allow_http)


async def set_source(
    session: WriteSession, principal: Principal | None, keys: Keys, fetcher: Fetcher, slug: str, new: NewSource
) -> SourceView:
    """Makes the merchant's source, or replaces it. What is set is fetched at once.

    The URL as it is shown stands for the one that is stored. Raises MerchantNotFound, MerchantNotSyncable,
    FeedSourceInvalid, FeedOptionsInvalid.
    """
    merchant = await merchants.get_merchant(session, slug)
    if merchant.status is merchants.MerchantStatus.ARCHIVED:
        raise MerchantNotSyncable(f"Merchant {slug} is archived.", merchant=slug)
    _check(new)
    read_options(merchant, new.options)
    # There may be no row to lock yet.
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"feed source {merchant.id}"}
    )
    row = await session.get_locked(FeedSourceRow, merchant.id)
    before = None if row is None else _audited(row)
    old_url = None if row is None else _stored_url(row, keys)
    url = old_url if row is not None and old_url is not None and new.url == row.url else new.url
    if url is not None:
        _check_url(fetcher, url)
    if row is None:
        row = FeedSourceRow(merchant_id=merchant.id, watched_since=now(), enabled=new.enabled, options={}, failures=0)
        row.last_reason = row.last_message = ""
        row.created_at = now()
        session.add(row)
    elif new.enabled and not row.enabled:
        row.watched_since = now()
    if (old_url, row.mode, row.options) != (url, new.mode.value, dict(new.options)):
        # The next fetch brings a sync, also of a file that has not changed.
        row.etag = row.last_modified = row.content_sha256 = None
        row.failures = 0
    if url is None:
        row.url = row.sealed_url = None
    elif url != old_url:
        row.url, row.sealed_url = shown(url), keys.encrypt(url)
    row.mode = new.mode.value
    row.every_s = new.every_s
    row.late_after_s = new.late_after_s
    row.options = dict(new.options)
    row.enabled = new.enabled
    row.next_fetch_at = now() if new.enabled and url is not None else None
    row.updated_at = now()
    row.updated_by = audit.SYSTEM if principal is None else str(principal)
    await session.flush()
    await _record(session, principal, slug, before, _audited(row), url_changed=url != old_url)
    return view_of(row, slug)


ENCRYPTED = (Encrypted(FeedSourceRow.__table__, "sealed_url"),)


def _check(new: NewSource) -> None:
    if new.url is None and new.late_after_s is None:
        raise FeedSourceInvalid("Give a url to fetch from, or a late_after_s to watch a feed that is pushed, or both.")
    if new.url is not None and new.late_after_s is not None and new.late_after_s <= new.every_s:
        raise FeedSourceInvalid("late_after_s must be longer than every_s, or the feed would be late between fetches.")


def _check_url(fetcher: Fetcher, url: str) -> None:
    if HIDDEN in url:
        raise FeedSourceInvalid(f"Give the URL in full: {HIDDEN} only stands for what is hidden of it.")
    try:
        fetcher.check(url)
    except FetchError as error:
        raise FeedSourceInvalid(error.message, code=error.reason) from None


def _stored_url(row: FeedSourceRow, keys: Keys) -> str | None:
    try:
        return open_url(row, keys)
    except SignatureInvalid:
        # Of another WAPSI_SECRET_KEY: it differs from whatever is set now.
        return None


def open_url(row: FeedSourceRow, keys: Keys) -> str | None:
    """The whole URL, a secret. Raises SignatureInvalid where another key sealed it."""
    return None if row.sealed_url is None else keys.decrypt(row.sealed_url)


def read_options(merchant: merchants.MerchantRef, stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a sync is made with. Raises FeedOptionsInvalid."""
    overrides = {key: value for key, value in stored.items() if key != "map"}
    return upload_options(merchant, overrides, column_specs=stored.get("map", []))


def _audited(row: FeedSourceRow) -> dict[str, Any]:
    names = ("url", "mode", "every_s", "late_after_s", "options", "enabled")
    return {name: getattr(row, name) for name in names}


async def _record(
    session: WriteSession,
    principal: Principal | None,
    slug: str,
    before: dict[str, Any] | None,
    after: dict[str, Any],
    *,
    url_changed: bool,
) -> None:
    if before is None:
        await audit.record(session, principal, action="feed_source.created", target=f"merchant:{slug}", after=after)
        return
    changed = [name for name, value in after.items() if before[name] != value]
    if url_changed and "url" not in changed:
        # Only what is hidden of it.
        changed.append("url")
    if changed:
        await audit.record(
            session,
            principal,
            action="feed_source.updated",
            target=f"merchant:{slug}",
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
        )


async def remove_source(session: WriteSession, principal: Principal | None, slug: str) -> None:
    """Raises MerchantNotFound, FeedSourceNotFound. A fetch under way comes to nothing."""
    row = await locked_source(session, slug)
    await session.execute(delete(FeedSourceRow).where(FeedSourceRow.merchant_id == row.merchant_id))
    await audit.record(
        session, principal, action="feed_source.removed", target=f"merchant:{slug}", before=_audited(row)
    )


async def get_source(session: ReadSession, slug: str) -> SourceView:
    """Raises MerchantNotFound, FeedSourceNotFound."""
    merchant = await merchants.get_merchant(session, slug)
    row = await session.get(FeedSourceRow, merchant.id)
    if row is None:
        raise _not_found(slug)
    return view_of(row, slug)


async def list_sources(
    session: ReadSession, *, late: bool | None, after: UUID | None, limit: int
) -> Sequence[SourceView]:
    """By the merchant's id, those after `after`. `late` None is all."""
    statement = select(FeedSourceRow).order_by(FeedSourceRow.merchant_id).limit(limit)
    if late is not None:
        statement = statement.where(FeedSourceRow.late_since.is_not(None) == late)
    if after is not None:
        statement = statement.where(FeedSourceRow.merchant_id > after)
    rows = list(await session.scalars(statement))
    found = await merchants.list_merchants(session, limit=len(rows), merchant_ids=[row.merchant_id for row in rows])
    slugs = {merchant.id: merchant.slug for merchant in found}
    return [view_of(row, slugs[row.merchant_id]) for row in rows]


async def locked_source(session: WriteSession, slug: str) -> FeedSourceRow:
    """Raises MerchantNotFound, FeedSourceNotFound."""
    merchant = await merchants.get_merchant(session, slug)
    row = await session.get_locked(FeedSourceRow, merchant.id)
    if row is None:
        raise _not_found(slug)
    return row


def _not_found(slug: str) -> FeedSourceNotFound:
    return FeedSourceNotFound(f"No source is set for the feed of {slug}.", merchant=slug)


def view_of(row: FeedSourceRow, slug: str) -> SourceView:
    names = [field.name for field in fields(SourceView) if field.name != "merchant"]
    return SourceView(merchant=slug, **{name: getattr(row, name) for name in names})
