"""Column mappings: which field comes from where.

A mapping is `target=source`. The target is a field of the offer (`title`, `price`, ...; TARGETS lists them) or
`custom:NAME`. The source is one of

    name              a column, an XML element or a JSON key; `a.b.0` goes down into JSON
    name,other        the first of them that is not empty
    =text             the text itself, for all rows; `target==` leaves a field out

and may be followed by filters, each after a `|`:

    split:SEPARATOR     one text into several
    map:A=B;C=D;*=E     values into others; `*` is any other value, without it others stay
    after_last:TEXT     what follows the last TEXT
    before:TEXT         what precedes the first TEXT
    urlencode           for use in an address
    prefix:TEXT         TEXT in front
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from domains.offers.feeds.errors import FeedError
from domains.offers.feeds.rows import NumberText

TARGETS: Final = frozenset(
    [
        "offer_id",
        "kind",
        "title",
        "description",
        "link",
        "image_link",
        "additional_image_links",
        "price",
        "sale_price",
        "regular_price",
        "currency",
        "sale_starts_at",
        "sale_ends_at",
        "sale_interval",
        "availability",
        "expires_at",
        "gtins",
        "mpn",
        "brand",
        "item_group_id",
        "google_product_category",
        "product_types",
        "condition",
        "color",
        "size",
        "gender",
        "age_group",
        "adult",
        "rate_category",
        "cashback_eligible",
        "custom_attributes",
        "coupon_code",
        "starts_at",
        "ends_at",
        "delete",
        "source_time",
    ]
)
CUSTOM: Final = "custom:"
Value = Any  # str, NumberText, list[str], or a mapping of texts (for custom_attributes alone)
_Filter = Callable[[str], str | list[str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one target is filled. `get` gives None where the row has nothing."""

    target: str
    sources: tuple[str, ...]
    constant: str | None = None
    filters: tuple[_Filter, ...] = ()

    @property
    def only_source(self) -> str | None:
        """The one key without which there is nothing, where it is so simple."""
        return self.sources[0] if len(self.sources) == 1 and "." not in self.sources[0] else None

    def get(self, values: Mapping[str, Any]) -> Value:
        found: Value = self.constant
        for source in self.sources:
            found = values.get(source)
            if found is None and "." in source:
                found = _descend(values, source.split("."))
            if found is None or found == "":
                continue
            if type(found) is not str:
                found = _as_texts(found)
            if found:
                break
        if not found:
            return None
        for apply in self.filters:
            found = _filtered(found, apply)
        return found


def parse_column_mapping(specs: Iterable[str]) -> dict[str, str]:
    """Of a command line's `target=source` arguments. Raises FeedError (MAPPING_INVALID)."""
    mapping: dict[str, str] = {}
    for spec in specs:
        target, found, source = spec.partition("=")
        if not found:
            raise _invalid(f"{spec!r} is not of the form target=source.")
        if target.strip() in mapping:
            raise _invalid(f"{target.strip()} is mapped twice.")
        mapping[target.strip()] = source
    compile_mapping(mapping)
    return mapping


def compile_mapping(mapping: Mapping[str, str]) -> dict[str, Rule]:
    """{target: rule}. Raises FeedError (MAPPING_INVALID)."""
    return {target: _compile(target, source) for target, source in mapping.items()}


def _compile(target: str, source: str) -> Rule:
    if target not in TARGETS and not (target.startswith(CUSTOM) and len(target) > len(CUSTOM)):
        raise _invalid(f"{target!r} is no field. Fields: {', '.join(sorted(TARGETS))}, custom:NAME.")
    if source.startswith("="):
        return Rule(target, (), constant=source[1:])
    columns, *filters = source.split("|")
    names = tuple(name.strip() for name in columns.split(",") if name.strip())
    if not names:
        raise _invalid(f"{target} has no source.")
    # A column's own name may have a comma.
    whole = (columns.strip(),) if len(names) > 1 else ()
    return Rule(target, whole + names, filters=tuple(_compile_filter(target, text) for text in filters))


def _compile_filter(target: str, text: str) -> _Filter:
    name, _, argument = text.partition(":")
    match name.strip():
        case "split" if argument:
            return lambda value: [part.strip() for part in value.split(argument) if part.strip()]
        case "map" if argument:
            return _compile_map(target, argument)
        case "after_last" if argument:
            return lambda value: value.rpartition(argument)[2]
        case "before" if argument:
            return lambda value: value.partition(argument)[0]
        case "prefix" if argument:
            return lambda value: argument + value
        case "urlencode" if not argument:
            return lambda value: quote(value, safe="")
    raise _invalid(
        f"{target} has an unknown filter {text!r}. Filters: split:, map:, after_last:, before:, urlencode, prefix:."
    )


def _compile_map(target: str, argument: str) -> _Filter:
    table: dict[str, str] = {}
    for pair in argument.split(";"):
        key, found, value = pair.partition("=")
        if not found:
            raise _invalid(f"{target}: {pair!r} in a map is not of the form FROM=TO.")
        table[key.strip()] = value.strip()
    other = table.pop("*", None)
    return lambda value: table.get(value.strip(), value if other is None else other)


def _invalid(message: str) -> FeedError:
    return FeedError("MAPPING_INVALID", f"{message} Correct the mapping.")


def _descend(values: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(values, Mapping):
            values = values.get(step)
        elif isinstance(values, list) and step.isascii() and step.isdigit() and len(step) < 6:
            values = values[int(step)] if int(step) < len(values) else None
        else:
            return None
    return values


def _as_texts(value: Any) -> Value:
    """JSON's values as texts. A list keeps its scalars; what is nested deeper is not a field's value."""
    if isinstance(value, list):
        return [text for item in value if (text := _as_text(item))]
    if isinstance(value, Mapping):
        return {str(name): text for name, item in value.items() if (text := _as_text(item))}
    return _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return NumberText(value)
    return ""


def _filtered(value: Value, apply: _Filter) -> Value:
    if isinstance(value, str):
        return apply(value)
    if isinstance(value, list):
        results = [apply(item) for item in value]
        return [text for result in results for text in ([result] if isinstance(result, str) else result)]
    return value
