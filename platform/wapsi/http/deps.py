"""What routers declare: the permission a route needs, the session it works in, and the runtime."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, cast

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.security import HTTPBearer

from wapsi.db import ReadSession, WriteSession
from wapsi.http.rate_limits import admit, admit_stranger
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal, bearer_of

# Only for OpenAPI's "Authorize"; the header is read by us, so that REST and gRPC fail in the same words.
_bearer_scheme = HTTPBearer(auto_error=False, description="An access token, or a producer key (wpk_…).")


def get_runtime(request: Request) -> Runtime:
    return cast("Runtime", request.app.state.runtime)


async def _runtime(request: Request) -> Runtime:
    # Not get_runtime itself: FastAPI runs a dependency that is no coroutine in a thread, which takes longer than many a
    # query.
    return get_runtime(request)


async def _write_session(runtime: Annotated[Runtime, Depends(_runtime)]) -> AsyncIterator[WriteSession]:
    async with runtime.db.write() as session:
        yield session


async def _read_session(request: Request, runtime: Annotated[Runtime, Depends(_runtime)]) -> AsyncIterator[ReadSession]:
    """Only a route that says it is public may be answered from the replica: a caller who has a name reads their own
    writes."""
    db = runtime.db
    async with db.read_public() if _is_public(request.scope.get("route")) else db.read() as session:
        yield session


class _Requires:
    """A dependency that authenticates the caller and checks one permission."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request, _scheme: Annotated[Any, Depends(_bearer_scheme)] = None) -> Principal:
        bearer = bearer_of(request.headers.get("authorization"))
        principal = await get_runtime(request).authenticator.authenticate(bearer)
        await admit(request, principal)
        principal.require(self.permission)
        return principal


def requires(permission: Permission) -> Any:
    """`principal: Annotated[Principal, requires(Permission.X)]`"""
    return Depends(_Requires(permission))


async def public(request: Request) -> None:
    """Marks a route that anyone may call: `dependencies=[Depends(public)]`."""
    await admit_stranger(request)


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
# scope="function": the transaction commits before the answer is sent, so a 201 is never a lie.
WriteDep = Annotated[WriteSession, Depends(_write_session, scope="function")]
ReadDep = Annotated[ReadSession, Depends(_read_session, scope="function")]
PublicDep = Depends(public)


class UndeclaredRoute(Exception):
    """A route that neither names a permission nor says that it is public."""


def declared_permission(route: APIRoute | RouteContext) -> Permission | None:
    """The permission a route needs, None where it is public. Raises UndeclaredRoute."""
    dependant = getattr(route, "dependant", None)
    calls = [] if dependant is None else [one.call for one in _flatten(dependant)]
    for call in calls:
        if isinstance(call, _Requires):
            return call.permission
    if public in calls:
        return None
    raise UndeclaredRoute(
        f"{sorted(route.methods or ())} {route.path} declares no permission: add requires(…) or PublicDep."
    )


def _is_public(route: Any) -> bool:
    """Looked up anew each time, which takes microseconds: nothing has to be remembered when a route is made."""
    try:
        return route is not None and declared_permission(route) is None
    except UndeclaredRoute:
        return False


def check_permissions_declared(app: FastAPI) -> None:
    """Fails closed: called when the app is built. Only FastAPI's own pages need not say who may see them."""
    pages = {app.openapi_url, app.docs_url, app.swagger_ui_oauth2_redirect_url, app.redoc_url}
    # Through FastAPI's iterator: `app.routes` holds included routers as a whole, and not their routes.
    for route in iter_route_contexts(app.routes):
        if route.path is None or route.path not in pages:
            declared_permission(route)


def _flatten(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for child in dependant.dependencies:
        yield from _flatten(child)
