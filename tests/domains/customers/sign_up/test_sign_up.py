"""Signing up: the same answer whoever has an account, and an account for whoever proves the contact."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import time_machine

from domains.customers import service
from domains.customers.service import Contact
from domains.customers.service.codes import CODE_ATTEMPTS
from tests.domains.customers.sign_up.steps import (
    BODY,
    PHONE,
    SQL,
    Drain,
    MakeCustomer,
    Post,
    Read,
    code_for,
    keyed,
    wrong,
)
from wapsi.clock import now
from wapsi.runtime import Runtime

# The way to an account


@pytest.mark.parametrize(
    ("contact", "reached_at"), [({"email": "Asma@Example.com"}, "asma@example.com"), (PHONE, "+923001234567")]
)
async def test_a_proven_contact_becomes_an_account_that_can_sign_in(
    ask: Post,
    verify: Post,
    drain: Drain,
    messages: Read,
    api: httpx2.AsyncClient,
    admin_sql: SQL,
    contact: Any,
    reached_at: str,
) -> None:
    asked = await ask(**contact)
    assert (asked.status_code, asked.json()["next"]) == (202, "verify")
    assert await admin_sql("SELECT 1 FROM customers") == [], "nothing is made before the contact is proven"
    await drain()
    verified = await verify(asked, await code_for(messages, reached_at))
    assert (verified.status_code, verified.json()) == (201, {"next": "sign_in"})
    login = {name: value for name, value in contact.items() if value is not None} | {"password": BODY["password"]}
    tokens = (await api.post("/v1/sessions", json=login)).json()
    me = (await api.get("/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})).json()
    assert (me["currency"], me["locale"], me["status"]) == ("PKR", "en", "active")
    is_phone = reached_at.startswith("+")
    assert (me["email"], me["phone"]) == ((None, reached_at) if is_phone else (reached_at, None))
    assert (me["email_verified"], me["phone_verified"]) == (not is_phone, is_phone)
    assert me["preferences"] == {"notify_by_email": True, "marketing": False}
    assert await admin_sql("SELECT 1 FROM sign_ups") == []


async def test_without_the_code_there_is_no_account_however_often_one_asks(
    ask: Post, drain: Drain, admin_sql: SQL, api: httpx2.AsyncClient
) -> None:
    for _ in range(3):
        await ask()
    await drain()
    login = {"email": BODY["email"], "password": BODY["password"]}
    assert (await api.post("/v1/sessions", json=login)).status_code == 401
    assert await admin_sql("SELECT 1 FROM customers") == []


async def test_the_message_speaks_the_persons_language(ask: Post, drain: Drain, messages: Read) -> None:
    await ask(locale="ur-PK")
    await ask(email="bilal@example.com", locale="de")
    await drain()
    assert "واپسی" in (await messages("asma@example.com"))[0].subject
    assert "Wapsi" in (await messages("bilal@example.com"))[0].subject


async def test_a_friends_code_is_remembered(
    ask: Post, verify: Post, drain: Drain, messages: Read, make_customer: MakeCustomer, admin_sql: SQL
) -> None:
    friend_id = await make_customer("friend@example.com")
    (friend,) = await admin_sql("SELECT referral_code FROM customers")
    asked = await ask(referral_code=friend["referral_code"].lower())
    await drain()
    await verify(asked, await code_for(messages, "asma@example.com"))
    (asma,) = await admin_sql("SELECT referred_by FROM customers WHERE email = 'asma@example.com'")
    assert asma["referred_by"] == friend_id


# Nobody learns who is a customer


async def test_a_taken_contact_gets_the_same_answer_and_changes_nothing(
    ask: Post, drain: Drain, messages: Read, make_customer: MakeCustomer, admin_sql: SQL
) -> None:
    await make_customer()
    before = await admin_sql("SELECT * FROM customers")
    taken, free = await ask(password="another password"), await ask(email="new@example.com")
    assert taken.status_code == free.status_code == 202
    assert taken.json().keys() == free.json().keys()
    assert set(taken.headers) == set(free.headers)
    await drain()
    assert await admin_sql("SELECT * FROM customers") == before
    (told,) = await messages("asma@example.com")
    assert told.code is None
    assert "already" in told.subject
    assert (await messages("new@example.com"))[0].code is not None


async def test_the_request_does_the_same_work_for_a_taken_contact(
    ask: Post, make_customer: MakeCustomer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by a clock: the request does not look for the account at all, and hashes the password once."""
    await make_customer()
    looked: list[object] = []

    async def look(*arguments: object) -> None:
        looked.append(arguments)

    monkeypatch.setattr("domains.customers.service.answers.owner_of", look)
    for email in ("asma@example.com", "new@example.com"):
        assert (await ask(email=email)).status_code == 202
    assert looked == [], "only the job looks, when the answer has left"


async def test_a_code_for_a_taken_contact_cannot_be_guessed_since_there_is_none(
    ask: Post, verify: Post, drain: Drain, make_customer: MakeCustomer, admin_sql: SQL
) -> None:
    await make_customer()
    asked = await ask()
    await drain()
    assert [row["code_mac"] for row in await admin_sql("SELECT code_mac FROM verifications")] == [None]
    answer = await verify(asked, "00000000")
    assert (answer.status_code, answer.json()["reason"]) == (422, "CODE_INVALID")


async def test_who_proves_a_contact_second_is_told(
    ask: Post, verify: Post, drain: Drain, messages: Read, admin_sql: SQL
) -> None:
    first, second = await ask(), await ask(display_name="Other")
    await drain()
    newest, older = [message.code for message in await messages("asma@example.com")]
    assert newest is not None
    assert older is not None
    codes = {older, newest}
    answers = [await verify(asked, code) for asked in (first, second) for code in codes]
    assert sorted(answer.status_code for answer in answers) == [201, 409, 422, 422]
    assert {answer.json().get("reason") for answer in answers} == {None, "CONTACT_TAKEN", "CODE_INVALID"}
    assert len(await admin_sql("SELECT 1 FROM customers")) == 1


# Codes


async def test_a_code_has_five_attempts(ask: Post, verify: Post, drain: Drain, messages: Read) -> None:
    asked = await ask()
    await drain()
    code = await code_for(messages, "asma@example.com")
    for _ in range(CODE_ATTEMPTS):
        assert (await verify(asked, wrong(code))).json()["reason"] == "CODE_INVALID"
    assert (await verify(asked, code)).json()["reason"] == "CODE_INVALID", "the right one comes too late"


async def test_the_fifth_attempt_still_counts(ask: Post, verify: Post, drain: Drain, messages: Read) -> None:
    asked = await ask()
    await drain()
    code = await code_for(messages, "asma@example.com")
    for _ in range(CODE_ATTEMPTS - 1):
        await verify(asked, wrong(code))
    assert (await verify(asked, code)).status_code == 201


async def test_attempts_at_once_are_counted_one_by_one(
    ask: Post, verify: Post, drain: Drain, messages: Read, admin_sql: SQL
) -> None:
    asked = await ask()
    await drain()
    code = await code_for(messages, "asma@example.com")
    await asyncio.gather(*(verify(asked, wrong(code)) for _ in range(12)))
    assert [row["attempts"] for row in await admin_sql("SELECT attempts FROM verifications")] == [CODE_ATTEMPTS]


async def test_a_code_works_once_and_at_once_for_one(
    ask: Post, verify: Post, drain: Drain, messages: Read, admin_sql: SQL
) -> None:
    asked = await ask()
    await drain()
    code = await code_for(messages, "asma@example.com")
    answers = await asyncio.gather(*(verify(asked, code) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422]
    assert (await verify(asked, code)).json()["reason"] == "CODE_INVALID"
    assert len(await admin_sql("SELECT 1 FROM customers")) == 1


async def test_a_code_expires(ask: Post, verify: Post, drain: Drain, messages: Read) -> None:
    asked = await ask()
    await drain()
    code = await code_for(messages, "asma@example.com")
    with time_machine.travel(now() + timedelta(minutes=10, seconds=1), tick=True):
        assert (await verify(asked, code)).json()["reason"] == "CODE_INVALID"


async def test_an_unknown_sign_up_and_a_wrong_code_get_one_answer(
    ask: Post, verify: Post, drain: Drain, messages: Read, api: httpx2.AsyncClient
) -> None:
    asked = await ask()
    await drain()
    code = await code_for(messages, "asma@example.com")
    body = {"sign_up_id": str(uuid4()), "code": code}
    answers = [await verify(asked, wrong(code)), await api.post("/v1/customers:verify", json=body, headers=keyed())]
    bodies = [{key: value for key, value in answer.json().items() if key != "request_id"} for answer in answers]
    assert bodies[0] == bodies[1]
    assert {answer.status_code for answer in answers} == {422}


async def test_another_sign_ups_code_is_of_no_use(ask: Post, verify: Post, drain: Drain, messages: Read) -> None:
    asked = await ask()
    await ask(email="mallory@example.com")
    await drain()
    code = await code_for(messages, "mallory@example.com")
    assert (await verify(asked, code)).json()["reason"] == "CODE_INVALID"


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦"])
async def test_what_is_no_code_is_refused(ask: Post, verify: Post, code: str) -> None:
    assert (await verify(await ask(), code)).json()["reason"] == "REQUEST_INVALID"


@pytest.mark.production_hashes
async def test_neither_code_nor_password_is_kept(ask: Post, drain: Drain, messages: Read, admin_sql: SQL) -> None:
    await ask()
    await drain()
    code = await code_for(messages, "asma@example.com")
    lines = [
        row["line"]
        for table in ("verifications", "sign_ups", "messages", "jobs", "idempotent_answers")
        for row in await admin_sql(f"SELECT {table}::text AS line FROM {table}")
    ]
    assert len(lines) >= 5
    for line in lines:
        assert BODY["password"] not in line
        assert "asma@example.com" not in line
        assert f"{code}" not in line.replace("-", " ").split()
    (row,) = await admin_sql("SELECT password_hash FROM sign_ups")
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_what_nobody_proved_is_forgotten(
    ask: Post, drain: Drain, messages: Read, runtime: Runtime, admin_sql: SQL
) -> None:
    await ask()
    await drain()
    await ask(email="fresh@example.com")
    await admin_sql("UPDATE verifications SET expires_at = now() - interval '25 hours' WHERE answered_at IS NOT NULL")
    await admin_sql("UPDATE messages SET created_at = now() - interval '31 days'")
    async with runtime.db.write() as session:
        assert await service.forget_verifications(session) == 1
        assert await service.forget_messages(session) == 1
    assert len(await admin_sql("SELECT 1 FROM verifications JOIN sign_ups USING (id)")) == 1


# Idempotency


async def test_without_a_key_nothing_is_made(api: httpx2.AsyncClient, admin_sql: SQL) -> None:
    for path, body in (
        ("/v1/customers", BODY),
        ("/v1/customers:verify", {"sign_up_id": str(uuid4()), "code": "0" * 6}),
    ):
        answer = await api.post(path, json=body)
        assert (answer.status_code, answer.json()["reason"]) == (400, "IDEMPOTENCY_KEY_MISSING")
    assert await admin_sql("SELECT 1 FROM verifications") == []


async def test_a_repetition_is_replayed_and_another_body_refused(
    api: httpx2.AsyncClient, drain: Drain, messages: Read
) -> None:
    headers = keyed()
    first = await api.post("/v1/customers", json=BODY, headers=headers)
    again = await api.post("/v1/customers", json=BODY, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = await api.post("/v1/customers", json=BODY | {"email": "b@example.com"}, headers=headers)
    assert (other.status_code, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    await drain()
    assert len(await messages("asma@example.com")) == 1


async def test_a_verification_whose_answer_was_lost_is_replayed(
    ask: Post, drain: Drain, messages: Read, api: httpx2.AsyncClient
) -> None:
    asked = await ask()
    await drain()
    body = {"sign_up_id": asked.json()["sign_up_id"], "code": await code_for(messages, "asma@example.com")}
    headers = keyed()
    answers = [await api.post("/v1/customers:verify", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].headers["idempotency-replayed"] == "true"


def test_a_contact_has_one_form() -> None:
    assert Contact.of(email=" Asma@Example.COM ", phone=None) == Contact.of(email="asma@example.com", phone=None)
    assert Contact.of(email=None, phone="0300-1234567") == Contact.of(email=None, phone="+923001234567")
