"""For networks without an adapter of their own, and for files: which of their fields means what is stored for them.

    {"fields": {"conversion_id": "order.id", "status": "state", "order_amount": "total", "occurred_at": "changed"},
     "constants": {"currency": "INR"}, "amounts": "major", "times": ["%d/%m/%Y"]}

A field is named by its path, with dots into objects; several, as a list, are joined by a colon. Of a column whose name
has dots, the whole name is tried first.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domains.cashback.service.adapters.reading import (
    NUL,
    adapted,
    amount_minor,
    currency_of,
    each,
    event_id,
    merchant_of,
    moment,
    text_of,
)
from domains.cashback.service.adapters.shapes import AdaptedEvent, AdapterSettings, Line, Postback
from domains.cashback.service.events import Malformed

KIND = "generic"
# No amount has more, and Python reads no number of thousands.
_MOST_DIGITS = 18
_WHOLE = re.compile(rf"-?[0-9]{{1,{_MOST_DIGITS}}}")
Name = Literal[
    "event_id",
    "conversion_id",
    "click_id",
    "merchant",
    "status",
    "order_amount",
    "commission",
    "amounts",
    "currency",
    "rate_category",
    "customer_type",
    "occurred_at",
    "reason",
]
Path = Annotated[str, Field(min_length=1, max_length=200)]


class LineMapping(BaseModel):
    """`path` leads to the list of lines; the fields are of each of them. `amount` is what all of its quantity cost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    fields: dict[Literal["sku", "category", "quantity", "amount"], Path]


class FieldMapping(BaseModel):
    """`amounts`: whether they are decimals in major units, or whole numbers in minor ones. `times`: formats beside ISO
    8601 and Unix times, tried in order. Without `event_id`, the same words again are the same event; rows that tell a
    change (the field `amounts`: total, first or change) need one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fields: dict[Name, Path | list[Path]]
    constants: dict[Name, str] = Field(default_factory=dict)
    amounts: Literal["major", "minor"] = "major"
    times: list[Path] = Field(default_factory=list, max_length=10)
    lines: LineMapping | None = None

    def value(self, row: Mapping[str, Any], name: Name) -> Any:
        """As it was sent; a constant stands in for what is absent or empty."""
        paths = self.fields.get(name)
        if isinstance(paths, list):
            parts = [text_of(_at(row, path)) for path in paths]
            # Half a name would be another's.
            value: Any = ":".join(parts) if all(parts) else ""
        else:
            value = None if paths is None else _at(row, paths)
        return self.constants.get(name) if value is None or value == "" else value


def mapping_of(stored: Mapping[str, Any]) -> FieldMapping:
    """Raises Malformed, saying what is wrong with it."""
    try:
        mapping = FieldMapping.model_validate(stored)
    except ValidationError as error:
        first = error.errors()[0]
        raise Malformed(f"the field mapping: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    for needed in ("conversion_id", "status"):
        if needed not in mapping.fields and needed not in mapping.constants:
            raise Malformed(f"the field mapping names no {needed}")
    return mapping


def adapt(postback: Postback, settings: AdapterSettings) -> list[AdaptedEvent]:
    mapping = mapping_of(settings.mapping)
    return each(
        KIND,
        postback.fields_or_list(),
        postback.raw,
        lambda row, raw: adapt_row(row, raw, mapping, settings, postback.received_at),
    )


def adapt_row(row: Any, raw: bytes, mapping: FieldMapping, settings: AdapterSettings, received_at: Any) -> AdaptedEvent:
    """`received_at` stands in where no time is mapped. Raises Malformed where the row has no fields at all."""
    if not isinstance(row, Mapping):
        raise Malformed("an event is no JSON object")
    sale, name = "", event_id(KIND, "", row)
    try:
        sale = text_of(mapping.value(row, "conversion_id"))
        own = text_of(mapping.value(row, "event_id"))[:200]
        name = own if own and NUL not in own else event_id(KIND, sale, row)
        meaning = text_of(mapping.value(row, "amounts")).lower() or "total"
        if meaning == "change" and name != own:
            raise Malformed("event_id: is needed for a change, since two may be alike")
        order, commission, currency = _amounts(row, mapping, settings)
        merchant = text_of(mapping.value(row, "merchant"))
        fields = {
            "conversion_id": sale,
            "click_id": text_of(mapping.value(row, "click_id")),
            "merchant": merchant_of(merchant, settings) or merchant,
            "status": text_of(mapping.value(row, "status")),
            "order_amount_minor": order,
            "commission_minor": commission,
            "amounts": meaning,
            "currency": currency,
            "rate_category": text_of(mapping.value(row, "rate_category")),
            "customer_type": text_of(mapping.value(row, "customer_type")).lower() or "unknown",
            "occurred_at": moment(mapping.value(row, "occurred_at"), "occurred_at", settings, mapping.times)
            or received_at,
            "reason": text_of(mapping.value(row, "reason")),
        }
        return adapted(name, raw, fields, lines=_lines(row, mapping, currency))
    except Malformed as fault:
        return AdaptedEvent(name, raw, None, str(fault))


def _amounts(
    row: Mapping[str, Any], mapping: FieldMapping, settings: AdapterSettings
) -> tuple[int | None, int | None, str | None]:
    """Raises Malformed."""
    order, commission = mapping.value(row, "order_amount"), mapping.value(row, "commission")
    if text_of(order) == "" and text_of(commission) == "" and mapping.lines is None:
        return None, None, None
    currency = currency_of(mapping.value(row, "currency"), settings)
    if mapping.amounts == "minor":
        return _whole(order, "order_amount"), _whole(commission, "commission"), currency
    return amount_minor(order, currency, "order_amount"), amount_minor(commission, currency, "commission"), currency


def _lines(row: Mapping[str, Any], mapping: FieldMapping, currency: str | None) -> list[Line]:
    """Raises Malformed."""
    items = None if mapping.lines is None else _at(row, mapping.lines.path)
    if mapping.lines is None or currency is None or not isinstance(items, list):
        return []
    paths = mapping.lines.fields
    found = []
    for item in items:
        if not isinstance(item, Mapping):
            raise Malformed("a line is no JSON object")
        said = {name: _at(item, path) for name, path in paths.items()}
        amount, quantity = said.get("amount"), said.get("quantity")
        minor = _whole(amount, "amount") if mapping.amounts == "minor" else amount_minor(amount, currency, "amount")
        number = 1 if text_of(quantity) == "" else _whole(quantity, "quantity") or 0
        found.append(Line(text_of(said.get("sku")), text_of(said.get("category")), number, minor))
    return found


def _whole(value: Any, name: str) -> int | None:
    text = text_of(value)
    if not text:
        return None
    if not _WHOLE.fullmatch(text):
        raise Malformed(f"{name}: is not a whole number of at most {_MOST_DIGITS} digits")
    return int(text)


def _at(row: Mapping[str, Any], path: str) -> Any:
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
