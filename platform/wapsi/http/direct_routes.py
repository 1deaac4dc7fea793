"""Routes that are asked for thousands of times a second, answered without FastAPI's dependencies and validation.

A route is declared like any other, with what it needs, and that is what OpenAPI shows. A write has a shorter way in the
usual case only: what the route declares answers whatever is unusual about a request.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wapsi.errors import DomainError
from wapsi.http.answers import JSONAnswer
from wapsi.http.deps import get_runtime
from wapsi.http.middleware import header_of
from wapsi.http.problems import domain_problem
from wapsi.http.rate_limits import admit
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal, bearer_of

# Answers a request, or says None where it is for the declared route to say what is wrong with it.
Direct = Callable[[Request], Awaitable[Response | None]]
# Answers a customer who asks for what is their own.
OwnAnswer = Callable[[Runtime, Principal], Awaitable[Response]]


class ReadRoute(APIRoute):
    """Of a public read whose function takes the request and the parameters of the path, as text, and nothing else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            response: Response = await endpoint(request, **request.path_params)
            return response

        return handle


@dataclass(frozen=True, slots=True)
class ShortWay:
    """`begin` is what the paths of `route` begin with, all of it where none has parameters."""

    route: APIRoute
    begin: str
    direct: Direct

    @property
    def is_of_one_path(self) -> bool:
        return self.begin == self.route.path


def short_way(router: APIRouter, endpoint: Callable[..., Any], direct: Direct) -> ShortWay:
    """To the route of a router, without a prefix, that this function answers. What `direct` raises is answered as what
    a route raises."""
    [route] = [route for route in router.routes if isinstance(route, APIRoute) and route.endpoint is endpoint]
    return ShortWay(route, route.path.partition("{")[0], direct)


def read_ways(router: APIRouter) -> list[ShortWay]:
    """To all of its ReadRoutes."""
    return [
        ShortWay(route, route.path.partition("{")[0], _reading(route.endpoint))
        for route in router.routes
        if isinstance(route, ReadRoute)
    ]


def _reading(endpoint: Callable[..., Awaitable[Response]]) -> Direct:
    async def direct(request: Request) -> Response | None:
        try:
            return await endpoint(request, **request.path_params)
        except RequestValidationError:
            return None

    return direct


def own_way(router: APIRouter, endpoint: Callable[..., Any], answer: OwnAnswer) -> ShortWay:
    """To a read of what is the caller's own, as most ask for it: without parameters."""

    async def direct(request: Request) -> Response | None:
        if request.scope["query_string"]:
            return None
        principal = await principal_with(request, Permission.OWN_ACCOUNT)
        return None if principal is None else await answer(get_runtime(request), principal)

    return short_way(router, endpoint, direct)


def json_answer(answer: BaseModel) -> Response:
    """What a route answers with a model, by the model alone: FastAPI would look at all of it twice more."""
    return JSONAnswer(answer.model_dump_json().encode())


class ShortWays:
    """Pure ASGI, the innermost: what is beyond it, until a declared route answers, takes longer than recording a click.

    It costs other requests next to nothing.
    """

    def __init__(self, app: ASGIApp, *, ways: Iterable[ShortWay]) -> None:
        self.app = app
        self._by_begin: list[ShortWay] = []
        self._by_path: dict[tuple[str, str], ShortWay] = {}
        # What a path of one route alone matches is always the same.
        self._matched: dict[tuple[str, str], tuple[dict[str, Any], ShortWay]] = {}
        for way in ways:
            if way.is_of_one_path:
                self._by_path |= {(method, way.begin): way for method in way.route.methods or ()}
            else:
                self._by_begin.append(way)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct = self._found(scope) if scope["type"] == "http" else None
        if direct is None:
            await self.app(scope, receive, send)
            return
        received: list[Message] = []

        async def receive_noting() -> Message:
            message = await receive()
            received.append(message)
            return message

        async def receive_again() -> Message:
            return received.pop(0) if received else await receive()

        request = _Request(scope, receive_noting)
        try:
            answer = await direct(request)
        except DomainError as error:
            answer = await domain_problem(request, error)
        if answer is None:
            await self.app(scope, receive_again, send)
        else:
            await answer(scope, receive, send)

    def _found(self, scope: Scope) -> Direct | None:
        # Below a root path the paths are others, which the routes know how to read.
        if scope.get("root_path"):
            return None
        path, method = scope["path"], scope["method"]
        known = self._matched.get((method, path))
        if known is not None:
            scope.update(known[0], path_params={})
            return known[1].direct
        only = self._by_path.get((method, path))
        for way in self._by_begin if only is None else (only,):
            if path.startswith(way.begin):
                match, of_route = way.route.matches(scope)
                if match is Match.FULL:
                    if only is not None:
                        self._matched[method, path] = dict(of_route), way
                    scope.update(of_route)
                    return way.direct
        return None


class _Request(Request):
    """Whose body is mostly there, in one piece: Starlette's way to it takes as long as what is done with it."""

    async def body(self) -> bytes:
        known: bytes | None = getattr(self, "_body", None)
        if known is not None:
            return known
        pieces = []
        while True:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        self._body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return self._body


async def principal_with(request: Request, permission: Permission) -> Principal | None:
    """The caller; None where the credentials are no good or do not allow it. Raises RateLimited."""
    try:
        bearer = bearer_of(header_of(request.scope, b"authorization"))
        principal = await get_runtime(request).authenticator.authenticate(bearer)
    except DomainError:
        return None
    if permission not in principal.permissions:
        return None
    await admit(request, principal)
    return principal
