"""Messages as networks send them, and what adapters make of them."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from domains.cashback.service.adapters import AdaptedEvent, AdapterSettings, Postback, adapt

NOW = datetime(2025, 11, 30, 12, tzinfo=UTC)
CLICK = "019a1b2c-0000-7000-8000-000000000001"
SETTINGS = AdapterSettings(merchants={"3661": "daraz", "10306": "daraz", "77": "daraz"}, time_zone="UTC")


def get(**fields: Any) -> Postback:
    return Postback("GET", urlencode(fields).encode(), "", b"", NOW)


def form(**fields: Any) -> Postback:
    return Postback("POST", b"", "application/x-www-form-urlencoded; charset=UTF-8", urlencode(fields).encode(), NOW)


def body(document: Any) -> Postback:
    return Postback("POST", b"", "application/json", orjson.dumps(document), NOW)


def one(kind: str, postback: Postback, settings: AdapterSettings = SETTINGS) -> AdaptedEvent:
    [event] = adapt(kind, postback, settings)
    return event


def said(adapted: AdaptedEvent) -> dict[str, Any]:
    assert adapted.event is not None, adapted.fault
    return adapted.event.model_dump(exclude_defaults=True)


def line(sku: str, category: str, quantity: int, amount_minor: int) -> dict[str, Any]:
    return {"sku": sku, "category": category, "quantity": quantity, "amount_minor": amount_minor}
