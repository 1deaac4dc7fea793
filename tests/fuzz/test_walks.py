"""A good request for every route, and changed ones: what lies behind a route's first checks is fuzzed too."""

import asyncio
import os
import random
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from tests.fuzz import rest
from tests.fuzz.effort import IS_LONG, rounds
from tests.fuzz.recipes import Recipes
from tests.fuzz.shop import SQL
from tests.fuzz.walks import Walks
from tests.security.world import World

# Of the long run's time.
SHARE = 0.5
# Otherwise one in so many routes, always the same: tests/security sends each its good request anyway.
ONE_IN = 4
# Routes that cannot succeed here, and why.
NEVER: dict[str, str] = {}


@pytest.mark.timeout(24 * 3600)
async def test_no_request_that_is_nearly_right_gets_an_answer_that_openapi_does_not_tell(
    app: FastAPI,
    world: World,
    admin_sql: SQL,
    spans: InMemorySpanExporter,
    tell: Callable[[str], None],
) -> None:
    document = await asyncio.to_thread(app.openapi)
    front = rest.HandOver(app, asyncio.get_running_loop())
    config = rest.configuration(max_examples=1, is_exhaustive=False, max_time_s=None)
    schema = await asyncio.to_thread(rest.load, document, front, config)
    seed = int.from_bytes(os.urandom(4)) if IS_LONG else 1
    draw = random.Random(seed)
    walks = Walks(schema, document, Recipes(world), admin_sql, seed)
    labels = [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]
    draw.shuffle(labels)
    if not IS_LONG:
        del labels[len(labels) // ONE_IN :]

    for _ in rounds(SHARE):
        draw.shuffle(labels)
        with capture_logs():
            await walks.walk(labels)
        # They are kept in memory for tests that look at them.
        spans.clear()

    tell(f"REST, walks of seed {seed}: {walks.cases} cases")
    for label in walks.never_succeeded:
        told = walks.broken.get(label) or f"answers were {dict(walks.statuses[label])}"
        tell(f"REST, never succeeded: {label}: {NEVER.get(label, told)}")
    assert not walks.findings, walks.report()
    assert {*walks.statuses, *walks.broken} == set(labels)
    if IS_LONG:
        without = set(walks.never_succeeded) - NEVER.keys()
        assert not without, f"Say in recipes.py how a good request is made: {without}, or in NEVER why there is none."
