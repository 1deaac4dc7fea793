"""Events that do not tell what a sale is but what is added to it, or what it was when it began: read as the others."""

from collections.abc import Sequence
from dataclasses import replace

from domains.cashback.service.events import LineItem, SaleEvent
from domains.cashback.service.records import Conversion
from domains.cashback.service.refusals import Refused
from domains.cashback.states import ConversionState

_C = ConversionState
# Of a change that came before its sale: it is handed in again once that is there.
SALE_NOT_KNOWN_YET = "SALE_NOT_KNOWN_YET"


def as_it_began(event: SaleEvent, row: Conversion | None) -> SaleEvent:
    """What a sale was when it began says nothing of one that is known."""
    if row is None:
        return event
    return event.model_copy(update={"order_amount_minor": None, "commission_minor": None, "line_items": None})


def after_change(event: SaleEvent, row: Conversion | None) -> tuple[SaleEvent, ConversionState]:
    """What the sale is after it, and in which state: declined where nothing is left, else as it was. Raises Refused."""
    if row is None:
        raise Refused(SALE_NOT_KNOWN_YET, "The sale that this changes is not known yet; it is tried again when it is.")
    order = row.order_amount_minor + (event.order_amount_minor or 0)
    commission = row.commission_minor + (event.commission_minor or 0)
    if order < 0 or commission < 0:
        raise Refused("CHANGE_TOO_LARGE", "The change takes away more than the sale has; nothing was changed.")
    state = _C(row.network_state if row.state == _C.UNATTRIBUTED else row.state)
    if order == commission == 0:
        state = _C.DECLINED
    changes = {
        "order_amount_minor": order,
        "commission_minor": commission,
        "line_items": _lines_after(row.line_items, event.line_items or ()),
        "status": row.raw_status,
        "occurred_at": max(event.occurred_at, row.last_event_at),
    }
    return event.model_copy(update=changes), state


def _lines_after(known: Sequence[LineItem], changes: Sequence[LineItem]) -> tuple[LineItem, ...] | None:
    """None leaves them as they were: no line is named, or one that the sale does not have. Then what was taken off is
    shared among the lines."""
    left = list(known)
    for change in changes:
        found = [number for number, line in enumerate(left) if _is_of(change, line)]
        if not found:
            return None
        line = left[found[0]]
        amount = line.amount_minor + change.amount_minor
        left[found[0]] = replace(line, amount_minor=amount, quantity=line.quantity if amount else 0)
    return tuple(left) if changes else None


def _is_of(change: LineItem, line: LineItem) -> bool:
    same = change.sku == line.sku and change.category in ("", line.category)
    return same and line.amount_minor + change.amount_minor >= 0
