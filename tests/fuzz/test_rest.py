"""Schemathesis over the whole of OpenAPI: no request gets a 5xx, every answer fits the document, and nothing that is
for signed-in callers answers without good credentials. The routes come from the document: a new one is covered."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from tests.fuzz import rest
from tests.fuzz.effort import IS_LONG, seconds_of
from tests.fuzz.shop import SQL, Shop
from wapsi.http.deps import declared_permission
from wapsi.roots.http_app import make_front
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission

# Examples an operation and, as many, sequences of operations.
EXAMPLES = 2
# Of the long run's time.
SHARE = 0.5
# Then what the shop holds is made anew: much of it is used up by then.
ROUND_S = 180


def kinds_of_callers(app: FastAPI) -> dict[str, str]:
    """By "METHOD /path": whether customers or operators may call it. Public ones are not among them."""
    kinds = {}
    for route in iter_route_contexts(app.routes):
        if getattr(route, "dependant", None) is None or (permission := declared_permission(route)) is None:
            continue
        for method in route.methods or ():
            kinds[f"{method} {route.path}"] = "customer" if permission is Permission.OWN_ACCOUNT else "operator"
    return kinds


@pytest.mark.timeout(24 * 3600)
async def test_no_request_gets_an_answer_that_openapi_does_not_tell(
    app: FastAPI,
    api: httpx2.AsyncClient,
    runtime: Runtime,
    admin_sql: SQL,
    drain: Callable[[], Awaitable[int]],
    spans: InMemorySpanExporter,
    tell: Callable[[str], None],
) -> None:
    loop = asyncio.get_running_loop()
    shop = Shop(runtime, admin_sql, api, drain)
    await shop.open()
    document = await asyncio.to_thread(app.openapi)
    front = rest.HandOver(make_front(app, runtime), loop, admin_sql)
    outcome = rest.Outcome()

    async def play(**how: Any) -> None:
        config = rest.configuration(known=await shop.known(), known_ids=await shop.known_ids(), **how)
        schema = await asyncio.to_thread(rest.load, document, front, config)
        rest.sign_in(
            schema,
            kinds_of_callers(app),
            lambda kind: asyncio.run_coroutine_threadsafe(shop.caller(kind), loop).result(rest.ANSWER_TIMEOUT_S),
        )
        with capture_logs():  # a line a request would bury what was found
            await asyncio.to_thread(rest.run, schema, outcome)
        spans.clear()  # kept in memory for tests that look at them

    if not IS_LONG:
        await play(max_examples=EXAMPLES, is_exhaustive=False, max_time_s=None)
    else:
        ends_s = time.monotonic() + seconds_of(SHARE)
        while (left_s := ends_s - time.monotonic()) > 5:
            await play(max_examples=50, is_exhaustive=True, max_time_s=int(min(left_s, ROUND_S)))
            await shop.refill()

    for phase, cases in outcome.cases.items():
        tell(f"REST, {phase}: {cases} cases")
    tell(f"REST: {outcome.reached} of {len(outcome.statuses)} routes succeeded without a recipe")
    assert not outcome.findings, outcome.report()
    assert front.late == []
    routes = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert routes - outcome.statuses.keys() == set(), "were not called: is their part of the document sound?"
    assert outcome.cases.total() > 200
