"""Texts and bodies that no route may be given."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel
from starlette.types import Message

from wapsi.http.bodies import Bodies, JSONInvalid
from wapsi.http.deps import PublicDep
from wapsi.http.problems import PROBLEM_JSON

JSON = {"content-type": "application/json"}


class Thing(BaseModel):
    name: str
    number: int | float = 0


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    router = APIRouter(dependencies=[PublicDep])

    @router.post("/v1/test/things")
    async def make(thing: Thing) -> Thing:
        return thing

    @router.post("/v1/test/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @router.get("/v1/test/things/{name}")
    async def get(name: str, q: str = "") -> str:
        return name + q

    app.include_router(router)
    return app


@pytest.mark.parametrize("path", ["/v1/test/things", "/v1/test/raw"])
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/merge-patch+json", "text/JSON; charset=utf-8"]
)
@pytest.mark.parametrize(
    "body",
    [b'{"name": "a", "name": "b"}', rb'{"name": "\u0000"}', b'{"name": "a", "number": NaN}', b"{", b"[" * 5000],
)
async def test_a_body_that_is_not_plain_json_is_refused_for_every_route(
    api: httpx2.AsyncClient, path: str, content_type: str, body: bytes
) -> None:
    answer = await api.post(path, content=body, headers={"content-type": content_type})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == PROBLEM_JSON
    problem = answer.json()
    assert problem["reason"] == "JSON_INVALID"
    assert problem["detail"].startswith("The body is not JSON as it is read here: ")


async def test_a_body_that_comes_in_pieces_is_one(api: httpx2.AsyncClient) -> None:
    async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
        for part in parts:
            yield part
            await asyncio.sleep(0)

    answer = await api.post("/v1/test/things", content=pieces(b'{"name"', b': "a', b'"}'), headers=JSON)
    assert (answer.status_code, answer.json()["name"]) == (200, "a")
    refused = await api.post("/v1/test/things", content=pieces(b'{"name": "a', b'", "name": "b"}'), headers=JSON)
    assert refused.json()["reason"] == "JSON_INVALID"


async def test_what_is_missing_is_said_as_before(api: httpx2.AsyncClient) -> None:
    for body in (b"", b"{}", b"[]"):
        answer = await api.post("/v1/test/things", content=body, headers=JSON)
        assert (answer.status_code, answer.json()["reason"]) == (422, "REQUEST_INVALID")


async def test_what_is_no_json_is_not_looked_at(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/v1/test/raw", content=b"{\0", headers={"content-type": "application/octet-stream"})
    assert answer.json() == 2


async def test_a_body_past_the_limit_is_too_large_before_it_is_anything_else(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/v1/test/things", content=b"[" * 2_000_000, headers=JSON)
    assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    "path", ["/v1/test/things/a%00b", "/v1/test/things/a?q=%00", "/nowhere?%00", "/v1/offers?q=%00"]
)
async def test_an_address_with_a_nul_is_refused(api: httpx2.AsyncClient, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (422, "TEXT_INVALID")


async def test_who_asks_again_after_a_refusal_is_refused_again_and_waits_for_nothing() -> None:
    """As a short way of answering does, which leaves it to the declared one to say what is wrong."""
    messages = iter([{"type": "http.request", "body": b"{", "more_body": False}])

    async def receive() -> Message:
        return next(messages)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"application/json")]}
    upload = re.compile("/upload")
    checked = Bodies(100, unlimited=upload, kept=upload).checked(scope, receive)
    for _ in range(2):
        with pytest.raises(JSONInvalid):
            await checked()
