"""The sums of a sliding window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wapsi.limits.windows import Usage, Windows

WINDOW_S = 60


def test_what_was_used_fades_with_the_window_before() -> None:
    windows = Windows(10)
    windows.add("a", WINDOW_S, 0.0, 6)
    assert [windows.usage("a", WINDOW_S, at_s).used(WINDOW_S) for at_s in (0, 59, 60, 90, 110, 119.9, 120)] == [
        6, 6, 6, 3, 1, 0, 0,
    ]  # fmt: skip


def test_two_windows_later_nothing_is_left() -> None:
    windows = Windows(10)
    windows.add("a", WINDOW_S, 0.0, 6)
    windows.add("a", WINDOW_S, 150.0, 1)
    assert windows.usage("a", WINDOW_S, 150.0).used(WINDOW_S) == 1


@pytest.mark.parametrize("cost", [4, 5])
def test_what_never_fits_has_to_wait_a_window(cost: int) -> None:
    assert Usage(0, 0, 0, 0).wait_s(3, WINDOW_S, cost) == WINDOW_S


@given(
    quota=st.integers(1, 50),
    previous=st.integers(0, 50),
    current=st.integers(0, 50),
    at_s=st.floats(0, 59.9),
    cost=st.integers(1, 3),
)
def test_after_the_wait_it_fits_and_not_much_before(
    quota: int, previous: int, current: int, at_s: float, cost: int
) -> None:
    if cost > quota or current > quota or previous > quota:
        return
    windows = Windows(10)
    windows.add("a", WINDOW_S, 0.0, previous)
    windows.add("a", WINDOW_S, WINDOW_S, current)
    now_s = WINDOW_S + at_s
    wait_s = windows.usage("a", WINDOW_S, now_s).wait_s(quota, WINDOW_S, cost)

    def fits(later_s: float) -> bool:
        return windows.usage("a", WINDOW_S, now_s + later_s).used(WINDOW_S) + cost <= quota

    assert fits(wait_s + 0.001)
    assert wait_s == 0 or not fits(max(0.0, wait_s - 0.001))
