"""Whose sale it is: rules in order, each of which must hold. What held and what did not is kept with the sale."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from domains.cashback.service import receipts
from domains.cashback.service.events import SaleEvent
from domains.cashback.service.loading import Clicks
from domains.cashback.states import ConversionState

# The shop's clock may be behind ours.
CLOCK_TOLERANCE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Attribution:
    """`receipt` is None where the sale stays unattributed. `rules`: [{rule, matched, why}], up to the one that failed.

    `forged` is set where the click's receipt is not ours: then nothing may be paid by it.
    """

    receipt: receipts.Receipt | None
    rules: list[dict[str, Any]]
    forged: str | None = None


def attribute(clicks: Clicks, event: SaleEvent, state: ConversionState, merchant_id: UUID) -> Attribution:
    rules: list[dict[str, Any]] = []
    click = clicks.named(event)

    def holds(rule: str, matched: bool, why: str) -> bool:
        rules.append({"rule": rule, "matched": matched, "why": why})
        return matched

    if not holds("click_given", bool(event.click_id), "the event names a click" if event.click_id else "no click id"):
        return Attribution(None, rules)
    if not holds("click_known", click is not None, "the click is ours" if click else "we made no such click"):
        return Attribution(None, rules)
    assert click is not None
    same_merchant = click.merchant_id == merchant_id
    if not holds("click_of_merchant", same_merchant, "the click led to " + ("it" if same_merchant else "another")):
        return Attribution(None, rules)
    try:
        receipt = clicks.receipt(click.id)
    except receipts.ReceiptInvalid as error:
        holds("receipt_genuine", False, str(error))
        return Attribution(None, rules, forged=str(error))
    genuine = (receipt.click_id, receipt.customer_id) == (click.id, click.customer_id)
    if not holds("receipt_genuine", genuine, "signed by us" if genuine else "the receipt is of another click"):
        return Attribution(None, rules, forged="the receipt is of another click")
    # A sale that is first heard of when it is decided says when that was, not when it was bought.
    days = receipt.click_window_days + (0 if state is ConversionState.PENDING else receipt.validation_days)
    since = event.occurred_at - receipt.clicked_at
    in_time = -CLOCK_TOLERANCE <= since <= timedelta(days=days)
    why = f"{since.total_seconds() / 86400:.1f} days after the click, of {days} allowed"
    if not holds("within_click_window", in_time, why):
        return Attribution(None, rules)
    return Attribution(receipt, rules)
