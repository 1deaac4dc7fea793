"""A sale's story in sentences, in the order in which it happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from domains.cashback.service.amendments import AMENDED
from domains.cashback.service.differences import Reading
from domains.cashback.service.history import StateChange
from domains.cashback.service.mappings import normal
from domains.cashback.service.payouts import PayoutView
from domains.cashback.service.rewards import MERCHANT_OVERDUE
from domains.cashback.service.views import ConversionView, EventView, RewardView
from domains.cashback.states import (
    ConversionState,
    Door,
    Entity,
    EventOutcome,
    PayoutState,
    ReplayOutcome,
    RewardState,
)
from domains.merchants.service import ConfirmationTerms
from wapsi.money import Money, format_money

_R = RewardState


@dataclass(frozen=True, slots=True)
class StoryLine:
    at: datetime
    text: str


class Visit(Protocol):
    """Of a click, what the story needs."""

    @property
    def clicked_at(self) -> datetime: ...
    @property
    def offer_title(self) -> str | None: ...
    @property
    def rate_schedule_version(self) -> int: ...
    @property
    def receipt_verified(self) -> bool: ...


class Correction(Protocol):
    """Of an adjustment, what the story needs."""

    @property
    def at(self) -> datetime: ...
    @property
    def event_id(self) -> UUID: ...
    @property
    def order_amount_before_minor(self) -> int: ...
    @property
    def order_amount_after_minor(self) -> int: ...
    @property
    def reward_before_minor(self) -> int: ...
    @property
    def reward_after_minor(self) -> int: ...
    @property
    def network_reason(self) -> str: ...


def tell(
    sale: ConversionView,
    reward: RewardView | None,
    merchant: str,
    click: Visit | None,
    events: Sequence[EventView],
    corrections: Sequence[Correction],
    changes: Sequence[StateChange],
    withdrawals: Sequence[PayoutView],
    owed_minor: int,
    readings: Sequence[Reading] = (),
    attribution: Sequence[Mapping[str, Any]] = (),
) -> list[StoryLine]:
    """`owed_minor` was withdrawn already when the cashback was taken back."""
    lines = []
    if click is not None:
        what = f" for “{click.offer_title}”" if click.offer_title else ""
        proof = "a signed receipt" if click.receipt_verified else "a receipt that does not verify"
        lines.append(
            StoryLine(
                click.clicked_at,
                f"You went to {merchant}{what}. Rates version {click.rate_schedule_version} were promised in {proof}.",
            )
        )
    lines += [StoryLine(event.received_at, _event(event, readings)) for event in events]
    lines += [StoryLine(reading.at, _reading(reading, sale, events)) for reading in readings if _tells(reading)]
    lines += [StoryLine(correction.at, _correction(correction, sale.currency)) for correction in corrections]
    for change in changes:
        words = _change(change, sale, reward, merchant, attribution, owed_minor)
        if words is not None:
            lines.append(StoryLine(change.at, words))
    for withdrawal in withdrawals:
        lines += _withdrawal(withdrawal)
    # Sorting is stable: what happened in one transaction stays in the order of cause and effect.
    return sorted(lines, key=lambda line: line.at)


def _event(event: EventView, readings: Sequence[Reading]) -> str:
    if event.door is Door.OPERATOR:
        return f"An operator decided on the sale ({event.message})."
    if event.fields.get("amounts") == "change":
        said = f"{event.source} reported a change of the sale"
        return f"{said}." if event.outcome is EventOutcome.APPLIED else f"{said}; it changed nothing: {event.message}"
    said = f"{event.source} reported the sale as “{event.raw_status}”"
    if any(reading.version == event.mapping_version and event.id in reading.event_ids for reading in readings):
        return f"{said}, which was read anew later."
    if event.outcome is EventOutcome.APPLIED:
        meant = "" if event.read_as in (None, normal(event.raw_status)) else f", which means {event.read_as}"
        return f"{said}{meant} (status mapping version {event.mapping_version})."
    return f"{said}; it changed nothing: {event.message}"


def _tells(reading: Reading) -> bool:
    return reading.outcome is not ReplayOutcome.UNCHANGED


def _reading(reading: Reading, sale: ConversionView, events: Sequence[EventView]) -> str:
    words = {normal(event.raw_status): event.raw_status for event in events if event.id in reading.event_ids}
    meant = ", ".join(f"“{said}” as {reading.words[word]}" for word, said in words.items() if word in reading.words)
    line = f"Version {reading.version} of the status mapping of {sale.source} took effect, which reads {meant}"
    return f"{line}." if reading.outcome is ReplayOutcome.CHANGED else f"{line}; it changed nothing: {reading.message}"


def _correction(correction: Correction, currency: str) -> str:
    reason = f" ({correction.network_reason})" if correction.network_reason else ""
    return (
        f"The sale was amended from {_money(correction.order_amount_before_minor, currency)} to "
        f"{_money(correction.order_amount_after_minor, currency)}{reason}; the cashback from "
        f"{_money(correction.reward_before_minor, currency)} to {_money(correction.reward_after_minor, currency)}."
    )


def _change(
    change: StateChange,
    sale: ConversionView,
    reward: RewardView | None,
    merchant: str,
    attribution: Sequence[Mapping[str, Any]],
    owed_minor: int,
) -> str | None:
    if change.entity is Entity.CONVERSION:
        if change.to_state == ConversionState.UNATTRIBUTED:
            # Once it was attributed, the rules are those that have held.
            failed = [rule["why"] for rule in attribution if not rule["matched"]]
            why = f" ({failed[0]})" if failed else ""
            return f"No click explains this sale at {merchant}{why}, so nobody earns cashback by it."
        if change.to_state == ConversionState.SETTLED:
            return f"{merchant} has paid the commission for the sale."
        if change.from_state == ConversionState.UNATTRIBUTED and change.to_state == ConversionState.PENDING:
            return f"The sale was found to come from your visit to {merchant}."
        return None
    if change.entity is not Entity.REWARD or reward is None:
        return None
    if change.reason_code == AMENDED and change.from_state == change.to_state:
        return None
    amount = _money(reward.amount_minor, reward.currency)
    reason = change.detail.get("words") or change.reason_code.replace("_", " ")
    if change.reason_code == MERCHANT_OVERDUE:
        return f"{merchant} should have decided by {_day(reward.expected_confirmation_at)}; it was asked."
    if change.to_state == _R.PENDING:
        return (
            f"Cashback was noted as pending. {_when_confirmed(reward, merchant)}"
            if change.from_state is None
            else f"The check is over; the cashback is pending again ({reason})."
        )
    sentences = {
        _R.CONFIRMED: f"{amount} cashback was confirmed and can be withdrawn ({reason}).",
        _R.DECLINED: f"The cashback was declined: {reason}.",
        _R.HELD: f"The cashback is held for a check ({reason}).",
        _R.REVERSED: f"The confirmed cashback of {amount} was taken back: {reason}.{_clawed_back(reward, owed_minor)}",
    }
    return sentences[_R(change.to_state)]


def _when_confirmed(reward: RewardView, merchant: str) -> str:
    day = _day(reward.expected_confirmation_at)
    if reward.confirmation is ConfirmationTerms.AFTER_VALIDATION:
        return f"It is confirmed on {day}, unless {merchant} declines the sale before."
    return f"{merchant} should decide by {day}."


def _clawed_back(reward: RewardView, owed_minor: int) -> str:
    if reward.waived_minor:
        return f" You had withdrawn {_money(reward.waived_minor, reward.currency)} of it already, which you keep."
    if owed_minor:
        amount = _money(owed_minor, reward.currency)
        return f" You had withdrawn {amount} of it already, which is kept back from your next cashback."
    return ""


def _withdrawal(withdrawal: PayoutView) -> list[StoryLine]:
    amount = _money(withdrawal.amount_minor, withdrawal.currency)
    lines = [StoryLine(withdrawal.created_at, f"You withdrew {amount} of your balance to {withdrawal.destination}.")]
    ended = {
        PayoutState.SUCCEEDED: f"{amount} was paid to {withdrawal.destination}.",
        PayoutState.FAILED: f"The withdrawal of {amount} failed ({withdrawal.reason_code.replace('_', ' ')}); "
        "the money is in your balance again.",
        PayoutState.CANCELLED: f"The withdrawal of {amount} was cancelled; the money is in your balance again.",
    }.get(withdrawal.state)
    if ended is not None and withdrawal.finished_at is not None:
        lines.append(StoryLine(withdrawal.finished_at, ended))
    return lines


def _money(amount_minor: int, currency: str) -> str:
    return format_money(Money(amount_minor, currency))


def _day(moment: datetime) -> str:
    return f"{moment:%-d %B %Y}"
