"""Each stage of a sync is measured, and so is how old an offer is when search finds it."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from wapsi.clock import now
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

Item = Callable[..., pb.OfferItem]
STAGES = "wapsi.sync.stage.duration"
FRESHNESS = "wapsi.offers.freshness"


def measured(reader: InMemoryMetricReader, name: str) -> dict[str, tuple[int, float]]:
    """{the value of the only attribute, '' without one: (how many, their sum)} of a histogram"""
    data = reader.get_metrics_data()
    metrics = [] if data is None else [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
    points = [point for metric in metrics if metric.name == name for point in metric.data.data_points]
    return {str(next(iter((p.attributes or {}).values()), "")): (p.count, p.sum) for p in points}  # type: ignore[union-attr]


async def test_a_pushed_sync_is_measured_in_stages(shop: Any, item: Item, metric_reader: InMemoryMetricReader) -> None:
    before = measured(metric_reader, STAGES)
    await shop.sync([item("a")])
    after = measured(metric_reader, STAGES)
    grown = {stage for stage, (count, _) in after.items() if count > before.get(stage, (0, 0))[0]}
    assert grown == {"stage", "wait", "plan", "validate", "merge", "publish"}


async def test_a_file_is_parsed_before(shop: Any, api: Any, drain: Any, metric_reader: InMemoryMetricReader) -> None:
    before = measured(metric_reader, STAGES).get("parse", (0, 0))[0]
    headers = {"Authorization": f"Bearer {shop.key}", "Idempotency-Key": "k"}
    row = {"offer_id": "a", "title": "A", "link": "https://shop.example", "price": "1 PKR", "availability": "in stock"}
    assert (await api.post("/v1/merchants/shop/syncs", content=json.dumps(row), headers=headers)).status_code == 202
    await drain()
    assert measured(metric_reader, STAGES)["parse"][0] == before + 1


async def test_freshness_is_the_age_of_a_statement_when_search_finds_it(
    shop: Any, item: Item, metric_reader: InMemoryMetricReader
) -> None:
    count, total_s = measured(metric_reader, FRESHNESS).get("", (0, 0.0))
    await shop.sync([item("a", at=now() - timedelta(hours=2)), item("b", at=now() - timedelta(hours=1))])
    count_after, total_after_s = measured(metric_reader, FRESHNESS)[""]
    assert count_after == count + 1
    assert 3600 <= total_after_s - total_s < 3700, "of the newest that was published"


async def test_its_stages_are_spans_of_the_sync(shop: Any, item: Item, spans: Any) -> None:
    spans.clear()
    await shop.sync([item("a")])
    assert {"sync plan", "sync merge"} <= {span.name for span in spans.get_finished_spans()}
