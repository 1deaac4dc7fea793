"""Past its limit a process refuses at once, and whoever was accepted is served."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from wapsi.http.door import Door
from wapsi.http.overload import WAIT_S, ConcurrencyLimit

LIMIT = 3


class Gate:
    """An application whose answers wait until the gate is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.opened.wait()
        if scope["path"] == "/crash":
            raise RuntimeError("boom")
        await PlainTextResponse("served")(scope, receive, send)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def limited() -> ConcurrencyLimit:
    return ConcurrencyLimit(limit=LIMIT, exempt=re.compile("/upload"))


@pytest.fixture
async def client(gate: Gate, limited: ConcurrencyLimit) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=Door(gate, places=limited), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://wapsi.test") as client:
        yield client


async def fill(client: httpx2.AsyncClient, limited: ConcurrencyLimit, path: str = "/") -> list[asyncio.Future[Any]]:
    waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(client.get(path)) for _ in range(LIMIT)]
    while limited.under_way < LIMIT:  # noqa: ASYNC110  # a few turns of the loop
        await asyncio.sleep(0)
    return waiting


async def test_one_more_than_the_limit_is_refused_soon_and_told_when_to_come_again(
    client: httpx2.AsyncClient, limited: ConcurrencyLimit, gate: Gate
) -> None:
    waiting = await fill(client, limited)
    with capture_logs():
        refused = await asyncio.wait_for(client.get("/"), 1)
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    assert (refused.headers["retry-after"], refused.headers["cache-control"]) == ("1", "no-store")
    body = refused.json()
    assert (body["reason"], body["request_id"]) == ("OVERLOADED", refused.headers["x-request-id"])
    gate.opened.set()
    assert [answer.text for answer in await asyncio.gather(*waiting)] == ["served"] * LIMIT
    assert (await client.get("/")).text == "served"


async def test_a_short_wait_for_a_place_is_no_refusal(
    client: httpx2.AsyncClient, limited: ConcurrencyLimit, gate: Gate
) -> None:
    waiting = await fill(client, limited)
    burst = [asyncio.ensure_future(client.get("/")) for _ in range(2 * LIMIT)]
    left = asyncio.ensure_future(client.get("/"))
    await asyncio.sleep(WAIT_S / 4)
    left.cancel()
    assert limited.under_way == LIMIT
    gate.opened.set()
    answers = await asyncio.gather(*waiting, *burst)
    assert [answer.text for answer in answers] == ["served"] * 3 * LIMIT
    assert limited.under_way == 0


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/upload"])
async def test_health_checks_and_uploads_are_let_through_and_take_nobodys_place(
    client: httpx2.AsyncClient, limited: ConcurrencyLimit, gate: Gate, path: str
) -> None:
    waiting = await fill(client, limited)
    let_through = asyncio.ensure_future(client.get(path))
    await asyncio.sleep(0.01)
    assert not let_through.done()
    assert limited.under_way == LIMIT
    gate.opened.set()
    assert (await let_through).text == "served"
    await asyncio.gather(*waiting)


async def test_a_crash_or_a_client_that_left_gives_its_place_back(
    client: httpx2.AsyncClient, limited: ConcurrencyLimit, gate: Gate
) -> None:
    waiting = await fill(client, limited, "/crash")
    waiting[0].cancel()
    gate.opened.set()
    await asyncio.wait(waiting)
    assert limited.under_way == 0


async def test_refusals_are_counted_one_by_one_and_logged_together(
    client: httpx2.AsyncClient,
    limited: ConcurrencyLimit,
    gate: Gate,
    metric_reader: InMemoryMetricReader,
    telemetry: object,
) -> None:
    waiting = await fill(client, limited)
    before = refusals(metric_reader)
    with capture_logs() as logs:
        for _ in range(5):
            await client.get("/")
    assert refusals(metric_reader) - before == 5
    told = [line for line in logs if line["event"] == "overloaded"]
    assert [(line["log_level"], line["limit"]) for line in told] == [("warning", LIMIT)]
    gate.opened.set()
    await asyncio.gather(*waiting)


def refusals(metric_reader: InMemoryMetricReader) -> int:
    data: Any = metric_reader.get_metrics_data()
    return sum(
        int(point.value)
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "wapsi.http.overload.refused"
        for point in metric.data.data_points
    )
