"""A REST application in the house's shell, around a router that the test writes."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.middleware import Middleware

from wapsi.http import health
from wapsi.http.bodies import Bodies
from wapsi.http.door import Door
from wapsi.http.problems import install_problem_handlers
from wapsi.queue.broker import QueueProbe
from wapsi.runtime import Runtime

BODY_LIMIT_BYTES = 2048


@pytest.fixture
async def serve(known: Runtime) -> AsyncIterator[Callable[..., httpx2.AsyncClient]]:
    """`client = serve(router)`; callers are those of `known`, and a body may have 2048 bytes, but not on /upload."""
    clients: list[httpx2.AsyncClient] = []
    probes: list[QueueProbe] = []

    def serve(router: APIRouter, runtime: Runtime = known, **options: Any) -> httpx2.AsyncClient:
        upload = re.compile("/upload")
        door = Middleware(Door, bodies=Bodies(BODY_LIMIT_BYTES, unlimited=upload, kept=upload))
        app = FastAPI(middleware=[door], **options)
        app.state.runtime = runtime
        probes.append(QueueProbe(runtime.settings))
        app.state.queue_probe = probes[-1]
        install_problem_handlers(app)
        app.include_router(health.router)
        app.include_router(router)
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        clients.append(httpx2.AsyncClient(transport=transport, base_url="http://wapsi.test"))
        return clients[-1]

    yield serve
    for client in clients:
        await client.aclose()
    for probe in probes:
        await probe.aclose()
