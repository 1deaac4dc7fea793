"""Limits at the REST door: who is counted, what they are told, and what is free."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.middleware import Middleware
from fastapi.routing import iter_route_contexts
from starlette.responses import Response

from wapsi.http.cache import CACHED
from wapsi.http.deps import PublicDep, requires
from wapsi.http.direct_routes import ShortWays, principal_with, short_way
from wapsi.http.etags import answer_with_etag
from wapsi.http.problems import PROBLEM_JSON
from wapsi.http.rate_limits import limited
from wapsi.limits import POLICIES, LimitSettings, RateLimits
from wapsi.limits.policies import CLICK, POSTBACK
from wapsi.roots.http_app import make_front, make_http_app
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.telemetry.setup import Telemetry

From = Callable[..., httpx2.AsyncClient]
OWN = Depends(requires(Permission.OWN_ACCOUNT).dependency)


@pytest.fixture
def limit_settings(limit_settings: LimitSettings) -> LimitSettings:
    return limit_settings.model_copy(update={"trusted_proxies": [ipaddress.ip_network("10.0.0.0/8")]})


@pytest.fixture
def app(known: Runtime, telemetry: Telemetry) -> FastAPI:
    app = make_http_app(known, telemetry)
    router = routes()
    app.include_router(router)
    [declared] = [route.endpoint for route in router.routes if getattr(route, "path", "") == "/v1/test/short"]
    app.user_middleware.append(Middleware(ShortWays, ways=[short_way(router, declared, directly)]))
    return app


async def directly(request: Request) -> Response | None:
    principal = await principal_with(request, Permission.OWN_ACCOUNT)
    return None if principal is None or request.headers.get("x-odd") else Response("direct")


def routes() -> APIRouter:
    router = APIRouter()

    @router.get("/v1/test/public", dependencies=[PublicDep])
    async def public() -> str:
        return "public"

    @router.get("/v1/test/page", dependencies=[PublicDep], openapi_extra=CACHED)
    async def page(request: Request) -> Response:
        return answer_with_etag(request, b"page", public=True)

    @router.post("/v1/test/networks/{network}", dependencies=[PublicDep], openapi_extra=limited(POSTBACK, by="network"))
    async def postback(network: str) -> str:
        return network

    @router.get("/v1/test/own", dependencies=[OWN])
    async def own() -> str:
        return "own"

    @router.get("/v1/test/clicks", dependencies=[OWN], openapi_extra=limited(CLICK))
    async def click() -> str:
        return "click"

    @router.get("/v1/test/short", dependencies=[OWN], openapi_extra=limited(CLICK))
    async def declared() -> str:
        return "declared"

    @router.get("/v1/test/syncs", dependencies=[Depends(requires(Permission.SYNCS_READ).dependency)])
    async def syncs() -> str:
        return "syncs"

    return router


@pytest.fixture
async def caller(app: FastAPI, known: Runtime) -> AsyncIterator[From]:
    """`caller("203.0.113.1")`: somebody at that address, with more headers if there are."""
    clients: list[httpx2.AsyncClient] = []
    front = make_front(app, known)

    def caller(address: str = "203.0.113.1", **headers: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=front, client=(address, 4711))
        client = httpx2.AsyncClient(transport=transport, base_url="http://wapsi.test", headers=headers)
        clients.append(client)
        return client

    yield caller
    for client in clients:
        await client.aclose()
    await app.state.queue_probe.aclose()


async def statuses(client: httpx2.AsyncClient, path: str, times: int) -> list[int]:
    return [(await client.get(path)).status_code for _ in range(times)]


def token(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}"}


@pytest.mark.rate_limits(address="1800/60")
async def test_one_address_does_not_hold_all_places_of_a_process(app: FastAPI, caller: From) -> None:
    gate = asyncio.Event()
    began = 0

    async def held() -> str:
        nonlocal began
        began += 1
        await gate.wait()
        return "held"

    app.add_api_route("/v1/test/held", held, dependencies=[PublicDep])
    holding = [asyncio.ensure_future(caller().get("/v1/test/held")) for _ in range(30)]
    for _ in range(10_000):
        if began == 30:
            break
        await asyncio.sleep(0)
    refused = await caller().get("/v1/test/public")
    assert (refused.status_code, refused.json()["reason"]) == (429, "RATE_LIMITED")
    assert refused.headers["retry-after"] == "1"
    assert (await caller("203.0.113.2").get("/v1/test/public")).status_code == 200
    gate.set()
    assert [answer.status_code for answer in await asyncio.gather(*holding)] == [200] * 30
    assert (await caller().get("/v1/test/public")).status_code == 200


@pytest.mark.rate_limits(address="3/60")
async def test_an_address_that_asks_too_often_is_told_when_to_come_again(caller: From) -> None:
    client = caller()
    assert await statuses(client, "/v1/test/public", 3) == [200, 200, 200]
    refused = await client.get("/v1/test/public")
    assert refused.status_code == 429
    assert refused.headers["content-type"] == PROBLEM_JSON
    problem = refused.json()
    assert problem["reason"] == "RATE_LIMITED"
    assert problem["metadata"] == {"policy": "address", "retry_after_s": refused.headers["retry-after"]}
    assert problem["request_id"] == refused.headers["x-request-id"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit"] == f'"address";r=0;t={refused.headers["retry-after"]}'


@pytest.mark.rate_limits(address="3/60")
async def test_what_is_left_is_told_with_every_answer(caller: From) -> None:
    client = caller()
    for left, path in ((2, "/v1/test/public"), (1, "/nowhere"), (0, "/v1/test/own")):
        answer = await client.get(path)
        assert answer.headers["ratelimit"].startswith(f'"address";r={left};t=')
        assert answer.headers["ratelimit-policy"] == '"address";q=3;w=60'


@pytest.mark.rate_limits(address="3/60")
async def test_addresses_are_counted_apart_and_those_of_one_subscriber_together(caller: From) -> None:
    for first, second in (("203.0.113.1", "203.0.113.2"), ("2001:db8:0:1::1", "2001:db8:0:2::1")):
        assert await statuses(caller(first), "/v1/test/public", 4) == [200, 200, 200, 429]
        assert await statuses(caller(second), "/v1/test/public", 1) == [200]
    assert await statuses(caller("2001:db8:0:1:aaaa::9"), "/v1/test/public", 1) == [429]


@pytest.mark.rate_limits(address="3/60")
async def test_forged_addresses_do_not_help(caller: From) -> None:
    answers = [
        await caller(**{"x-forwarded-for": f"198.51.100.{number}"}).get("/v1/test/public") for number in range(4)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]


@pytest.mark.rate_limits(address="3/60")
async def test_behind_our_proxy_each_client_has_its_own(caller: From) -> None:
    for number in range(5):
        # What the client wrote itself stands left of what our proxy saw.
        forwarded = f"192.0.2.{number}, 198.51.100.1"
        answer = await caller("10.0.0.1", **{"x-forwarded-for": forwarded}).get("/v1/test/public")
        assert answer.status_code == (200 if number < 3 else 429)
    assert (await caller("10.0.0.1", **{"x-forwarded-for": "198.51.100.2"}).get("/v1/test/public")).status_code == 200


@pytest.mark.rate_limits(address="1/60")
async def test_health_checks_are_free(caller: From) -> None:
    client = caller()
    assert await statuses(client, "/healthz", 3) == [200] * 3
    assert "ratelimit" not in (await client.get("/livez")).headers


@pytest.mark.rate_limits(address="2/60")
async def test_answers_out_of_the_cache_are_free_and_tell_nobody_of_another(caller: From, known: Runtime) -> None:
    async with known.versions.polling():
        first = await caller("203.0.113.1").get("/v1/test/page")
        assert "ratelimit" in first.headers
        second = caller("203.0.113.2")
        answers = [await second.get("/v1/test/page") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert {answer.text for answer in answers} == {"page"}
    assert [name for answer in answers for name in answer.headers if name.startswith("ratelimit")] == []


@pytest.mark.rate_limits(address="1/60")
async def test_who_waits_for_anothers_answer_is_not_told_what_that_one_has_left(caller: From, known: Runtime) -> None:
    async with known.versions.polling():
        clients = [caller(f"203.0.113.{number}") for number in range(4)]
        answers = await asyncio.gather(*(client.get("/v1/test/page") for client in clients))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert sum("ratelimit" in answer.headers for answer in answers) <= 1


@pytest.mark.rate_limits(customer="2/60")
async def test_a_customer_is_counted_wherever_they_are(caller: From) -> None:
    answers = [await caller(f"203.0.113.{number}", **token("asma")).get("/v1/test/own") for number in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["metadata"]["policy"] == "customer"
    assert answers[2].headers["retry-after"] == answers[2].json()["metadata"]["retry_after_s"]
    assert answers[1].headers["ratelimit-policy"] == '"address";q=6000;w=60, "customer";q=2;w=60'
    assert '"customer";r=0;t=' in answers[1].headers["ratelimit"]
    assert (await caller(**token("bilal")).get("/v1/test/own")).status_code == 200


@pytest.mark.rate_limits(customer="1/60", producer="2/60", operator="3/60")
async def test_kinds_of_callers_have_quotas_of_their_own(caller: From) -> None:
    assert await statuses(caller(**token("asma")), "/v1/test/own", 2) == [200, 429]
    assert await statuses(caller(**token("feeds")), "/v1/test/syncs", 3) == [200, 200, 429]
    assert await statuses(caller(**token("admin")), "/v1/test/syncs", 4) == [200, 200, 200, 429]


@pytest.mark.rate_limits(customer="1/60")
async def test_who_may_not_is_counted_and_who_is_nobody_is_not(caller: From) -> None:
    assert await statuses(caller(**token("asma")), "/v1/test/syncs", 2) == [403, 429]
    assert await statuses(caller(**token("mallory")), "/v1/test/own", 3) == [401, 401, 401]


@pytest.mark.parametrize("path", ["/v1/test/clicks", "/v1/test/short"])
@pytest.mark.rate_limits(click="2/60")
async def test_a_route_has_a_limit_of_its_own(caller: From, path: str) -> None:
    client = caller(**token("asma"))
    assert await statuses(client, path, 3) == [200, 200, 429]
    assert await statuses(client, "/v1/test/own", 1) == [200]


@pytest.mark.rate_limits(click="2/60", customer="3/60")
async def test_the_short_way_and_the_declared_one_count_once(caller: From) -> None:
    client = caller(**token("asma"), **{"x-odd": "yes"})
    answers = [await client.get("/v1/test/short") for _ in range(2)]
    assert [answer.text for answer in answers] == ['"declared"', '"declared"']
    assert '"customer";r=1;' in answers[1].headers["ratelimit"]


@pytest.mark.rate_limits(postback="2/60")
async def test_a_public_route_counts_by_address_and_by_what_its_path_names(caller: From) -> None:
    async def post(address: str, network: str) -> int:
        return (await caller(address).post(f"/v1/test/networks/{network}")).status_code

    assert [await post("203.0.113.1", "impact") for _ in range(3)] == [200, 200, 429]
    # Neither the network's other servers nor other networks pay for it.
    assert await post("203.0.113.2", "impact") == 200
    assert await post("203.0.113.1", "awin") == 200


async def test_switched_off_nobody_is_told_anything(caller: From) -> None:
    client = caller(**token("asma"))
    assert await statuses(client, "/v1/test/clicks", 3) == [200] * 3
    assert "ratelimit" not in (await client.get("/v1/test/clicks")).headers


@pytest.mark.rate_limits(address="2/60")
async def test_without_the_server_the_process_counts_alone(known: Runtime, telemetry: Telemetry) -> None:
    """Neither open nor closed."""
    alone = RateLimits(known.limits.settings, url="redis://127.0.0.1:1/0", secret=b"a secret")
    app = make_http_app(replace(known, limits=alone), telemetry)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://wapsi.test") as client:
        assert await statuses(client, "/.well-known/jwks.json", 3) == [200, 200, 429]
    await alone.aclose()
    await app.state.queue_probe.aclose()


def test_openapi_says_of_every_route_that_it_is_limited(known: Runtime, telemetry: Telemetry) -> None:
    document: dict[str, Any] = make_http_app(known, telemetry).openapi()
    silent = [
        f"{method} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if path not in ("/healthz", "/livez", "/readyz") and "429" not in operation["responses"]
    ]
    assert silent == []
    assert len(document["paths"]) > 40


def test_every_limit_that_a_route_names_is_in_the_table(known: Runtime, telemetry: Telemetry) -> None:
    named = {
        (route.openapi_extra or {}).get("x-rate-limit", {}).get("policy")
        for route in iter_route_contexts(make_http_app(known, telemetry).routes)
        if getattr(route, "openapi_extra", None) is not None
    } - {None}
    assert {"click", "payout", "postback", "upload"} <= named <= set(POLICIES)
