"""The shorter way to a route: who is answered by it, and what it leaves to the declared one."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message

from wapsi.http.direct_routes import ShortWays, short_way

router = APIRouter()


@router.post("/notes")
async def declared(request: Request) -> Response:
    return Response(b"declared: " + await request.body())


async def directly(request: Request) -> Response | None:
    """Of bodies that are not odd."""
    body = await request.body()
    return None if body.startswith(b"odd") else Response(b"direct: " + body + b", " + await request.body())


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(middleware=[Middleware(ShortWays, ways=[short_way(router, declared, directly)])])
    app.include_router(router)
    return app


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        ([b""], b"direct: , "),
        ([b"ab"], b"direct: ab, ab"),
        ([b"a", b"b", b"c"], b"direct: abc, abc"),
        ([b"odd"], b"declared: odd"),
        ([b"o", b"d", b"d"], b"declared: odd"),
    ],
)
async def test_a_body_is_read_whole_and_by_the_declared_route_once_more(
    app: FastAPI, pieces: list[bytes], answer: bytes
) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://wapsi.test") as client:
        for _ in range(2):
            assert (await client.post("/notes", content=in_pieces(*pieces))).content == answer


async def test_a_caller_who_leaves_in_the_middle_of_a_body_is_not_answered(app: FastAPI) -> None:
    messages = iter([{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(messages)

    async def send(_message: Message) -> None:
        raise AssertionError("nobody is there")

    scope = {"type": "http", "method": "POST", "path": "/notes", "query_string": b"", "headers": []}
    stack = app.build_middleware_stack()
    while not isinstance(stack, ShortWays):
        stack = stack.app  # type: ignore[attr-defined]
    with pytest.raises(ClientDisconnect):
        await stack(scope, receive, send)
