"""The jobs of feed sources: fetching what is due, and watching for what is late."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from domains.offers.config import get_feed_fetch_settings
from domains.offers.service import source_fetch, source_watch, sources
from wapsi.db import WriteSession
from wapsi.queue.jobs import Job
from wapsi.queue.registry import job, limit_queue

# A slow shop takes a thread for as long as it takes.
limit_queue(source_fetch.FETCH_QUEUE, at_once=1)


async def _fetch_died(session: WriteSession, args: Mapping[str, Any], error: str) -> None:
    await source_fetch.give_up(session, UUID(args["merchant_id"]))


# What a shop's server does is an outcome and no failure of the job; a fault of ours leaves nothing behind.
@job(
    source_fetch.FETCH_FEED,
    queue=source_fetch.FETCH_QUEUE,
    max_attempts=source_fetch.FETCH_ATTEMPTS,
    time_limit_s=1800,
    on_dead=_fetch_died,
)
async def fetch_feed(job: Job) -> None:
    fetcher = sources.make_fetcher(job.runtime.settings)
    await source_fetch.fetch_feed(job, fetcher, UUID(job.args["merchant_id"]), force=bool(job.args["force"]))
    # A place is free: whoever waits for it need not wait for the schedule too.
    async with job.runtime.db.write() as session:
        await source_fetch.enqueue_due(session, at_once=get_feed_fetch_settings().concurrency)


@job("offers.schedule_fetches", every_s=30)
async def schedule_fetches(job: Job) -> None:
    async with job.write() as session:
        await source_fetch.enqueue_due(session, at_once=get_feed_fetch_settings().concurrency)
        await job.complete(session)


@job("offers.watch_feeds", every_s=source_watch.WATCH_EVERY_S)
async def watch_feeds(job: Job) -> None:
    async with job.write() as session:
        turns, late = await source_watch.watch(session)
        await job.complete(session)
    source_watch.tell(turns, late)
