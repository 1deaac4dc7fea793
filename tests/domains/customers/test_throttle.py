"""Guessing is slowed down, and nobody can lock anybody else out by it."""

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from domains.customers.router import throttle
from wapsi.limits import LimitSettings
from wapsi.roots.http_app import make_front
from wapsi.runtime import Runtime
from wapsi.security.permissions import OperatorRole

PASSWORD = "correct horse battery"
ASMA = "asma@example.com"
HOME, CAFE = "198.51.100.1", "203.0.113.66"
SignIn = Callable[..., Awaitable[httpx2.Response]]

pytestmark = pytest.mark.rate_limits(sign_in="3/60", sign_in_hour="5/3600")


@pytest.fixture
def limit_settings(limit_settings: LimitSettings) -> LimitSettings:
    return limit_settings.model_copy(update={"trusted_proxies": [ipaddress.ip_network("10.0.0.0/8")]})


@pytest.fixture
async def sign_in(app: FastAPI, runtime: Runtime) -> AsyncIterator[SignIn]:
    """`await sign_in(HOME, ASMA, "wrong", device)`: through our proxy, from that address."""
    transport = httpx2.ASGITransport(app=make_front(app, runtime), client=("10.0.0.1", 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://wapsi.test") as client:

        async def sign_in(
            address: str,
            email: str = ASMA,
            password: str = PASSWORD,
            device: str | None = None,
            path: str = "/v1/sessions",
        ) -> httpx2.Response:
            headers = {"x-forwarded-for": address} | ({} if device is None else {"device-token": device})
            return await client.post(path, json={"email": email, "password": password}, headers=headers)

        yield sign_in
    await app.state.queue_probe.aclose()


async def fail(sign_in: SignIn, times: int, address: str = CAFE, **fields: Any) -> list[int]:
    return [(await sign_in(address, password="wrong", **fields)).status_code for _ in range(times)]


async def test_after_a_few_mistakes_one_has_to_wait(sign_up: SignIn, sign_in: SignIn) -> None:
    await sign_up()
    assert await fail(sign_in, 3) == [401, 401, 401]
    refused = await sign_in(CAFE)
    assert refused.status_code == 429, "the right password neither"
    assert refused.json()["reason"] == "RATE_LIMITED"
    assert refused.json()["metadata"]["policy"] == "sign_in"
    assert 1 <= int(refused.headers["retry-after"]) <= 60


async def test_an_unknown_account_is_refused_alike(sign_up: SignIn, sign_in: SignIn) -> None:
    await sign_up()

    async def answers(email: str, address: str) -> list[tuple[int, Any, Any, Any]]:
        told = [await sign_in(address, email=email, password="wrong") for _ in range(5)]
        return [
            (
                answer.status_code,
                answer.json()["reason"],
                answer.json()["metadata"].get("policy"),
                answer.headers["ratelimit-policy"],
            )
            for answer in told
        ]

    known = await answers(ASMA, CAFE)
    assert await answers("nobody@example.com", "203.0.113.67") == known
    assert [status for status, *_ in known] == [401, 401, 401, 429, 429]


async def test_a_strangers_mistakes_do_not_lock_out_the_owner(sign_up: SignIn, sign_in: SignIn) -> None:
    await sign_up()
    assert (await fail(sign_in, 4))[-1] == 429
    assert (await sign_in(HOME)).status_code == 201


async def test_nor_on_a_known_device_at_the_strangers_own_address(sign_up: SignIn, sign_in: SignIn) -> None:
    await sign_up()
    device = (await sign_in(CAFE)).headers["device-token"]
    assert (await fail(sign_in, 4))[-1] == 429
    assert (await sign_in(CAFE)).status_code == 429
    again = await sign_in(CAFE, device=device)
    assert again.status_code == 201
    assert (await sign_in(CAFE, device=again.headers["device-token"])).status_code == 201


async def test_nor_from_asking_for_a_new_password(sign_up: SignIn, sign_in: SignIn, api: httpx2.AsyncClient) -> None:
    await sign_up()
    await fail(sign_in, 4)
    answer = await api.post("/v1/password-resets", json={"email": ASMA}, headers={"idempotency-key": "reset"})
    assert answer.status_code != 429


async def test_a_known_device_may_not_guess_without_end_either(sign_up: SignIn, sign_in: SignIn) -> None:
    await sign_up()
    device = (await sign_in(HOME)).headers["device-token"]
    addresses = [f"203.0.113.{number}" for number in range(4)]
    statuses = [(await sign_in(address, password="wrong", device=device)).status_code for address in addresses]
    assert statuses == [401, 401, 401, 429]


async def test_a_device_is_known_for_its_own_account_alone(sign_up: SignIn, sign_in: SignIn) -> None:
    await sign_up()
    await sign_up(email="bilal@example.com")
    device = (await sign_in(HOME, email="bilal@example.com")).headers["device-token"]
    assert (await fail(sign_in, 4))[-1] == 429
    assert await fail(sign_in, 1, device=device) == [429]


@pytest.mark.parametrize("forged", ["{head}AAAA", "nonsense", "", "a.b.c"])
async def test_a_forged_device_is_a_stranger(sign_up: SignIn, sign_in: SignIn, forged: str) -> None:
    await sign_up()
    device = (await sign_in(HOME)).headers["device-token"]
    await fail(sign_in, 3)
    assert await fail(sign_in, 1, device=forged.format(head=device[:-4])) == [429]


async def test_tokens_of_another_kind_are_no_devices_and_devices_no_tokens(
    sign_up: SignIn, sign_in: SignIn, api: httpx2.AsyncClient
) -> None:
    await sign_up()
    answer = await sign_in(HOME)
    await fail(sign_in, 3)
    assert await fail(sign_in, 1, device=answer.json()["access_token"]) == [429]
    me = await api.get("/v1/me", headers={"authorization": f"Bearer {answer.headers['device-token']}"})
    assert me.status_code == 401


async def test_a_device_is_forgotten_in_the_end(
    sign_up: SignIn, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_up()
    monkeypatch.setattr(throttle, "_TTL_S", -1)
    device = (await sign_in(HOME)).headers["device-token"]
    await fail(sign_in, 3)
    assert await fail(sign_in, 1, device=device) == [429]


async def test_a_success_forgets_the_mistakes_before_it(sign_up: SignIn, sign_in: SignIn) -> None:
    await sign_up()
    for _ in range(3):
        assert await fail(sign_in, 2, address=HOME) == [401, 401]
        assert (await sign_in(HOME)).status_code == 201


@pytest.mark.rate_limits(sign_in="100/60", sign_in_hour="3/3600")
async def test_who_goes_on_waits_longer(sign_up: SignIn, sign_in: SignIn) -> None:
    """Where the minute's quota would do, the hour's does not."""
    await sign_up()
    assert await fail(sign_in, 3) == [401, 401, 401]
    refused = await sign_in(CAFE)
    assert refused.json()["metadata"]["policy"] == "sign_in_hour"
    assert int(refused.headers["retry-after"]) > 60


async def test_another_way_of_writing_an_account_is_the_same_account(sign_up: SignIn, sign_in: SignIn) -> None:
    await sign_up()
    spellings = [ASMA, ASMA.upper(), f" {ASMA}", ASMA.title()]
    statuses = [(await sign_in(CAFE, email=email, password="wrong")).status_code for email in spellings]
    assert statuses == [401, 401, 401, 429]


async def test_operators_are_throttled_and_apart_from_customers(
    operator: Callable[[OperatorRole], Awaitable[dict[str, str]]], sign_up: SignIn, sign_in: SignIn
) -> None:
    await sign_up()
    await operator(OperatorRole.SUPPORT)
    assert (await fail(sign_in, 4, path="/v1/admin/sessions"))[-1] == 429
    assert (await sign_in(CAFE)).status_code == 201


@pytest.mark.rate_limits(sign_in_address="3/600")
async def test_one_address_does_not_try_many_accounts(sign_in: SignIn) -> None:
    emails = [f"customer{number}@example.com" for number in range(4)]
    assert [(await sign_in(CAFE, email=email)).status_code for email in emails] == [401, 401, 401, 429]
    assert (await sign_in(HOME, email=emails[3])).status_code == 401
