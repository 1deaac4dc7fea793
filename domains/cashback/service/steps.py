"""The steps of a sale, each with its posting and what it does to the reward."""

from domains.cashback.models import ConversionRow
from domains.cashback.service import history
from domains.cashback.service.history import Cause
from domains.cashback.service.postings import Sale, post_confirmed, post_declined, post_reversed, post_settled
from domains.cashback.service.rewards import move_reward
from domains.cashback.states import CONVERSION_STATES, ConversionState, Entity, RewardState
from wapsi.clock import now
from wapsi.db import WriteSession

_C = ConversionState
_R = RewardState


async def advance(session: WriteSession, sale: Sale, target: ConversionState, cause: Cause) -> bool:
    """Moves a sale on to `target`, over what lies between; returns whether anything moved. Raises IllegalMove."""
    if target is _C.DECLINED:
        if sale.conversion.state == _C.DECLINED:
            return False
        await _decline(session, sale, cause)
        return True
    moved = False
    if target in (_C.APPROVED, _C.SETTLED) and sale.conversion.state in (_C.PENDING, _C.UNATTRIBUTED):
        await _approve(session, sale, cause)
        moved = True
    if target is _C.SETTLED and sale.conversion.state == _C.APPROVED:
        await post_settled(session, sale)
        move_conversion(session, sale.conversion, _C.SETTLED, cause)
        moved = True
    return moved


def move_conversion(session: WriteSession, row: ConversionRow, target: ConversionState, cause: Cause) -> None:
    """Raises IllegalMove."""
    before = _C(row.state)
    row.state = CONVERSION_STATES.check(before, target)
    row.reason_code = cause.reason_code
    row.updated_at = now()
    history.record(session, Entity.CONVERSION, row.id, before, target, cause)


async def _approve(session: WriteSession, sale: Sale, cause: Cause) -> None:
    """The reward becomes available at once, unless it is held: then its release will do it."""
    move_conversion(session, sale.conversion, _C.APPROVED, cause)
    assert sale.reward is not None
    if sale.reward.state == _R.PENDING:
        await post_confirmed(session, sale)
        move_reward(session, sale.reward, _R.CONFIRMED, cause)


async def _decline(session: WriteSession, sale: Sale, cause: Cause) -> None:
    move_conversion(session, sale.conversion, _C.DECLINED, cause)
    reward = sale.reward
    if reward is None or reward.confirmed_at is None:
        await post_declined(session, sale)
        if reward is not None:
            move_reward(session, reward, _R.DECLINED, cause)
    else:
        await post_reversed(session, sale)
        move_reward(session, reward, _R.REVERSED, cause)
