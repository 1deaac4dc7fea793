"""What customers earn: pending, confirmed, held for a check, declined, or taken back."""

from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy import select

from domains.cashback.errors import RewardNotFound
from domains.cashback.models import RewardRow
from domains.cashback.service import history
from domains.cashback.service.drafts import Draft
from domains.cashback.service.history import Cause
from domains.cashback.service.ledger import locked_balances
from domains.cashback.service.loading import load_sale, load_sale_of_reward
from domains.cashback.service.postings import Sale, post_confirmed, post_hold, post_withheld
from domains.cashback.service.pricing import Price
from domains.cashback.service.receipts import Receipt
from domains.cashback.service.records import Conversion, Reward
from domains.cashback.service.steps import is_due, move_reward
from domains.cashback.service.writing import Written, write
from domains.cashback.states import REWARD_STATES, ConversionState, Entity, RewardState
from domains.merchants.service import ConfirmationTerms
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.errors import Unavailable
from wapsi.ids import new_id
from wapsi.queue.jobs import Job, LeaseLost
from wapsi.security import audit
from wapsi.security.principal import Principal
from wapsi.state import IllegalMove
from wapsi.telemetry.setup import current_trace_id

log = structlog.get_logger(__name__)

_R = RewardState
MERCHANT_OVERDUE = "merchant_overdue"
VALIDATION_OVER = "validation_over"


def create(draft: Draft, conversion: Conversion, receipt: Receipt, price: Price, cause: Cause) -> Reward:
    """Pending, or declined where the sale was declined before we heard of it."""
    state = _R.DECLINED if conversion.state == ConversionState.DECLINED else _R.PENDING
    moment = now()
    row = Reward(
        id=new_id(),
        conversion_id=conversion.id,
        customer_id=receipt.customer_id,
        merchant_id=conversion.merchant_id,
        currency=price.currency,
        rate_schedule_version=receipt.schedule.version,
        expected_confirmation_at=receipt.expected_confirmation_at,
        confirmation=receipt.confirmation,
        clawback=receipt.clawback,
        created_at=moment,
        state=state,
        amount_minor=price.amount_minor,
        pricing=price.as_json(),
        reason_code=cause.reason_code,
        waived_minor=0,
        confirmed_at=None,
        updated_at=moment,
    )
    draft.record(Entity.REWARD, row.id, None, state, cause)
    return row


async def hold(session: WriteSession, principal: Principal, reward_id: UUID, reason_code: str) -> None:
    """Puts cashback out of reach until it is released. Raises RewardNotFound, IllegalMove, and InsufficientBalance
    where confirmed cashback has been withdrawn already."""
    sale, draft = await _open(session, reward_id)
    reward = sale.reward
    assert reward is not None
    before = _R(reward.state)
    REWARD_STATES.check(before, _R.HELD)
    if before is _R.CONFIRMED:
        post_hold(draft, sale, new_id(), release=False)
    move_reward(draft, reward, _R.HELD, Cause(str(principal), reason_code))
    await write(await session.driver(), Written(changed_rewards=[reward], drafts=[draft]))
    await _audit(session, principal, "reward.held", reward_id, before, _R.HELD, reason_code)


async def release(session: WriteSession, principal: Principal, reward_id: UUID, reason_code: str) -> None:
    """Gives held cashback free: confirmed where it was, or where the sale's approval has confirmed it, else pending.

    Raises RewardNotFound and IllegalMove.
    """
    sale, draft = await _open(session, reward_id)
    reward = sale.reward
    assert reward is not None
    before = _R(reward.state)
    approved = sale.conversion.state in (ConversionState.APPROVED, ConversionState.SETTLED)
    confirmed = reward.confirmed_at is not None or (approved and is_due(reward))
    target = _R.CONFIRMED if confirmed else _R.PENDING
    if before is not _R.HELD:
        REWARD_STATES.check(before, _R.PENDING)
    if reward.confirmed_at is not None:
        post_hold(draft, sale, new_id(), release=True)
    elif confirmed:
        post_confirmed(draft, sale)
    move_reward(draft, reward, target, Cause(str(principal), reason_code))
    await write(await session.driver(), Written(changed_rewards=[reward], drafts=[draft]))
    await _audit(session, principal, "reward.released", reward_id, before, target, reason_code)


async def decline(session: WriteSession, principal: Principal, reward_id: UUID, reason_code: str) -> None:
    """Held cashback is not given, or taken back; what the network says of the sale still counts, and its commission.

    Raises RewardNotFound and IllegalMove: only what is held is declined.
    """
    sale, draft = await _open(session, reward_id)
    reward = sale.reward
    assert reward is not None
    before = _R(reward.state)
    target = _R.DECLINED if reward.confirmed_at is None else _R.REVERSED
    if before is not _R.HELD:
        raise IllegalMove(
            f"Cashback that is {before} cannot be declined by itself: hold it first.",
            noun="reward",
            current=before,
            target=target,
        )
    post_withheld(draft, sale)
    move_reward(draft, reward, target, Cause(str(principal), reason_code))
    await write(await session.driver(), Written(changed_rewards=[reward], drafts=[draft]))
    await _audit(session, principal, f"reward.{target}", reward_id, before, target, reason_code)


async def due_rewards(session: ReadSession, after: UUID, *, limit: int = 500) -> Sequence[UUID]:
    """Pending cashback whose terms confirm it when its validation is over, which it is; after this id."""
    return (
        await session.scalars(
            select(RewardRow.id)
            .where(
                RewardRow.state == _R.PENDING,
                RewardRow.enquired_at.is_(None),
                RewardRow.expected_confirmation_at < now(),
                RewardRow.confirmation == ConfirmationTerms.AFTER_VALIDATION,
                RewardRow.id > after,
            )
            .order_by(RewardRow.id)
            .limit(limit)
        )
    ).all()


async def confirm_all_due(job: Job) -> None:
    """One by one, so that no sale waits for another, nor for one that is at fault: that is tried again next time."""
    after = UUID(int=0)
    while True:
        async with job.write() as session:
            due = await due_rewards(session, after)
        for reward_id in due:
            try:
                async with job.write() as session:
                    await confirm_due(session, reward_id)
            except (Unavailable, LeaseLost):
                raise
            except Exception:
                log.exception("cashback_not_confirmed", reward_id=str(reward_id))
        if not due:
            return
        after = due[-1]


async def confirm_due(session: WriteSession, reward_id: UUID) -> None:
    """Confirms it, whether the sale was approved or nothing was said; not where it was decided on in between."""
    seen = await session.get(RewardRow, reward_id)
    assert seen is not None
    # As events lock them: the sale first.
    sale = await load_sale(session, seen.conversion_id)
    assert sale is not None
    assert sale.reward is not None
    if sale.reward.state != _R.PENDING or not is_due(sale.reward):
        return
    driver = await session.driver()
    draft = Draft(await locked_balances(driver, [sale.customer_id]), [sale.customer_id], current_trace_id())
    post_confirmed(draft, sale)
    move_reward(draft, sale.reward, _R.CONFIRMED, Cause("system", VALIDATION_OVER))
    await write(driver, Written(changed_rewards=[sale.reward], drafts=[draft]))


async def mark_overdue(session: WriteSession, *, limit: int = 500) -> int:
    """Opens an enquiry for pending cashback that the merchant should have decided on; returns how many.

    It is not confirmed by the passing of time, unless its terms say so: the money is the merchant's to grant.
    """
    rows = await session.scalars(
        select(RewardRow)
        .where(
            RewardRow.state == _R.PENDING,
            RewardRow.enquired_at.is_(None),
            RewardRow.expected_confirmation_at < now(),
            RewardRow.confirmation == ConfirmationTerms.ON_APPROVAL,
        )
        .order_by(RewardRow.expected_confirmation_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    overdue = rows.all()
    for row in overdue:
        row.enquired_at = now()
        history.record(session, Entity.REWARD, row.id, row.state, row.state, Cause("system", MERCHANT_OVERDUE))
    await session.flush()
    return len(overdue)


async def _open(session: WriteSession, reward_id: UUID) -> tuple[Sale, Draft]:
    """Locked, with the customer's balances."""
    driver = await session.driver()
    sale = await load_sale_of_reward(session, reward_id)
    if sale is None:
        raise RewardNotFound("There is no such cashback.", reward_id=str(reward_id))
    balances = await locked_balances(driver, [sale.customer_id])
    return sale, Draft(balances, [sale.customer_id], current_trace_id())


async def _audit(
    session: WriteSession,
    principal: Principal,
    action: str,
    reward_id: UUID,
    before: RewardState,
    after: RewardState,
    reason_code: str,
) -> None:
    await audit.record(
        session,
        principal,
        action=action,
        target=f"reward:{reward_id}",
        before={"state": before},
        after={"state": after, "reason_code": reason_code},
    )
