"""Forgotten and changed passwords, and which ones are taken."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from sqlalchemy import text

from domains.customers import service
from wapsi.db import Database

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Post = Callable[..., Awaitable[httpx2.Response]]
Drain = Callable[[], Awaitable[int]]
Read = Callable[[str], Awaitable[list[service.ShownMessage]]]
MakeCustomer = Callable[..., Awaitable[UUID]]
Headers = dict[str, str]
ASMA = "asma@example.com"
PASSWORD = "correct horse battery"
NEW = "seven green parrots"


def keyed() -> Headers:
    return {"Idempotency-Key": uuid4().hex}


@pytest.fixture
def ask(api: httpx2.AsyncClient) -> Post:
    async def ask(**contact: str) -> httpx2.Response:
        return await api.post("/v1/password-resets", json=contact or {"email": ASMA}, headers=keyed())

    return ask


@pytest.fixture
def confirm(api: httpx2.AsyncClient) -> Post:
    async def confirm(asked: httpx2.Response, code: str, new_password: str = NEW) -> httpx2.Response:
        path = f"/v1/password-resets/{asked.json()['reset_id']}:confirm"
        return await api.post(path, json={"code": code, "new_password": new_password})

    return confirm


@pytest.fixture
def change(api: httpx2.AsyncClient, headers: Headers) -> Post:
    async def change(current: str = PASSWORD, new: str = NEW) -> httpx2.Response:
        body = {"current_password": current, "new_password": new}
        return await api.post("/v1/me/password", json=body, headers=headers)

    return change


async def latest_code(read: Read, recipient: str = ASMA) -> str:
    code = next(message.code for message in await read(recipient) if message.code is not None)
    assert code is not None
    return code


async def refresh(api: httpx2.AsyncClient, tokens: dict[str, Any]) -> int:
    body = {"refresh_token": tokens["refresh_token"]}
    return (await api.post("/v1/sessions:refresh", json=body)).status_code


# Forgotten


async def test_a_code_gives_a_new_password_and_ends_all_sessions(
    api: httpx2.AsyncClient,
    customer: dict[str, Any],
    ask: Post,
    confirm: Post,
    sign_in: Post,
    drain: Drain,
    messages: Read,
) -> None:
    asked = await ask()
    assert (asked.status_code, asked.json()["next"]) == (202, "confirm")
    await drain()
    assert (await confirm(asked, await latest_code(messages))).status_code == 204
    assert (await sign_in(password=PASSWORD)).status_code == 401
    assert (await sign_in(password=NEW)).status_code == 201
    assert await refresh(api, customer) == 401
    await drain()
    assert "changed" in (await messages(ASMA))[0].subject


async def test_a_phone_resets_as_an_email_does(
    api: httpx2.AsyncClient, make_customer: MakeCustomer, ask: Post, confirm: Post, drain: Drain, messages: Read
) -> None:
    await make_customer(None, phone="+923001234567")
    asked = await ask(phone="0300 1234567")
    await drain()
    assert (await confirm(asked, await latest_code(messages, "+923001234567"))).status_code == 204
    answer = await api.post("/v1/sessions", json={"phone": "03001234567", "password": NEW})
    assert answer.status_code == 201


async def test_an_unknown_contact_gets_the_same_answers_and_no_message(
    make_customer: MakeCustomer, ask: Post, confirm: Post, drain: Drain, messages: Read
) -> None:
    await make_customer()
    known, unknown = await ask(), await ask(email="nobody@example.com")
    assert (known.status_code, set(known.json()), set(known.headers)) == (
        unknown.status_code,
        set(unknown.json()),
        set(unknown.headers),
    )
    await drain()
    assert await messages("nobody@example.com") == []
    code = await latest_code(messages)
    wrong = "00000000" if code != "00000000" else "11111111"
    answers = [await confirm(asked, wrong) for asked in (known, unknown)]
    bodies = [{key: value for key, value in answer.json().items() if key != "request_id"} for answer in answers]
    # The path, and so the instance, is the caller's own.
    assert [body.pop("instance", None) is None for body in bodies] in ([True, True], [False, False])
    assert bodies[0] == bodies[1]
    assert bodies[0]["reason"] == "CODE_INVALID"


@pytest.mark.parametrize("status", ["suspended", "deleted"])
async def test_who_may_not_sign_in_gets_no_code(
    make_customer: MakeCustomer, ask: Post, drain: Drain, messages: Read, admin_sql: SQL, status: str
) -> None:
    await make_customer()
    await admin_sql("UPDATE customers SET status = $1", status)
    assert (await ask()).status_code == 202
    await drain()
    assert await messages(ASMA) == []


async def test_a_reset_is_worth_nothing_once_the_contact_or_the_password_is_another(
    make_customer: MakeCustomer, ask: Post, confirm: Post, sign_in: Post, drain: Drain, messages: Read, admin_sql: SQL
) -> None:
    await make_customer()
    first, second = await ask(), await ask()
    await drain()
    newer, older = [message.code or "" for message in await messages(ASMA)]
    results = [await confirm(asked, code) for asked in (first, second) for code in (older, newer)]
    assert sorted(answer.status_code for answer in results) == [204, 422, 422, 422], "one reset ends the others"
    moved = await ask()
    await drain()
    code = await latest_code(messages)
    await admin_sql("UPDATE customers SET email = 'new@example.com'")
    assert (await confirm(moved, code, "another one of mine")).json()["reason"] == "CODE_INVALID"
    assert (await sign_in("new@example.com", NEW)).status_code == 201


async def test_a_code_resets_once_though_tried_at_once(
    make_customer: MakeCustomer, ask: Post, confirm: Post, drain: Drain, messages: Read
) -> None:
    await make_customer()
    asked = await ask()
    await drain()
    code = await latest_code(messages)
    answers = await asyncio.gather(*(confirm(asked, code, f"{NEW} {number}") for number in range(4)))
    assert sorted(answer.status_code for answer in answers) == [204, 422, 422, 422]


async def test_two_resets_at_once_wait_for_each_other_and_one_counts(
    make_customer: MakeCustomer, ask: Post, confirm: Post, drain: Drain, messages: Read, db: Database, admin_sql: SQL
) -> None:
    asma = await make_customer()
    codes = []
    for _ in range(2):
        asked = await ask()
        await drain()
        codes.append((asked, await latest_code(messages)))
    async with db.write() as session:
        # Both come as far as they can before either may go on.
        await session.execute(text("SELECT 1 FROM customers WHERE id = :id FOR UPDATE"), {"id": asma})
        confirming = [asyncio.ensure_future(confirm(asked, code)) for asked, code in codes]
        for _ in range(1000):
            if await waiting(admin_sql) == 2:
                break
            await asyncio.sleep(0.02)
    answers = await asyncio.gather(*confirming)
    assert sorted(answer.status_code for answer in answers) == [204, 422]


async def waiting(admin_sql: SQL) -> int:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return len(await admin_sql(query))


async def test_who_set_up_an_account_with_a_strangers_address_does_not_keep_a_key_to_it(
    make_customer: MakeCustomer, ask: Post, confirm: Post, drain: Drain, messages: Read, sign_in: Post, admin_sql: SQL
) -> None:
    asma = await make_customer()
    await admin_sql("UPDATE customers SET email_verified_at = NULL")
    await admin_sql(
        "INSERT INTO totp_factors (subject_kind, subject_id, secret_encrypted, confirmed_at)"
        " VALUES ('customer', $1, '', now())",
        asma,
    )
    asked = await ask()
    await drain()
    assert (await confirm(asked, await latest_code(messages))).status_code == 204
    assert (await sign_in(ASMA, NEW)).status_code == 201


async def test_an_address_that_nobody_proved_resets_nothing_beside_a_number_that_somebody_did(
    make_customer: MakeCustomer, ask: Post, confirm: Post, drain: Drain, messages: Read, admin_sql: SQL
) -> None:
    await make_customer()
    asked = await ask()
    await drain()
    await admin_sql("UPDATE customers SET email_verified_at = NULL, phone = '+923001234567', phone_verified_at = now()")
    code = await latest_code(messages)
    assert (await confirm(asked, code)).json()["reason"] == "CODE_INVALID"
    await ask()
    await drain()
    assert len(await messages(ASMA)) == 1
    by_phone = await ask(phone="03001234567")
    await drain()
    assert (await confirm(by_phone, await latest_code(messages, "+923001234567"))).status_code == 204


async def test_a_sign_ups_code_resets_nothing(
    api: httpx2.AsyncClient, make_customer: MakeCustomer, drain: Drain, messages: Read
) -> None:
    await make_customer("other@example.com")
    body = {"email": ASMA, "password": PASSWORD, "display_name": "Asma"}
    asked = await api.post("/v1/customers", json=body, headers=keyed())
    await drain()
    confirmation = {"code": await latest_code(messages), "new_password": NEW}
    path = f"/v1/password-resets/{asked.json()['sign_up_id']}:confirm"
    assert (await api.post(path, json=confirmation)).json()["reason"] == "CODE_INVALID"


async def test_a_refused_password_costs_no_attempt(
    make_customer: MakeCustomer, ask: Post, confirm: Post, drain: Drain, messages: Read
) -> None:
    await make_customer()
    asked = await ask()
    await drain()
    code = await latest_code(messages)
    for _ in range(6):
        assert (await confirm(asked, code, "password123")).json()["reason"] == "PASSWORD_BREACHED"
    assert (await confirm(asked, code)).status_code == 204


# Changed


async def test_a_change_ends_the_other_sessions_and_keeps_this_one(
    api: httpx2.AsyncClient, customer: dict[str, Any], change: Post, sign_in: Post, drain: Drain, messages: Read
) -> None:
    other = (await sign_in()).json()
    assert (await change()).status_code == 204
    assert await refresh(api, other) == 401
    assert await refresh(api, customer) == 200
    assert (await sign_in(password=PASSWORD)).status_code == 401
    assert (await sign_in(password=NEW)).status_code == 201
    await drain()
    assert "changed" in (await messages(ASMA))[0].subject


async def test_a_change_needs_the_password_before(change: Post, sign_in: Post) -> None:
    answer = await change(current="a wrong password")
    assert (answer.status_code, answer.json()["reason"]) == (403, "PASSWORD_WRONG")
    assert (await sign_in()).status_code == 201


async def test_of_two_changes_at_once_one_counts(change: Post, sign_in: Post) -> None:
    answers = await asyncio.gather(change(new=f"{NEW} 1"), change(new=f"{NEW} 2"))
    assert sorted(answer.status_code for answer in answers) == [204, 403]
    won = 1 if answers[0].status_code == 204 else 2
    assert (await sign_in(password=f"{NEW} {won}")).status_code == 201


async def test_a_change_ends_the_codes_that_are_under_way(
    ask: Post, confirm: Post, change: Post, drain: Drain, messages: Read
) -> None:
    asked = await ask()
    await drain()
    code = await latest_code(messages)
    assert (await change()).status_code == 204
    assert (await confirm(asked, code, "another one of mine")).json()["reason"] == "CODE_INVALID"


# Which are taken


@pytest.mark.parametrize("password", ["Password123", "asma.k Asma K 2024", "wapsi-wapsi-1", "asma.khan@example.com"])
async def test_what_everybody_would_guess_is_refused_at_sign_up_and_not_repeated(
    api: httpx2.AsyncClient, admin_sql: SQL, password: str
) -> None:
    body = {"email": "asma.khan@example.com", "password": password, "display_name": "Asma K"}
    answer = await api.post("/v1/customers", json=body, headers=keyed())
    assert (answer.status_code, answer.json()["reason"]) == (422, "PASSWORD_BREACHED")
    assert password not in answer.text
    assert await admin_sql("SELECT 1 FROM verifications") == []


async def test_ones_own_name_is_refused_in_a_change_and_a_reset(
    change: Post, ask: Post, confirm: Post, drain: Drain, messages: Read
) -> None:
    assert (await change(new="asma@example.com")).json()["reason"] == "PASSWORD_BREACHED"
    asked = await ask()
    await drain()
    code = await latest_code(messages)
    assert (await confirm(asked, code, "asma@example.com")).json()["reason"] == "PASSWORD_BREACHED"
    assert (await confirm(asked, code)).status_code == 204, "the code is not used up by it"
