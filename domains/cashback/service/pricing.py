"""What a sale earns, by the receipt of its click: whole minor units, cut toward zero, never more than the cap."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from domains.cashback.service.events import LineItem
from domains.cashback.service.receipts import Receipt
from domains.merchants import service as merchants
from domains.merchants.service import RaisedRate, Rate, RateKind, RateSchedule
from wapsi.money import Money, format_money

# Of the categories that share a rate, so many are named in a sentence.
NAMED = 3


class CurrencyMismatch(Exception):
    """The sale is not in the currency that the receipt promised cashback in. Nothing is converted."""


@dataclass(slots=True)
class Part:
    """What of a sale one rate is for, and what it earns: the whole sale, or those of its lines that the rate is for."""

    rate: Rate
    amount_minor: int
    reward_minor: int
    lines: tuple[LineItem, ...]


@dataclass(slots=True)
class Price:
    """`steps` tell the calculation in words; there are no `parts` where nothing is earned at all. `up_to_minor` is
    above the amount where that is provisional."""

    amount_minor: int
    currency: str
    parts: tuple[Part, ...]
    steps: tuple[str, ...]
    others: tuple[tuple[Rate, str], ...]
    up_to_minor: int = 0

    @property
    def rate(self) -> Rate | None:
        return self.parts[0].rate if self.parts else None

    def as_json(self) -> dict[str, Any]:
        """What a reward keeps: the rule that matched, those that did not and why, and the steps.

        Of a sale with lines, `matched` is the rule of the first ones, and `parts` tell what each rule was for.
        """
        told = {
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "matched": None if self.rate is None else _rate_json(self.rate),
            "not_matched": [{**_rate_json(rate), "why": why} for rate, why in self.others],
            "steps": list(self.steps),
        }
        if self.up_to_minor > self.amount_minor:
            told["provisional_up_to_minor"] = self.up_to_minor
        if any(part.lines for part in self.parts):
            told["parts"] = [_part_json(part) for part in self.parts]
        return told


def price(
    receipt: Receipt,
    *,
    order_amount_minor: int,
    currency: str,
    rate_category: str,
    customer_type: str,
    lines: Sequence[LineItem] = (),
) -> Price:
    """Raises CurrencyMismatch.

    Lines that share a rate are priced together, so that its cap, and a fixed amount, hold for the order.
    """
    if currency != receipt.currency:
        raise CurrencyMismatch(f"The sale is in {currency}, the click promised cashback in {receipt.currency}.")
    if not receipt.eligible:
        return Price(0, currency, (), ("The offer that was clicked earns no cashback.",), ())
    category = rate_category or receipt.offer_category or ""
    schedule = receipt.schedule
    steps = [f"The sale: {_words(order_amount_minor, currency)}."]
    bought = _of_order(lines, order_amount_minor, category) if lines else []
    if sum(line.amount_minor for line in lines) > order_amount_minor:
        steps.append("Its lines cost more before what was taken off the order; that is shared among them.")
    shares: list[tuple[Rate, list[LineItem]]] = [(schedule.rate_for(category, customer_type), [])]
    if lines:
        shares = list(_shares(schedule, customer_type, bought).items())
    parts = [_part(rate, order_amount_minor, currency, mine, steps) for rate, mine in shares]
    amount_minor = sum(part.reward_minor for part in parts)
    if len(parts) > 1:
        steps.append(f"Together: {_words(amount_minor, currency)}.")
    steps += [_campaign(raised) for raised in receipt.raised if _is_of(raised, parts)]
    up_to_minor = amount_minor
    if customer_type == "unknown":
        up_to_minor = _most(schedule, order_amount_minor, category, bought, at_least=amount_minor)
        if up_to_minor > amount_minor:
            steps.append(
                "The shop has not said whether you were a new customer there. Depending on that it becomes up to"
                f" {_words(up_to_minor, currency)}."
            )
    chosen = [part.rate for part in parts]
    categories = {line.category for line in bought} if lines else {category}
    others = tuple(
        (other, _why_not(other, chosen, categories, customer_type)) for other in schedule.rates if other not in chosen
    )
    return Price(amount_minor, currency, tuple(parts), tuple(steps), others, up_to_minor)


def _shares(schedule: RateSchedule, customer_type: str, bought: Sequence[LineItem]) -> dict[Rate, list[LineItem]]:
    """Which lines have which rate."""
    shares: dict[Rate, list[LineItem]] = {}
    for line in bought:
        shares.setdefault(schedule.rate_for(line.category, customer_type), []).append(line)
    return shares


def _most(
    schedule: RateSchedule, order_amount_minor: int, category: str, bought: Sequence[LineItem], *, at_least: int
) -> int:
    """What it may become once the shop says what kind of customer it was: a price is provisional until then."""
    most_minor = at_least
    for kind in {str(rate.customer_type) for rate in schedule.rates} - {"unknown"}:
        if bought:
            shares = _shares(schedule, kind, bought)
            minor = sum(
                merchants.reward_minor(rate, sum(line.amount_minor for line in mine)) for rate, mine in shares.items()
            )
        else:
            minor = merchants.reward_minor(schedule.rate_for(category, kind), order_amount_minor)
        most_minor = max(most_minor, minor)
    return most_minor


def _is_of(raised: RaisedRate, parts: Sequence[Part]) -> bool:
    return any(
        (part.rate.rate_category, part.rate.customer_type) == (raised.rate_category, raised.customer_type)
        for part in parts
    )


def _campaign(raised: RaisedRate) -> str:
    what = f"for {raised.rate_category} " if raised.rate_category else ""
    if raised.added_bps is not None:
        return f"The campaign “{raised.name}” had raised the rate {what}by {_percent(raised.added_bps)} %."
    return f"The campaign “{raised.name}” had raised the amount {what}when you clicked."


def nothing_left(currency: str) -> Price:
    """Of a sale that was taken back whole."""
    return Price(0, currency, (), ("All of the sale came back.",), ())


def _of_order(lines: Sequence[LineItem], order_amount_minor: int, category: str) -> list[LineItem]:
    """The lines with what each costs in the end, which is together what the order does.

    What was taken off the order as a whole is shared among them, cut line by line so that no unit is lost. What the
    order costs beside them, such as the delivery, is a line of the sale's own category.
    """
    listed_minor = sum(line.amount_minor for line in lines)
    paid_minor = min(listed_minor, order_amount_minor)
    bought, so_far_minor = [], 0
    for line in lines:
        before_minor, so_far_minor = so_far_minor, so_far_minor + line.amount_minor
        if not line.quantity and not line.amount_minor:
            # It came back, and a fixed amount is not for it.
            continue
        share_minor = 0
        if listed_minor:
            share_minor = so_far_minor * paid_minor // listed_minor - before_minor * paid_minor // listed_minor
        bought.append(LineItem(line.sku, line.category or category, line.quantity, share_minor))
    if order_amount_minor > listed_minor:
        bought.append(LineItem("", category, 1, order_amount_minor - listed_minor))
    return bought


def _part(rate: Rate, order_amount_minor: int, currency: str, lines: Sequence[LineItem], steps: list[str]) -> Part:
    """Of the lines, or where there are none of the order."""
    amount_minor = sum(line.amount_minor for line in lines) if lines else order_amount_minor
    uncapped_minor = merchants.uncapped_minor(rate, amount_minor)
    if rate.kind is RateKind.FIXED:
        what = f"for {_named(lines)}" if lines else "a sale"
        steps.append(f"A fixed {_words(uncapped_minor, currency)} {what}.")
    else:
        assert rate.percent_bps is not None
        what = f"{_words(amount_minor, currency)} for {_named(lines)}" if lines else "it"
        percent = _percent(rate.percent_bps)
        steps.append(f"{percent} % of {what}, cut to the minor unit: {_words(uncapped_minor, currency)}.")
    reward_minor = merchants.reward_minor(rate, amount_minor)
    if reward_minor < uncapped_minor:
        steps.append(f"No more than the cap: {_words(reward_minor, currency)}.")
    return Part(rate, amount_minor, reward_minor, tuple(lines))


def _percent(bps: int) -> str:
    return f"{bps // 100}.{bps % 100:02d}"


def _named(lines: Sequence[LineItem]) -> str:
    """Of lines that share a rate."""
    names = list(dict.fromkeys(line.category or "no category" for line in lines))
    count = f"{len(lines)} line" + ("s" if len(lines) > 1 else "")
    return f"{count} of {', '.join(names[:NAMED])}{' and others' if len(names) > NAMED else ''}"


def _why_not(rate: Rate, chosen: Sequence[Rate], categories: Collection[str], customer_type: str) -> str:
    if rate.rate_category and rate.rate_category not in categories:
        return f"it is for the category {rate.rate_category}"
    if str(rate.customer_type) not in ("unknown", customer_type):
        return f"it is for {rate.customer_type} customers, and this one was reported as {customer_type}"
    if not chosen:
        return "all of the sale came back"
    same = [other for other in chosen if other.rate_category == rate.rate_category]
    if not same:
        return f"the category {chosen[0].rate_category} has a rate of its own"
    return f"there is a rate for {same[0].customer_type} customers"


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


def _part_json(part: Part) -> dict[str, Any]:
    return {
        **_rate_json(part.rate),
        "amount_minor": part.amount_minor,
        "reward_minor": part.reward_minor,
        "lines": [asdict(line) for line in part.lines],
    }
