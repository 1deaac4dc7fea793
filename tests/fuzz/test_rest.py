"""Schemathesis over the whole of OpenAPI: no request gets a 5xx, every answer fits the document, and nothing that is
for signed-in callers answers without good credentials. The routes come from the document: a new one is covered."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from structlog.testing import capture_logs

from domains.customers.service.authentication import ACCESS_TOKEN_TYPE, AUDIENCE
from tests.domains.cashback.conftest import World
from tests.fuzz import rest
from wapsi.http.deps import declared_permission
from wapsi.roots.http_app import make_front
from wapsi.runtime import Runtime
from wapsi.security.permissions import OperatorRole, Permission

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]

# Examples an operation and, as many, sequences of operations.
EXAMPLES = 2
# Beyond scale 1 new cases are tried for so long, times the scale.
SECONDS = 20


def kinds_of_callers(app: FastAPI) -> dict[str, str]:
    """By "METHOD /path": whether customers or operators may call it. Public ones are not among them."""
    kinds = {}
    for route in iter_route_contexts(app.routes):
        if getattr(route, "dependant", None) is None or (permission := declared_permission(route)) is None:
            continue
        for method in route.methods or ():
            kinds[f"{method} {route.path}"] = "customer" if permission is Permission.OWN_ACCOUNT else "operator"
    return kinds


class Callers:
    """Makes tokens: each for a customer of their own with cashback and somewhere to be paid, or for an admin."""

    def __init__(self, world: World, runtime: Runtime) -> None:
        self._world = world
        self._runtime = runtime

    async def token(self, kind: str) -> str:
        moment = int(time.time())
        claims: dict[str, Any] = {
            "iss": self._runtime.settings.public_url,
            "aud": AUDIENCE,
            "sid": str(uuid4()),
            "kind": kind,
            "iat": moment,
            "exp": moment + 86_400,
        }
        if kind == "customer":
            claims["sub"] = str(await self._customer())
        else:
            claims |= {"sub": str(uuid4()), "role": OperatorRole.ADMIN}
        return self._runtime.keys.sign(ACCESS_TOKEN_TYPE, claims)

    async def _customer(self) -> UUID:
        customer_id = await self._world.customer()
        await self._world.earn(customer_id, 100_000)
        await self._world.click(customer_id)
        method_id = await self._world.payout_method(customer_id)
        await self._world.withdraw(customer_id, method_id, 50_000)
        return customer_id


@pytest.mark.timeout(24 * 3600)
async def test_no_request_gets_an_answer_that_openapi_does_not_tell(
    app: FastAPI, runtime: Runtime, admin_sql: SQL, fuzz_scale: float, tell: Callable[[str], None]
) -> None:
    world = World(runtime, admin_sql)
    await world.begin()
    loop = asyncio.get_running_loop()
    callers = Callers(world, runtime)
    is_long = fuzz_scale > 1
    schema = rest.load(
        await asyncio.to_thread(app.openapi),
        rest.HandOver(make_front(app, runtime), loop),
        rest.configuration(
            max_examples=50 if is_long else EXAMPLES,
            is_exhaustive=is_long,
            max_time_s=int(SECONDS * fuzz_scale) if is_long else None,
        ),
    )
    rest.sign_in(
        schema,
        kinds_of_callers(app),
        lambda kind: asyncio.run_coroutine_threadsafe(callers.token(kind), loop).result(rest.ANSWER_TIMEOUT_S),
    )
    with capture_logs():  # a line a request would bury what was found
        outcome = await asyncio.to_thread(rest.run, schema)
    await app.state.queue_probe.aclose()

    for phase, cases in outcome.cases.items():
        tell(f"REST, {phase}: {cases} cases")
    tell(f"REST, never answered 2xx or 3xx: {', '.join(outcome.never_succeeded) or 'none'}")
    assert not outcome.findings, outcome.report()
    assert len(outcome.statuses) == sum(len(schema.raw_schema["paths"][path]) for path in schema.raw_schema["paths"])
    assert outcome.cases.total() > 200
