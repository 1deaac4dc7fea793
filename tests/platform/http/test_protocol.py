"""What a server on a real socket does with requests that are too large, too slow, or no HTTP."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from wapsi.http import protocol
from wapsi.http.protocol import (
    HEADERS_MAX,
    HEADERS_MAX_BYTES,
    URL_MAX_BYTES,
    WHOLE_ANSWER,
    GuardedProtocol,
    answer_whole,
    close_slow_clients,
    encoded_head,
)

HEAD = b"GET / HTTP/1.1\r\nHost: wapsi.test\r\n"
WHOLE = b"GET /whole HTTP/1.1\r\nHost: wapsi.test\r\n"
UNTIL_CLOSED_S = 30.0


class App:
    """Reads the body, but not of /answer-first; answers with its size, and on /large with more than a socket holds.

    /whole is answered in one piece.
    """

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.disconnected = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["path"] == "/whole":
            head = encoded_head([(b"content-length", b"5"), (b"etag", b'"1"')])
            await answer_whole(scope["extensions"][WHOLE_ANSWER](), 200, head, b"whole")
            return
        size, more = 0, scope["path"] != "/answer-first"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected.set()
                return
            size += len(message["body"])
            more = message["more_body"]
        body = b"x" * 50_000_000 if scope["path"] == "/large" else str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for start in range(0, len(body), 1_000_000):
            await send(
                {
                    "type": "http.response.body",
                    "body": body[start : start + 1_000_000],
                    "more_body": start + 1_000_000 < len(body),
                }
            )


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        if self.writer.is_closing():
            return
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        """(status, body) of one answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return status, await self.reader.readexactly(length)

    async def closed(self) -> bytes:
        """What is left until the server closes the connection."""
        left = b""
        async with asyncio.timeout(UNTIL_CLOSED_S):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(1_000_000):
                    left += piece
        return left


Connect = Callable[[], Any]


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def connect(app: App, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connect]:
    monkeypatch.setattr(protocol, "SWEEP_S", 0.02)
    config = uvicorn.Config(
        app, http=GuardedProtocol, ws="none", log_config=None, access_log=False, lifespan="off", port=0
    )
    server = uvicorn.Server(config)
    config.load()
    state = server.server_state
    listening = await asyncio.get_running_loop().create_server(
        lambda: GuardedProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    sweeping = asyncio.ensure_future(close_slow_clients(state.connections))
    made: list[Connection] = []

    async def connect() -> Connection:
        port = listening.sockets[0].getsockname()[1]
        made.append(Connection(*await asyncio.open_connection("127.0.0.1", port)))
        return made[-1]

    yield connect
    sweeping.cancel()
    for connection in made:
        connection.writer.transport.abort()
    listening.close()
    for task in list(state.tasks):
        task.cancel()
    await asyncio.sleep(0.01)


async def test_a_whole_answer_leaves_the_connection_to_the_next_request(connect: Connect) -> None:
    connection = await connect()
    await connection.send((WHOLE + b"\r\n") * 2 + HEAD + b"Content-Length: 3\r\n\r\nabc")
    assert [await connection.answer() for _ in range(3)] == [(200, b"whole"), (200, b"whole"), (200, b"3")]


@pytest.mark.parametrize("head", [WHOLE + b"Connection: close\r\n\r\n", WHOLE.replace(b"1.1", b"1.0") + b"\r\n"])
async def test_a_whole_answer_closes_the_connection_where_that_was_asked_for(connect: Connect, head: bytes) -> None:
    connection = await connect()
    await connection.send(head)
    answer = await connection.closed()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'content-length: 5\r\netag: "1"\r\nconnection: close\r\n\r\nwhole')


def reason(body: bytes) -> str:
    return str(orjson.loads(body)["reason"])


async def test_a_request_of_the_usual_size_is_served_and_another_on_the_same_connection(connect: Connect) -> None:
    connection = await connect()
    for _ in range(3):
        await connection.send(HEAD + b"Content-Length: 3\r\n\r\nabc")
        assert await connection.answer() == (200, b"3")


async def test_requests_in_one_piece_are_each_served(connect: Connect, app: App) -> None:
    connection = await connect()
    await connection.send((HEAD + b"Content-Length: 3\r\n\r\nabc") * 3)
    assert [await connection.answer() for _ in range(3)] == [(200, b"3")] * 3
    assert [len(scope["headers"]) for scope in app.scopes] == [2, 2, 2]


@pytest.mark.parametrize("pieces", [1, 40])
@pytest.mark.parametrize(
    ("request_bytes", "status", "why"),
    [
        (b"GET /" + b"a" * URL_MAX_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "URL_TOO_LONG"),
        (b"GET /?q=" + b"a" * URL_MAX_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "URL_TOO_LONG"),
        (HEAD + b"X-Large: " + b"a" * HEADERS_MAX_BYTES + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
        (HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(40)) + b"\r\n", 431, "HEADERS_TOO_LARGE"),
        (HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(HEADERS_MAX)) + b"\r\n", 431, "HEADERS_TOO_LARGE"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n", 400, "HTTP_INVALID"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10, 400, "HTTP_INVALID"),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "HTTP_INVALID"),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, "HTTP_INVALID"),
        (HEAD + b"Content-Length: -3\r\n\r\n", 400, "HTTP_INVALID"),
    ],
)
async def test_what_is_too_large_or_no_http_is_refused_unheard(
    connect: Connect, app: App, request_bytes: bytes, status: int, why: str, pieces: int
) -> None:
    connection = await connect()
    size = -(-len(request_bytes) // pieces)
    for start in range(0, len(request_bytes), size):
        await connection.send(request_bytes[start : start + size])
        if pieces > 1:
            await asyncio.sleep(0)
    answer = await connection.closed()
    # Of a sender that goes on, the system may throw away what it was answered.
    if answer or pieces == 1:
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert reason(answer.partition(b"\r\n\r\n")[2]) == why
    assert app.scopes == []


async def test_just_within_the_limits_is_served(connect: Connect) -> None:
    connection = await connect()
    headers = b"".join(b"X-%02d: %s\r\n" % (number, b"a" * 300) for number in range(HEADERS_MAX - 1))
    await connection.send(b"GET /" + b"a" * (URL_MAX_BYTES - 1) + b" HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n")
    assert (await connection.answer())[0] == 200


async def test_a_header_without_end_is_not_kept(connect: Connect, app: App) -> None:
    connection = await connect()
    await connection.send(HEAD + b"X-Endless: ")
    for _ in range(100):
        await connection.send(b"a" * 4096)
        await asyncio.sleep(0)
    assert (await connection.closed())[:13] in (b"HTTP/1.1 431 ", b"")
    assert app.scopes == []


async def test_trailers_are_not_taken_for_headers(connect: Connect, app: App) -> None:
    connection = await connect()
    await connection.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
    assert await connection.answer() == (200, b"3")
    assert b"authorization" not in dict(app.scopes[0]["headers"])


@pytest.mark.parametrize("endless", [b"0\r\nX-Endless: ", b"3;endless="])
async def test_what_stands_around_a_body_without_end_is_not_kept(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, endless: bytes
) -> None:
    monkeypatch.setattr(protocol, "BODY_GRACE_S", 1000.0)
    connection = await connect()
    await connection.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + endless)
    for _ in range(100):
        await connection.send(b"a" * 4096)
        await asyncio.sleep(0)
    assert (await connection.closed())[:13] in (b"HTTP/1.1 431 ", b"")


async def test_a_body_in_many_small_pieces_is_served(connect: Connect) -> None:
    connection = await connect()
    await connection.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n")
    assert await connection.answer() == (200, b"50000")


async def test_a_request_that_is_answered_leaves_nothing_to_the_garbage_collector(connect: Connect, app: App) -> None:
    """Rings of objects are freed all at once, which stops the process for a tenth of a second."""
    connection = await connect()
    gc.collect()
    gc.disable()
    try:
        for head in (WHOLE, HEAD, WHOLE, HEAD):
            await connection.send(head + b"\r\n")
            await connection.answer()
        left = [scope["extensions"][WHOLE_ANSWER]() for scope in app.scopes[:-1]]
    finally:
        gc.enable()
    assert left == [None, None, None]


@pytest.mark.parametrize("begun", [b"", b"GET", HEAD, HEAD + b"X-Slow: ", b"\r\n"])
async def test_headers_that_do_not_come_are_not_waited_for(
    connect: Connect, app: App, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.1)
    connection = await connect()
    await connection.send(begun)
    with capture_logs() as logs:
        assert await connection.closed() == b""
    assert "slow_clients_closed" in [line["event"] for line in logs]
    assert app.scopes == []


async def test_headers_that_come_a_byte_at_a_time_are_not_waited_for(
    connect: Connect, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slowloris: each byte is in time, and the request never ends."""
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.2)
    connection = await connect()
    await connection.send(HEAD)

    async def drip() -> None:
        for _ in range(100_000):
            await connection.send(b"X: y\r\n"[:1])
            await asyncio.sleep(0.01)

    dripping = asyncio.ensure_future(drip())
    assert await connection.closed() == b""
    dripping.cancel()
    assert app.scopes == []


async def test_line_ends_between_requests_do_not_hold_a_connection(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.1)
    connection = await connect()
    await connection.send(HEAD + b"\r\n")
    assert (await connection.answer())[0] == 200
    await connection.send(b"\r\n")
    assert await connection.closed() == b""


async def test_a_body_that_does_not_come_is_not_waited_for_and_the_application_is_told(
    connect: Connect, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "BODY_GRACE_S", 0.1)
    connection = await connect()
    await connection.send(HEAD + b"Content-Length: 100\r\n\r\nabc")
    assert await connection.closed() == b""
    await asyncio.wait_for(app.disconnected.wait(), UNTIL_CLOSED_S)


async def test_a_body_that_comes_fast_enough_may_take_longer(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_GRACE_S", 0.1)
    monkeypatch.setattr(protocol, "BODY_MIN_BYTES_S", 1)  # each byte gives a second
    connection = await connect()
    await connection.send(HEAD + b"Content-Length: 100\r\n\r\n" + b"a" * 90)
    await asyncio.sleep(0.3)
    await connection.send(b"a" * 10)
    assert await connection.answer() == (200, b"100")


async def test_a_request_that_is_being_served_is_waited_for(
    connect: Connect, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEAD_TIMEOUT_S", "BODY_GRACE_S", "LINGER_S", "WRITE_STALL_S"):
        monkeypatch.setattr(protocol, name, 0.05)
    original = app.__class__.__call__

    async def slowly(self: App, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.3)
        await original(self, scope, receive, send)

    monkeypatch.setattr(App, "__call__", slowly)
    connection = await connect()
    await connection.send(HEAD + b"Content-Length: 3\r\n\r\nabc")
    assert await connection.answer() == (200, b"3")


async def test_an_answer_that_nobody_reads_is_given_up(
    connect: Connect, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "WRITE_STALL_S", 0.1)
    connection = await connect()
    await connection.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    with capture_logs() as logs:
        async with asyncio.timeout(UNTIL_CLOSED_S):
            while "slow_clients_closed" not in [line["event"] for line in logs]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert len(await connection.closed()) < 50_000_000


async def test_a_body_that_goes_on_after_its_answer_is_cut_off(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER_S", 0.1)
    connection = await connect()
    await connection.send(b"POST /answer-first HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
    assert await connection.answer() == (200, b"0")
    assert await connection.closed() == b""
