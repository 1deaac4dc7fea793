"""Fetching merchants' feeds: what is due, and how a fetch becomes a sync, a confirmation or a failure in words."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from opentelemetry import metrics, trace
from sqlalchemy import text

from domains.merchants import service as merchants
from domains.offers.errors import FeedSourceIdle
from domains.offers.models import FeedSourceRow, FetchOutcome, SyncMode, SyncRow, SyncState
from domains.offers.service import sources, upload
from domains.offers.service.syncs import NewSync
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.errors import DomainError, Unavailable
from wapsi.fetch import Fetcher, FetchError, without_query
from wapsi.queue import outbox
from wapsi.queue.jobs import Job
from wapsi.queue.unfinished import unfinished
from wapsi.security import audit
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.security.signing import SignatureInvalid

log = structlog.get_logger(__name__)
_tracer = trace.get_tracer(__name__)
_meter = metrics.get_meter(__name__)
_fetches = _meter.create_counter("wapsi.offers.feed_fetches", unit="{fetch}", description="By outcome and reason.")
_duration = _meter.create_histogram("wapsi.offers.feed_fetch.duration", unit="s")
_size = _meter.create_histogram("wapsi.offers.feed_fetch.size", unit="By")

FETCH_FEED = "offers.fetch_feed"
FETCH_QUEUE = "fetch"
FETCH_ATTEMPTS = 3
# Faults of ours: the same file is worth another sync.
_RETRIED_REASONS = frozenset({"PROCESSING_FAILED", "SYNC_INCOMPLETE"})
_PUBLISHED = (SyncState.SUCCEEDED, SyncState.PARTIAL)

_DUE = text(
    "SELECT merchant_id, next_fetch_at, every_s FROM feed_sources WHERE enabled AND next_fetch_at <= now()"
    " AND merchant_id <> ALL(:busy) ORDER BY next_fetch_at LIMIT :limit FOR UPDATE SKIP LOCKED"
)
_SCHEDULE_NEXT = text(
    "UPDATE feed_sources SET next_fetch_at = now() + make_interval(secs => every_s) WHERE merchant_id = :id"
)


@dataclass(frozen=True, slots=True)
class FetchTask:
    """What an attempt needs of the source. The validators and the hash are None where any file is to become a sync."""

    merchant: merchants.MerchantRef
    url: str = field(repr=False)
    mode: SyncMode
    options: Mapping[str, Any]
    etag: str | None
    last_modified: str | None
    sha256: str | None
    set_at: datetime
    started_at: datetime


@dataclass(slots=True)
class Download:
    """`feed` is None where the server says that the file has not changed."""

    feed: upload.ReceivedFeed | None
    etag: str | None
    last_modified: str | None


async def enqueue_due(session: WriteSession, *, at_once: int) -> int:
    """Enqueues fetches that are due, as long as fewer than `at_once` are under way; returns how many."""
    # One at a time counts, or two would each find the same place free.
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('offers.fetch_feed', 0))"))
    busy = [UUID(args["merchant_id"]) for args in await unfinished(session, FETCH_FEED)]
    if len(busy) >= at_once:
        return 0
    rows = (await session.execute(_DUE, {"busy": busy, "limit": at_once - len(busy)})).all()
    for row in rows:
        await _enqueue(session, row.merchant_id, dedupe_key=f"{FETCH_FEED} {row.merchant_id} {row.next_fetch_at}")
        await session.execute(_SCHEDULE_NEXT, {"id": row.merchant_id})
    return len(rows)


async def _enqueue(
    session: WriteSession, merchant_id: UUID, *, force: bool = False, dedupe_key: str | None = None
) -> None:
    await outbox.enqueue(
        session,
        FETCH_FEED,
        {"merchant_id": str(merchant_id), "force": int(force)},
        queue=FETCH_QUEUE,
        max_attempts=FETCH_ATTEMPTS,
        dedupe_key=dedupe_key,
    )


async def fetch_now(
    session: WriteSession, principal: Principal | None, slug: str, *, force: bool
) -> sources.SourceView:
    """Enqueues a fetch, unless one is under way. `force`: a file that has not changed becomes a sync as well.

    Raises MerchantNotFound, FeedSourceNotFound, FeedSourceIdle.
    """
    row = await sources.locked_source(session, slug)
    if row.url is None or not row.enabled:
        raise FeedSourceIdle(f"The feed of {slug} has no URL, or its source is switched off.", merchant=slug)
    under_way = [args for args in await unfinished(session, FETCH_FEED) if args["merchant_id"] == str(row.merchant_id)]
    if not any(args["force"] or not force for args in under_way):
        await _enqueue(session, row.merchant_id, force=force)
    await audit.record(
        session, principal, action="feed_source.fetched", target=f"merchant:{slug}", after={"force": force}
    )
    return sources.view_of(row, slug)


async def fetch_feed(job: Job, fetcher: Fetcher, merchant_id: UUID, *, force: bool) -> None:
    """One attempt. Whatever the shop's server does is an outcome and ends the job; only our own faults are retried."""
    task = await _begin(job, merchant_id, force=force)
    if task is None:
        return
    started_s = time.perf_counter()
    attributes = {"wapsi.merchant": task.merchant.slug}
    with _tracer.start_as_current_span(
        "fetch feed", kind=trace.SpanKind.CLIENT, attributes=attributes, record_exception=False
    ) as span:
        try:
            download = await _download(job, fetcher, task)
            outcome = await _conclude(job, task, download)
            reason = ""
        except (FetchError, DomainError) as error:
            if isinstance(error, Unavailable):
                raise
            outcome, reason = FetchOutcome.FAILED, error.reason
            await _fail(job, task, error.reason, error.message)
        span.set_attributes({"wapsi.outcome": outcome.value, "wapsi.reason": reason})
    _fetches.add(1, {"outcome": outcome.value, "reason": reason})
    _duration.record(time.perf_counter() - started_s, {"outcome": outcome.value})


async def _begin(job: Job, merchant_id: UUID, *, force: bool) -> FetchTask | None:
    """None, and the job done, where there is nothing to fetch any more."""
    async with job.write() as session:
        row = await session.get_locked(FeedSourceRow, merchant_id)
        if row is None or row.sealed_url is None or not row.enabled:
            await job.complete(session)
            return None
        try:
            url = sources.open_url(row, job.runtime.keys)
        except SignatureInvalid:
            words = "The URL was stored under another WAPSI_SECRET_KEY and cannot be read any more. Set it again."
            _note_failure(row, "URL_UNREADABLE", words)
            await session.flush()
            await job.complete(session)
            return None
        assert url is not None
        known = not force and await _is_known(session, row)
        return FetchTask(
            merchant=await merchants.get_merchant_by_id(session, merchant_id),
            url=url,
            mode=SyncMode(row.mode),
            options=row.options,
            etag=row.etag if known else None,
            last_modified=row.last_modified if known else None,
            sha256=row.content_sha256 if known else None,
            set_at=row.updated_at,
            started_at=now(),
        )


async def _is_known(session: ReadSession, row: FeedSourceRow) -> bool:
    """Whether the file that was fetched last need not become a sync again."""
    if row.content_sha256 is None or row.last_sync_id is None:
        return False
    sync = await session.get(SyncRow, row.last_sync_id)
    return sync is not None and not (sync.state == SyncState.FAILED and sync.reason in _RETRIED_REASONS)


async def _download(job: Job, fetcher: Fetcher, task: FetchTask) -> Download:
    """Raises FetchError."""
    limit_bytes = job.runtime.settings.feed_upload_limit_bytes
    async with fetcher.get(task.url, etag=task.etag, last_modified=task.last_modified) as fetched:
        if fetched.unchanged:
            return Download(None, fetched.etag or task.etag, fetched.last_modified or task.last_modified)
        feed = await upload.receive(fetched.body(), limit_bytes=limit_bytes)
        _size.record(feed.size_bytes)
        return Download(feed, fetched.etag, fetched.last_modified)


async def _conclude(job: Job, task: FetchTask, download: Download) -> FetchOutcome:
    """The last write of the job: it happens with the job's end, or not at all.

    Raises what start_upload raises, and FeedOptionsInvalid.
    """
    feed = download.feed
    with contextlib.nullcontext() if feed is None else feed.file:
        async with job.write() as session:
            row = await session.get_locked(FeedSourceRow, task.merchant.id)
            outcome = FetchOutcome.UNCHANGED
            # Set anew or removed meanwhile: this was the file of another source.
            if row is not None and row.updated_at == task.set_at:
                if feed is None or feed.sha256 == task.sha256:
                    await _confirm(session, row)
                else:
                    outcome = FetchOutcome.SYNCED
                    await _start_sync(session, job, task, row, feed)
                row.etag, row.last_modified = download.etag, download.last_modified
                row.failures = 0
                await session.flush()
            await job.complete(session)
    log.info("feed_fetched", merchant=task.merchant.slug, outcome=outcome.value)
    return outcome


async def _start_sync(
    session: WriteSession, job: Job, task: FetchTask, row: FeedSourceRow, feed: upload.ReceivedFeed
) -> None:
    new = NewSync(
        merchant=task.merchant.slug,
        # A job makes one sync, however many attempts it takes.
        request_id=f"fetch-{job.id}",
        mode=task.mode,
        as_of=task.started_at,
        source=without_query(task.url),
        upload_options=sources.read_options(task.merchant, task.options),
    )
    principal = Principal(PrincipalKind.SYSTEM, job.id, frozenset({Permission.SYNCS_WRITE}))
    sync, _repeated = await upload.start_upload(session, principal, new, feed)
    row.content_sha256, row.last_sync_id = feed.sha256, sync.id
    _note(row, FetchOutcome.SYNCED, message=f"{feed.size_bytes} bytes became sync {sync.id}.")


async def _confirm(session: WriteSession, row: FeedSourceRow) -> None:
    """The file has not changed. Where it is what the merchant's shoppers see, its offers were seen again."""
    assert row.last_sync_id is not None
    sync = await session.get(SyncRow, row.last_sync_id)
    assert sync is not None
    message = f"The file has not changed since sync {sync.id}"
    if sync.state not in _PUBLISHED:
        _note(row, FetchOutcome.UNCHANGED, message=f"{message}, which is {sync.state}.")
        return
    replaced = await session.scalar(
        text(
            "SELECT true FROM syncs WHERE merchant_id = :id AND mode <> 'incremental' AND catalogue_version > :version"
            " AND state = ANY(:published) LIMIT 1"
        ),
        {"id": row.merchant_id, "version": sync.catalogue_version, "published": [state.value for state in _PUBLISHED]},
    )
    if replaced:
        _note(row, FetchOutcome.UNCHANGED, message=f"{message}, which another one has replaced since.")
        return
    row.confirmed_at = now()
    if sync.mode == SyncMode.FULL:
        # A publication under way holds the row, and will say so itself.
        await session.execute(
            text(
                "UPDATE catalogues SET last_full_seen_at = now() WHERE merchant_id IN"
                " (SELECT merchant_id FROM catalogues WHERE merchant_id = :id FOR UPDATE SKIP LOCKED)"
            ),
            {"id": row.merchant_id},
        )
    _note(row, FetchOutcome.UNCHANGED, message=f"{message}.")


async def _fail(job: Job, task: FetchTask, reason: str, message: str) -> None:
    failures = 0
    async with job.write() as session:
        row = await session.get_locked(FeedSourceRow, task.merchant.id)
        if row is not None and row.updated_at == task.set_at:
            _note_failure(row, reason, message)
            failures = row.failures
            if task.merchant.status is merchants.MerchantStatus.ARCHIVED:
                row.enabled, row.next_fetch_at = False, None
            await session.flush()
        await job.complete(session)
    log.warning("feed_fetch_failed", merchant=task.merchant.slug, reason=reason, failures=failures)


async def give_up(session: WriteSession, merchant_id: UUID) -> None:
    """For a fetch whose job ended dead."""
    row = await session.get_locked(FeedSourceRow, merchant_id)
    if row is not None:
        _note_failure(row, "FETCH_GIVEN_UP", "Fetching failed on our side; the job's last_error says how.")
        await session.flush()


def _note_failure(row: FeedSourceRow, reason: str, message: str) -> None:
    row.failures += 1
    row.next_fetch_at = now() + pause(row.every_s, row.failures)
    _note(row, FetchOutcome.FAILED, reason, message)


def _note(row: FeedSourceRow, outcome: FetchOutcome, reason: str = "", message: str = "") -> None:
    row.last_fetched_at = now()
    row.last_outcome, row.last_reason, row.last_message = outcome.value, reason, message


def pause(every_s: int, failures: int) -> timedelta:
    """After so many failures in a row: a quarter of the usual time, then a half, then all of it."""
    return timedelta(seconds=min(every_s, every_s / 4 * 2 ** min(failures - 1, 2)))
