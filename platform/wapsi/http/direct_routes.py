"""Routes that are asked for thousands of times a second, answered without FastAPI's dependencies and validation.

A route is declared like any other, with what it needs, and that is what OpenAPI shows. A write has a shorter way in the
usual case only: what the route declares answers whatever is unusual about a request.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from wapsi.errors import DomainError
from wapsi.http.deps import get_runtime
from wapsi.http.rate_limits import admit
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal, bearer_of

# Answers a request, or says None where it is for the declared route to say what is wrong with it.
Direct = Callable[[Request], Awaitable[Response | None]]


class ReadRoute(APIRoute):
    """Of a public read whose function takes the request and the parameters of the path, as text, and nothing else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            response: Response = await endpoint(request, **request.path_params)
            return response

        return handle


def answered_by(direct: Direct) -> type[APIRoute]:
    """The class of such routes. What `direct` raises is answered as what a route raises."""

    class DirectRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            declared = super().get_route_handler()

            async def handle(request: Request) -> Response:
                answer = await direct(request)
                return await declared(request) if answer is None else answer

            return handle

    return DirectRoute


class DirectRouter(APIRouter):
    """Of routes with a short way, which may stand before all others: it costs those next to nothing.

    `begin` is what the paths of its routes begin with.
    """

    def __init__(self, direct: Direct, *, begin: str) -> None:
        super().__init__(route_class=answered_by(direct))
        self._begin = begin

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        # Below a root path the paths are others, which the routes know how to read.
        if scope.get("root_path") or scope["path"].startswith(self._begin):
            return super().matches(scope)
        return Match.NONE, {}


async def principal_with(request: Request, permission: Permission) -> Principal | None:
    """The caller; None where the credentials are no good or do not allow it. Raises RateLimited."""
    try:
        bearer = bearer_of(request.headers.get("authorization"))
        principal = await get_runtime(request).authenticator.authenticate(bearer)
    except DomainError:
        return None
    if permission not in principal.permissions:
        return None
    await admit(request, principal)
    return principal
