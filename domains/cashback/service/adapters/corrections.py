"""Corrections that come as rows of their own: what a sale is after them.

A row says what it adds. What a sale is after it can be said once the amounts before are known; until then the row
waits, and is not an event.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from domains.cashback.service.adapters.shapes import AdaptedEvent
from domains.cashback.service.adapters.words import CORRECTED_AWAY


@dataclass(frozen=True, slots=True)
class Amounts:
    """Of a sale, as they are known now. Minor units."""

    order_minor: int
    commission_minor: int


def sales_to_correct(events: Iterable[AdaptedEvent]) -> set[str]:
    """The network's ids of the sales whose amounts must be known."""
    return {one.event.conversion_id for one in events if one.correction is not None and one.event is not None}


def corrected(
    events: Iterable[AdaptedEvent], known: Mapping[str, Amounts], seen: Iterable[str] = ()
) -> tuple[list[AdaptedEvent], list[AdaptedEvent]]:
    """(events with amounts, those that wait for their sale), each in order.

    `seen` are external ids of events that came before: these are passed on as they are, and change nothing. Nothing
    falls below zero: a row that takes away more than there was is faulty, and says so.
    """
    amounts, before = dict(known), set(seen)
    ready: list[AdaptedEvent] = []
    waiting: list[AdaptedEvent] = []
    for one in events:
        event = one.event
        if event is None or one.external_event_id in before:
            ready.append(one)
            continue
        sale = event.conversion_id
        if one.correction is None:
            if event.order_amount_minor is not None and sale not in amounts:
                amounts[sale] = Amounts(event.order_amount_minor, event.commission_minor or 0)
            ready.append(one)
            continue
        present = amounts.get(sale)
        if present is None:
            waiting.append(one)
            continue
        after = Amounts(
            present.order_minor + one.correction.order_change_minor,
            present.commission_minor + one.correction.commission_change_minor,
        )
        if after.order_minor < 0 or after.commission_minor < 0:
            ready.append(one.failed("the correction takes away more than the sale has"))
            continue
        amounts[sale] = after
        ready.append(_with(one, after))
    return ready, waiting


def _with(one: AdaptedEvent, after: Amounts) -> AdaptedEvent:
    assert one.event is not None
    nothing_left = after.order_minor == 0 and after.commission_minor == 0
    changes: dict[str, object] = {"status": CORRECTED_AWAY} if nothing_left else {}
    if not nothing_left:
        changes = {"order_amount_minor": after.order_minor, "commission_minor": after.commission_minor}
    return replace(one, event=one.event.model_copy(update=changes), correction=None)
