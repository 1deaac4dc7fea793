"""Dashboards and alert rules ask for what the code really measures, and every alert has its lines in the runbook.

The names come from the instruments themselves, through the page that Prometheus reads.
"""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Counter, Histogram, UpDownCounter
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from domains.cashback.service import tracking
from domains.cashback.service.proposals import waiting
from domains.offers.service.source_watch import late_count
from wapsi.db import Database
from wapsi.roots import scheduler, worker
from wapsi.runtime import Runtime
from wapsi.telemetry import queue_depth
from wapsi.telemetry.calls import record_call
from wapsi.telemetry.dramatiq_middleware import TraceMessages
from wapsi.telemetry.saturation import LoopLag, watch_pools
from wapsi.telemetry.scrape import add_prometheus
from wapsi.telemetry.setup import Telemetry

ROOT = Path(__file__).parents[3]
OBSERVABILITY = ROOT / "deploy/observability"
RULES = (OBSERVABILITY / "alerts.yml").read_text()
DASHBOARDS = {file.name: json.loads(file.read_text()) for file in (OBSERVABILITY / "dashboards").glob("*.json")}
# Prometheus's own, of its targets.
OF_PROMETHEUS = {"up"}
# Their modules make the instruments; a serving process has not imported all of them.
PROCESSES = (scheduler, worker)
_WORDS = frozenset(
    ["sum", "rate", "increase", "max", "min", "or", "and", "unless", "histogram_quantile", "absent", "vector"]
)


def names_in(expression: str) -> set[str]:
    """Of the metrics that a query asks for."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on)\s*\([^)]*\)|offset \w+", "", expression)
    return {word for word in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare) if word not in _WORDS}


def labels_in(expression: str) -> set[str]:
    chosen = re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", expression)
    grouped = [name for names in re.findall(r"\bby\s*\(([^)]*)\)", expression) for name in re.split(r",\s*", names)]
    return {*chosen, *grouped}


def rules() -> list[dict[str, str]]:
    """Each alert's lines of the file, by key."""
    found = []
    for block in RULES.split("      - alert: ")[1:]:
        name, _, rest = block.partition("\n")
        expression = re.search(r"expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)", rest)
        runbook = re.search(r"runbook: (\S+)", rest)
        assert expression is not None
        assert runbook is not None, f"{name} has no runbook"
        found.append({"alert": name, "expr": expression[1] or expression[2], "runbook": runbook[1]})
    return found


def queries() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield f"{name}: {panel['title']}", target["expr"]


@pytest.fixture
async def page(api: httpx2.AsyncClient, runtime: Runtime, db: Database, telemetry: Telemetry) -> AsyncIterator[str]:
    """What Prometheus would read of a process that is serving, working and scheduling at once.

    Each instrument that the process has made is given a measurement of nothing, so that it shows; those that observe
    show by themselves.
    """
    # In threads, as in a process: they read /proc.
    registry = await asyncio.to_thread(add_prometheus, telemetry)
    await api.get("/v1/offers")
    record_call("/wapsi.rpc.offers.v1.OfferSyncService/StartSync", "INTERNAL", 0.01, is_stream=False)
    TraceMessages()
    late_count.take(0)
    waiting.take(0)
    tracking.low.take(0)
    tracking.high.take(0)
    watch_pools(db, runtime.settings, telemetry.meters)
    LoopLag(_NoLoop(), telemetry.meters)  # type: ignore[arg-type]
    depth = queue_depth.QueueDepth(telemetry.meters)
    async with db.read() as session:
        depth.take(await queue_depth.look(session))
    for meter in telemetry.meters._meters.values():  # type: ignore[attr-defined]
        if meter.name == "fastapi":
            continue  # of a small application of another test; ours has its own telemetry off
        for instrument in meter._instrument_id_instrument.values():
            if isinstance(instrument, Counter | UpDownCounter):
                instrument.add(0)
            elif isinstance(instrument, Histogram):
                instrument.record(0)
            elif hasattr(instrument, "set"):
                instrument.set(0)
    yield (await asyncio.to_thread(generate_latest, registry)).decode()
    for reader in list(telemetry.meters._all_metric_readers):
        if isinstance(reader, PrometheusMetricReader) and reader._registry is registry:
            telemetry.meters.remove_metric_reader(reader)


class _NoLoop:
    """For an instrument whose measurements nobody waits for here."""


async def test_every_name_that_is_asked_for_is_measured(page: str) -> None:
    samples = {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    assert "http_server_request_duration_seconds_bucket" in samples
    missing = {
        f"{where}: {name}"
        for where, query in queries()
        for name in names_in(query) - OF_PROMETHEUS
        if name not in samples
    }
    assert not missing


async def test_labels_that_are_asked_for_are_the_metrics_own(page: str) -> None:
    """Of requests, calls, pools, queues and the cache, which are measured here as in production."""
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    own = ("http_server_", "rpc_server_", "db_client_", "wapsi_queue_", "wapsi_cache_")
    for where, query in queries():
        for name in names_in(query):
            if name.startswith(own) and len(names_in(query)) == 1:
                # `role`, `instance` and `job` are given to a target by whoever scrapes it.
                unknown = labels_in(query) - labels[name] - {"role", "instance", "job", "le", ""}
                if unknown == {"error_type"}:
                    continue  # only what has failed has it
                assert not unknown, f"{where}: {name} has no {unknown}"


def test_a_name_that_nobody_measures_would_be_found() -> None:
    assert names_in('sum by (le) (rate(no_such_metric_bucket{a="b"}[5m])) / max(other)') == {
        "no_such_metric_bucket",
        "other",
    }


def test_every_alert_has_its_heading_in_the_runbook() -> None:
    headings = set(re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.M))
    alerts = {rule["alert"] for rule in rules()}
    assert alerts == headings
    assert len(alerts) >= 10
    for rule in rules():
        assert rule["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_takes_the_rules(command: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *command], cwd=OBSERVABILITY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_queues_are_looked_up_by_an_index(runtime: Runtime, admin_sql: Any) -> None:
    await admin_sql(
        "INSERT INTO jobs (id, kind, queue, args, max_attempts, state, wake_at, finished_at)"
        " SELECT uuidv7(), 'x', 'default', '{}', 5, 'done', NULL, now() FROM generate_series(1, 5000)"
    )
    await admin_sql(
        "INSERT INTO jobs (id, kind, queue, args, max_attempts) SELECT uuidv7(), 'x', 'default', '{}', 5"
        " FROM generate_series(1, 20)"
    )
    await admin_sql("ANALYZE jobs")
    async with runtime.db.read() as session:
        rows = await session.execute(text(f"EXPLAIN {queue_depth.LOOK.text}"), {"most": 1000})
        plan = "\n".join(rows.scalars())
        [row] = await queue_depth.look(session)
    assert "ix_jobs_wake_at" in plan
    assert "Seq Scan" not in plan
    assert (row.queue, row.due, row.running) == ("default", 20, 0)
    assert row.oldest_s >= 0
