"""What a sale earns, by the receipt of its click: whole minor units, cut toward zero, never more than the cap."""

from dataclasses import dataclass
from typing import Any

from domains.cashback.service.receipts import Receipt
from domains.merchants import service as merchants
from domains.merchants.service import Rate, RateKind
from wapsi.money import Money, format_money


class CurrencyMismatch(Exception):
    """The sale is not in the currency that the receipt promised cashback in. Nothing is converted."""


@dataclass(frozen=True, slots=True)
class Price:
    """`steps` tell the calculation in words; `rate` is None where nothing is earned at all."""

    amount_minor: int
    currency: str
    rate: Rate | None
    steps: tuple[str, ...]
    others: tuple[tuple[Rate, str], ...]

    def as_json(self) -> dict[str, Any]:
        """What a reward keeps: the rule that matched, those that did not and why, and the steps."""
        return {
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "matched": None if self.rate is None else _rate_json(self.rate),
            "not_matched": [{**_rate_json(rate), "why": why} for rate, why in self.others],
            "steps": list(self.steps),
        }


def price(receipt: Receipt, *, order_amount_minor: int, currency: str, rate_category: str, customer_type: str) -> Price:
    """Raises CurrencyMismatch."""
    if currency != receipt.currency:
        raise CurrencyMismatch(f"The sale is in {currency}, the click promised cashback in {receipt.currency}.")
    if not receipt.eligible:
        return Price(0, currency, None, ("The offer that was clicked earns no cashback.",), ())
    category = rate_category or receipt.offer_category or ""
    rate = receipt.schedule.rate_for(category, customer_type)
    others = tuple(
        (other, _why_not(other, rate, category, customer_type)) for other in receipt.schedule.rates if other != rate
    )
    amount, steps = _apply(rate, order_amount_minor, currency)
    return Price(amount, currency, rate, steps, others)


def _apply(rate: Rate, order_amount_minor: int, currency: str) -> tuple[int, tuple[str, ...]]:
    steps = [f"The sale: {_words(order_amount_minor, currency)}."]
    uncapped_minor = merchants.uncapped_minor(rate, order_amount_minor)
    if rate.kind is RateKind.FIXED:
        steps.append(f"A fixed {_words(uncapped_minor, currency)} a sale.")
    else:
        assert rate.percent_bps is not None
        percent = f"{rate.percent_bps // 100}.{rate.percent_bps % 100:02d}"
        steps.append(f"{percent} % of it, cut to the minor unit: {_words(uncapped_minor, currency)}.")
    amount = merchants.reward_minor(rate, order_amount_minor)
    if amount < uncapped_minor:
        steps.append(f"No more than the cap: {_words(amount, currency)}.")
    return amount, tuple(steps)


def _why_not(rate: Rate, chosen: Rate, category: str, customer_type: str) -> str:
    if rate.rate_category not in ("", category):
        return f"it is for the category {rate.rate_category}"
    if str(rate.customer_type) not in ("unknown", customer_type):
        return f"it is for {rate.customer_type} customers, and this one was reported as {customer_type}"
    if rate.rate_category != chosen.rate_category:
        return f"the category {chosen.rate_category} has a rate of its own"
    return f"there is a rate for {chosen.customer_type} customers"


def _words(amount_minor: int, currency: str) -> str:
    return format_money(Money(amount_minor, currency))


def _rate_json(rate: Rate) -> dict[str, Any]:
    return {
        "rate_category": rate.rate_category,
        "customer_type": str(rate.customer_type),
        "kind": str(rate.kind),
        "percent_bps": rate.percent_bps,
        "fixed_minor": rate.fixed_minor,
        "cap_minor": rate.cap_minor,
    }
