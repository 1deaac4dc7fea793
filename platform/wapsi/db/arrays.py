"""Arrays as parameters: a text that the database reads, for the driver asks each element whether it is an array too."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson

Element = str | int | UUID | datetime | None


def array(values: Sequence[Element]) -> str:
    """For a parameter with a cast such as `$1::text::uuid[]`."""
    document = orjson.dumps(values, default=str).decode()
    # But for its brackets a list in JSON is an array of the database's, unless something in it had to be escaped.
    inside = ",".join(map(_escaped, values)) if "\\" in document else document[1:-1]
    return f"{{{inside}}}"


def _escaped(value: Element) -> str:
    if value is None:
        return "null"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
