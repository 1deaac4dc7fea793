"""Turning a queued sync into a published catalogue: compared, prepared and written in one transaction that does it all.

The sync is visible as a whole or not at all, and an attempt that dies leaves nothing behind: the next one begins anew,
from the chunks that are durable.
"""

import time
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, select, text, update

from domains.merchants import service as merchants
from domains.offers.models import SYNC_STATES, OfferRow, OfferStatus, SyncMode, SyncRow, SyncState
from domains.offers.service import publish, rollback, upload
from domains.offers.service.ahead import looking_ahead
from domains.offers.service.issues import IssueLog
from domains.offers.service.plan import Plan, PlanRules, make_plan, shrinks_too_much
from domains.offers.service.prepare import Looks, NewOffers, Preparation
from domains.offers.service.stages import record_stage, running_stage
from domains.offers.validation import FUTURE_TOLERANCE, ValidationRules
from wapsi.clock import now
from wapsi.db import Database, WriteSession
from wapsi.ids import AscendingIDs, new_id
from wapsi.queue.jobs import Job, Permanent

log = structlog.get_logger(__name__)

_PROGRESS_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class SyncTask:
    """What processing needs of the sync's row."""

    sync_id: UUID
    merchant: merchants.MerchantRef
    mode: SyncMode
    as_of: datetime
    approved: bool
    items: int
    has_digest: bool

    @property
    def full(self) -> bool:
        return self.mode is SyncMode.FULL


async def process_sync(job: Job, sync_id: UUID) -> None:
    """One attempt. Ends the job in the transaction that publishes, quarantines or skips."""
    if not await _begin(job, sync_id):
        return
    if not await upload.parse_pending(job, sync_id):
        return
    task = await _load(job.runtime.db, sync_id)
    async with job.write() as session:
        await session.execute(text("SET LOCAL statement_timeout = '15min'"))
        # Another sync of the merchant may be publishing: waiting for it is no failure.
        await session.execute(text("SET LOCAL lock_timeout = '10min'"))
        catalogue = await publish.lock_catalogue(session, task.merchant.id)
        if task.mode is SyncMode.ROLLBACK:
            words = await rollback.take_back(session, task.sync_id, task.merchant.id, catalogue)
            version = catalogue.version + 1
            issues = IssueLog(sync_id)
            await _conclude(session, task, issues, state=SyncState.SUCCEEDED, catalogue_version=version, message=words)
        else:
            await _merge(job, session, task, catalogue)
        await job.complete(session)
        committing_s = time.perf_counter()
    record_stage("publish", time.perf_counter() - committing_s)


async def _merge(job: Job, session: WriteSession, task: SyncTask, catalogue: publish.LockedCatalogue) -> None:
    # One moment for plan and validation: what the one sets aside as too late, the other must refuse.
    moment = now()
    rules = PlanRules(
        full=task.full,
        latest_at=moment + FUTURE_TOLERANCE,
        floor_at=catalogue.floor_at,
        as_of=task.as_of,
    )
    validation = ValidationRules(
        default_currency=task.merchant.currency,
        allowed_landing_hosts=task.merchant.allowed_landing_hosts,
        now=moment,
    )
    ahead: AbstractAsyncContextManager[Looks] = nullcontext({})
    if not catalogue.version:
        # Where something is published most items have not changed, and are not looked at.
        ahead = looking_ahead(job.runtime.db, task.sync_id, validation)
    with running_stage("plan"):
        async with ahead as looks:
            plan = await make_plan(session, task.sync_id, task.merchant.id, rules)
    if plan.items != task.items:
        # Chunks that another release stored, without an index.
        raise Permanent(f"{plan.items} of {task.items} items can be processed.")
    settings = job.runtime.settings
    doubt = None if task.approved else await _doubt(session, task, plan, settings.sync_shrink_limit_percent)
    issues = IssueLog(task.sync_id)
    publication = publish.Publication(session, task.sync_id, task.merchant.id, catalogue.version + 1)
    new_offers = None
    if doubt is None:
        first_id = await publish.announce_publication(job.runtime.db, task.merchant.id) if plan.creates else new_id()
        new_offers = NewOffers(task.merchant.id, publication.version, AscendingIDs(first_id))
    preparation = Preparation(validation, issues, new_offers, looks)
    with running_stage("merge"):
        await publication.write_chunks(plan, preparation, _Progress(job.runtime.db, task.sync_id).report)
        record_stage("validate", preparation.took_s)
        if doubt is None:
            await publication.write_rest(plan, as_of=task.as_of)
    if doubt is not None:
        await _quarantine(session, task, issues, plan, publication.rejected, doubt)
    else:
        await _publish(publication, session, task, issues, plan, catalogue)


async def _begin(job: Job, sync_id: UUID) -> bool:
    async with job.write() as session:
        row = await session.get_locked(SyncRow, sync_id)
        if row is None or row.state not in (SyncState.QUEUED, SyncState.PROCESSING):
            # Cancelled meanwhile, or done by an attempt that could not say so any more.
            await job.complete(session)
            return False
        if row.state == SyncState.QUEUED:
            row.state = SYNC_STATES.check(SyncState.QUEUED, SyncState.PROCESSING)
            row.started_at = now()
            if row.queued_at is not None:
                record_stage("wait", (row.started_at - row.queued_at).total_seconds())
        row.processed = 0
        await session.flush()
        return True


async def _load(db: Database, sync_id: UUID) -> SyncTask:
    async with db.write() as session:
        row = await session.get(SyncRow, sync_id)
        assert row is not None
        return SyncTask(
            sync_id=sync_id,
            merchant=await merchants.get_merchant_by_id(session, row.merchant_id),
            mode=SyncMode(row.mode),
            as_of=row.as_of,
            approved=row.approved_by is not None,
            items=row.committed_offset,
            has_digest=row.feed_digest is not None,
        )


class _Progress:
    """Shows how far the processing is, outside its transaction and not too often."""

    def __init__(self, db: Database, sync_id: UUID) -> None:
        self._db = db
        self._sync_id = sync_id
        self._shown_at_s = time.monotonic()

    async def report(self, processed: int) -> None:
        if time.monotonic() - self._shown_at_s < _PROGRESS_EVERY_S:
            return
        async with self._db.write() as session:
            await session.execute(
                update(SyncRow)
                .where(SyncRow.id == self._sync_id, SyncRow.state == SyncState.PROCESSING)
                .values(processed=processed)
            )
        self._shown_at_s = time.monotonic()


async def _publish(
    publication: publish.Publication,
    session: WriteSession,
    task: SyncTask,
    issues: IssueLog,
    plan: Plan,
    catalogue: publish.LockedCatalogue,
) -> None:
    changed = publication.changed_anything(plan)
    rejected = publication.rejected
    floors = [moment for moment in (catalogue.floor_at, plan.oldest_at if task.full else None) if moment is not None]
    await publication.finish(
        floor_at=max(floors, default=None),
        full=task.full,
        changed=changed,
        stated_at=plan.newest_at or task.as_of,
        feed_is_all=_feed_is_all(task, plan, publication),
    )
    await _conclude(
        session,
        task,
        issues,
        state=SyncState.PARTIAL if rejected else SyncState.SUCCEEDED,
        catalogue_version=publication.version if changed else catalogue.version,
        processed=task.items,
        created=publication.created,
        updated=publication.updated,
        unchanged=plan.unchanged,
        withdrawn_by_item=publication.withdrawn_by_item,
        stale=plan.stale,
        duplicates=plan.duplicates,
        rejected=rejected,
        withdrawn_unseen=plan.unseen,
        reason="ROWS_REJECTED" if rejected else "",
        message=f"{rejected} of {task.items} rows were rejected; see the issues." if rejected else "",
    )
    log.info(
        "sync_published",
        sync_id=str(task.sync_id),
        merchant=task.merchant.slug,
        created=publication.created,
        updated=publication.updated,
        unseen=plan.unseen,
    )


async def _doubt(session: WriteSession, task: SyncTask, plan: Plan, limit_percent: int) -> tuple[str, str] | None:
    """Why a FULL sync should be looked at before it withdraws offers: (reason, in words)."""
    if not plan.unseen:
        return None
    if plan.oldest_at is None:
        words = f"None of its {task.items} rows could be used, and it would withdraw all {plan.unseen} offers."
        return "NOTHING_USABLE", words
    active = await _active_offers(session, task)
    if shrinks_too_much(plan.unseen, active, limit_percent):
        return "SHRINK_GUARD", f"It would withdraw {plan.unseen} of {active} offers, more than {limit_percent} %."
    return None


async def _active_offers(session: WriteSession, task: SyncTask) -> int:
    statement = select(func.count()).where(
        OfferRow.merchant_id == task.merchant.id, OfferRow.status == OfferStatus.ACTIVE
    )
    return await session.scalar(statement) or 0


def _feed_is_all(task: SyncTask, plan: Plan, publication: publish.Publication) -> bool:
    """Whether this feed again, later, would change nothing (see known_feeds)."""
    if not (task.full and task.has_digest):
        return False
    if publication.rejected or publication.withdrawn_by_item or plan.stale:
        return False
    return plan.absent == plan.unseen


async def _quarantine(
    session: WriteSession, task: SyncTask, issues: IssueLog, plan: Plan, rejected: int, doubt: tuple[str, str]
) -> None:
    reason, words = doubt
    await _conclude(
        session,
        task,
        issues,
        state=SyncState.QUARANTINED,
        processed=task.items,
        duplicates=plan.duplicates,
        rejected=rejected,
        withdrawn_unseen=plan.unseen,
        reason=reason,
        message=(
            f"{words} Nothing was changed. An operator approves it (POST /v1/syncs/{task.sync_id}:approve) if the feed "
            "is right, or discards it (:discard)."
        ),
    )
    log.warning("sync_quarantined", sync_id=str(task.sync_id), merchant=task.merchant.slug, reason=reason)


async def _conclude(
    session: WriteSession, task: SyncTask, issues: IssueLog, *, state: SyncState, **values: Any
) -> None:
    await publish.end_publication(session, task.merchant.id)
    await issues.save(session)
    SYNC_STATES.check(SyncState.PROCESSING, state)
    await session.execute(
        update(SyncRow)
        .where(SyncRow.id == task.sync_id)
        .values(state=state.value, finished_at=now(), warnings=issues.warnings, **values)
    )
