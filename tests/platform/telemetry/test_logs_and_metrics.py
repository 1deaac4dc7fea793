"""Log lines say in which trace they were written; metrics count requests by route."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from fastapi.middleware import Middleware
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from wapsi.config import Settings
from wapsi.http.door import Door
from wapsi.telemetry.logs import configure_logs
from wapsi.telemetry.requests import MeasuredRequests
from wapsi.telemetry.setup import Telemetry

SECRET = "correct horse battery"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is the process's: other tests must find it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_has_its_fields_and_the_trace_it_was_written_in(
    plain_settings: Settings, telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(plain_settings)
    with telemetry.tracers.get_tracer("test").start_as_current_span("work") as span:
        structlog.get_logger("wapsi.test").info("offer_published", offers=3)
        logging.getLogger("a.library").warning("as libraries log")
    structlog.get_logger("wapsi.test").info("outside")
    ours, library, outside = lines(capsys)
    context = span.get_span_context()
    assert (ours["event"], ours["offers"]) == ("offer_published", 3)
    assert (ours["level"], ours["logger"]) == ("info", "wapsi.test")
    assert ours["trace_id"] == library["trace_id"] == format(context.trace_id, "032x")
    assert ours["span_id"] == format(context.span_id, "016x")
    assert library["event"] == "as libraries log"
    assert ours["timestamp"].endswith("Z")
    assert "trace_id" not in outside


def test_what_is_bound_to_a_request_is_on_each_of_its_lines(
    plain_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(plain_settings)
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("wapsi.test").info("one")
    structlog.get_logger("wapsi.test").info("two")
    assert [line.get("request_id") for line in lines(capsys)] == ["r-1", None]


@pytest.mark.parametrize("log_json", [True, False])
def test_a_traceback_shows_no_local_variables(
    plain_settings: Settings, capsys: pytest.CaptureFixture[str], log_json: bool
) -> None:
    configure_logs(plain_settings.model_copy(update={"log_json": log_json}))

    def sign_in(password: str) -> None:
        raise RuntimeError("no such account")

    try:
        sign_in(SECRET)
    except RuntimeError as error:
        structlog.get_logger("wapsi.test").error("sign_in_failed", exc_info=error)
    written = capsys.readouterr().err
    assert "no such account" in written
    assert "in sign_in" in written
    assert SECRET not in written


def test_the_level_is_the_settings(plain_settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(plain_settings.model_copy(update={"log_level": "WARNING"}))
    structlog.get_logger("wapsi.test").info("quiet")
    structlog.get_logger("wapsi.test").warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


async def test_lines_of_a_turn_of_the_loop_are_written_at_its_end_and_warnings_at_once(
    plain_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(plain_settings)
    log = structlog.get_logger("wapsi.test")
    log.info("first")
    log.info("second")
    assert lines(capsys) == []
    await asyncio.sleep(0)
    assert [line["event"] for line in lines(capsys)] == ["first", "second"]
    log.info("third")
    log.warning("odd")
    assert [line["event"] for line in lines(capsys)] == ["third", "odd"]
    await asyncio.to_thread(log.info, "from a thread")
    assert [line["event"] for line in lines(capsys)] == ["from a thread"]
    log.info("last")
    logging.getLogger().handlers[0].flush()
    assert [line["event"] for line in lines(capsys)] == ["last"]


def test_lines_that_a_loop_left_when_it_ended_are_written_by_the_next(
    plain_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(plain_settings)
    log = structlog.get_logger("wapsi.test")
    loop = asyncio.new_event_loop()

    async def log_and_stop() -> None:
        log.info("left")
        loop.stop()

    task = loop.create_task(log_and_stop())
    loop.run_forever()
    loop.close()
    assert task.done()

    async def log_and_wait() -> None:
        log.info("next")
        await asyncio.sleep(0)

    asyncio.run(log_and_wait())
    assert [line["event"] for line in lines(capsys)] == ["left", "next"]


def test_a_line_can_hold_what_json_cannot(plain_settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(plain_settings)
    log = structlog.get_logger("wapsi.test")
    log.info("large", number=2**70)
    log.info("half", text="a\ud800")
    log.info("id", id=UUID(int=1), names={1: "one"}, odd={1, 2})
    large, half, ids = lines(capsys)
    assert large["number"] == 2**70
    assert half["text"] == "a\ud800"
    assert (ids["id"], ids["names"], ids["odd"]) == (str(UUID(int=1)), {"1": "one"}, "{1, 2}")


async def test_requests_are_timed_by_route_and_status() -> None:
    reader = InMemoryMetricReader()
    telemetry = Telemetry("test", extra_readers=(reader,))
    app = FastAPI(
        telemetry={"tracing": False, "metrics": False, "logs": False},
        middleware=[Middleware(Door, measured=MeasuredRequests(telemetry))],
    )

    @app.get("/offers/{offer_id}")
    async def offer(offer_id: int) -> int:
        return offer_id

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://wapsi.test") as api:
        for path in ("/offers/1", "/offers/2", "/offers/none"):
            await api.get(path)
    data = reader.get_metrics_data()
    assert data is not None
    metrics = {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    counts = {
        (point.attributes["http.route"], point.attributes["http.response.status_code"]): point.count
        for point in metrics["http.server.request.duration"].data.data_points
    }
    assert counts == {("/offers/{offer_id}", 200): 2, ("/offers/{offer_id}", 422): 1}
    assert data.resource_metrics[0].resource.attributes["service.name"] == "wapsi"
    telemetry.shutdown()
