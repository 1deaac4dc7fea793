"""What every request passes on its way in, and its answer on its way out, in one layer.

As layers of their own, each with a `send` around that of the one before, the same took as long as recording a click.
"""

import time

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from wapsi.http.bodies import Bodies, address_fault
from wapsi.http.middleware import AccessLog, header_of, request_id_of
from wapsi.http.overload import HEALTH_PATHS, ConcurrencyLimit
from wapsi.http.problems import unexpected_problem
from wapsi.http.protocol import answered_whole, cycle_of
from wapsi.http.rate_limits import AddressLimits, headers_of, refuse_limited
from wapsi.http.refusals import refuse
from wapsi.http.security_headers import SecurityHeaders
from wapsi.limits import Verdict
from wapsi.telemetry.requests import MeasuredRequests

_VARY = (b"vary", b"Origin")


class Door:
    """Pure ASGI, the outermost of the application. In this order: the time and the trace, the request id, the access
    log, limits of an address, places of the process, what may be in a body.

    An exception of what is inside is answered here, unless its answer has begun.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        measured: MeasuredRequests | None = None,
        security: SecurityHeaders | None = None,
        log: AccessLog | None = None,
        limits: AddressLimits | None = None,
        places: ConcurrencyLimit | None = None,
        bodies: Bodies | None = None,
    ) -> None:
        self.app = app
        self._measured = measured
        self._security = security or SecurityHeaders()
        self._log = log or AccessLog()
        self._limits = limits
        self._places = places
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        measured = None if self._measured is None else self._measured.begin(scope)
        scope["request_id"] = request_id = request_id_of(scope)
        answer = _Answer(scope, send, self._security, request_id.encode())
        # Not bound_contextvars, which looks through all variables of the context.
        before = structlog.contextvars.bind_contextvars(request_id=request_id)
        started_s = time.perf_counter()
        error: BaseException | None = None
        try:
            await self._let_in(scope, receive, answer)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._log.note(scope, answer.status or 500, time.perf_counter() - started_s)
            structlog.contextvars.reset_contextvars(**before)
            if measured is not None:
                measured.end(scope, answer.status, error)

    async def _let_in(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        limits = self._limits
        if limits is None or scope["path"] in HEALTH_PATHS or not limits.name(scope):
            await self._place(scope, receive, answer)
            return
        address: str = scope["address"]
        is_beyond = limits.arrive(address)
        try:
            verdict = await limits.judge(address, is_beyond=is_beyond)
            scope["rate_limits"] = answer.verdicts = [verdict]
            if verdict.allowed:
                await self._place(scope, receive, answer)
            else:
                await refuse_limited(scope, answer, verdict)
        finally:
            limits.leave(address)

    async def _place(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        places = self._places
        if places is None or places.is_free(scope["path"]):
            await self._serve(scope, receive, answer)
            return
        if not places.take() and not await places.wait():
            await places.refuse(scope, answer)
            return
        try:
            await self._serve(scope, receive, answer)
        finally:
            places.leave()

    async def _serve(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            fault = address_fault(scope)
            if fault is not None:
                await refuse(scope, answer, *fault)
                return
            inside = receive if self._bodies is None else self._bodies.checked(scope, receive)
            await self.app(scope, inside, answer)
        except Exception as error:
            if answer.has_begun:
                raise  # it can only be cut off
            response = await unexpected_problem(Request(scope), error)
            await response(scope, receive, answer)


class _Answer:
    """The `send` of what is inside: puts the headers of every answer beside its own, and notes its status.

    An answer in one piece is written in one, past uvicorn's look at each of its headers.
    """

    __slots__ = ("_begin", "_cycle", "_request_id", "_scope", "_security", "_send", "has_begun", "status", "verdicts")

    def __init__(self, scope: Scope, send: Send, security: SecurityHeaders, request_id: bytes) -> None:
        self.status = 0
        self.has_begun = False
        self.verdicts: list[Verdict] | None = None
        self._scope = scope
        self._send = send
        self._security = security
        self._request_id = request_id
        self._begin: Message | None = None
        cycle: RequestResponseCycle | None = cycle_of(scope)
        # What is sent elsewhere first, as into the cache, is not written here.
        self._cycle = cycle if getattr(send, "__self__", None) is cycle else None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._headers(message["headers"])
            if self._cycle is not None and not self.has_begun:
                # Until there is a body: a crash before that is still answered as one.
                self._begin = message
                return
        begin, self._begin = self._begin, None
        self.has_begun = True
        if begin is not None:
            if await self._is_written(begin, message):
                return
            await self._send(begin)
        await self._send(message)

    def _headers(self, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        headers = [*given, *self._security.beside(given, self._scope["path"]), (b"x-request-id", self._request_id)]
        if self.verdicts is not None:
            headers += headers_of(self.verdicts)
        # With an origin it is CORS's own layer that says so.
        if not header_of(self._scope, b"origin"):
            headers.append(_VARY)
        return headers

    async def _is_written(self, begin: Message, message: Message) -> bool:
        cycle = self._cycle
        if cycle is None or message.get("more_body") or self._scope["method"] == "HEAD":
            return False
        return await answered_whole(cycle, begin["status"], begin["headers"], message.get("body", b""))
