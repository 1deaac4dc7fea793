"""The REST application as it is served: the order of its shell, its cross-origin rules, its own pages."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from structlog.testing import capture_logs

from wapsi.config import Settings
from wapsi.db import Database
from wapsi.http.deps import PublicDep, UndeclaredRoute, check_permissions_declared, declared_permission
from wapsi.roots.http_app import make_http_app
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.telemetry.setup import Telemetry

FRONTEND = "https://shop.wapsi.example"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"cors_origins": [FRONTEND], "http_body_limit_bytes": 4096})


@pytest.fixture
def crashing(app: FastAPI, api: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """The whole application with one route more, which crashes."""
    router = APIRouter(dependencies=[PublicDep])

    @router.get("/v1/test/crash")
    async def crash() -> None:
        raise RuntimeError("boom")

    app.include_router(router)
    return api


def preflight(origin: str, method: str = "POST", headers: str = "authorization,idempotency-key") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


async def test_a_preflight_of_a_known_frontend_is_answered(api: httpx2.AsyncClient) -> None:
    answer = await api.options("/v1/clicks", headers=preflight(FRONTEND))
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == FRONTEND
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert {"authorization", "content-type", "idempotency-key", "if-none-match", "x-request-id"} <= set(
        allowed.split(", ")
    )
    assert "access-control-allow-credentials" not in answer.headers, "tokens are in a header, never in cookies"


async def test_a_preflight_of_a_stranger_is_refused(api: httpx2.AsyncClient) -> None:
    for headers in (preflight("https://evil.example"), preflight(FRONTEND, headers="x-secret-header")):
        answer = await api.options("/v1/clicks", headers=headers)
        assert answer.status_code == 400
    assert (await api.options("/v1/clicks", headers=preflight("https://evil.example"))).headers.get(
        "access-control-allow-origin"
    ) is None


async def test_a_frontend_may_read_what_it_needs_of_an_answer(crashing: httpx2.AsyncClient) -> None:
    """Of failures too, or the browser would hide them as if the network had failed."""
    for path, status in (("/healthz", 200), ("/nowhere", 404), ("/v1/test/crash", 500)):
        with capture_logs():
            answer = await crashing.get(path, headers={"Origin": FRONTEND})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == FRONTEND
        exposed = set(answer.headers["access-control-expose-headers"].split(", "))
        assert exposed >= {"Location", "X-Request-ID", "ETag", "Idempotency-Replayed", "Retry-After"}
        stranger = await crashing.get("/healthz", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers


async def test_without_configured_frontends_there_are_none(
    runtime: Runtime, telemetry: Telemetry, settings: Settings
) -> None:
    alone = replace(runtime, settings=settings.model_copy(update={"cors_origins": []}))
    app = make_http_app(alone, telemetry)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://wapsi.test") as api:
        answer = await api.get("/healthz", headers={"Origin": FRONTEND})
    await app.state.queue_probe.aclose()
    assert "access-control-allow-origin" not in answer.headers


async def test_a_crash_is_answered_logged_and_told_to_nobody(crashing: httpx2.AsyncClient) -> None:
    with capture_logs() as logs:
        answer = await crashing.get("/v1/test/crash", headers={"X-Request-ID": "r-1"})
    assert (answer.status_code, answer.json()["reason"]) == (500, "INTERNAL")
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "r-1"
    assert "boom" not in answer.text
    assert [line["event"] for line in logs] == ["request_failed", "http_request"]
    assert (logs[1]["route"], logs[1]["status"]) == ("/v1/test/crash", 500)


async def test_bodies_are_limited_but_uploads_limit_themselves(api: httpx2.AsyncClient) -> None:
    body = {"email": "a@b.example", "password": "x" * 8192}
    answer = await api.post("/v1/sessions", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")
    answer = await api.post("/v1/merchants/daraz/syncs", content=b"x" * 8192)
    assert answer.json()["reason"] != "BODY_TOO_LARGE"


async def test_a_password_is_not_repeated(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/v1/sessions", json={"email": ["not", "text"], "password": "correct horse battery"})
    assert answer.status_code == 422
    assert "correct horse" not in answer.text


async def test_the_key_set_is_public(api: httpx2.AsyncClient, runtime: Runtime) -> None:
    answer = await api.get("/.well-known/jwks.json")
    assert (answer.status_code, answer.json()) == (200, runtime.keys.public_key_set())


async def test_health_answers(api: httpx2.AsyncClient) -> None:
    assert {path: (await api.get(path)).status_code for path in ("/healthz", "/livez", "/readyz")} == {
        "/healthz": 200,
        "/livez": 200,
        "/readyz": 200,
    }


async def test_with_the_database_away_reads_say_503_and_health_says_which(
    runtime: Runtime, telemetry: Telemetry, down: Settings, make_database: Callable[..., Database]
) -> None:
    app = make_http_app(replace(runtime, db=make_database(down)), telemetry)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://wapsi.test") as api:
        with capture_logs():
            answer = await api.get("/v1/merchants")
            ready = await api.get("/readyz")
            alive = await api.get("/livez")
    await app.state.queue_probe.aclose()
    assert (answer.status_code, answer.json()["reason"]) == (503, "DATABASE_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    assert (ready.status_code, list(ready.json()["failed"])) == (503, ["database"])
    assert alive.status_code == 200


def test_every_route_declares_who_may_call_it(app: FastAPI) -> None:
    routes = {
        route.path: declared_permission(route)
        for route in iter_route_contexts(app.routes)
        if (route.path or "").startswith("/v1/")
    }
    assert len(routes) > 30
    own = {path for path in routes if path == "/v1/me" or path.startswith("/v1/me/")}
    assert {routes[path] for path in own} == {Permission.OWN_ACCOUNT}
    anyone = {path for path, permission in routes.items() if permission is None}
    assert {path for path in anyone if path.startswith("/v1/admin")} <= {"/v1/admin/sessions"}


def test_one_route_that_does_not_would_keep_it_from_starting(app: FastAPI) -> None:
    router = APIRouter()
    router.get("/v1/test/secrets")(_undeclared)
    app.include_router(router)
    with pytest.raises(UndeclaredRoute, match="/v1/test/secrets"):
        check_permissions_declared(app)


async def _undeclared() -> None: ...


async def test_the_openapi_document_is_ready_before_the_first_request(app: FastAPI, api: httpx2.AsyncClient) -> None:
    """Making it takes a third of a second, which would hold up everybody else's requests."""
    async with app.router.lifespan_context(app):
        document: Any = (await api.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    problem = document["components"]["schemas"]["Problem"]
    assert problem["properties"].keys() >= {"type", "title", "status", "detail", "reason", "request_id", "violations"}


def test_no_route_goes_through_a_thread(app: FastAPI) -> None:
    """FastAPI runs what is no coroutine in a thread, which takes longer than many a query."""
    blocking = [
        f"{route.path}: {call}"
        for route in iter_route_contexts(app.routes)
        if (dependant := getattr(route, "dependant", None)) is not None
        for call in _calls(dependant)
        if not _is_async(call)
    ]
    assert blocking == []


def _calls(dependant: Any) -> Iterator[Any]:
    yield dependant.call
    for child in dependant.dependencies:
        yield from _calls(child)


def _is_async(call: Any) -> bool:
    return any(
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        for function in (call, type(call).__call__)
    )
