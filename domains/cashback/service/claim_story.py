"""How a claim stands, and how it came there, in sentences for the customer who made it."""

from collections.abc import Sequence

from domains.cashback.models import ClaimRow
from domains.cashback.service.history import StateChange
from domains.cashback.service.story import StoryLine
from domains.cashback.states import ClaimState
from wapsi.money import Money, format_money

_S = ClaimState
# Why an approved claim gives back goodwill.
SALE_CAME = "sale_came"
# A sale came that may be the one of the claim, or another order's.
SALE_UNCLEAR = "sale_unclear"
# What operators and jobs say most, in words; another reason is read as it stands.
_REASONS = {
    "no_answer": "we asked and had no answer in time",
    "merchant_silent": "the merchant did not answer in time",
    "account_deleted": "the account was deleted",
}


def sentence(claim: ClaimRow, merchant: str) -> str:
    """How it stands now."""
    state, due_at, goodwill_minor = _S(claim.state), claim.due_at, claim.goodwill_minor
    reason = _reason(claim.decision_code)
    if state is _S.SUBMITTED:
        return "We have your claim and look into it."
    if state is _S.INFO_REQUIRED:
        if due_at is None:
            return "Thank you for your answer. We look into it."
        return f"We need something from you ({reason}). Please answer by {due_at:%-d %B %Y}, or the claim ends."
    if state is _S.SENT_TO_MERCHANT:
        until = "" if due_at is None else f" It has until {due_at:%-d %B %Y}."
        return f"We have asked {merchant} ({reason}).{until}"
    if state is _S.APPROVED:
        if goodwill_minor is not None:
            amount = format_money(Money(goodwill_minor, claim.currency))
            return f"Your claim was approved ({reason}): we gave you {amount} ourselves. It can be withdrawn."
        if claim.resolution is None:
            return f"Your claim was approved ({reason})."
        return f"Your claim was approved ({reason}): the sale was found, and its cashback is among yours."
    if state is _S.DECLINED:
        return f"Your claim was declined: {reason}."
    return f"Your claim has ended: {reason}."


def tell_claim(changes: Sequence[StateChange], merchant: str) -> list[StoryLine]:
    """Every move of it, the oldest first."""
    return [StoryLine(change.at, _line(change, merchant)) for change in changes]


def _line(change: StateChange, merchant: str) -> str:
    reason = _reason(change.reason_code)
    state = _S(change.to_state)
    if change.reason_code == SALE_CAME and change.from_state == change.to_state == _S.APPROVED:
        return "The sale came after all: its cashback takes the place of what we gave."
    if change.reason_code == SALE_UNCLEAR and change.from_state == change.to_state == _S.APPROVED:
        return "A sale of the same visit came: it may be this order's, or another one's."
    if change.from_state == change.to_state:
        return f"One of two people has approved it ({reason})."
    return {
        _S.SUBMITTED: f"You made the claim: {reason}.",
        _S.INFO_REQUIRED: f"We asked you for more ({reason}).",
        _S.SENT_TO_MERCHANT: f"We asked {merchant} ({reason}).",
        _S.APPROVED: f"The claim was approved ({reason}).",
        _S.DECLINED: f"The claim was declined: {reason}.",
        _S.EXPIRED: f"The claim ended: {reason}.",
    }[state]


def _reason(code: str) -> str:
    return _REASONS.get(code, code.replace("_", " "))
