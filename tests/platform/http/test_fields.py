"""A moment is written as RFC 3339 has it, and is never guessed from a number."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from wapsi.http.fields import Moment

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


@pytest.mark.parametrize(
    "written", ["2026-11-30T12:00:00Z", "2026-11-30t17:00:00+05:00", "2026-11-30 12:00:00.000+00:00"]
)
def test_a_date_and_time_with_its_offset_is_a_moment(written: str) -> None:
    assert MOMENT.validate_python(written) == datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize("written", [0, 0.5, True, None, "1.5", "1796040000", "2026-11-30", "T12:00Z", ""])
def test_anything_else_is_none(written: object) -> None:
    with pytest.raises(ValidationError):
        MOMENT.validate_python(written)


@pytest.mark.parametrize("written", ["2026-11-30T12:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_without_an_offset_or_out_of_all_bounds_it_is_none_either(written: str) -> None:
    with pytest.raises(ValidationError):
        MOMENT.validate_python(written)
