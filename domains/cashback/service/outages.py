"""Whether as many sales come from a merchant as should, by what came before: a rule over counts, and nothing else.

Sales of the last day are compared with its clicks times the share of clicks that became sales in the four weeks before.
Where a day is too short for so few sales, three days are looked at, or a week; where that is too short too, nothing is
said. How far sales may be off depends on how much they went up and down in those weeks, not on chance alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domains.cashback.states import TrackingState

# In hours; the shortest that can tell.
WINDOWS = (24, 72, 168)
BASELINE_DAYS = 28
# Below these nothing is said.
MIN_EXPECTED = 10
MIN_BASELINE_SALES = 50
MIN_BASELINE_DAYS = 10
# Sales that are on their way for longer are too old to tell anything.
MAX_SHIFT_HOURS = 72
# In standard deviations: out of the range, and back in it.
OUT, BACK = 4.0, 2.0
# The oddest days of the weeks before do not count: an outage then must not hide one now.
DROPPED_DAYS = 3
HOURS_NEEDED = WINDOWS[-1] + BASELINE_DAYS * 24 + MAX_SHIFT_HOURS
Counts = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Judgement:
    """`expected` is whole sales, rounded; the numbers are None where nothing is said."""

    state: TrackingState
    window_hours: int | None = None
    sales: int | None = None
    expected: int | None = None


def judge(hours: Mapping[int, Counts], shift_hours: int, before: TrackingState) -> Judgement:
    """`hours`: {hours ago, from 1: (clicks, sales)}. A sale is expected `shift_hours` after its click."""
    shift = min(shift_hours, MAX_SHIFT_HOURS)
    for window in WINDOWS:
        clicks, sales = _counted(hours, 1, window, shift)
        days = [_counted(hours, 1 + window + 24 * day, 24, shift) for day in range(BASELINE_DAYS)]
        days = [day for day in days if day[0]]
        baseline_sales = sum(day[1] for day in days)
        if len(days) < MIN_BASELINE_DAYS or baseline_sales < MIN_BASELINE_SALES:
            continue
        share = baseline_sales / sum(day[0] for day in days)
        expected = clicks * share
        if expected >= MIN_EXPECTED:
            off = _deviation(sales, expected) / math.sqrt(_spread(days, share))
            return Judgement(_state(off, before), window, sales, round(expected))
    return Judgement(TrackingState.UNKNOWN)


def _counted(hours: Mapping[int, Counts], first: int, count: int, shift: int) -> Counts:
    """Sales of these hours, and the clicks that they should come from."""
    clicks = sum(hours.get(hour + shift, (0, 0))[0] for hour in range(first, first + count))
    return clicks, sum(hours.get(hour, (0, 0))[1] for hour in range(first, first + count))


def _deviation(sales: int, expected: float) -> float:
    """In standard deviations of a Poisson count, whose roots have the same spread whatever their size."""
    return 2 * (math.sqrt(sales + 0.375) - math.sqrt(expected + 0.375))


def _spread(days: Sequence[Counts], share: float) -> float:
    """How many times the variance of chance the days' variance is; at least one."""
    squares = sorted(_deviation(sales, clicks * share) ** 2 for clicks, sales in days)[:-DROPPED_DAYS]
    return max(1.0, sum(squares) / len(squares))


def _state(off: float, before: TrackingState) -> TrackingState:
    if off <= -OUT or (before is TrackingState.LOW and off < -BACK):
        return TrackingState.LOW
    if off >= OUT or (before is TrackingState.HIGH and off > BACK):
        return TrackingState.HIGH
    return TrackingState.NORMAL
