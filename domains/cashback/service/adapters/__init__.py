"""Each network's own shape and words, turned into events: pure, so that what was kept can be read again."""

from collections.abc import Callable, Mapping

from domains.cashback.service.adapters import admitad, awin, cj, generic, impact, standard
from domains.cashback.service.adapters.generic import FieldMapping, adapt_row, mapping_of
from domains.cashback.service.adapters.reading import FAULTS, event_id, told, zone_of
from domains.cashback.service.adapters.shapes import (
    AdaptedEvent,
    AdapterSettings,
    Line,
    Postback,
)
from domains.cashback.service.adapters.words import DEFAULT_MAPPINGS

_ADAPTERS: Mapping[str, Callable[[Postback, AdapterSettings], list[AdaptedEvent]]] = {
    module.KIND: module.adapt for module in (admitad, awin, cj, generic, impact, standard)
}
KINDS = tuple(_ADAPTERS)
GENERIC, STANDARD = generic.KIND, standard.KIND


class AdapterUnknown(ValueError):
    """There is no adapter of this kind."""


def adapt(kind: str, postback: Postback, settings: AdapterSettings) -> list[AdaptedEvent]:
    """The events of a request, at least one: what could not be read at all is one event with a fault.

    Raises AdapterUnknown.
    """
    adapter = _ADAPTERS.get(kind)
    if adapter is None:
        raise AdapterUnknown(f"there is no adapter {kind}; there are {', '.join(KINDS)}")
    try:
        events = adapter(postback, settings)
    except FAULTS as fault:
        events = [AdaptedEvent(event_id(kind, "", {"raw": postback.raw.hex()}), postback.raw, None, told(fault))]
    return events or [AdaptedEvent(event_id(kind, "", {"raw": postback.raw.hex()}), postback.raw, None, "no events")]


__all__ = [
    "DEFAULT_MAPPINGS",
    "GENERIC",
    "KINDS",
    "STANDARD",
    "AdaptedEvent",
    "AdapterSettings",
    "AdapterUnknown",
    "FieldMapping",
    "Line",
    "Postback",
    "adapt",
    "adapt_row",
    "event_id",
    "mapping_of",
    "zone_of",
]
