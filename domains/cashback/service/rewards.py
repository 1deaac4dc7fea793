"""What customers earn: pending, confirmed, held for a check, declined, or taken back."""

from uuid import UUID

from sqlalchemy import select

from domains.cashback.errors import RewardNotFound
from domains.cashback.models import ConversionRow, RewardRow
from domains.cashback.service import history, receipts
from domains.cashback.service.history import Cause
from domains.cashback.service.postings import Sale, post_confirmed, post_hold
from domains.cashback.service.pricing import Price
from domains.cashback.states import REWARD_STATES, ConversionState, Entity, RewardState
from domains.merchants import service as merchants
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal

_R = RewardState
MERCHANT_OVERDUE = "merchant_overdue"


async def create(
    session: WriteSession, conversion: ConversionRow, receipt: receipts.Receipt, price: Price, cause: Cause
) -> RewardRow:
    """Pending, or declined where the sale was declined before we heard of it."""
    state = _R.DECLINED if conversion.state == ConversionState.DECLINED else _R.PENDING
    row = RewardRow(
        id=new_id(),
        conversion_id=conversion.id,
        customer_id=receipt.customer_id,
        merchant_id=conversion.merchant_id,
        state=state,
        amount_minor=price.amount_minor,
        currency=price.currency,
        rate_schedule_version=receipt.schedule.version,
        pricing=price.as_json(),
        reason_code=cause.reason_code,
        expected_confirmation_at=receipt.expected_confirmation_at,
        created_at=now(),
    )
    session.add(row)
    history.record(session, Entity.REWARD, row.id, None, state, cause)
    await session.flush()
    return row


async def locked_of(session: WriteSession, conversion_id: UUID) -> RewardRow | None:
    return await session.scalar(
        select(RewardRow)
        .where(RewardRow.conversion_id == conversion_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def move_reward(session: WriteSession, row: RewardRow, target: RewardState, cause: Cause) -> None:
    """Raises IllegalMove."""
    before = _R(row.state)
    row.state = REWARD_STATES.check(before, target)
    row.reason_code = cause.reason_code
    row.updated_at = now()
    if target is _R.CONFIRMED and row.confirmed_at is None:
        row.confirmed_at = row.updated_at
    history.record(session, Entity.REWARD, row.id, before, target, cause)


async def hold(session: WriteSession, principal: Principal, reward_id: UUID, reason_code: str) -> None:
    """Puts cashback out of reach until it is released. Raises RewardNotFound, IllegalMove, and InsufficientBalance
    where confirmed cashback has been withdrawn already."""
    sale = await _locked_sale(session, reward_id)
    reward = sale.reward
    assert reward is not None
    before = _R(reward.state)
    REWARD_STATES.check(before, _R.HELD)
    if before is _R.CONFIRMED:
        await post_hold(session, sale, new_id(), release=False)
    move_reward(session, reward, _R.HELD, Cause(str(principal), reason_code))
    await _audit(session, principal, "reward.held", reward_id, before, _R.HELD, reason_code)


async def release(session: WriteSession, principal: Principal, reward_id: UUID, reason_code: str) -> None:
    """Gives held cashback free: confirmed where the merchant has approved the sale, else pending as before.

    Raises RewardNotFound and IllegalMove.
    """
    sale = await _locked_sale(session, reward_id)
    reward = sale.reward
    assert reward is not None
    before = _R(reward.state)
    approved = sale.conversion.state in (ConversionState.APPROVED, ConversionState.SETTLED)
    target = _R.CONFIRMED if approved else _R.PENDING
    if before is not _R.HELD:
        REWARD_STATES.check(before, _R.PENDING)
    if reward.confirmed_at is not None:
        await post_hold(session, sale, new_id(), release=True)
    elif approved:
        await post_confirmed(session, sale)
    move_reward(session, reward, target, Cause(str(principal), reason_code))
    await _audit(session, principal, "reward.released", reward_id, before, target, reason_code)


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


async def _locked_sale(session: WriteSession, reward_id: UUID) -> Sale:
    reward = await session.get_locked(RewardRow, reward_id)
    if reward is None:
        raise RewardNotFound("There is no such cashback.", reward_id=str(reward_id))
    conversion = await session.get(ConversionRow, reward.conversion_id)
    assert conversion is not None
    merchant = await merchants.get_merchant_by_id(session, conversion.merchant_id)
    return Sale(conversion, reward, merchant.slug, conversion.source.removeprefix("direct:"))


async def _audit(
    session: WriteSession,
    principal: Principal,
    action: str,
    reward_id: UUID,
    before: RewardState,
    after: RewardState,
    reason_code: str,
) -> None:
    await session.flush()
    await audit.record(
        session,
        principal,
        action=action,
        target=f"reward:{reward_id}",
        before={"state": before},
        after={"state": after, "reason_code": reason_code},
    )
