"""Amendments: a network corrects a sale's amounts. The difference is booked; nothing that was booked is changed."""

from typing import NamedTuple
from uuid import UUID

from domains.cashback.service import pricing, receipts
from domains.cashback.service.drafts import Draft
from domains.cashback.service.events import LineItem, SaleEvent
from domains.cashback.service.history import Cause
from domains.cashback.service.loading import Clicks
from domains.cashback.service.postings import Sale, post_amended
from domains.cashback.service.records import Adjustment, Conversion
from domains.cashback.service.refusals import Refused
from domains.cashback.states import Entity, RewardState
from wapsi.clock import now
from wapsi.ids import new_id

# Why confirmed cashback is recorded though it stays so.
AMENDED = "amended"


class Facts(NamedTuple):
    """What a sale's price depends on beside its receipt, and the commission."""

    order_amount_minor: int
    commission_minor: int
    rate_category: str
    customer_type: str
    line_items: list[LineItem]

    @classmethod
    def of(cls, row: Conversion) -> "Facts":
        return cls(row.order_amount_minor, row.commission_minor, row.rate_category, row.customer_type, row.line_items)

    def after(self, event: SaleEvent) -> "Facts":
        """What the event leaves out stays as it was."""
        return Facts(
            self.order_amount_minor if event.order_amount_minor is None else event.order_amount_minor,
            self.commission_minor if event.commission_minor is None else event.commission_minor,
            event.rate_category or self.rate_category,
            self.customer_type if event.customer_type == "unknown" else event.customer_type,
            self.line_items if event.line_items is None else list(event.line_items),
        )


def amend(draft: Draft, clicks: Clicks, sale: Sale, event: SaleEvent, event_id: UUID, cause: Cause) -> bool:
    """Whether anything changed. What an event leaves out stays as it was. Raises Refused."""
    row = sale.conversion
    if not differs(row, event):
        return False
    facts = Facts.of(row).after(event)
    price = None
    if sale.earns:
        price = price_of(_receipt_of(clicks, row.click_id), row.currency, facts)
    reward_before = sale.reward_minor
    # A fixed amount is not for a sale that was taken back whole, whatever is said of it later.
    gone = not facts.order_amount_minor and not facts.commission_minor
    if price is not None and gone and (row.order_amount_minor or row.commission_minor or not reward_before):
        price = pricing.nothing_left(row.currency)
    reward_after = reward_before if price is None else price.amount_minor
    adjustment_id = new_id()
    transaction_id = post_amended(
        draft, sale, adjustment_id, facts.commission_minor - row.commission_minor, reward_after - reward_before
    )
    draft.adjustments.append(
        Adjustment(
            id=adjustment_id,
            conversion_id=row.id,
            event_id=event_id,
            order_amount_before_minor=row.order_amount_minor,
            order_amount_after_minor=facts.order_amount_minor,
            commission_before_minor=row.commission_minor,
            commission_after_minor=facts.commission_minor,
            reward_before_minor=reward_before,
            reward_after_minor=reward_after,
            network_reason=event.reason,
            transaction_id=transaction_id,
        )
    )
    row.order_amount_minor, row.commission_minor = facts.order_amount_minor, facts.commission_minor
    row.rate_category, row.customer_type = facts.rate_category, facts.customer_type
    row.line_items = facts.line_items
    row.updated_at = now()
    if sale.reward is not None and price is not None:
        sale.reward.amount_minor = price.amount_minor
        sale.reward.pricing = price.as_json()
        sale.reward.updated_at = now()
        if sale.reward.state == RewardState.CONFIRMED and reward_after != reward_before:
            # What depends on confirmed cashback is found by its changes.
            draft.record(Entity.REWARD, sale.reward.id, sale.reward.state, sale.reward.state, cause)
    return True


def differs(row: Conversion, event: SaleEvent) -> bool:
    """Whether the event says something else of the sale than its state."""
    known = Facts.of(row)
    return known.after(event) != known


def _receipt_of(clicks: Clicks, click_id: UUID | None) -> receipts.Receipt:
    """Raises Refused where the click is gone or its receipt is not genuine."""
    if click_id is None or clicks.find(click_id) is None:
        raise Refused("CLICK_GONE", "The click behind this sale is no longer stored, and with it its receipt.")
    try:
        return clicks.receipt(click_id)
    except receipts.ReceiptInvalid as error:
        raise Refused("RECEIPT_INVALID", f"The click's receipt is not genuine: {error}.") from None


def price_of(receipt: receipts.Receipt, currency: str, facts: Facts) -> pricing.Price:
    """Raises Refused where the receipt is in another currency."""
    try:
        return pricing.price(
            receipt,
            order_amount_minor=facts.order_amount_minor,
            currency=currency,
            rate_category=facts.rate_category,
            customer_type=facts.customer_type,
            lines=facts.line_items,
        )
    except pricing.CurrencyMismatch as error:
        raise Refused("CURRENCY_MISMATCH", str(error)) from None
