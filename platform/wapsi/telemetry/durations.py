"""Histograms of durations for paths that are too hot for the SDK's.

One measurement through the SDK costs 8 µs, and 4 more for each further reader; here it is a search among bucket
boundaries and an addition.
The series are kept in cumulative form and put among the SDK's own metrics when a reader collects.
"""

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import AggregationTemporality, Histogram, HistogramDataPoint, Metric
from opentelemetry.trace import SpanContext

# From half a millisecond, what an answer from memory takes, to the ten seconds after which nobody waits any more.
REQUEST_BOUNDARIES_S = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.075),
    *(0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0),
)


class Series:
    """The durations of one set of attributes. Added to by one thread; read by any."""

    __slots__ = ("_boundaries", "attributes", "counts", "exemplars", "since_ns", "sum_s")

    def __init__(self, attributes: Mapping[str, str | int], boundaries: Sequence[float]) -> None:
        self.attributes = attributes
        self.counts = [0] * (len(boundaries) + 1)
        self.sum_s = 0.0
        self.since_ns = time.time_ns()
        self.exemplars: dict[int, Exemplar] = {}
        self._boundaries = boundaries

    def add(self, duration_s: float) -> None:
        self.counts[bisect_left(self._boundaries, duration_s)] += 1
        self.sum_s += duration_s

    def add_example(self, duration_s: float, at_ns: int, trace: SpanContext) -> None:
        """Names a sampled trace whose duration was added: the newest of each bucket is shown beside its count."""
        bucket = bisect_left(self._boundaries, duration_s)
        self.exemplars[bucket] = Exemplar({}, duration_s, at_ns, trace.span_id, trace.trace_id)

    def point(self, now_ns: int) -> HistogramDataPoint:
        counts = tuple(self.counts)
        return HistogramDataPoint(
            attributes=dict(self.attributes),
            start_time_unix_nano=self.since_ns,
            time_unix_nano=now_ns,
            count=sum(counts),
            sum=self.sum_s,
            bucket_counts=counts,
            explicit_bounds=self._boundaries,
            # Of all time: nobody can use them.
            min=float("nan"),
            max=float("nan"),
            exemplars=list(self.exemplars.values()),
        )


class Durations:
    """A histogram in seconds."""

    def __init__(self, name: str, description: str, boundaries: Sequence[float] = REQUEST_BOUNDARIES_S) -> None:
        self.name = name
        self.description = description
        self._boundaries = boundaries
        self._series: dict[tuple[tuple[str, str | int], ...], Series] = {}

    def series(self, attributes: Mapping[str, str | int]) -> Series:
        """The same one for the same attributes. Keep it: looking for it costs more than adding to it."""
        key = tuple(sorted(attributes.items()))
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = Series(dict(attributes), self._boundaries)
        return found

    def metric(self) -> Metric | None:
        """None before anything was measured."""
        series = list(self._series.values())
        if not series:
            return None
        now_ns = time.time_ns()
        data = Histogram(
            data_points=[one.point(now_ns) for one in series],
            aggregation_temporality=AggregationTemporality.CUMULATIVE,
        )
        return Metric(self.name, self.description, "s", data)
