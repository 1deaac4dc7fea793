"""The one cache of public reads: encoded answers in memory, in front of the application.

A route asks to be cached by `openapi_extra=CACHED` and by answering 200 with `Cache-Control: public` (see
`answer_with_etag`). Its answer may depend on the path and the query only. An answer is valid for one generation of the
catalogue (see `wapsi.db.versions`); after a publication it is served for at most STALE_S, counted from the last look
that did not see it, while it is computed anew. Requests that find nothing wait for the first of them.
"""

import asyncio
import random
import re
import time
from collections import OrderedDict
from collections.abc import Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import structlog
from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wapsi.db.errors import DatabaseUnavailable
from wapsi.db.versions import Versions
from wapsi.http.middleware import ACCEPTABLE_ID
from wapsi.http.protocol import answer_whole, answered_whole, cycle_of, encoded_head
from wapsi.http.rate_limits import HEADERS as RATE_LIMIT_HEADERS

log = structlog.get_logger(__name__)

CACHED = {"x-cached": True}
STALE_S = 0.75
# Offers expire and sales begin without a publication. What was made together does not grow old together: each answer
# has a limit of its own, between three quarters of this and the whole.
MAX_AGE_S = 30.0
# So many are computed anew at once while the old ones are served: the others of the reads' connections are for pages
# that are not in memory.
REFRESHES_AT_ONCE = 3
STALE_ON_ERROR_S = 60.0
MAX_QUERY_BYTES = 2048
# For our own bookkeeping: the headers, the key, the objects.
OVERHEAD_BYTES = 3000

# What an answer says to whoever asked first, and to nobody else.
_OF_ONE_CALLER = (b"x-request-id", *RATE_LIMIT_HEADERS)
_OF_A_BODY = (b"content-length", b"content-type")

Header = tuple[bytes, bytes]
# Path, query, and the origin that asks, where it is one whose answers differ (CORS).
Key = tuple[str, bytes, bytes]


class HotReads(Protocol):
    """Counts what is answered here and so never reaches the application's telemetry."""

    def record(self, scope: Scope, route: str, status: int, started_s: float) -> None: ...

    def count(self, outcome: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Head:
    headers: list[Header]
    encoded: bytes

    @classmethod
    def of(cls, headers: list[Header]) -> Self:
        return cls(headers, encoded_head(headers))


@dataclass(slots=True)
class _Entry:
    """`whole` goes before the body, `unchanged` with a 304."""

    generation: int
    made_s: float
    old_at_s: float
    route: str
    etag: bytes
    whole: _Head
    unchanged: _Head
    body: bytes
    size_bytes: int


class ReadCache:
    """ASGI: answers GETs of cached routes from memory, at most `limit_bytes` of it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Iterable[str],
        versions: Versions,
        hot_reads: HotReads,
        limit_bytes: int,
        origins: Collection[str] = (),
    ) -> None:
        self.app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        self._routes = [(re.compile(path_pattern(route)), route) for route in routes]
        self._versions = versions
        self._hot_reads = hot_reads
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._computing: dict[Key, asyncio.Future[_Entry | None]] = {}
        self._refreshing: set[asyncio.Task[_Answer]] = set()
        self.size_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        started_s = time.perf_counter()
        key = (scope["path"], scope["query_string"], self._variant(scope))
        entry = self._entries.get(key)
        route = entry.route if entry is not None else self._route(scope)
        if route is None:
            await self.app(scope, receive, send)
            return
        if entry is not None:
            self._entries.move_to_end(key)
            if (await self._is_usable(key, entry, scope)) and self._entries.get(key) is entry:
                await self._answer(entry, scope, send, started_s)
                return
        await self._compute(key, route, entry, scope, receive, send, started_s)

    async def _is_usable(self, key: Key, entry: _Entry, scope: Scope) -> bool:
        """Whether it may be served; what is a little outdated may, and is computed anew meanwhile."""
        versions = self._versions
        if not versions.is_trusted:
            try:
                await versions.check()
            except DatabaseUnavailable:
                self._hot_reads.count("stale_on_error")
                return time.monotonic() - entry.made_s < STALE_ON_ERROR_S
        now_s = time.monotonic()
        if entry.generation == versions.generation and now_s < entry.old_at_s:
            self._hot_reads.count("hit")
            return True
        # Who asks the database each time is not content with less than the newest.
        is_passable = versions.outdated_for_s(entry.generation) < STALE_S and now_s - entry.made_s < 2 * MAX_AGE_S
        if versions.is_polling and is_passable:
            self._hot_reads.count("stale")
            if key not in self._computing and len(self._refreshing) < REFRESHES_AT_ONCE:
                task = asyncio.ensure_future(self._lead(key, entry.route, scope, _nothing_more))
                self._refreshing.add(task)
                task.add_done_callback(self._refreshed)
            return True
        return False

    async def _compute(
        self,
        key: Key,
        route: str,
        old: _Entry | None,
        scope: Scope,
        receive: Receive,
        send: Send,
        started_s: float,
    ) -> None:
        """Answers from what another request is computing, else asks the application."""
        computing = self._computing.get(key)
        if computing is not None:
            entry = await asyncio.shield(computing)
            if entry is not None:
                self._hot_reads.count("coalesced")
                await self._answer(entry, scope, send, started_s)
                return
            # It was not for everybody (an error, say): each asks for itself.
            await self.app(scope, receive, send)
            return
        self._hot_reads.count("miss")
        answer = await self._lead(key, route, scope, receive)
        entry = answer.entry
        if entry is None and old is not None and answer.status >= 500 and _age_s(old) < STALE_ON_ERROR_S:
            self._hot_reads.count("stale_on_error")
            await self._answer(old, scope, send, started_s)
        elif entry is not None and _header(scope, b"if-none-match") is not None:
            await self._answer(entry, scope, send, started_s)
        else:
            await _pass_on(answer, scope, send)

    def _lead(self, key: Key, route: str, scope: Scope, receive: Receive) -> Coroutine[Any, Any, "_Answer"]:
        """Asks the application; who comes meanwhile waits for it, from this call on."""
        future: asyncio.Future[_Entry | None] = asyncio.get_running_loop().create_future()
        self._computing[key] = future

        async def ask() -> _Answer:
            entry = None
            try:
                answer = await self._ask(key, route, scope, receive)
                entry = answer.entry
                return answer
            finally:
                del self._computing[key]
                future.set_result(entry)

        return ask()

    def _refreshed(self, task: "asyncio.Task[_Answer]") -> None:
        self._refreshing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("refresh_failed", exc_info=error)

    async def _ask(self, key: Key, route: str, scope: Scope, receive: Receive) -> "_Answer":
        versions = self._versions
        if not versions.is_trusted:
            try:
                await versions.check()
            except DatabaseUnavailable:
                return await _ask(self.app, scope, receive)
        # The generation first: what is read after it is at least as new.
        generation, made_s = versions.generation, time.monotonic()
        answer = await _ask(self.app, scope, receive)
        if answer.is_public and len(key[1]) <= MAX_QUERY_BYTES:
            answer.entry = self._keep(key, answer, generation, made_s, route)
        return answer

    def _keep(self, key: Key, answer: "_Answer", generation: int, made_s: float, route: str) -> _Entry | None:
        body = answer.body
        size_bytes = len(body) + len(key[0]) + len(key[1]) + OVERHEAD_BYTES
        headers = [pair for pair in answer.headers if pair[0] not in _OF_ONE_CALLER]
        etag = next((value for name, value in headers if name == b"etag"), b"")
        whole, unchanged = _Head.of(headers), _Head.of([pair for pair in headers if pair[0] not in _OF_A_BODY])
        old_at_s = made_s + MAX_AGE_S * random.uniform(0.75, 1)  # noqa: S311  # no secret
        entry = _Entry(generation, made_s, old_at_s, route, etag, whole, unchanged, body, size_bytes)
        if size_bytes > self._limit_bytes:
            return entry
        before = self._entries.pop(key, None)
        self.size_bytes += size_bytes - (0 if before is None else before.size_bytes)
        self._entries[key] = entry
        while self.size_bytes > self._limit_bytes:
            _, dropped = self._entries.popitem(last=False)
            self.size_bytes -= dropped.size_bytes
        return entry

    async def _answer(self, entry: _Entry, scope: Scope, send: Send, started_s: float) -> None:
        known: bytes | None = None
        request_id = b""
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                known = value
            elif name == b"x-request-id" and ACCEPTABLE_ID.fullmatch(value.decode("latin-1")):
                request_id = value
        # Random, but no secret.
        request_id = request_id or b"%032x" % random.getrandbits(128)
        is_known = known is not None and _names(known, entry.etag)
        status, shown, body = (304, entry.unchanged, b"") if is_known else (200, entry.whole, entry.body)
        cycle = cycle_of(scope)
        if cycle is None:
            headers = [*shown.headers, (b"x-request-id", request_id)]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            await answer_whole(cycle, status, b"%bx-request-id: %b\r\n" % (shown.encoded, request_id), body)
        self._hot_reads.record(scope, entry.route, status, started_s)

    def _variant(self, scope: Scope) -> bytes:
        origin = _header(scope, b"origin")
        if origin is None or not self._origins:
            return b""
        return b"*" if b"*" in self._origins else origin if origin in self._origins else b""

    def _route(self, scope: Scope) -> str | None:
        path = scope["path"]
        for pattern, route in self._routes:
            if pattern.fullmatch(path):
                return route
        return None


@dataclass(slots=True)
class _Answer:
    messages: list[Message]
    entry: _Entry | None = None

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> Sequence[Header]:
        return self.messages[0]["headers"]  # type: ignore[no-any-return]

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def is_public(self) -> bool:
        return self.status == 200 and any(
            name == b"cache-control" and value.startswith(b"public") for name, value in self.headers
        )


async def _ask(app: ASGIApp, scope: Scope, receive: Receive) -> _Answer:
    """The application's answer in full, whatever of it the caller has already."""
    messages: list[Message] = []

    async def collect(message: Message) -> None:
        messages.append(message)

    headers = [pair for pair in scope["headers"] if pair[0] != b"if-none-match"]
    # A copy, with a state of its own: a refresh goes on when the request that caused it has been answered.
    await app({**scope, "headers": headers, "state": dict(scope.get("state", {}))}, receive, collect)
    return _Answer(messages)


async def _pass_on(answer: _Answer, scope: Scope, send: Send) -> None:
    cycle = cycle_of(scope)
    if cycle is None or not await answered_whole(cycle, answer.status, answer.headers, answer.body):
        for message in answer.messages:
            await send(message)


async def _nothing_more() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _age_s(entry: _Entry) -> float:
    return time.monotonic() - entry.made_s


def _header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def _names(known: bytes, etag: bytes) -> bool:
    if known == etag:
        return True
    tags = {tag.strip().removeprefix(b"W/") for tag in known.split(b",")}
    return etag in tags or b"*" in tags


def cached_routes(app: FastAPI) -> list[str]:
    """Paths of the routes that ask to be cached, in the order in which FastAPI tries them."""
    return [route.path for route in iter_route_contexts(app.routes) if route.path is not None and is_cached(route)]


def is_cached(route: RouteContext) -> bool:
    return bool((getattr(route, "openapi_extra", None) or {}).get("x-cached"))


def path_pattern(route: str) -> str:
    """A regular expression whose groups are the parameters of the path."""
    parts = re.split(r"\{[^}]*\}", route)
    return "([^/]+)".join(re.escape(part) for part in parts)
