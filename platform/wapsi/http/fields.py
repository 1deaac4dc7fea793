"""Kinds of values that routes of several domains take."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")


def _as_written(value: object) -> object:
    """Numbers are no moments here: whether they count seconds or milliseconds would be a guess."""
    if isinstance(value, datetime) or (isinstance(value, str) and _WRITTEN.match(value)):
        return value
    raise ValueError("must be a date and time with its offset, such as 2026-11-30T12:00:00Z")


def _storable(moment: datetime) -> datetime:
    """With its offset, a moment of the first or the last year may lie in none. Nothing here is of either."""
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError("must be between 2000 and 2200")
    return moment


# RFC 3339, with an offset.
Moment = Annotated[AwareDatetime, BeforeValidator(_as_written), AfterValidator(_storable)]
