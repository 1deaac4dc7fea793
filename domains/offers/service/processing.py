"""Turning a queued sync into a published catalogue: survey, plan, and one transaction that does it all.

The sync is visible as a whole or not at all, and an attempt that dies leaves nothing behind: what it had in mind is
planned anew by the next one, from the chunks that are durable.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
import zstandard
from sqlalchemy import select, text, update

from domains.merchants import service as merchants
from domains.offers.models import SYNC_STATES, SyncChunkRow, SyncMode, SyncRow, SyncState
from domains.offers.service import publish, upload
from domains.offers.service.issues import IssueLog
from domains.offers.service.plan import Plan, StoredOffer, Survey, make_plan, new_floor, to_microseconds
from domains.offers.validation import FUTURE_TOLERANCE, ValidationRules
from wapsi.clock import now
from wapsi.db import Database, WriteSession
from wapsi.queue.jobs import Job
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

log = structlog.get_logger(__name__)

Chunk = tuple[int, list[pb.OfferItem]]


@dataclass(frozen=True, slots=True)
class SyncTask:
    """What processing needs of the sync's row."""

    sync_id: UUID
    merchant: merchants.MerchantRef
    full: bool
    as_of_us: int
    approved: bool
    items: int


async def process_sync(job: Job, sync_id: UUID) -> None:
    """One attempt. Ends the job in the transaction that publishes, quarantines or skips."""
    db = job.runtime.db
    if await _begin(job, sync_id) is None:
        return
    if not await upload.parse_pending(job, sync_id):
        return
    task = await _load(db, sync_id)
    # One moment for survey and validation: what the one sets aside as too late, the other must refuse.
    moment = now()
    survey = Survey(latest_us=to_microseconds(moment + FUTURE_TOLERANCE))
    issues = IssueLog(sync_id)
    async for first_offset, items in read_chunks(db, sync_id):
        await asyncio.to_thread(survey.add, first_offset, items)
        issues.add_from_producer(first_offset, items)
        await _progress(db, sync_id, first_offset + len(items))
    issues.add_superseded(survey.superseded)
    async with job.write() as session:
        await session.execute(text("SET LOCAL statement_timeout = '15min'"))
        # Another sync of the merchant may be publishing: waiting for it is no failure.
        await session.execute(text("SET LOCAL lock_timeout = '10min'"))
        catalogue = await publish.lock_catalogue(session, task.merchant.id)
        stored = await publish.stored_offers(session, task.merchant.id)
        plan = await asyncio.to_thread(_plan, task, survey, stored, catalogue)
        rules = ValidationRules(
            default_currency=task.merchant.currency,
            allowed_landing_hosts=task.merchant.allowed_landing_hosts,
            now=moment,
        )
        publication = publish.Publication(session, task.merchant.id, catalogue.version + 1, rules, issues)
        await publication.reject(read_chunks(db, sync_id, wanted=survey.unplaced), survey.unplaced)
        doubt = None if task.approved else _doubt(task, survey, plan, job.runtime.settings.sync_shrink_limit_percent)
        if doubt is not None:
            await _quarantine(publication, task, survey, plan, doubt)
        else:
            await _publish(publication, db, task, catalogue, survey, plan)
        await job.complete(session)


def _plan(
    task: SyncTask, survey: Survey, stored: Mapping[str, StoredOffer], catalogue: publish.LockedCatalogue
) -> Plan:
    return make_plan(survey, stored, floor_us=catalogue.floor_us, full=task.full, as_of_us=task.as_of_us)


async def _begin(job: Job, sync_id: UUID) -> SyncRow | None:
    async with job.write() as session:
        row = await session.get_locked(SyncRow, sync_id)
        if row is None or row.state not in (SyncState.QUEUED, SyncState.PROCESSING):
            # Cancelled meanwhile, or done by an attempt that could not say so any more.
            await job.complete(session)
            return None
        if row.state == SyncState.QUEUED:
            row.state = SYNC_STATES.check(SyncState.QUEUED, SyncState.PROCESSING)
            row.started_at = now()
        row.processed = 0
        await session.flush()
        return row


async def _load(db: Database, sync_id: UUID) -> SyncTask:
    async with db.write() as session:
        row = await session.get(SyncRow, sync_id)
        assert row is not None
        return SyncTask(
            sync_id=sync_id,
            merchant=await merchants.get_merchant_by_id(session, row.merchant_id),
            full=row.mode == SyncMode.FULL,
            as_of_us=to_microseconds(row.as_of),
            approved=row.approved_by is not None,
            items=row.committed_offset,
        )


async def read_chunks(db: Database, sync_id: UUID, *, wanted: set[int] | None = None) -> AsyncIterator[Chunk]:
    """(first offset, items) in order; with `wanted`, only chunks that hold one of these offsets.

    A transaction a chunk: the reader may take its time between them. The primary, not a replica, which may be behind.
    """
    async with db.write() as session:
        statement = (
            select(SyncChunkRow.first_offset, SyncChunkRow.items)
            .where(SyncChunkRow.sync_id == sync_id)
            .order_by(SyncChunkRow.first_offset)
        )
        spans = [(row.first_offset, row.items) for row in await session.execute(statement)]
    for first_offset, count in spans:
        if wanted is not None and wanted.isdisjoint(range(first_offset, first_offset + count)):
            continue
        async with db.write() as session:
            payload = await session.scalar(
                select(SyncChunkRow.payload).where(
                    SyncChunkRow.sync_id == sync_id, SyncChunkRow.first_offset == first_offset
                )
            )
        assert payload is not None
        yield first_offset, await asyncio.to_thread(_decode, payload)


def _decode(payload: bytes) -> list[pb.OfferItem]:
    return list(pb.PushOffersRequest.FromString(zstandard.decompress(payload)).items)


async def _progress(db: Database, sync_id: UUID, processed: int) -> None:
    async with db.write() as session:
        await session.execute(
            update(SyncRow)
            .where(SyncRow.id == sync_id, SyncRow.state == SyncState.PROCESSING)
            .values(processed=processed)
        )


async def _publish(
    publication: publish.Publication,
    db: Database,
    task: SyncTask,
    catalogue: publish.LockedCatalogue,
    survey: Survey,
    plan: Plan,
) -> None:
    created = await publication.create(read_chunks(db, task.sync_id, wanted=plan.create), plan.create)
    updated = await publication.update(read_chunks(db, task.sync_id, wanted=plan.update), plan.update)
    await publication.withdraw(plan.withdraw)
    await publication.entomb(plan.entomb)
    await publication.withdraw_unseen(plan.withdraw_unseen, task.as_of_us)
    await publication.touch(plan.touch)
    floor_us = max(catalogue.floor_us, new_floor(survey)) if task.full else catalogue.floor_us
    await publication.finish(floor_us=floor_us, full=task.full)
    rejected = survey.without_offer + publication.rejected
    await _conclude(
        publication.session,
        task,
        publication.issues,
        state=SyncState.PARTIAL if rejected else SyncState.SUCCEEDED,
        catalogue_version=publication.version,
        processed=task.items,
        created=created,
        updated=updated,
        unchanged=plan.unchanged,
        withdrawn_by_item=len(plan.withdraw) + len(plan.entomb),
        stale=plan.stale,
        duplicates=len(survey.superseded),
        rejected=rejected,
        withdrawn_unseen=len(plan.withdraw_unseen),
        reason="ROWS_REJECTED" if rejected else "",
        message=f"{rejected} of {task.items} rows were rejected; see the issues." if rejected else "",
    )
    log.info("sync_published", sync_id=str(task.sync_id), merchant=task.merchant.slug, created=created, updated=updated)


def _doubt(task: SyncTask, survey: Survey, plan: Plan, limit_percent: int) -> tuple[str, str] | None:
    """Why a FULL sync should be looked at before it withdraws offers: (reason, in words)."""
    unseen = len(plan.withdraw_unseen)
    if not task.full or not unseen:
        return None
    if not survey.newest:
        words = f"None of its {task.items} rows could be used, and it would withdraw all {unseen} offers."
        return "NOTHING_USABLE", words
    if plan.shrinks_too_much(limit_percent):
        words = f"It would withdraw {unseen} of {plan.active_before} offers, more than {limit_percent} %."
        return "SHRINK_GUARD", words
    return None


async def _quarantine(
    publication: publish.Publication, task: SyncTask, survey: Survey, plan: Plan, doubt: tuple[str, str]
) -> None:
    reason, words = doubt
    await _conclude(
        publication.session,
        task,
        publication.issues,
        state=SyncState.QUARANTINED,
        processed=task.items,
        duplicates=len(survey.superseded),
        rejected=survey.without_offer + publication.rejected,
        withdrawn_unseen=len(plan.withdraw_unseen),
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
    await issues.save(session)
    SYNC_STATES.check(SyncState.PROCESSING, state)
    await session.execute(
        update(SyncRow)
        .where(SyncRow.id == task.sync_id)
        .values(state=state.value, finished_at=now(), warnings=issues.warnings, **values)
    )
