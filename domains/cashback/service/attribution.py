"""Whose sale it is: rules in order, each of which must hold. What held and what did not is kept with the sale."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domains.cashback.service import receipts
from domains.cashback.service.events import SaleEvent
from domains.cashback.service.loading import Click, Clicks
from domains.cashback.states import ConversionState

# The shop's clock may be behind ours.
CLOCK_TOLERANCE = timedelta(minutes=15)


@dataclass(slots=True)
class Attribution:
    """`receipt` is None where the sale stays unattributed. `rules`: [{rule, matched, why}], up to the one that failed.

    `forged` is set where the click's receipt is not ours: then nothing may be paid by it.
    """

    receipt: receipts.Receipt | None
    rules: list[dict[str, Any]]
    forged: str | None = None


def attribute(clicks: Clicks, event: SaleEvent, state: ConversionState, merchant_id: UUID) -> Attribution:
    """By the click that the event names."""
    rules: list[dict[str, Any]] = []
    click = clicks.named(event)
    if not _holds(
        rules, "click_given", bool(event.click_id), "the event names a click" if event.click_id else "no click id"
    ):
        return Attribution(None, rules)
    if not _holds(rules, "click_known", click is not None, "the click is ours" if click else "we made no such click"):
        return Attribution(None, rules)
    assert click is not None
    return _by_click(clicks, click, event.occurred_at, state, merchant_id, rules)


def attribute_to(
    clicks: Clicks, click: Click, occurred_at: datetime, state: ConversionState, merchant_id: UUID, why: str
) -> Attribution:
    """By a click that somebody has found: all rules but the one that the network names it."""
    rules: list[dict[str, Any]] = []
    _holds(rules, "click_named_by_operator", True, why)
    return _by_click(clicks, click, occurred_at, state, merchant_id, rules)


def _holds(rules: list[dict[str, Any]], rule: str, matched: bool, why: str) -> bool:
    rules.append({"rule": rule, "matched": matched, "why": why})
    return matched


def _by_click(
    clicks: Clicks,
    click: Click,
    occurred_at: datetime,
    state: ConversionState,
    merchant_id: UUID,
    rules: list[dict[str, Any]],
) -> Attribution:
    same_merchant = click.merchant_id == merchant_id
    why = "the click led to " + ("it" if same_merchant else "another")
    if not _holds(rules, "click_of_merchant", same_merchant, why):
        return Attribution(None, rules)
    try:
        receipt = clicks.receipt(click.id)
    except receipts.ReceiptInvalid as error:
        _holds(rules, "receipt_genuine", False, str(error))
        return Attribution(None, rules, forged=str(error))
    genuine = receipt.click_id == click.id and receipt.customer_id == click.customer_id
    why = "signed by us" if genuine else "the receipt is of another click"
    if not _holds(rules, "receipt_genuine", genuine, why):
        return Attribution(None, rules, forged=why)
    # A sale that is first heard of when it is decided says when that was, not when it was bought.
    days = receipt.click_window_days + (0 if state is ConversionState.PENDING else receipt.validation_days)
    since = occurred_at - receipt.clicked_at
    in_time = -CLOCK_TOLERANCE <= since <= timedelta(days=days)
    why = f"{since.total_seconds() / 86400:.1f} days after the click, of {days} allowed"
    if not _holds(rules, "within_click_window", in_time, why):
        return Attribution(None, rules)
    return Attribution(receipt, rules)
