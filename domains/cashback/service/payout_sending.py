"""Sending a payout once, across a border that no transaction spans.

The move to `processing` is committed before the provider is called. From then on nobody sends: whoever finds a payout
that was begun (after a crash, a timeout, a lost lease) asks the provider by key what became of it.
"""

import asyncio
import time
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import select

from domains.cashback.models import PayoutRow
from domains.cashback.service.history import Cause
from domains.cashback.service.payouts import give_back, move_payout, post_paid
from domains.cashback.service.providers import PayoutProvider, ProviderResult, ProviderStatus, ProviderTimeout
from domains.cashback.states import PayoutState
from domains.customers import service as customers
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.queue.jobs import Job

log = structlog.get_logger(__name__)

CALL_TIMEOUT_S = 10.0
# Calls in a row that a sweep waits for in vain before it takes the provider to be down.
SILENT_LIMIT = 3
# A process that was stopped in between must not send long after others have begun to ask.
SEND_WITHIN_S = 30.0
# A payout in `processing` is another worker's business for so long.
ASK_AFTER = timedelta(minutes=2)
# So long after the call, a key that the provider does not know will not arrive any more.
GIVE_UP_AFTER = timedelta(minutes=15)

_P = PayoutState


async def send_payout(job: Job, payout_id: UUID, provider: PayoutProvider) -> None:
    """One attempt. Does nothing for a payout that is cancelled, held or done."""
    begun_s = time.monotonic()
    async with job.write() as session:
        row = await session.get_locked(PayoutRow, payout_id)
        if row is None or row.state not in (_P.REQUESTED, _P.PROCESSING):
            await job.complete(session)
            return
        begun_before = row.state == _P.PROCESSING
        amount_minor, currency = row.amount_minor, row.currency
        account = await customers.payout_account(session, job.runtime.keys, row.customer_id, row.payout_method_id)
        if not begun_before:
            row.sent_at = now()
            move_payout(session, row, _P.PROCESSING, Cause(f"provider:{provider.name}", "sent"))
        await session.flush()
    result: ProviderResult | None
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            if begun_before or time.monotonic() - begun_s > SEND_WITHIN_S:
                result = await provider.status(payout_id)
            else:
                result = await provider.send(payout_id, amount_minor, currency, account)
    except (ProviderTimeout, TimeoutError, OSError) as error:
        log.warning("payout_unanswered", payout_id=str(payout_id), provider=provider.name, cause=repr(error))
        result = None
    async with job.write() as session:
        row = await session.get_locked(PayoutRow, payout_id)
        assert row is not None
        if row.state == _P.PROCESSING:
            await _record(session, row, provider.name, result)
        await job.complete(session)


async def sweep_payouts(
    job: Job,
    provider: PayoutProvider,
    *,
    ask_after: timedelta = ASK_AFTER,
    give_up_after: timedelta = GIVE_UP_AFTER,
    limit: int = 100,
) -> int:
    """Asks the provider about every payout whose fate is open; returns how many were settled."""
    async with job.write() as session:
        open_ids = await session.scalars(
            select(PayoutRow.id)
            .where(
                PayoutRow.provider == provider.name,
                (PayoutRow.state == _P.UNKNOWN)
                | (PayoutRow.state == _P.PROCESSING) & (PayoutRow.updated_at < now() - ask_after),
            )
            .order_by(PayoutRow.updated_at)
            .limit(limit)
        )
        ids = open_ids.all()
    settled = silent = 0
    for payout_id in ids:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                result = await provider.status(payout_id)
        except (ProviderTimeout, TimeoutError, OSError) as error:
            log.warning("payout_unanswered", payout_id=str(payout_id), provider=provider.name, cause=repr(error))
            async with job.write() as session:
                await _settle(session, payout_id, provider.name, None, give_up_after)
            silent += 1
            if silent == SILENT_LIMIT:
                # It is down. The next sweep begins with those that were not asked.
                break
            continue
        silent = 0
        async with job.write() as session:
            settled += await _settle(session, payout_id, provider.name, result, give_up_after)
    return settled


async def _settle(
    session: WriteSession, payout_id: UUID, provider: str, result: ProviderResult | None, give_up_after: timedelta
) -> bool:
    row = await session.get_locked(PayoutRow, payout_id)
    if row is None or row.state not in (_P.PROCESSING, _P.UNKNOWN):
        return False
    overdue = row.sent_at is not None and row.sent_at < now() - give_up_after
    if result is not None and result.status is ProviderStatus.NOT_KNOWN and overdue:
        result = ProviderResult(ProviderStatus.FAILED, reason="never_reached_provider")
    await _record(session, row, provider, result)
    return row.state in (_P.SUCCEEDED, _P.FAILED)


async def _record(session: WriteSession, row: PayoutRow, provider: str, result: ProviderResult | None) -> None:
    actor = f"provider:{provider}"
    if result is None or result.status is ProviderStatus.NOT_KNOWN:
        reason = "provider_timeout" if result is None else "not_known_to_provider"
        if row.state == _P.PROCESSING:
            move_payout(session, row, _P.UNKNOWN, Cause(actor, reason))
        row.updated_at = now()
    elif result.status is ProviderStatus.PAID:
        await post_paid(session, row)
        row.provider_reference = result.reference
        move_payout(session, row, _P.SUCCEEDED, Cause(actor, "paid"))
        await customers.tell_soon(session, row.customer_id, customers.Template.PAYOUT_PAID)
    else:
        await give_back(session, row)
        row.provider_reference = result.reference or None
        move_payout(session, row, _P.FAILED, Cause(actor, result.reason or "refused_by_provider"))
        await customers.tell_soon(session, row.customer_id, customers.Template.PAYOUT_FAILED)
    await session.flush()


async def park_unsent(session: WriteSession, payout_id: UUID, error: str) -> None:
    """A payout whose sending was given up before it began waits for an operator."""
    row = await session.get_locked(PayoutRow, payout_id)
    if row is not None and row.state == _P.REQUESTED:
        move_payout(session, row, _P.HELD, Cause("system", "sending_failed", words=error))
        await session.flush()
