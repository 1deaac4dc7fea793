"""Beside a deletion nobody waits for ever: whoever uses a factor takes the account first, as the deletion does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from tests.domains.customers import test_passkeys as passkeys
from tests.domains.customers.second_factors import people as apps
from wapsi.runtime import Runtime

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Json = dict[str, Any]
WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
async def customer_id(customer: Json, admin_sql: SQL) -> UUID:
    (row,) = await admin_sql("SELECT id FROM customers")
    found: UUID = row["id"]
    return found


async def in_the_middle_of_a_deletion(
    runtime: Runtime, customer_id: UUID, admin_sql: SQL, call: Callable[[], Awaitable[httpx2.Response]]
) -> httpx2.Response:
    """The answer to a call that comes when a deletion has the account, and not yet what belongs to it."""
    async with runtime.db.write() as session:
        await runtime.personal_data.settle(session, customer_id, forfeit=False)
        answer = asyncio.ensure_future(call())
        for _ in range(500):
            if answer.done() or await admin_sql(WAITING):
                break
            await asyncio.sleep(0.02)
        assert not answer.done(), "it did not wait for the deletion"
        await runtime.personal_data.erase(session, customer_id)
    return await asyncio.wait_for(answer, 30)


async def test_a_sign_in_by_passkey_waits_and_finds_nobody(
    api: httpx2.AsyncClient, runtime: Runtime, customer: Json, customer_id: UUID, admin_sql: SQL
) -> None:
    device = passkeys.Device()
    assert (await passkeys.Person(api, customer).register(device)).status_code == 201
    asked = (await api.post("/v1/sessions:passkey-options")).json()
    body = {"challenge": asked["challenge"], "credential": device.get(asked["options"])}

    answer = await in_the_middle_of_a_deletion(
        runtime, customer_id, admin_sql, lambda: api.post("/v1/sessions:passkey", json=body)
    )
    assert (answer.status_code, answer.json()["reason"]) == (401, "CREDENTIALS_INVALID")
    assert await admin_sql("SELECT 1 FROM passkeys") == []
    assert await admin_sql("SELECT 1 FROM sessions WHERE revoked_at IS NULL") == []


async def test_removing_an_app_waits_and_finds_none(
    api: httpx2.AsyncClient, runtime: Runtime, customer: Json, customer_id: UUID, admin_sql: SQL
) -> None:
    person = apps.Person(api, customer, "asma@example.com", "/v1/sessions")
    app, _ = await person.enrol()
    await person.refresh()
    body = apps.CONFIRMED | {"code": app.code()}

    answer = await in_the_middle_of_a_deletion(
        runtime, customer_id, admin_sql, lambda: person.post("/factors/totp:remove", body)
    )
    assert (answer.status_code, answer.json()["reason"]) == (404, "FACTOR_NOT_FOUND")
    assert await admin_sql("SELECT 1 FROM messages") == [], "somebody is told who is gone"


async def test_sign_ins_and_a_deletion_race_and_neither_fails(
    api: httpx2.AsyncClient, runtime: Runtime, customer: Json, customer_id: UUID, admin_sql: SQL
) -> None:
    device = passkeys.Device()
    person = passkeys.Person(api, customer)
    assert (await person.register(device)).status_code == 201
    await person.refresh()

    async def sign_in(options: Json) -> int:
        body = {"challenge": options["challenge"], "credential": device.get(options["options"])}
        return (await api.post("/v1/sessions:passkey", json=body)).status_code

    async def delete() -> int:
        body = passkeys.CONFIRMED | {"confirm": "delete my account"}
        return (await person.call("POST", ":delete", body)).status_code

    asked = [(await api.post("/v1/sessions:passkey-options")).json() for _ in range(6)]
    *signed_in, deleted = await asyncio.gather(*(sign_in(options) for options in asked), delete())
    assert deleted == 204
    assert set(signed_in) <= {201, 401}
    assert await admin_sql("SELECT 1 FROM sessions WHERE revoked_at IS NULL") == []
