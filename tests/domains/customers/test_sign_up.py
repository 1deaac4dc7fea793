"""Signing up tells nobody who is a customer, and makes an account once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Post = Callable[..., Awaitable[httpx2.Response]]
BODY = {"email": "asma@example.com", "password": "correct horse battery", "display_name": "Asma"}


async def test_a_new_account_can_sign_in(sign_up: Post, sign_in: Post, api: httpx2.AsyncClient) -> None:
    answer = await sign_up("Asma@Example.com")
    assert (answer.status_code, answer.json()) == (201, {"email": "Asma@example.com", "next": "sign_in"})
    tokens = (await sign_in(" ASMA@example.com ")).json()
    me = (await api.get("/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})).json()
    assert (me["email"], me["currency"], me["locale"], me["status"]) == ("asma@example.com", "PKR", "en", "active")
    assert me["preferences"] == {"notify_by_email": True, "marketing": False}


async def test_a_taken_email_gets_the_same_answer_and_changes_nothing(
    sign_up: Post, sign_in: Post, admin_sql: SQL
) -> None:
    first = await sign_up()
    before = await admin_sql("SELECT * FROM customers")
    second = await sign_up(password="another password", display_name="Mallory")
    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert set(second.headers) == set(first.headers)
    assert await admin_sql("SELECT * FROM customers") == before
    assert (await sign_in()).status_code == 201
    assert (await sign_in(password="another password")).status_code == 401


async def test_the_same_email_at_once_makes_one_account(sign_up: Post, admin_sql: SQL) -> None:
    answers = await asyncio.gather(*(sign_up() for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len(await admin_sql("SELECT 1 FROM customers")) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"email": "nonsense"},
        {"email": "a\0@example.com"},
        {"password": "too short"},
        {"password": "x" * 201},
        {"display_name": "  "},
        {"display_name": "a\0b"},
        {"display_name": "x" * 101},
        {"locale": "english"},
        {"referral_code": "?"},
        {"status": "active"},
    ],
)
async def test_what_makes_no_sense_is_refused_and_not_repeated(
    sign_up: Post, admin_sql: SQL, change: dict[str, Any]
) -> None:
    answer = await sign_up(**change)
    assert (answer.status_code, answer.json()["reason"]) == (422, "REQUEST_INVALID")
    assert "correct horse" not in answer.text
    assert "too short" not in answer.text
    assert await admin_sql("SELECT 1 FROM customers") == []


async def test_a_friends_code_is_remembered(sign_up: Post, admin_sql: SQL) -> None:
    await sign_up("friend@example.com")
    (friend,) = await admin_sql("SELECT id, referral_code FROM customers")
    await sign_up("asma@example.com", referral_code=friend["referral_code"].lower())
    (asma,) = await admin_sql("SELECT referred_by FROM customers WHERE email = 'asma@example.com'")
    assert asma["referred_by"] == friend["id"]


async def test_an_unknown_code_is_refused_whatever_the_email(sign_up: Post) -> None:
    await sign_up("asma@example.com")
    for email in ("asma@example.com", "new@example.com"):
        answer = await sign_up(email, referral_code="0000000000")
        assert (answer.status_code, answer.json()["reason"]) == (422, "REFERRAL_CODE_UNKNOWN")


async def test_a_password_is_kept_only_as_a_hash(sign_up: Post, admin_sql: SQL) -> None:
    await sign_up()
    (row,) = await admin_sql("SELECT customers::text AS line, password_hash FROM customers")
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert BODY["password"] not in row["line"]
    answers = await admin_sql("SELECT * FROM idempotent_answers")
    assert all(BODY["password"] not in str(dict(answer)) for answer in answers)


# Idempotency


async def test_without_a_key_nothing_is_made(api: httpx2.AsyncClient, admin_sql: SQL) -> None:
    answer = await api.post("/v1/customers", json=BODY)
    assert (answer.status_code, answer.json()["reason"]) == (400, "IDEMPOTENCY_KEY_MISSING")
    assert await admin_sql("SELECT 1 FROM customers") == []


async def test_a_repetition_is_replayed_and_another_body_refused(api: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    first = await api.post("/v1/customers", json=BODY, headers=headers)
    again = await api.post("/v1/customers", json=BODY, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = await api.post("/v1/customers", json=BODY | {"email": "b@example.com"}, headers=headers)
    assert (other.status_code, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")
