"""What networks and merchants report, and the inbox that takes each event once, whichever door it comes through."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, StringConstraints, ValidationError

from domains.cashback.states import EventOutcome
from domains.merchants import service as merchants
from wapsi.clock import now
from wapsi.db import ReadSession
from wapsi.ids import plain_id

MAX_AMOUNT_MINOR = 10**15
MAX_LINE_ITEMS = 200
MAX_QUANTITY = 10**6
# A clock that is a little ahead is forgiven; more would make every later event look old.
FUTURE_TOLERANCE = timedelta(hours=1)
# What lies before is a clock that was never set; and of years before the first nobody could read the sale again.
FIRST_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)


def _text(max_length: int, min_length: int = 0) -> Any:
    # No NUL: the database refuses it.
    return StringConstraints(min_length=min_length, max_length=max_length, pattern=r"^[^\x00]*$")


_Amount = Annotated[StrictInt, Field(ge=-MAX_AMOUNT_MINOR, le=MAX_AMOUNT_MINOR)]


@dataclass(frozen=True, slots=True)
class LineItem:
    """One thing that was sold: `amount_minor` is what all of its `quantity` cost together, in the event's currency."""

    sku: Annotated[str, _text(200)]
    category: Annotated[str, _text(100)]
    quantity: Annotated[StrictInt, Field(ge=0, le=MAX_QUANTITY)]
    amount_minor: _Amount


class SaleEvent(BaseModel):
    """What is said of one sale at one moment. Amounts in minor units of `currency`; null leaves them as they were.

    `status` is the network's own word, `occurred_at` when it came to hold: of two events the later one counts.
    `line_items` are all that is left of the sale, so that a part return leaves some out; null leaves them too. Where
    there are some, they say the order's amount unless the event does.

    `amounts`: what they are of. "total": of the sale as it is now. "first": of the sale as it began, which counts only
    where the sale is new. "change": what is added to the sale, below zero where it takes away; then the status counts
    for nothing, and the order in which such events come does not matter.
    """

    model_config = ConfigDict(frozen=True)

    conversion_id: Annotated[str, _text(200, 1)]
    click_id: Annotated[str, _text(200)] = ""
    merchant: Annotated[str, _text(63)] = ""
    status: Annotated[str, _text(100, 1)]
    order_amount_minor: _Amount | None = None
    commission_minor: _Amount | None = None
    amounts: Literal["total", "first", "change"] = "total"
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None
    rate_category: Annotated[str, _text(100)] = ""
    line_items: Annotated[tuple[LineItem, ...], Field(max_length=MAX_LINE_ITEMS)] | None = None
    customer_type: Literal["new", "existing", "unknown"] = "unknown"
    occurred_at: AwareDatetime
    reason: Annotated[str, _text(1000)] = ""


class Malformed(Exception):
    """Not an event; the text says where and why, without the values."""


def parse_event(raw: bytes) -> SaleEvent:
    """From JSON. Raises Malformed."""
    try:
        return check_event(orjson.loads(raw))
    except orjson.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg}") from None


def check_event(fields: Any) -> SaleEvent:
    """Raises Malformed."""
    try:
        event = SaleEvent.model_validate(fields)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, item['loc'])) or 'event'}: {item['msg']}" for item in error.errors()]
        raise Malformed("; ".join(faults[:5])) from None
    if event.occurred_at > now() + FUTURE_TOLERANCE:
        raise Malformed("occurred_at: lies in the future")
    if event.occurred_at < FIRST_MOMENT:
        raise Malformed("occurred_at: lies before the year 2000")
    if event.line_items is not None and event.order_amount_minor is None:
        event = event.model_copy(update={"order_amount_minor": sum(line.amount_minor for line in event.line_items)})
    amounts = {"order_amount_minor": event.order_amount_minor, "commission_minor": event.commission_minor}
    negative = [name for name, amount in amounts.items() if amount is not None and amount < 0]
    lines = enumerate(event.line_items or ())
    negative += [f"line_items.{number}.amount_minor" for number, line in lines if line.amount_minor < 0]
    if negative and event.amounts != "change":
        raise Malformed(f"{negative[0]}: only a change may be below zero")
    if event.currency is None and any(amount is not None for amount in amounts.values()):
        raise Malformed("currency: is needed with an amount")
    return event


@dataclass(frozen=True, slots=True)
class Source:
    """Who reports: a network, or without one a merchant itself. `receivable` names its account."""

    name: str
    receivable: str
    network: str | None
    network_id: UUID | None


async def source_of(session: ReadSession, network: str, merchant: str = "") -> Source:
    """Without a network, the merchant itself. Raises NetworkNotFound and MerchantNotFound."""
    if network:
        found = await merchants.get_network(session, network)
        return Source(found.slug, found.slug, found.slug, plain_id(found.id))
    direct = await merchants.get_merchant(session, merchant)
    return Source(f"direct:{direct.slug}", direct.slug, None, None)


@dataclass(slots=True)
class EventResult:
    """What became of an event, now or (`repeated`) when it came first. `reason` is stable, `message` in words."""

    event_id: UUID
    outcome: EventOutcome
    conversion_id: UUID | None
    reason: str
    message: str
    repeated: bool
