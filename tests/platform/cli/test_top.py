"""`wapsi top`: rates and latencies between two looks, and one picture of a running process."""

import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from wapsi.cli.top_metrics import Frame, Snapshot, frame_between, parse, quantile, scrape
from wapsi.cli.top_view import QueueRow, SyncRow, Work, render
from wapsi.cli.up import metrics_ports
from wapsi.telemetry.scrape import serve_metrics
from wapsi.telemetry.settings import TelemetrySettings
from wapsi.telemetry.setup import Telemetry

Run = Callable[..., Any]
Environment = Mapping[str, str]


def page(fast: int, slow: int, failed: int = 0, hits: int = 0, misses: int = 0) -> str:
    """After so many requests of 1 to 5 ms, of 250 to 500 ms, and failures."""
    ok = 'http_request_method="GET",http_route="/v1/offers",http_response_status_code="200",error_type=""'
    bad = 'http_request_method="GET",http_route="/v1/offers",http_response_status_code="500",error_type="500"'
    name = "http_server_request_duration_seconds"
    return (
        f"# TYPE {name} histogram\n"
        f'{name}_bucket{{{ok},le="0.001"}} 0\n{name}_bucket{{{ok},le="0.005"}} {fast}\n'
        f'{name}_bucket{{{ok},le="0.25"}} {fast}\n{name}_bucket{{{ok},le="0.5"}} {fast + slow}\n'
        f'{name}_bucket{{{ok},le="+Inf"}} {fast + slow}\n{name}_count{{{ok}}} {fast + slow}\n{name}_sum{{{ok}}} 1\n'
        f'{name}_bucket{{{bad},le="0.001"}} {failed}\n{name}_bucket{{{bad},le="+Inf"}} {failed}\n'
        f"{name}_count{{{bad}}} {failed}\n{name}_sum{{{bad}}} 1\n"
        "# TYPE wapsi_cache_requests counter\n"
        f'wapsi_cache_requests_total{{outcome="hit"}} {hits}\nwapsi_cache_requests_total{{outcome="miss"}} {misses}\n'
        "# TYPE db_client_connection_count gauge\n"
        'db_client_connection_count{db_client_connection_pool_name="main",db_client_connection_state="used"} 9\n'
        "# TYPE db_client_connection_max gauge\n"
        'db_client_connection_max{db_client_connection_pool_name="main"} 10\n'
    )


def between(before: str, after: str, seconds: float = 2.0) -> Frame:
    return frame_between(Snapshot(0.0, list(parse("serve", before))), Snapshot(seconds, list(parse("serve", after))))


def test_rates_are_of_what_came_between_two_looks() -> None:
    frame = between(page(1000, 0, hits=10, misses=10), page(1190, 10, failed=4, hits=40, misses=20))
    [route] = frame.routes
    assert (route.name, route.per_s, route.errors_per_s) == ("GET /v1/offers", 102.0, 2.0)
    assert frame.total.per_s == 102.0
    assert frame.cache_hit_ratio == pytest.approx(0.75)
    assert [(pool.name, pool.used, pool.most) for pool in frame.pools] == [("main", 9, 10)]


def test_latencies_are_within_their_buckets() -> None:
    [route] = between(page(0, 0), page(90, 10)).routes
    assert route.p50_ms is not None
    assert 1 < route.p50_ms < 5
    assert route.p99_ms is not None
    assert 250 < route.p99_ms < 500


def test_a_process_that_was_started_anew_counts_from_nothing() -> None:
    [route] = between(page(1000, 0), page(20, 0)).routes
    assert route.per_s == 10.0


def test_what_nobody_asked_for_is_left_out() -> None:
    frame = between(page(1000, 0), page(1000, 0))
    assert (frame.routes, frame.total.p50_ms, frame.cache_hit_ratio) == ([], None, None)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 0.0055), (1.0, 0.01), (0.1, 0.001)], ids=["middle", "all", "first"]
)
def test_a_quantile_lies_evenly_in_its_bucket(share: float, expected: float) -> None:
    assert quantile({0.001: 10.0, 0.01: 90.0, float("inf"): 90.0}, share) == pytest.approx(expected, rel=0.15)


def test_a_quantile_past_the_last_bound_is_that_bound() -> None:
    assert quantile({0.001: 0.0, 0.01: 1.0, float("inf"): 100.0}, 0.99) == 0.01
    assert quantile({float("inf"): 0.0}, 0.99) is None


def test_the_picture_names_what_a_person_on_call_looks_for() -> None:
    frame = between(page(0, 0), page(90, 10, failed=3))
    work = Work(
        [QueueRow("ingest", 7, 2, 412.0)], [SyncRow("lahore-threads", "full", "processing", 50_000, 20_000, 31.0)]
    )
    console = Console(width=140, record=True, file=None, quiet=True)
    with console.capture() as captured:
        console.quiet = False
        console.print(render(frame, work, datetime(2026, 11, 30, 2, 30, tzinfo=UTC)))
    words = captured.get()
    for expected in (
        "GET /v1/offers",
        "ingest",
        "412.0",
        "lahore-threads",
        "20,000 of 50,000",
        "9 of 10",
        "1.5 errors/s",
    ):
        assert expected in words


def test_a_process_that_does_not_answer_is_said() -> None:
    snapshot = scrape({"worker": "http://127.0.0.1:9/metrics"}, 0.0)
    assert snapshot.missing == ["worker"]
    console = Console(width=100)
    with console.capture() as captured:
        console.print(render(frame_between(snapshot, snapshot), Work(fault="no database"), datetime.now(UTC)))
    assert "does not answer: worker" in captured.get()
    assert "no database" in captured.get()


def test_one_picture_of_a_process_that_runs(run: Run, environment: Environment, tmp_path: Any) -> None:
    telemetry = Telemetry("serve", TelemetrySettings(metrics_port=0))
    port = serve_metrics(telemetry)
    telemetry.requests.series(
        {"http.request.method": "GET", "http.route": "/v1/offers", "http.response.status_code": 200}
    ).add(0.002)
    picture = tmp_path / "top.svg"
    result = run(
        *("top", "--once", "--interval", "0.2", "--svg", str(picture)),
        **environment,
        WAPSI_METRICS_TARGETS=f"serve=http://127.0.0.1:{port}/metrics",
    )
    telemetry.shutdown()
    assert result.exit_code == 0, result.output
    assert "wapsi top" in result.output
    assert "nothing waits" in result.output
    assert "<svg" in picture.read_text()
    assert "font-face" not in picture.read_text()


def test_without_targets_it_says_what_to_give(run: Run, environment: Environment) -> None:
    result = run("top", "--once", **environment)
    assert result.exit_code == 2
    assert "WAPSI_METRICS_TARGETS" in result.output


def test_the_processes_of_wapsi_up_have_ports_of_their_own_and_others_where_those_are_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        ports = metrics_ports(first)
    assert list(ports) == ["serve", "worker", "scheduler"]
    assert len(set(ports.values())) == 3
    assert ports["serve"] != first
    assert metrics_ports(ports["serve"])["serve"] == ports["serve"]
