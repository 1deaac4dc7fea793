"""Ids: made quickly, and still what UUID makes of the same bits."""

import copy
import pickle
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest

from wapsi.ids import AscendingIDs, id_of, new_id, new_ids, time_of


def test_new_ids_are_of_this_moment_and_grow() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert before <= time_of(ids[0]) <= time_of(ids[-1]) <= datetime.now(UTC)


def test_id_is_as_any_other() -> None:
    for id_ in (new_id(), *new_ids(2), id_of("01a22c8f-a4c0-77e8-b0b9-b6635d424986")):
        other = UUID(str(id_))
        assert (id_, hash(id_), repr(id_), id_.is_safe) == (other, hash(other), repr(other), other.is_safe)
        assert (id_.version, id_.variant) == (7, RFC_4122)
        assert pickle.loads(pickle.dumps(id_)) == copy.deepcopy(id_) == id_


def test_ascending_ids_follow_the_first_one() -> None:
    first = new_id()
    ascending = AscendingIDs(first)
    ids = [UUID(text) for text in ascending.take(5000) + ascending.take(1)]
    assert [first, *ids] == sorted({first, *ids})
    assert all((id_.version, id_.variant) == (7, RFC_4122) for id_ in ids)
    assert time_of(first) <= time_of(ids[-1]) <= time_of(first) + timedelta(milliseconds=3)


def test_text_that_is_no_id_is_refused() -> None:
    for text in ("", "01a22c8f", "01a22c8f-a4c0-77e8-b0b9-b6635d42498g"):
        with pytest.raises(ValueError, match=r"\w+"):
            id_of(text)
