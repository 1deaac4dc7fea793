"""What an adapter is given, and what it makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson

from domains.cashback.service.events import Malformed, SaleEvent

MAX_FIELDS = 500


@dataclass(frozen=True, slots=True)
class Postback:
    """A request as it came. `received_at` stands in where a network does not say when something changed."""

    method: str
    query: bytes
    content_type: str
    body: bytes
    received_at: datetime

    @property
    def raw(self) -> bytes:
        """What is kept for ever: the body, or the query of a request that has none."""
        return self.body or self.query

    def fields(self) -> dict[str, Any]:
        """The body's fields, JSON or form, over those of the query. Raises Malformed."""
        found: dict[str, Any] = pairs(self.query)
        if not self.body.strip():
            return found
        if self.content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
            return found | pairs(self.body)
        document = self.document()
        if not isinstance(document, dict):
            raise Malformed("the body is no JSON object")
        return found | document

    def fields_or_list(self) -> Any:
        """The body's list where it is one, else its fields. Raises Malformed."""
        return self.document() if self.body.lstrip()[:1] == b"[" else self.fields()

    def document(self) -> Any:
        """The body's JSON. Raises Malformed."""
        return from_json(self.body)


@dataclass(frozen=True, slots=True)
class Line:
    """A line item as far as it was told: the amount is in minor units of the event's currency, None where it is not."""

    sku: str
    category: str
    quantity: int
    amount_minor: int | None


@dataclass(frozen=True, slots=True)
class AdaptedEvent:
    """`raw` is what is kept; `event` is None, and `fault` says why, where it could not be read.

    `external_event_id` is the network's where it has one, else made of what was said: the same words again are the
    same event.
    """

    external_event_id: str
    raw: bytes
    event: SaleEvent | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """What is stored for a network. `merchants`: its own names of our merchants, {its id: our slug}.

    `time_zone` is of times without an offset; `currency` of amounts without one. `mapping` is the generic adapter's,
    `file_mapping` that of files, where their columns are not what the adapter reads.
    """

    merchants: Mapping[str, str] = field(default_factory=dict)
    time_zone: str = "UTC"
    currency: str | None = None
    mapping: Mapping[str, Any] = field(default_factory=dict)
    file_mapping: Mapping[str, Any] = field(default_factory=dict)


def pairs(query: bytes) -> dict[str, Any]:
    """Of a query or a form; of a name that comes twice the last one counts. Raises Malformed."""
    try:
        text = query.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except (UnicodeDecodeError, ValueError):
        raise Malformed("the fields are not URL-encoded UTF-8") from None


def from_json(raw: bytes | str) -> Any:
    """Raises Malformed."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg}") from None
