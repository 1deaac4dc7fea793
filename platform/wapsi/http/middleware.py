"""Pure ASGI middleware, outermost first: CORS (Starlette's), RequestID, AccessLog, UnexpectedErrors, BodyLimit."""

import re
import secrets
import time

import structlog
from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wapsi.errors import TooLarge

log = structlog.get_logger(__name__)

ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def header_of(scope: Scope, name: bytes) -> str:
    """The first of this name, "" where there is none. Starlette's Headers take ten times as long."""
    for given, value in scope["headers"]:
        if given == name:
            return str(value, "latin-1")
    return ""


class RequestID:
    """Takes the caller's X-Request-ID when it is harmless, else makes one; every log line and answer has it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = header_of(scope, b"x-request-id")
        request_id = given if ACCEPTABLE_ID.fullmatch(given) else secrets.token_hex(16)
        scope["request_id"] = request_id
        line = (b"x-request-id", request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], line]
            await send(message)

        # Not bound_contextvars, which looks through all variables of the context.
        before = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            structlog.contextvars.reset_contextvars(**before)


class AccessLog:
    """One line a request, without its query string or body.

    A line costs as much as the request of a small page. Where `sample`, GETs that succeed in time have theirs only if
    their trace is sampled; what fails, is slow or writes always has.
    """

    def __init__(self, app: ASGIApp, *, sample: bool = False, slow_s: float = 0.5) -> None:
        self.app = app
        self.sample = sample
        self.slow_s = slow_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noting_status)
        finally:
            duration_s = time.perf_counter() - started
            if not self.sample or self._is_wanted(scope["method"], status, duration_s):
                route = getattr(scope.get("route"), "path", None)
                log.info(
                    "http_request",
                    method=scope["method"],
                    # The route, not the path: click tokens are in paths.
                    route=route or "unmatched",
                    status=status,
                    latency_ms=round(duration_s * 1000, 1),
                )

    def _is_wanted(self, method: str, status: int, duration_s: float) -> bool:
        if method not in ("GET", "HEAD") or status >= 400 or duration_s >= self.slow_s:
            return True
        return trace.get_current_span().get_span_context().trace_flags.sampled


class BodyTooLarge(TooLarge):
    reason = "BODY_TOO_LARGE"


class BodyLimit:
    """Refuses a body past the limit, by its declared length or while it arrives. Feed uploads limit themselves."""

    def __init__(self, app: ASGIApp, *, limit_bytes: int, exempt: re.Pattern[str]) -> None:
        self.app = app
        self.limit_bytes = limit_bytes
        self.exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.exempt.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            self._check(received)
            return message

        async def receive_refusing() -> Message:
            self._check(int(declared))
            return await receive()

        declared = header_of(scope, b"content-length")
        too_large = declared.isdigit() and int(declared) > self.limit_bytes
        await self.app(scope, receive_refusing if too_large else receive_limited, send)

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self.limit_bytes:
            raise BodyTooLarge(f"The body may have at most {self.limit_bytes} bytes.", limit_bytes=self.limit_bytes)
