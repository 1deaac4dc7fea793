"""The domain's jobs: ids in, service called."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from domains.cashback import service
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.queue.jobs import Job
from wapsi.queue.registry import job, limit_queue
from wapsi.queue.rounds import in_rounds

# Files come at night and are long; other jobs need the threads too.
limit_queue(service.SALES_QUEUE, at_once=1)


async def _sending_died(session: WriteSession, args: Mapping[str, Any], error: str) -> None:
    await service.park_unsent(session, UUID(args["payout_id"]), error)


# Retried after any fault, which is safe: an attempt that finds the payout begun asks the provider and does not send.
@job(service.SEND_PAYOUT, max_attempts=5, lease_s=30, on_dead=_sending_died)
async def send_payout(job: Job) -> None:
    provider = service.provider_of(service.DEFAULT_PROVIDER, job.runtime.db)
    await service.send_payout(job, UUID(job.args["payout_id"]), provider)


@job("cashback.sweep_payouts", every_s=60)
async def sweep_payouts(job: Job) -> None:
    for name in service.PROVIDERS:
        await service.sweep_payouts(job, service.provider_of(name, job.runtime.db))


@job("cashback.confirm_due", every_s=300, lease_s=120, time_limit_s=900)
async def confirm_due(job: Job) -> None:
    """What its terms confirm when the validation is over; the rest that is overdue is asked about. Approved cashback
    is confirmed with the event."""
    await service.confirm_all_due(job)
    async with job.write() as session:
        await service.mark_overdue(session)
        await job.complete(session)


# One at a time: a second one would look at the same changes, and find nothing to do.
@job("cashback.follow_rewards", every_s=60, lease_s=120, time_limit_s=900)
async def follow_rewards(job: Job) -> None:
    """Bonuses that confirmed cashback brings about, those that go with their cause, and those that have waited."""
    await service.follow_rewards(job)


@job("cashback.expire_claims", every_s=3600)
async def expire_claims(job: Job) -> None:
    """Claims that waited too long for the customer, or for the merchant."""
    await in_rounds(job, service.expire_claims)
    async with job.write() as session:
        await job.complete(session)


async def _file_died(session: WriteSession, args: Mapping[str, Any], error: str) -> None:
    await service.give_up(session, UUID(args["file_id"]), error)


# Retried after any fault: an attempt goes on behind the last window that was committed.
@job(service.TAKE_IN_FILE, queue=service.SALES_QUEUE, time_limit_s=6 * 3600, on_dead=_file_died)
async def take_in_file(job: Job) -> None:
    await service.take_in_file(job, UUID(job.args["file_id"]))


@job("cashback.retry_changes", every_s=300)
async def retry_changes(job: Job) -> None:
    """Changes of sales that came before them."""
    handed_in = service.RETRIED_AT_ONCE
    while handed_in >= service.RETRIED_AT_ONCE:
        async with job.write() as session:
            handed_in = await service.retry_changes(session, job.runtime.keys)


@job("cashback.empty_accounts", every_s=86_400, time_limit_s=3600)
async def empty_accounts(job: Job) -> None:
    """Cashback that was confirmed, or taken back, after its customer had left. Run again it finds less to do."""
    await service.empty_accounts(job.runtime.db)


async def _mapping_stopped(session: WriteSession, args: Mapping[str, Any], error: str) -> None:
    await service.stop_mapping(session, UUID(args["proposal_id"]), error)


# Both go on where the attempt before has come to.
@job(service.PREVIEW_MAPPING, lease_s=60, time_limit_s=3600, on_dead=_mapping_stopped)
async def preview_mapping(job: Job) -> None:
    await service.run_preview(job, UUID(job.args["proposal_id"]))


@job(service.REPLAY_MAPPING, lease_s=60, time_limit_s=3600, on_dead=_mapping_stopped)
async def replay_mapping(job: Job) -> None:
    await service.run_replay(job, UUID(job.args["proposal_id"]))


@job("cashback.count_unknown_words", every_s=service.COUNT_EVERY_S)
async def count_unknown_words(job: Job) -> None:
    async with job.runtime.db.read() as session:
        await service.count_unknown_words(session)


@job("cashback.watch_tracking", every_s=service.WATCH_TRACKING_EVERY_S, lease_s=120, time_limit_s=1800)
async def watch_tracking(job: Job) -> None:
    await service.watch_tracking(job)


@job("cashback.ensure_partitions", every_s=86_400)
async def ensure_partitions(job: Job) -> None:
    async with job.write() as session:
        await service.ensure_partitions(session)
        await job.complete(session)


@job("cashback.seal_ledger", every_s=60, lease_s=120)
async def seal_ledger(job: Job) -> None:
    await service.seal_entries(job.runtime.db, job.runtime.keys)


@job("cashback.verify_ledger", every_s=86_400, lease_s=600, time_limit_s=3600)
async def verify_ledger(job: Job) -> None:
    """The invariants over everything, and the seals since the last time."""
    runtime, started_at = job.runtime, now()
    found = await service.verify_new_seals(runtime.db, runtime.keys)
    async with runtime.db.read() as session:
        found += await service.verify_ledger(session)
    service.report(found)
    async with job.write() as session:
        await service.record_verification(session, started_at, found)
        await job.complete(session)


@job("cashback.reconcile", every_s=86_400, lease_s=600, time_limit_s=3600)
async def reconcile(job: Job) -> None:
    async with job.runtime.db.read() as session:
        await service.reconcile_and_report(session)
