"""What customers earn: pending, confirmed, held for a check, declined, or taken back."""

from uuid import UUID

from sqlalchemy import select

from domains.cashback.errors import RewardNotFound
from domains.cashback.models import RewardRow
from domains.cashback.service import history
from domains.cashback.service.drafts import Draft
from domains.cashback.service.history import Cause
from domains.cashback.service.ledger import locked_balances
from domains.cashback.service.loading import load_sale_of_reward
from domains.cashback.service.postings import Sale, post_confirmed, post_hold, post_withheld
from domains.cashback.service.pricing import Price
from domains.cashback.service.receipts import Receipt
from domains.cashback.service.records import Conversion, Reward
from domains.cashback.service.steps import move_reward
from domains.cashback.service.writing import Written, write
from domains.cashback.states import REWARD_STATES, ConversionState, Entity, RewardState
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal
from wapsi.state import IllegalMove
from wapsi.telemetry.setup import current_trace_id

_R = RewardState
MERCHANT_OVERDUE = "merchant_overdue"


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
        created_at=moment,
        state=state,
        amount_minor=price.amount_minor,
        pricing=price.as_json(),
        reason_code=cause.reason_code,
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
    """Gives held cashback free: confirmed where the merchant has approved the sale, else pending as before.

    Raises RewardNotFound and IllegalMove.
    """
    sale, draft = await _open(session, reward_id)
    reward = sale.reward
    assert reward is not None
    before = _R(reward.state)
    approved = sale.conversion.state in (ConversionState.APPROVED, ConversionState.SETTLED)
    target = _R.CONFIRMED if approved else _R.PENDING
    if before is not _R.HELD:
        REWARD_STATES.check(before, _R.PENDING)
    if reward.confirmed_at is not None:
        post_hold(draft, sale, new_id(), release=True)
    elif approved:
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


async def mark_overdue(session: WriteSession, *, limit: int = 500) -> int:
    """Opens an enquiry for pending cashback that the merchant should have decided on; returns how many.

    It is never confirmed by the passing of time: the money is the merchant's to grant.
    """
    rows = await session.scalars(
        select(RewardRow)
        .where(
            RewardRow.state == _R.PENDING,
            RewardRow.enquired_at.is_(None),
            RewardRow.expected_confirmation_at < now(),
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
