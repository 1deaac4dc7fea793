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

# In this order the issues of a row are listed.
TARGETS: Final = (
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
)
CUSTOM: Final = "custom:"
Value = Any  # str, NumberText, list[str], or a mapping of texts (for custom_attributes alone)
Key = str | int
_Filter = Callable[[str], str | list[str]]
# A key, and the way down from its value.
_Place = tuple[Key, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one target is filled: by the first source that is not empty, through all filters."""

    target: str
    sources: tuple[str, ...]
    constant: str | None = None
    filters: tuple[_Filter, ...] = ()

    def bind(self, keys: Mapping[str, Key]) -> "Finder | None":
        """For rows that have these names, under these keys; None where no such row has a value."""
        places: list[_Place] = []
        for source in self.sources:
            root, *path = source.split(".")
            if source in keys:
                places.append((keys[source], ()))
            if path and root in keys:
                places.append((keys[root], tuple(path)))
        if not places and not self.constant:
            return None
        return Finder(tuple(places), self.constant, self.filters)


@dataclass(frozen=True, slots=True)
class Finder:
    """A rule of which only the places are left that a row can have."""

    places: tuple[_Place, ...]
    constant: str | None
    filters: tuple[_Filter, ...]

    @property
    def keys(self) -> tuple[Key, ...]:
        return tuple(key for key, _ in self.places)

    @property
    def is_deep(self) -> bool:
        """Whether more counts than the values of the keys themselves."""
        return any(path for _, path in self.places)

    @property
    def first_key(self) -> Key | None:
        """The key whose value, where it is not empty, is what is to be found; None where more has to be done."""
        return None if not self.places or self.places[0][1] or self.filters else self.places[0][0]

    @property
    def is_simple(self) -> bool:
        """Whether there is nothing to be found but the value of the first key."""
        return len(self.places) == 1 and self.first_key is not None

    def find(self, row: Any) -> Value:
        """Of a row that has the keys. None where there is nothing. Raises InexactNumber."""
        found: Value = self.constant
        for key, path in self.places:
            found = row[key]
            if path:
                found = _descend(found, path)
            if type(found) is not str and found is not None:
                found = as_texts(found)
            if found:
                break
        if not found:
            return None
        for apply in self.filters:
            found = apply(found) if isinstance(found, str) else _filtered(found, apply)
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


def _descend(values: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        if isinstance(values, dict):
            values = values.get(step)
        elif isinstance(values, list) and step.isascii() and step.isdigit() and len(step) < 6:
            values = values[int(step)] if int(step) < len(values) else None
        else:
            return None
    return values


class InexactNumber(Exception):
    """A float was met where a value is needed: its digits have to be read otherwise."""


def as_texts(value: Any) -> Value:
    """JSON's values as texts. A list keeps its scalars; what is nested deeper is not a field's value.

    Raises InexactNumber.
    """
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is list:
        return [text for item in value if (text := item if type(item) is str else _as_text(item))]
    if kind is dict:
        return {name: text for name, item in value.items() if (text := _as_text(item))}
    return _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return NumberText(value)
    if isinstance(value, float):
        raise InexactNumber
    return ""


def _filtered(value: Value, apply: _Filter) -> Value:
    """Of several texts; those of a mapping stay as they are."""
    if isinstance(value, list):
        results = [apply(item) for item in value]
        return [text for result in results for text in ([result] if isinstance(result, str) else result)]
    return value
