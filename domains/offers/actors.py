"""The domain's jobs: ids in, service called."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from domains.offers.service import documents, processing, repricing, retention
from domains.offers.service.publish import INDEX_DOCUMENTS, SEARCH_QUEUE
from domains.offers.service.syncs import INGEST_QUEUE, PROCESS_SYNC, fail_sync
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.queue.jobs import Job
from wapsi.queue.registry import job, limit_queue

log = structlog.get_logger(__name__)

# Two merges at a time are as fast as five, and leave room for whoever reads; one at a time fills the search index,
# which takes one writer after the other anyway.
limit_queue(INGEST_QUEUE, at_once=2, prompt=True)
limit_queue(SEARCH_QUEUE, at_once=1)

# What was pushed is kept so long after its sync has ended (for a look at what came); what was wrong with it longer.
KEEP_STAGED = timedelta(hours=24)
KEEP_QUARANTINED = timedelta(days=7)
KEEP_ISSUES = timedelta(days=30)


async def _sync_died(session: WriteSession, args: Mapping[str, Any], error: str) -> None:
    message = f"Processing was given up: {error} Nothing was published. Push the feed again; if it repeats, report it."
    await fail_sync(session, UUID(args["sync_id"]), "PROCESSING_FAILED", message)


# Retried after any fault: an attempt publishes everything or nothing, so there is nothing to undo.
@job(PROCESS_SYNC, queue=INGEST_QUEUE, max_attempts=5, lease_s=15, time_limit_s=1800, on_dead=_sync_died)
async def process_sync(job: Job) -> None:
    await processing.process_sync(job, UUID(job.args["sync_id"]))


@job(INDEX_DOCUMENTS, queue=SEARCH_QUEUE, max_attempts=10, lease_s=15)
async def index_documents(job: Job) -> None:
    await documents.index_documents(job, UUID(job.args["merchant_id"]), stated_us=job.args.get("stated_us"))


@job("offers.reprice", every_s=30)
async def reprice(job: Job) -> None:
    """What shoppers sort and search by follows sales and rates as they begin and end."""
    await repricing.reprice(job)


@job(repricing.REPRICE_MERCHANT, queue=SEARCH_QUEUE, max_attempts=10, lease_s=15)
async def reprice_merchant(job: Job) -> None:
    await repricing.reprice_merchant(job, UUID(job.args["merchant_id"]))


@job("offers.expire_unseen", every_s=3600)
async def expire_unseen(job: Job) -> None:
    async with job.write() as session:
        expired = await retention.expire_unseen(session, before=now() - retention.UNSEEN_LIMIT)
        await job.complete(session)
    if expired:
        log.info("offers_expired", offers=expired)


@job("offers.tidy", every_s=600)
async def tidy(job: Job) -> None:
    moment = now()
    async with job.write() as session:
        await retention.cancel_abandoned(session, opened_before=moment - KEEP_STAGED)
        await retention.cancel_undecided(session, quarantined_before=moment - KEEP_QUARANTINED)
    deleted = retention.BATCH
    while deleted >= retention.BATCH:
        async with job.write() as session:
            deleted = await retention.drop_staged(session, settled_before=moment - KEEP_STAGED)
    deleted = retention.BATCH
    while deleted >= retention.BATCH:
        async with job.write() as session:
            deleted = await retention.drop_issues(session, settled_before=moment - KEEP_ISSUES)
