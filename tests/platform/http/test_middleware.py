"""Request ids, access logs, limits of bodies."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Request
from pydantic import BaseModel
from structlog.testing import capture_logs

Serve = Callable[..., httpx2.AsyncClient]
LIMIT = 2048
router = APIRouter(prefix="/v1")
outside = APIRouter()


class Note(BaseModel):
    text: str


@router.get("/clicks/{token}")
async def click(token: str) -> str:
    return token


@router.post("/notes")
async def notes(note: Note) -> int:
    return len(note.text)


@router.post("/raw")
async def raw(request: Request) -> int:
    return len(await request.body())


@outside.post("/upload")
async def upload(request: Request) -> int:
    return len(await request.body())


@router.get("/crash")
async def crash() -> None:
    raise RuntimeError("boom")


@pytest.fixture
def api(serve: Serve) -> httpx2.AsyncClient:
    router_of_all = APIRouter()
    router_of_all.include_router(router)
    router_of_all.include_router(outside)
    return serve(router_of_all)


def access_lines(logs: list[Any]) -> list[Any]:
    return [line for line in logs if line["event"] == "http_request"]


async def test_a_harmless_request_id_is_taken_over(api: httpx2.AsyncClient) -> None:
    answer = await api.get("/v1/clicks/a", headers={"X-Request-ID": "Order_7.retry-2"})
    assert answer.headers["x-request-id"] == "Order_7.retry-2"


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, "<script>", 'a"b', "é"])
async def test_a_missing_or_harmful_one_is_replaced(api: httpx2.AsyncClient, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given.encode()}
    answer = await api.get("/v1/clicks/a", headers=headers)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize(("path", "status"), [("/v1/clicks/a", 200), ("/nowhere", 404), ("/v1/crash", 500)])
async def test_every_answer_has_a_request_id(api: httpx2.AsyncClient, path: str, status: int) -> None:
    with capture_logs():
        answer = await api.get(path)
    assert answer.status_code == status
    assert len(answer.headers["x-request-id"]) == 32


async def test_the_access_log_has_the_route_and_neither_path_nor_query(api: httpx2.AsyncClient) -> None:
    with capture_logs() as logs:
        await api.get("/v1/clicks/tok3n?email=asma@example.com")
    [line] = access_lines(logs)
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/clicks/{token}", 200)
    assert line["latency_ms"] >= 0
    assert "tok3n" not in str(logs)
    assert "asma" not in str(logs)


@pytest.mark.parametrize(("path", "route", "status"), [("/tok3n", "unmatched", 404), ("/v1/crash", "/v1/crash", 500)])
async def test_what_fails_is_in_the_access_log_too(api: httpx2.AsyncClient, path: str, route: str, status: int) -> None:
    with capture_logs() as logs:
        await api.get(path)
    [line] = access_lines(logs)
    assert (line["route"], line["status"]) == (route, status)


async def chunks(size: int, pieces: int) -> AsyncIterator[bytes]:
    for _ in range(pieces):
        yield b"x" * size


@pytest.mark.parametrize("path", ["/v1/notes", "/v1/raw"])
async def test_a_body_that_declares_too_much_is_refused(api: httpx2.AsyncClient, path: str) -> None:
    answer = await api.post(path, json={"text": "x" * LIMIT})
    assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")
    assert answer.json()["metadata"] == {"limit_bytes": str(LIMIT)}


@pytest.mark.parametrize("path", ["/v1/notes", "/v1/raw"])
async def test_a_body_that_declares_nothing_is_refused_while_it_arrives(api: httpx2.AsyncClient, path: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        async for chunk in chunks(512, 1000):
            sent += len(chunk)
            yield chunk

    answer = await api.post(path, content=endless(), headers={"Content-Type": "application/json"})
    assert "content-length" not in answer.request.headers
    assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")
    assert sent <= LIMIT + 2 * 512, "it was read on past the limit"


async def test_a_body_that_declares_less_than_it_sends_is_refused(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/v1/raw", content=chunks(512, 10), headers={"Content-Length": "10"})
    assert answer.status_code == 413


async def test_a_body_of_exactly_the_limit_passes(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/v1/raw", content=b"x" * LIMIT)
    assert (answer.status_code, answer.json()) == (200, LIMIT)


async def test_uploads_limit_themselves(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/upload", content=chunks(512, 10))
    assert (answer.status_code, answer.json()) == (200, 5120)
