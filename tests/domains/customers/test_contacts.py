"""Another e-mail or mobile number for an account: proven before it counts, and told to the one before."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from sqlalchemy import text

from domains.customers import service
from domains.customers.service.codes import end_codes
from wapsi.runtime import Runtime

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Post = Callable[..., Awaitable[httpx2.Response]]
Drain = Callable[[], Awaitable[int]]
Read = Callable[[str], Awaitable[list[service.ShownMessage]]]
MakeCustomer = Callable[..., Awaitable[UUID]]
Headers = dict[str, str]
PASSWORD = "correct horse battery"


@pytest.fixture
def ask(api: httpx2.AsyncClient, headers: Headers) -> Post:
    async def ask(current_password: str = PASSWORD, **contact: str) -> httpx2.Response:
        body: dict[str, Any] = {"current_password": current_password} | contact
        return await api.post("/v1/me/contacts", json=body, headers=headers | {"Idempotency-Key": uuid4().hex})

    return ask


@pytest.fixture
def verify(api: httpx2.AsyncClient, headers: Headers) -> Post:
    async def verify(asked: httpx2.Response, code: str, as_: Headers | None = None) -> httpx2.Response:
        body = {"contact_id": asked.json()["contact_id"], "code": code}
        sent = (as_ or headers) | {"Idempotency-Key": uuid4().hex}
        return await api.post("/v1/me/contacts:verify", json=body, headers=sent)

    return verify


async def code_for(read: Read, recipient: str) -> str:
    code = (await read(recipient))[0].code
    assert code is not None
    return code


async def test_a_new_email_takes_the_place_of_the_old_one_which_is_told(
    api: httpx2.AsyncClient, ask: Post, verify: Post, sign_in: Post, drain: Drain, messages: Read, headers: Headers
) -> None:
    asked = await ask(email="Asma.New@example.com")
    assert (asked.status_code, asked.json()["next"]) == (202, "verify")
    await drain()
    assert (await api.get("/v1/me", headers=headers)).json()["email"] == "asma@example.com", "not before it is proven"
    verified = await verify(asked, await code_for(messages, "asma.new@example.com"))
    assert (verified.status_code, verified.json()["email"]) == (200, "asma.new@example.com")
    await drain()
    (told,) = await messages("asma@example.com")
    assert "changed" in told.subject
    assert "asma.new" not in told.text
    assert (await sign_in()).status_code == 401
    assert (await sign_in("asma.new@example.com")).status_code == 201


async def test_a_phone_comes_beside_the_email_and_either_signs_in(
    api: httpx2.AsyncClient, ask: Post, verify: Post, sign_in: Post, drain: Drain, messages: Read
) -> None:
    asked = await ask(phone="0300 1234567")
    await drain()
    verified = (await verify(asked, await code_for(messages, "+923001234567"))).json()
    assert (verified["email"], verified["phone"], verified["phone_verified"]) == (
        "asma@example.com",
        "+923001234567",
        True,
    )
    assert (await sign_in()).status_code == 201
    answer = await api.post("/v1/sessions", json={"phone": "03001234567", "password": PASSWORD})
    assert answer.status_code == 201
    await drain()
    assert len(await messages("asma@example.com")) == 1, "who was reached by e-mail so far hears of it there"


async def test_it_needs_the_password(ask: Post, drain: Drain, messages: Read) -> None:
    answer = await ask("a wrong password", email="new@example.com")
    assert (answer.status_code, answer.json()["reason"]) == (403, "PASSWORD_WRONG")
    await drain()
    assert await messages("new@example.com") == []


async def test_anothers_contact_gets_the_same_answer_and_its_owner_hears_of_it(
    ask: Post, verify: Post, drain: Drain, messages: Read, make_customer: MakeCustomer
) -> None:
    await make_customer("bilal@example.com")
    taken, free = await ask(email="bilal@example.com"), await ask(email="free@example.com")
    assert (taken.status_code, set(taken.json())) == (free.status_code, set(free.json()))
    await drain()
    (told,) = await messages("bilal@example.com")
    assert told.code is None
    assert (await verify(taken, "00000000")).json()["reason"] == "CODE_INVALID"


async def test_a_contact_that_got_an_account_meanwhile_is_not_taken_over(
    ask: Post, verify: Post, drain: Drain, messages: Read, make_customer: MakeCustomer, admin_sql: SQL
) -> None:
    asked = await ask(email="new@example.com")
    await drain()
    await make_customer("new@example.com")
    answer = await verify(asked, await code_for(messages, "new@example.com"))
    assert (answer.status_code, answer.json()["reason"]) == (409, "CONTACT_TAKEN")
    emails = {row["email"] for row in await admin_sql("SELECT email FROM customers")}
    assert emails == {"asma@example.com", "new@example.com"}


async def test_one_customers_code_is_of_no_use_to_another(
    ask: Post,
    verify: Post,
    drain: Drain,
    messages: Read,
    customer_headers: Callable[[str], Awaitable[Headers]],
    admin_sql: SQL,
) -> None:
    mallory = await customer_headers("mallory@example.com")
    asked = await ask(email="new@example.com")
    await drain()
    code = await code_for(messages, "new@example.com")
    assert (await verify(asked, code, mallory)).json()["reason"] == "CODE_INVALID"
    (row,) = await admin_sql("SELECT attempts FROM verifications")
    assert row["attempts"] == 0, "nor can another use up its attempts"
    assert (await verify(asked, code)).status_code == 200


async def test_a_reset_that_went_to_the_old_contact_is_worth_nothing(
    api: httpx2.AsyncClient, ask: Post, verify: Post, drain: Drain, messages: Read
) -> None:
    reset = await api.post(
        "/v1/password-resets", json={"email": "asma@example.com"}, headers={"Idempotency-Key": uuid4().hex}
    )
    asked = await ask(email="new@example.com")
    await drain()
    reset_code = await code_for(messages, "asma@example.com")
    assert (await verify(asked, await code_for(messages, "new@example.com"))).status_code == 200
    path = f"/v1/password-resets/{reset.json()['reset_id']}:confirm"
    answer = await api.post(path, json={"code": reset_code, "new_password": "seven green parrots"})
    assert answer.json()["reason"] == "CODE_INVALID"


async def test_a_lost_answer_is_replayed(
    api: httpx2.AsyncClient, ask: Post, headers: Headers, drain: Drain, messages: Read
) -> None:
    asked = await ask(email="new@example.com")
    await drain()
    body = {"contact_id": asked.json()["contact_id"], "code": await code_for(messages, "new@example.com")}
    answers = [await api.post("/v1/me/contacts:verify", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].headers["idempotency-replayed"] == "true"


async def test_answering_a_change_and_ending_it_wait_for_each_other(
    ask: Post, runtime: Runtime, admin_sql: SQL, messages: Read
) -> None:
    asked = await ask(email="new@example.com")
    assert asked.status_code == 202
    change_id = UUID(asked.json()["contact_id"])
    [asma] = await admin_sql("SELECT id FROM customers")

    async def answer() -> None:
        async with runtime.db.write() as session:
            await service.answer_verification(session, runtime.keys, change_id)

    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with runtime.db.write() as session:
        # As a change of the password does: the customer first, then their codes.
        await session.execute(text("SELECT 1 FROM customers WHERE id = :id FOR UPDATE"), {"id": asma["id"]})
        answering = asyncio.ensure_future(answer())
        for _ in range(1000):
            if await admin_sql(waits):
                break
            await asyncio.sleep(0.02)
        await end_codes(session, asma["id"])
    await answering
    assert await messages("new@example.com") == [], "it was ended before it was answered"
