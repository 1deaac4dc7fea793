"""What networks send, in whatever shape, on its way into the inbox: read, named, and handed in in a good order."""

from collections.abc import Sequence
from dataclasses import replace

from domains.cashback.service.adapters import STANDARD, AdaptedEvent, Postback, adapt
from domains.cashback.service.events import EventResult, Source
from domains.cashback.service.intake import Intake
from domains.cashback.service.network_adapters import NetworkAdapter
from domains.cashback.service.reports import Report
from domains.cashback.states import Door

# Of one message: a page of a network's report has fewer.
MAX_EVENTS = 1000


def read_postback(adapter: NetworkAdapter, postback: Postback, message_id: str = "") -> list[AdaptedEvent]:
    """Its events. A message in our own shape is known by the id that it was signed with, where it was."""
    events = adapt(adapter.kind, postback, adapter.settings)
    if len(events) > MAX_EVENTS:
        fault = f"the message has {len(events)} events, more than {MAX_EVENTS}: send them in several"
        return [AdaptedEvent(events[0].external_event_id, postback.raw, None, fault)]
    if adapter.kind == STANDARD and message_id:
        return [replace(event, external_event_id=message_id) for event in events]
    return [named(adapter, event) for event in events]


def named(adapter: NetworkAdapter, event: AdaptedEvent) -> AdaptedEvent:
    """What could not be read may be sent again once the adapter is mended, and is another event then."""
    if event.event is not None:
        return event
    return replace(event, external_event_id=f"{event.external_event_id}:v{adapter.version}")


def source_of_adapter(adapter: NetworkAdapter) -> Source:
    return Source(adapter.network, adapter.network, adapter.network, adapter.network_id)


def reports_of(adapter: NetworkAdapter, events: Sequence[AdaptedEvent], door: Door, actor: str) -> list[Report]:
    return [Report(one.external_event_id, door, one.raw, actor, one.event, one.fault) for one in events]


def in_order(reports: Sequence[Report]) -> list[int]:
    """Positions: what changes a sale stands behind what says that there is one."""
    return sorted(range(len(reports)), key=lambda position: _is_change(reports[position]))


def _is_change(report: Report) -> bool:
    return report.event is not None and report.event.amounts == "change"


async def take_in(intake: Intake, adapter: NetworkAdapter, events: Sequence[AdaptedEvent]) -> list[EventResult]:
    """What became of each, in order. Raises Unavailable: then all are sent again, and what was taken in stays so."""
    reports = reports_of(adapter, events, Door.POSTBACK, f"network:{adapter.network}")
    source = source_of_adapter(adapter)
    order = in_order(reports)
    answers = await intake.submit_all([(source, reports[position]) for position in order])
    results: dict[int, EventResult] = {}
    for position, answer in zip(order, answers, strict=True):
        if isinstance(answer, BaseException):
            raise answer
        results[position] = answer
    return [results[position] for position in range(len(reports))]
