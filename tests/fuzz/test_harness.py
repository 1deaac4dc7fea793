"""The harness finds what it is there to find: an application with one fault a route."""

import asyncio
from typing import Annotated, Any, cast

import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBearer
from starlette.responses import JSONResponse, PlainTextResponse

from tests.fuzz import rest
from tests.fuzz.recipes import Good, Recipes
from tests.fuzz.walks import Walks


@pytest.fixture(scope="module")
async def outcome() -> rest.Outcome:
    app = FastAPI()
    app.add_api_route("/sound", sound)
    app.add_api_route("/crash", crash, methods=["POST"])
    app.add_api_route("/shape", shape)
    app.add_api_route("/status", status)
    app.add_api_route("/type", text)
    number = {"name": "number", "in": "query", "required": True, "schema": {"type": "integer"}}
    app.add_api_route("/lenient", lenient, openapi_extra={"parameters": [number]})
    app.add_api_route("/open", unguarded, responses={401: {"description": "Who are you?"}})
    config = rest.configuration(max_examples=5, is_exhaustive=False, max_time_s=None)
    front = rest.HandOver(app, asyncio.get_running_loop())
    schema = await asyncio.to_thread(lambda: rest.load(app.openapi(), front, config))
    rest.sign_in(schema, {"GET /open": "customer"}, lambda kind: f"token of a {kind}")
    outcome = rest.Outcome()
    await asyncio.to_thread(rest.run, schema, outcome)
    return outcome


async def sound() -> dict[str, str]:
    return {}


async def crash(body: dict[str, Any]) -> JSONResponse:
    return JSONResponse({}, status_code=500)


async def shape() -> list[int]:
    return JSONResponse(["one"])  # type: ignore[return-value]


async def status() -> None:
    raise HTTPException(418)


async def text() -> dict[str, str]:
    return PlainTextResponse("{}")  # type: ignore[return-value]


async def lenient() -> None: ...


async def unguarded(_scheme: Annotated[Any, Depends(HTTPBearer(auto_error=False))]) -> None: ...


@pytest.mark.parametrize(
    ("operation", "check"),
    [
        ("POST /crash", "not_a_server_error"),
        ("GET /shape", "response_schema_conformance"),
        ("GET /status", "status_code_conformance"),
        ("GET /type", "content_type_conformance"),
        ("GET /lenient", "negative_data_rejection"),
        ("GET /open", "ignored_auth"),
    ],
)
def test_a_fault_is_found(outcome: rest.Outcome, operation: str, check: str) -> None:
    assert [title for title in outcome.findings if title.startswith(f"{operation}: {check}")]


def test_a_sound_route_is_left_alone(outcome: rest.Outcome) -> None:
    assert outcome.statuses["GET /sound"].total() > 0
    assert not [title for title in outcome.findings if "/sound" in title]


class OneRecipe:
    """Of an application without a database: what Walks asks for."""

    def __init__(self, app: FastAPI) -> None:
        self.world = self
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        self.api = httpx2.AsyncClient(transport=transport, base_url="http://wapsi.test")

    async def heal(self) -> None: ...

    async def good(self, label: str) -> Good:
        assert label != "POST /unmade", "nobody knows how"
        return Good(None, body={"order": {"amount_minor": 100, "lines": ["a", "b"]}})

    def headers(self, caller: str | None) -> dict[str, str]:
        return {}


async def deep(body: dict[str, Any]) -> dict[str, str]:
    """Fails only where all of it is right but a field two levels down."""
    order = body.get("order")
    lines = order.get("lines") if isinstance(order, dict) else None
    if not isinstance(lines, list) or not lines:
        raise HTTPException(422)
    return {"line": lines[0].lower()}


async def quiet(body: dict[str, Any]) -> dict[str, str]:
    raise HTTPException(422)


async def test_a_fault_deep_in_a_good_request_is_found_and_who_never_succeeds_is_told() -> None:
    app = FastAPI()
    app.add_api_route("/deep", deep, methods=["POST"])
    app.add_api_route("/quiet", quiet, methods=["POST"])
    app.add_api_route("/unmade", quiet, methods=["POST"])
    front = rest.HandOver(app, asyncio.get_running_loop())
    config = rest.configuration(max_examples=1, is_exhaustive=False, max_time_s=None)
    document = app.openapi()
    schema = await asyncio.to_thread(rest.load, document, front, config)

    async def sql(*_query: Any) -> list[Any]:
        return []

    walks = Walks(schema, document, cast(Recipes, OneRecipe(app)), sql, seed=1)
    await walks.walk(["POST /deep", "POST /quiet", "POST /unmade"] * 40)
    assert [title for title in walks.findings if "Server error" in title] == ["POST /deep: Server error"]
    assert walks.never_succeeded == ["POST /quiet", "POST /unmade"]
    assert walks.broken.keys() == {"POST /unmade"}
