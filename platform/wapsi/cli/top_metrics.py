"""What `wapsi top` shows, computed from two scrapes of the processes' metrics."""

import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCRAPE_LIMIT_S = 3.0
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    role: str
    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All processes at one time. `missing` names those that did not answer."""

    taken_s: float
    samples: Sequence[Sample]
    missing: Sequence[str] = ()

    def of(self, name: str) -> list[Sample]:
        return [sample for sample in self.samples if sample.name == name]


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one route or RPC. Latencies in ms, None where nothing was measured."""

    name: str
    per_s: float
    errors_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Pool:
    role: str
    name: str
    used: int
    most: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Frame:
    """Rates are a second between the two scrapes."""

    routes: Sequence[Timing]
    calls: Sequence[Timing]
    total: Timing
    pools: Sequence[Pool]
    lag_ms: Mapping[str, tuple[float | None, float | None]]
    cache_per_s: Mapping[str, float]
    postings_per_s: float
    dead_jobs: int
    missing: Sequence[str] = field(default=())

    @property
    def cache_hit_ratio(self) -> float | None:
        asked = sum(self.cache_per_s.values())
        return 1 - self.cache_per_s.get("miss", 0.0) / asked if asked else None


def scrape(targets: Mapping[str, str], now_s: float) -> Snapshot:
    """Asks each process (by name, its URL) in turn. One that does not answer is missing, and no error."""
    samples: list[Sample] = []
    missing = []
    for role, url in targets.items():
        try:
            with urllib.request.urlopen(url, timeout=SCRAPE_LIMIT_S) as answer:  # noqa: S310  # configured, or made here
                samples += parse(role, answer.read().decode())
        except (OSError, ValueError):
            missing.append(role)
    return Snapshot(now_s, samples, missing)


def parse(role: str, page: str) -> Iterable[Sample]:
    """Raises ValueError where the page is not one of metrics."""
    # Imported here: the other commands are listed without it.
    from prometheus_client.parser import text_string_to_metric_families

    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            yield Sample(role, sample.name, sample.labels, sample.value)


def frame_between(before: Snapshot, after: Snapshot) -> Frame:
    took_s = max(1e-3, after.taken_s - before.taken_s)
    http = _Histogram("http_server_request_duration_seconds", before, after)
    rpc = _Histogram("rpc_server_call_duration_seconds", before, after)
    cache = _increases("wapsi_cache_requests_total", before, after, "outcome")
    return Frame(
        routes=http.timings(_route_of, took_s),
        calls=rpc.timings(lambda labels: labels.get("rpc_method", "?"), took_s),
        total=http.timing("all requests", lambda _labels: True, took_s),
        pools=_pools(after),
        lag_ms=_lags(before, after),
        cache_per_s={outcome: count / took_s for outcome, count in cache.items()},
        postings_per_s=sum(_increases("wapsi_ledger_transactions_total", before, after, "kind").values()) / took_s,
        dead_jobs=int(sum(sample.value for sample in after.of("wapsi_jobs_dead_total"))),
        missing=after.missing,
    )


def _route_of(labels: Mapping[str, str]) -> str:
    return f"{labels.get('http_request_method', '?')} {labels.get('http_route') or 'unmatched'}"


class _Histogram:
    """What one histogram has counted between two scrapes."""

    def __init__(self, name: str, before: Snapshot, after: Snapshot) -> None:
        self._buckets = _difference(f"{name}_bucket", before, after)
        self._counts = _difference(f"{name}_count", before, after)

    def timings(self, name_of: Any, took_s: float) -> list[Timing]:
        """By name, the busiest first; those that nobody asked for are left out."""
        names = {name_of(dict(labels)) for (_, labels), count in self._counts.items() if count}
        found = [self.timing(name, lambda labels, name=name: name_of(labels) == name, took_s) for name in names]
        return sorted(found, key=lambda timing: (-timing.per_s, timing.name))

    def timing(self, name: str, matches: Any, took_s: float) -> Timing:
        mine = [(dict(labels), count) for (_, labels), count in self._counts.items() if matches(dict(labels))]
        buckets: dict[float, float] = defaultdict(float)
        for (_, labels), count in self._buckets.items():
            if matches(dict(labels)):
                buckets[float(dict(labels)["le"])] += count
        return Timing(
            name=name,
            per_s=sum(count for _, count in mine) / took_s,
            errors_per_s=sum(count for labels, count in mine if labels.get("error_type")) / took_s,
            p50_ms=_ms(quantile(buckets, 0.5)),
            p95_ms=_ms(quantile(buckets, 0.95)),
            p99_ms=_ms(quantile(buckets, 0.99)),
        )


def quantile(cumulative: Mapping[float, float], share: float) -> float | None:
    """Of a histogram's cumulative counts by upper bound: within its bucket, as evenly spread. None for an empty one."""
    bounds = sorted(cumulative)
    if not bounds or cumulative[bounds[-1]] <= 0:
        return None
    wanted = share * cumulative[bounds[-1]]
    below_bound, below_count = 0.0, 0.0
    for bound in bounds:
        if cumulative[bound] >= wanted:
            if bound == float("inf"):
                return below_bound
            inside = cumulative[bound] - below_count
            return below_bound + (bound - below_bound) * ((wanted - below_count) / inside if inside else 1.0)
        below_bound, below_count = bound, cumulative[bound]
    return below_bound


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _difference(name: str, before: Snapshot, after: Snapshot) -> dict[tuple[str, Labels], float]:
    """By process and labels. What is less than before belongs to a process that was started anew."""
    old = {(sample.role, _key(sample)): sample.value for sample in before.of(name)}
    found = {}
    for sample in after.of(name):
        key = (sample.role, _key(sample))
        since = sample.value - old.get(key, 0.0)
        found[key] = since if since >= 0 else sample.value
    return found


def _key(sample: Sample) -> Labels:
    return tuple(sorted(sample.labels.items()))


def _increases(name: str, before: Snapshot, after: Snapshot, label: str) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for (_, labels), count in _difference(name, before, after).items():
        found[dict(labels).get(label, "")] += count
    return dict(found)


def _pools(after: Snapshot) -> list[Pool]:
    pool_name = "db_client_connection_pool_name"
    most = {(one.role, one.labels[pool_name]): one.value for one in after.of("db_client_connection_max")}
    waiting = {
        (one.role, one.labels[pool_name]): one.value for one in after.of("db_client_connection_pending_requests")
    }
    used = {
        (one.role, one.labels[pool_name]): one.value
        for one in after.of("db_client_connection_count")
        if one.labels["db_client_connection_state"] == "used"
    }
    return [
        Pool(role, name, int(used.get((role, name), 0)), int(limit), int(waiting.get((role, name), 0)))
        for (role, name), limit in most.items()
    ]


def _lags(before: Snapshot, after: Snapshot) -> dict[str, tuple[float | None, float | None]]:
    """By process: p50 and p99."""
    by_role: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for (role, labels), count in _difference("wapsi_loop_lag_seconds_bucket", before, after).items():
        by_role[role][float(dict(labels)["le"])] += count
    return {role: (_ms(quantile(b, 0.5)), _ms(quantile(b, 0.99))) for role, b in by_role.items()}
