"""When fewer sales come than should, by a rule that says nothing where it cannot tell."""

import random

import pytest

from domains.cashback.service.outages import HOURS_NEEDED, Counts, judge
from domains.cashback.states import TrackingState

T = TrackingState


def hours(clicks: int, sales: int, *, every: int = 1) -> dict[int, Counts]:
    """`sales` every so many hours, `clicks` each hour."""
    return {hour: (clicks, sales if hour % every == 0 else 0) for hour in range(1, HOURS_NEEDED + 1)}


def since(counts: dict[int, Counts], last_hours: int, sales: int, clicks: int | None = None) -> dict[int, Counts]:
    return counts | {hour: (counts[hour][0] if clicks is None else clicks, sales) for hour in range(1, last_hours + 1)}


def test_as_many_as_ever_is_normal() -> None:
    found = judge(hours(20, 1), 0, T.UNKNOWN)
    assert (found.state, found.window_hours, found.sales, found.expected) == (T.NORMAL, 24, 24, 24)


@pytest.mark.parametrize(
    ("counts", "state", "window"),
    [
        (since(hours(20, 1), 24, 0), T.LOW, 24),
        (since(hours(20, 1), 12, 0), T.NORMAL, 24),
        (since(hours(20, 1), 24, 4), T.HIGH, 24),
        # Nobody went there: then nobody bought, and the days before are asked.
        (since(hours(20, 1), 24, 0, clicks=0), T.NORMAL, 72),
    ],
    ids=["a day without", "half a day without", "four times as many", "no clicks"],
)
def test_a_day_is_enough_where_many_are_sold(counts: dict[int, Counts], state: TrackingState, window: int) -> None:
    found = judge(counts, 0, T.UNKNOWN)
    assert (found.state, found.window_hours) == (state, window)


def test_where_few_are_sold_more_days_are_looked_at() -> None:
    counts = hours(2, 1, every=6)
    assert (judge(counts, 0, T.UNKNOWN).window_hours, judge(counts, 0, T.UNKNOWN).state) == (72, T.NORMAL)
    assert judge(since(counts, 24, 0), 0, T.UNKNOWN).state is T.NORMAL
    assert judge(since(counts, 72, 0), 0, T.UNKNOWN).state is T.LOW


@pytest.mark.parametrize("last_hours", [0, 24, 168])
def test_nothing_is_said_where_next_to_nothing_is_sold(last_hours: int) -> None:
    counts = since(hours(1, 1, every=30), last_hours, 0)
    found = judge(counts, 0, T.UNKNOWN)
    assert (found.state, found.window_hours, found.sales, found.expected) == (T.UNKNOWN, None, None, None)


def test_nothing_is_said_of_a_merchant_that_is_new() -> None:
    counts = {hour: each for hour, each in hours(100, 5).items() if hour <= 24 * 8}
    assert judge(since(counts, 24, 0), 0, T.UNKNOWN).state is T.UNKNOWN
    assert judge({}, 0, T.UNKNOWN).state is T.UNKNOWN


def test_sales_are_compared_with_the_clicks_that_they_come_from() -> None:
    """The shop reports two days late, and its traffic has fallen to a tenth since yesterday."""
    quiet_now = since(hours(200, 10), 24, 10, clicks=20)
    assert judge(quiet_now, 48, T.UNKNOWN).state is T.NORMAL
    assert judge(quiet_now, 0, T.UNKNOWN).state is T.HIGH


def test_what_goes_up_and_down_anyway_may_fall_further_before_it_is_called_an_outage() -> None:
    """One shop sells every day alike; the other three times as much on every other day."""
    steady = hours(20, 2)
    swinging = {hour: (20, 3 if hour // 24 % 2 else 1) for hour in range(1, HOURS_NEEDED + 1)}
    fallen = {hour: (20, 1 if hour % 3 == 0 else 0) for hour in range(1, 25)}
    assert judge(steady | fallen, 0, T.UNKNOWN).state is T.LOW
    assert judge(swinging | fallen, 0, T.UNKNOWN).state is T.NORMAL


def test_an_outage_before_does_not_hide_one_now() -> None:
    counts = hours(20, 1) | dict.fromkeys(range(241, 289), (20, 0))
    assert judge(since(counts, 24, 0), 0, T.UNKNOWN).state is T.LOW


def test_it_is_over_only_when_sales_are_clearly_back() -> None:
    """On the border it does not go on and off with each look."""
    border = hours(20, 1) | {hour: (20, 1 if hour % 2 else 0) for hour in range(1, 25)}
    assert judge(border, 0, T.NORMAL).state is T.NORMAL
    assert judge(border, 0, T.LOW).state is T.LOW
    assert judge(hours(20, 1), 0, T.LOW).state is T.NORMAL


def test_chance_alone_is_hardly_ever_called_an_outage() -> None:
    """Five hundred merchants of different sizes, looked at once each; a tenth of the clicks become sales."""
    chance = random.Random(4)  # the same numbers each time
    wrong = 0
    for merchant in range(500):
        clicks = 1 + merchant % 25
        counts = {
            hour: (clicks, sum(chance.random() < 0.1 for _ in range(clicks))) for hour in range(1, HOURS_NEEDED + 1)
        }
        wrong += judge(counts, 0, T.UNKNOWN).state in (T.LOW, T.HIGH)
    assert wrong <= 1
