"""The authorisation matrix of REST: every route, called by everybody. access.toml says what is right."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import httpx2
from fastapi import FastAPI

from tests.security.access import (
    BAD_CREDENTIALS,
    NO_CREDENTIALS,
    TURNED_AWAY,
    Row,
    permissions,
    rows,
)
from tests.security.callers import BY_PASSWORD
from tests.security.world import World
from wapsi.security.permissions import (
    CUSTOMER_PERMISSIONS,
    PRODUCER_PERMISSIONS,
    ROLE_PERMISSIONS,
    Permission,
)

ROWS = rows("rest")
Everything = Callable[[], Awaitable[dict[str, str]]]


class Call:
    """One row, ready to be called: its things are made, the same for every caller."""

    def __init__(self, world: World, row: Row) -> None:
        self.world = world
        self.row = row
        self.method, self.template = row.name.split(" ", 1)
        self.things: dict[str, str] = {}
        self.padding = ""

    async def prepare(self) -> None:
        for name, thing in (self.row.things or {}).items():
            self.things[name] = await self.world.filled(f"{{{thing}}}", {})
        if self.row.shows:
            await self.world.filled(f"{{{self.row.shows}}}", self.things)
        self.path = await self.world.filled(self.template, self.things)
        self.body = await self.world.filled(self.row.body, self.things)

    async def __call__(self, headers: dict[str, str]) -> httpx2.Response:
        query = f"?{self.row.query}" if self.row.query else ""
        body = self.row.raw if self.body is None else json.dumps(self.body) + self.padding
        typed = {} if self.body is None else {"Content-Type": "application/json"}
        return await self.world.api.request(self.method, f"{self.path}{query}", headers=headers | typed, content=body)


def reason_of(answer: httpx2.Response) -> str:
    if answer.headers.get("content-type") != "application/problem+json":
        return ""
    return str(answer.json().get("reason", ""))


def told(answer: httpx2.Response) -> str:
    return f"{answer.status_code} {reason_of(answer)}".strip()


def is_expected(row: Row, answer: httpx2.Response) -> bool:
    return answer.is_success if row.answer is None else answer.status_code == row.answer


def test_every_route_has_a_row_and_every_row_a_route(app: FastAPI) -> None:
    routes = {
        f"{method.upper()} {path}"
        for path, operations in app.openapi()["paths"].items()
        for method in operations
        if method in {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
    }
    assert len(routes) > 70
    named = {row.name for row in ROWS}
    assert routes - named == set(), "routes without a row in tests/security/access.toml"
    assert named - routes == set(), "rows of tests/security/access.toml without a route"


def test_roles_have_the_permissions_of_the_table() -> None:
    """The table is written by hand: what a role may do changes in two places, or not at all."""
    given = {
        str(permission): {str(role) for role, has in ROLE_PERMISSIONS.items() if permission in has}
        | ({"customer"} if permission in CUSTOMER_PERMISSIONS else set())
        | ({"producer"} if permission in PRODUCER_PERMISSIONS else set())
        for permission in Permission
    }
    assert given == {name: kinds - BY_PASSWORD.keys() for name, kinds in permissions().items()}
    by_password = {name for name, kinds in permissions().items() if kinds & BY_PASSWORD.keys()}
    assert by_password == {Permission.BACK_OFFICE}, "a password alone is enough to add a second factor"


def test_what_a_row_needs_is_what_its_route_declares(app: FastAPI) -> None:
    """OpenAPI says of each route whether credentials are needed, for those who read it."""
    paths = app.openapi()["paths"]
    for row in ROWS:
        method, path = row.name.split(" ", 1)
        assert bool(paths[path][method.lower()].get("security")) != row.is_public, row.name


async def denied(world: World, row: Row, everything_stored: Everything) -> list[str]:
    """What is wrong where those call who may not: each is told so, in one way for everything, and nothing changes."""
    faults = []
    call = Call(world, row)
    await call.prepare()
    before = await everything_stored()
    nonsense = world.headers(None) | {"Authorization": "Bearer nonsense"}
    expected = [
        (world.headers(None), "nobody", f"401 {NO_CREDENTIALS}"),
        (nonsense, "nonsense", f"401 {BAD_CREDENTIALS}"),
        *((world.headers(caller), caller, f"403 {row.refusal(caller)}") for caller in row.may_not),
    ]
    for headers, caller, words in expected:
        answer = await call(headers)
        if told(answer) != words:
            faults.append(f"{row.name} by {caller}: {told(answer)} and not {words}")
    if await everything_stored() != before:
        faults.append(f"{row.name}: something changed, though all were turned away")
    return faults


async def estranged(world: World, row: Row, everything_stored: Everything) -> list[str]:
    """What is wrong where a stranger reaches for what is another's, or sees it."""
    call = Call(world, row)
    await call.prepare()
    before = await everything_stored()
    answer = await call(world.headers(row.other))
    faults = []
    if row.stranger:
        if reason_of(answer) != row.stranger or answer.status_code not in (403, 404):
            faults.append(f"{row.name} by {row.other}: {told(answer)} and not {row.stranger}")
        if await everything_stored() != before:
            faults.append(f"{row.name} by {row.other}: something changed")
        return faults
    shown = call.things[row.shows]
    if not answer.is_success or shown in answer.text:
        faults.append(f"{row.name} by {row.other}: {told(answer)}, and {row.shows} is not theirs to see")
    owned = await call(world.headers(row.whose))
    if not owned.is_success or shown not in owned.text:
        faults.append(f"{row.name} by {row.whose}: {told(owned)}, without its {row.shows}")
    return faults


async def admitted(world: World, row: Row) -> list[str]:
    """What is wrong where those call who may. For all but the first, what they ask for may have been done by then."""
    faults = []
    call = Call(world, row)
    await call.prepare()
    # Where anyone may call, credentials in the body may still be wrong, or used up by the caller before.
    turned_away = TURNED_AWAY - {BAD_CREDENTIALS} if row.is_public else TURNED_AWAY
    for position, caller in enumerate([*([None] if row.is_public else []), *row.in_order()]):
        throwaway = row.throwaway and caller is not None
        answer = await call(await world.throwaway(caller) if throwaway and caller else world.headers(caller))
        fine = is_expected(row, answer) if position == 0 or throwaway else answer.status_code < 500
        if not fine or reason_of(answer) in turned_away:
            faults.append(f"{row.name} by {caller or 'nobody'}: {answer.status_code} {answer.text[:300]}")
    return faults


async def test_nobody_does_what_they_may_not(world: World, everything_stored: Everything) -> None:
    closed = [row for row in ROWS if not row.is_public]
    assert sum(2 + len(row.may_not) for row in closed) > 400
    assert [fault for row in closed for fault in await denied(world, row, everything_stored)] == []


async def test_nobody_reaches_what_is_anothers(world: World, everything_stored: Everything) -> None:
    """A stranger of the same kind, with the same permission, is told that there is no such thing."""
    owned = [row for row in ROWS if row.whose]
    assert len(owned) >= 18
    assert [fault for row in owned for fault in await estranged(world, row, everything_stored)] == []


async def test_everybody_does_what_they_may(world: World) -> None:
    assert sum(len(row.may) for row in ROWS) > 200
    assert [fault for row in ROWS for fault in await admitted(world, row)] == []


async def test_a_row_that_is_wrong_is_found(world: World, everything_stored: Everything) -> None:
    """The three checks can fail: here are rows that say what is not so."""
    by_name = {row.name: row for row in ROWS}
    me, cashback = by_name["GET /v1/me"], by_name["GET /v1/me/cashbacks/{cashback_id}"]
    networks, sync = by_name["GET /v1/admin/networks"], by_name["GET /v1/syncs/{id}"]
    assert len(await denied(world, replace(me, may=()), everything_stored)) == 2, "both customers got in"
    assert await denied(world, replace(by_name["POST /v1/clicks"], may=("customer_a",)), everything_stored)
    assert await estranged(world, replace(cashback, stranger="CLICK_NOT_FOUND"), everything_stored)
    assert await estranged(world, replace(cashback, whose="producer_a"), everything_stored)
    assert await estranged(world, replace(networks, whose="producer_a", shows="network"), everything_stored)
    assert await estranged(world, replace(me, shows="click_id"), everything_stored), "the owner must see it"
    assert await admitted(world, replace(networks, may=("producer_a", "admin")))
    assert await admitted(world, replace(sync, answer=404))
