"""The steps of a sale, each with its posting and what it does to the reward."""

from domains.cashback.service.drafts import Draft
from domains.cashback.service.history import Cause
from domains.cashback.service.postings import Sale, post_confirmed, post_declined, post_reversed, post_settled
from domains.cashback.service.records import Conversion, Reward
from domains.cashback.states import CONVERSION_STATES, REWARD_STATES, ConversionState, Entity, RewardState
from domains.merchants.service import ConfirmationTerms
from wapsi.clock import now

_C = ConversionState
_R = RewardState


def advance(draft: Draft, sale: Sale, target: ConversionState, cause: Cause) -> bool:
    """Moves a sale on to `target`, over what lies between; returns whether anything moved. Raises IllegalMove."""
    if target is _C.DECLINED:
        if sale.conversion.state == _C.DECLINED:
            return False
        _decline(draft, sale, cause)
        return True
    moved = False
    if target in (_C.APPROVED, _C.SETTLED) and sale.conversion.state in (_C.PENDING, _C.UNATTRIBUTED):
        _approve(draft, sale, cause)
        moved = True
    if target is _C.SETTLED and sale.conversion.state == _C.APPROVED:
        post_settled(draft, sale)
        move_conversion(draft, sale.conversion, _C.SETTLED, cause)
        moved = True
    return moved


def move_conversion(draft: Draft, row: Conversion, target: ConversionState, cause: Cause) -> None:
    """Raises IllegalMove."""
    before = _C(row.state)
    row.state = CONVERSION_STATES.check(before, target)
    row.reason_code = cause.reason_code
    row.updated_at = now()
    draft.record(Entity.CONVERSION, row.id, before, target, cause)


def move_reward(draft: Draft, row: Reward, target: RewardState, cause: Cause) -> None:
    """Raises IllegalMove."""
    before = _R(row.state)
    row.state = REWARD_STATES.check(before, target)
    row.reason_code = cause.reason_code
    row.updated_at = now()
    if target is _R.CONFIRMED and row.confirmed_at is None:
        row.confirmed_at = row.updated_at
    draft.record(Entity.REWARD, row.id, before, target, cause)


def is_due(reward: Reward) -> bool:
    """Whether an approval confirms it, by the terms of its receipt."""
    return reward.confirmation == ConfirmationTerms.ON_APPROVAL or reward.expected_confirmation_at <= now()


def _approve(draft: Draft, sale: Sale, cause: Cause) -> None:
    """The reward becomes available at once, unless it is held: then its release will do it; or waits for its day."""
    move_conversion(draft, sale.conversion, _C.APPROVED, cause)
    assert sale.reward is not None
    if sale.reward.state == _R.PENDING and is_due(sale.reward):
        post_confirmed(draft, sale)
        move_reward(draft, sale.reward, _R.CONFIRMED, cause)


def _decline(draft: Draft, sale: Sale, cause: Cause) -> None:
    move_conversion(draft, sale.conversion, _C.DECLINED, cause)
    reward = sale.reward
    confirmed = reward is not None and reward.confirmed_at is not None
    (post_reversed if confirmed else post_declined)(draft, sale)
    if reward is not None and sale.earns:
        move_reward(draft, reward, _R.REVERSED if confirmed else _R.DECLINED, cause)
