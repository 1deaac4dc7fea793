"""A route that does not say who may call it keeps the application from starting."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse

from wapsi.http.deps import (
    PublicDep,
    UndeclaredRoute,
    check_permissions_declared,
    declared_permission,
    requires,
)
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

Operator = Annotated[Principal, requires(Permission.LEDGER_READ)]


async def undeclared() -> None: ...


async def declared(principal: Operator) -> None: ...


async def through_another(audit: Annotated[Any, requires(Permission.AUDIT_READ)]) -> None: ...


async def app_page(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


def app_with(router: APIRouter, **options: Any) -> FastAPI:
    app = FastAPI()
    app.include_router(router, **options)
    return app


def router_with(endpoint: Any, path: str = "/secrets", **options: Any) -> APIRouter:
    router = APIRouter()
    router.get(path, **options)(endpoint)
    return router


def test_fastapis_own_pages_need_not_declare_anything() -> None:
    check_permissions_declared(FastAPI())


def test_a_route_on_the_application_must_declare() -> None:
    app = FastAPI()
    app.get("/secrets")(undeclared)
    with pytest.raises(UndeclaredRoute, match=r"\['GET'\] /secrets declares no permission"):
        check_permissions_declared(app)


def test_a_route_of_an_included_router_must_declare() -> None:
    with pytest.raises(UndeclaredRoute, match="/secrets"):
        check_permissions_declared(app_with(router_with(undeclared)))


def test_a_route_of_a_router_in_a_router_must_declare() -> None:
    outer = APIRouter(prefix="/v1")
    outer.include_router(router_with(undeclared))
    with pytest.raises(UndeclaredRoute, match="/v1/secrets"):
        check_permissions_declared(app_with(outer))


def test_one_route_among_many_is_found() -> None:
    router = router_with(declared, "/good")
    router.post("/bad")(undeclared)
    with pytest.raises(UndeclaredRoute, match="/bad"):
        check_permissions_declared(app_with(router))


def test_a_mounted_application_is_not_trusted() -> None:
    app = FastAPI()
    app.mount("/backoffice", app_page)
    with pytest.raises(UndeclaredRoute, match="/backoffice"):
        check_permissions_declared(app)


def test_a_plain_route_is_not_trusted() -> None:
    app = FastAPI()
    app.add_route("/plain", app_page)
    with pytest.raises(UndeclaredRoute, match="/plain"):
        check_permissions_declared(app)


def test_a_websocket_must_declare() -> None:
    router = APIRouter()
    router.websocket("/live")(undeclared)
    with pytest.raises(UndeclaredRoute, match="/live"):
        check_permissions_declared(app_with(router))


@pytest.mark.parametrize(
    "app",
    [
        app_with(router_with(declared)),
        app_with(router_with(undeclared, dependencies=[PublicDep])),
        app_with(router_with(undeclared), dependencies=[PublicDep]),
        app_with(router_with(undeclared), dependencies=[requires(Permission.AUDIT_READ)]),
        app_with(router_with(undeclared, dependencies=[requires(Permission.AUDIT_READ)])),
    ],
    ids=["parameter", "public", "public by inclusion", "permission by inclusion", "permission beside"],
)
def test_whoever_declares_starts(app: FastAPI) -> None:
    check_permissions_declared(app)


def test_the_permission_of_a_route_can_be_asked_for() -> None:
    [route] = router_with(declared).routes
    assert declared_permission(route) is Permission.LEDGER_READ  # type: ignore[arg-type]
    [route] = router_with(undeclared, dependencies=[PublicDep]).routes
    assert declared_permission(route) is None  # type: ignore[arg-type]
    [route] = router_with(through_another, dependencies=[PublicDep]).routes
    assert declared_permission(route) is Permission.AUDIT_READ, "a mark of public must not hide what is needed"  # type: ignore[arg-type]
