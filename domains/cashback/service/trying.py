"""What a message would become by a network's adapter, or by settings that do not hold yet. Nothing is stored."""

import io
from dataclasses import dataclass, replace
from itertools import islice

from domains.cashback.service import mappings
from domains.cashback.service.adapters import AdaptedEvent, Postback
from domains.cashback.service.doors import named, read_postback
from domains.cashback.service.event_files import FileUnreadable, Format, read_file
from domains.cashback.service.events import SaleEvent
from domains.cashback.service.mappings import DEFAULT_MAPPING, mapped
from domains.cashback.service.network_adapters import NetworkAdapter, NewAdapter, check
from domains.cashback.states import ConversionState
from wapsi.db import ReadSession

MAX_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Tried:
    """`state` is what the event's status word means, None for one that the present mapping does not know."""

    external_event_id: str
    event: SaleEvent | None
    fault: str
    state: ConversionState | None
    line: int | None


async def try_message(
    session: ReadSession,
    adapter: NetworkAdapter,
    message: Postback,
    *,
    new: NewAdapter | None = None,
    format: Format | None = None,
) -> list[Tried]:
    """With a `format` the body is a file, of which the first thousand rows are read. Raises AdapterInvalid."""
    if new is not None:
        await check(session, new)
        adapter = replace(adapter, kind=new.kind, settings=new.settings)
    version, words = await mappings.latest_mapping(await session.driver(), adapter.network)
    if version == 0:
        words = DEFAULT_MAPPING
    return [_tried(one, line, words) for one, line in _read(adapter, message, format)]


def _read(adapter: NetworkAdapter, message: Postback, format: Format | None) -> list[tuple[AdaptedEvent, int | None]]:
    if format is None:
        return [(one, None) for one in read_postback(adapter, message)]
    try:
        rows = read_file(io.BytesIO(message.body), format, adapter.kind, adapter.settings, message.received_at)
        return [(named(adapter, row.adapted), row.line) for row in islice(rows, MAX_ROWS)]
    except FileUnreadable as fault:
        return [(AdaptedEvent("", message.body, None, str(fault)), 1)]


def _tried(one: AdaptedEvent, line: int | None, words: dict[str, str]) -> Tried:
    state = None if one.event is None else mapped(words, one.event.status)
    return Tried(one.external_event_id, one.event, one.fault, state, line)
