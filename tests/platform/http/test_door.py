"""Answers on a real socket: in one piece or in many, what every answer says, and what becomes of a crash."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from wapsi.http.door import Door
from wapsi.http.protocol import GuardedProtocol

Ask = Callable[[str], Awaitable[bytes]]
ALWAYS = (
    b"x-request-id: ",
    b"x-content-type-options: nosniff\r\n",
    b"vary: Origin\r\n",
    b"cache-control: no-store\r\n",
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"]
    if path == "/crash":
        raise RuntimeError("boom")
    headers = {
        "/two-lines": [(b"content-length", b"5"), (b"location", b"/\r\nset-cookie: a=1")],
        "/pieces": [(b"content-length", b"10")],
        "/closing": [(b"content-length", b"5"), (b"connection", b"close")],
        "/undeclared": [],
        "/wrong": [(b"content-length", b"4")],
        "/kept": [(b"content-length", b"5"), (b"cache-control", b"public")],
    }.get(path, [(b"content-length", b"5")])
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path == "/crash-late":
        await send({"type": "http.response.body", "body": b"he", "more_body": True})
        raise RuntimeError("boom")
    if path == "/crash-begun":
        raise RuntimeError("boom")
    if path == "/pieces":
        await send({"type": "http.response.body", "body": b"hello", "more_body": True})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """All that comes back until the connection is closed, or nothing more comes."""
    config = uvicorn.Config(
        Door(app), http=GuardedProtocol, ws="none", log_config=None, access_log=False, lifespan="off", port=0
    )
    server = uvicorn.Server(config)
    config.load()
    listening = await asyncio.get_running_loop().create_server(
        lambda: GuardedProtocol(config=config, server_state=server.server_state, app_state={}), "127.0.0.1", 0
    )

    async def ask(request: str) -> bytes:
        method, path = request.split()
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
        # The second request ends the connection, and shows that the first has left it in order.
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: wapsi.test\r\n\r\n".encode())
        writer.write(b"GET /last HTTP/1.1\r\nHost: wapsi.test\r\nConnection: close\r\n\r\n")
        with capture_logs():
            answer = await reader.read()
        writer.close()
        return answer

    yield ask
    listening.close()


def first_of(answers: bytes) -> bytes:
    return answers[: answers.index(b"HTTP/1.1", 1)]


@pytest.mark.parametrize("path", ["/", "/undeclared"])
async def test_every_answer_says_the_same_whether_it_is_written_in_one_piece_or_not(ask: Ask, path: str) -> None:
    answer = first_of(await ask(f"GET {path}"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert all(line in answer for line in ALWAYS)
    assert b"hello" in answer


async def test_what_an_answer_says_itself_stands(ask: Ask) -> None:
    answer = first_of(await ask("GET /kept"))
    assert b"cache-control: public\r\n" in answer
    assert b"no-store" not in answer


async def test_an_answer_in_pieces_arrives_whole(ask: Ask) -> None:
    assert first_of(await ask("GET /pieces")).endswith(b"\r\n\r\nhellohello")


async def test_an_answer_to_a_head_has_no_body(ask: Ask) -> None:
    answer = first_of(await ask("HEAD /"))
    assert b"content-length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_an_answer_that_closes_the_connection_does(ask: Ask) -> None:
    assert (await ask("GET /closing")).count(b"HTTP/1.1") == 1


async def test_a_line_break_in_a_header_makes_no_header(ask: Ask) -> None:
    answer = await ask("GET /two-lines")
    assert b"set-cookie" not in answer
    assert not answer.startswith(b"HTTP/1.1 200")


async def test_a_body_of_another_size_than_was_declared_is_not_sent_as_if_it_were_good(ask: Ask) -> None:
    assert not (await ask("GET /wrong")).endswith(b"hello")


@pytest.mark.parametrize("path", ["/crash", "/crash-begun"])
async def test_a_crash_before_anything_was_sent_is_a_problem(ask: Ask, path: str) -> None:
    answer = first_of(await ask(f"GET {path}"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b'"reason":"INTERNAL"' in answer
    assert all(line in answer for line in ALWAYS)


async def test_a_crash_in_the_middle_of_an_answer_cuts_it_off(ask: Ask) -> None:
    answer = await ask("GET /crash-late")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"he")
