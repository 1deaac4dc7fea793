"""uvicorn's HTTP/1.1, with limits that it does not have: on addresses, headers, and on how slow a client may be.

Whatever is refused here is refused before the application hears of it, and the connection is closed.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any
from weakref import ref

import orjson
import structlog
from opentelemetry import metrics
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

log = structlog.get_logger(__name__)
_closed = metrics.get_meter(__name__).create_counter(
    "wapsi.http.slow_clients", unit="{connection}", description="Connections closed because their client was slow."
)

URL_MAX_BYTES = 8 * 1024
HEADERS_MAX_BYTES = 32 * 1024
HEADERS_MAX = 100

SWEEP_S = 1.0
# From the first byte of a request, or from connecting, until its headers are there.
HEAD_TIMEOUT_S = 10.0
# A body may take this long, and beyond it what its bytes take at the least speed.
BODY_GRACE_S = 30.0
BODY_MIN_BYTES_S = 4096
# What may come in a row that is no body, though one is awaited: extensions of chunks, trailers.
FRAMING_MAX_BYTES = HEADERS_MAX_BYTES
# An answer that nobody takes off the line.
WRITE_STALL_S = 60.0
# What is left of a body when its request was answered already.
LINGER_S = 5.0

_CLOSING = {
    400: ("HTTP_INVALID", "This is not HTTP/1.1 as it can be read safely."),
    414: ("URL_TOO_LONG", f"The address may have at most {URL_MAX_BYTES} bytes."),
    431: ("HEADERS_TOO_LARGE", f"At most {HEADERS_MAX} headers of {HEADERS_MAX_BYTES} bytes together are read."),
}
_TITLES = {400: "Bad Request", 414: "URI Too Long", 431: "Request Header Fields Too Large"}


# An extension of the scope: a weak reference to what answer_whole takes.
WHOLE_ANSWER = "wapsi.whole_answer"

_CONTROL = bytes({*range(0x20), 0x7F} - {ord("\t")})
# By which uvicorn does more than write them; names are in lower case.
_OF_FRAMES = (b"connection: ", b"transfer-encoding: ")
_NONE: Mapping[str, Any] = {}


class Awaited(Enum):
    """What the client owes."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class _Refused(Exception):
    """Ends the parser's work; uvicorn then asks for the answer of a request that cannot be read."""


class GuardedProtocol(HttpToolsProtocol):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.awaited = Awaited.HEAD
        self._began_s = self.loop.time()
        self._messages = 0
        self._head_bytes = 0
        self._body_bytes = 0
        self._around_bytes = 0
        self._refusal = 400
        self._stalled_s: float | None = None
        self._answered_s: float | None = None

    def data_received(self, data: bytes) -> None:
        messages, was_in_head, body_bytes = self._messages, self.awaited is Awaited.HEAD, self._body_bytes
        self._head_bytes += len(data)
        super().data_received(data)
        if self.parser is None or self.transport.is_closing():
            return
        if self.awaited is Awaited.HEAD and was_in_head and self._messages == messages:
            # The parser keeps a header until it has all of it, and says nothing meanwhile.
            if self._head_bytes > HEADERS_MAX_BYTES + URL_MAX_BYTES:
                self._refusal = 431
                self.send_400_response("")
        elif self.awaited is Awaited.BODY and not was_in_head and self._body_bytes == body_bytes:
            # The parser keeps a trailer until it has all of it, and says nothing either.
            self._around_bytes += len(data)
            if self._around_bytes > FRAMING_MAX_BYTES:
                self._give_up()
        elif self._messages == messages and self.awaited is Awaited.NOTHING and self._is_idle():
            # Line ends between requests, which stop uvicorn's own clock.
            self.awaited, self._began_s = Awaited.HEAD, self.loop.time()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._messages:
            self._began_s = self.loop.time()
        self._messages += 1
        self.awaited = Awaited.HEAD

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) > URL_MAX_BYTES:
            self._refuse(414)
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.awaited is not Awaited.HEAD:
            return  # trailers: nobody asked for them, and they would become headers of a request that runs already
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        # What came in one small piece cannot be too much.
        if self._head_bytes > HEADERS_MAX_BYTES or len(self.headers) > HEADERS_MAX:
            size = sum(len(name) + len(value) for name, value in self.headers)
            if size > HEADERS_MAX_BYTES or len(self.headers) > HEADERS_MAX:
                self._refuse(431)
        super().on_headers_complete()
        # Weakly: the cycle has the scope, and a ring of the two would be left to the garbage collector.
        self.scope["extensions"] = {WHOLE_ANSWER: ref(self.cycle)}  # type: ignore[dict-item]
        self.awaited, self._body_bytes, self._around_bytes, self._answered_s = Awaited.BODY, 0, 0, None
        self._began_s = self.loop.time()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._around_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.awaited, self._head_bytes = Awaited.NOTHING, 0

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled_s = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled_s = None

    def send_400_response(self, msg: str) -> None:
        """As a problem, like every other refusal; `msg` is uvicorn's."""
        status, (reason, detail) = self._refusal, _CLOSING[self._refusal]
        body = orjson.dumps(
            {
                "type": "about:blank",
                "title": _TITLES[status],
                "status": status,
                "detail": detail,
                "reason": reason,
                "request_id": None,
                "metadata": {},
                "violations": [],
            }
        )
        head = (
            b"content-type: application/problem+json\r\ncache-control: no-store\r\nconnection: close\r\n"
            b"x-content-type-options: nosniff\r\ncontent-length: %d\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self.transport.close()

    def overdue(self, now_s: float) -> str | None:
        """What the client has been too slow with: "head", "body" or "answer"; None while it is in time."""
        if self._stalled_s is not None:
            return "answer" if now_s - self._stalled_s > WRITE_STALL_S else None
        if self.awaited is Awaited.HEAD:
            return "head" if now_s - self._began_s > HEAD_TIMEOUT_S else None
        if self.awaited is not Awaited.BODY:
            return None
        if self.cycle.response_complete:
            self._answered_s = self._answered_s or now_s
            return "body" if now_s - self._answered_s > LINGER_S else None
        if self.flow.read_paused:
            self._began_s += SWEEP_S  # it is we who are slow
            return None
        due_s = self._began_s + BODY_GRACE_S + self._body_bytes / BODY_MIN_BYTES_S
        return "body" if now_s > due_s else None

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _give_up(self) -> None:
        """In the middle of a body: with words only where no answer has begun."""
        if self.cycle.response_started:
            self.transport.abort()
            return
        self._refusal = 431
        self.send_400_response("")

    def _refuse(self, status: int) -> None:
        self._refusal = status
        raise _Refused


def encoded_head(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Of our own headers, which need no look at what is in them each time."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def encoded_answer_head(headers: Sequence[tuple[bytes, bytes]], body_bytes: int) -> bytes | None:
    """For `answer_whole`; None where uvicorn has to look at it: the headers do not say that the body has so many bytes,
    or have in them what no header may."""
    length = b"%d" % body_bytes
    if (b"content-length", length) not in headers:
        return None
    head = encoded_head(headers)
    # Two of each line are its own.
    if len(head) - len(head.translate(None, _CONTROL)) != 2 * len(headers):
        return None
    return None if any(name in head for name in _OF_FRAMES) else head


def cycle_of(scope: Scope) -> RequestResponseCycle | None:
    """What answer_whole takes; None with a server that is not ours, and when the request is over."""
    reference = scope.get("extensions", _NONE).get(WHOLE_ANSWER)
    return None if reference is None else reference()


async def answer_whole(cycle: RequestResponseCycle, status: int, head: bytes, body: bytes) -> None:
    """What two messages to uvicorn do, for an answer whose `head` has a content-length or that is a 304; not to a HEAD.

    They check and put together each header anew, which takes as long as all else of an answer from memory.
    """
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    cycle.response_started, cycle.waiting_for_100_continue = True, False
    end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
    cycle.transport.write(b"".join((STATUS_LINE[status], encoded_head(cycle.default_headers), head, end, body)))
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


async def answered_whole(
    cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> bool:
    """False, and nothing is written, where uvicorn has to look at the headers. Not for a HEAD."""
    head = encoded_answer_head(headers, len(body))
    if head is None:
        return False
    await answer_whole(cycle, status, head, body)
    return True


async def close_slow_clients(connections: Iterable[Any]) -> None:
    """Looks at all of them now and then, until cancelled: cheaper than a timer for each request."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_S)
        now_s, closed = loop.time(), 0
        for connection in list(connections):
            if not isinstance(connection, GuardedProtocol) or connection.transport is None:
                continue
            what = connection.overdue(now_s)
            if what is not None:
                closed += 1
                _closed.add(1, {"awaited": what})
                # Not close(), which waits until the client has taken what is still to be sent.
                connection.transport.abort()
        if closed:
            log.info("slow_clients_closed", connections=closed)
