"""Sessions: one answer for whatever is wrong, and refresh tokens that work once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import pytest
import time_machine
from pwdlib import PasswordHash
from structlog.testing import capture_logs

import domains.customers.actors  # noqa: F401  # registers its job
from domains.customers import service
from domains.customers.errors import OperatorExists, PasswordInvalid
from domains.customers.service import SubjectKind, sessions
from domains.customers.service import messages as service_messages
from wapsi.clock import now
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.queue.jobs import run_job
from wapsi.queue.outbox import enqueue
from wapsi.runtime import Runtime
from wapsi.security.passwords import verify_password
from wapsi.security.permissions import ROLE_PERMISSIONS, OperatorRole

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Post = Callable[..., Awaitable[httpx2.Response]]
Tokens = dict[str, Any]
PASSWORD = "correct horse battery"


def bearer(tokens: Tokens) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


@pytest.fixture
def refresh(api: httpx2.AsyncClient) -> Post:
    async def refresh(tokens: Tokens) -> httpx2.Response:
        return await api.post("/v1/sessions:refresh", json={"refresh_token": tokens["refresh_token"]})

    return refresh


# Signing in


async def test_a_sign_in_gives_tokens_that_caches_do_not_keep(
    api: httpx2.AsyncClient, sign_up: Post, sign_in: Post, settings: Settings
) -> None:
    await sign_up()
    answer = await sign_in()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", settings.access_token_ttl_s)
    assert tokens["refresh_expires_in"] == settings.refresh_token_ttl_s
    assert (await api.get("/v1/me", headers=bearer(tokens))).status_code == 200


async def test_an_unknown_email_a_wrong_password_and_a_suspended_account_get_one_answer(
    sign_up: Post, sign_in: Post, admin_sql: SQL
) -> None:
    await sign_up()
    await sign_up("suspended@example.com")
    await admin_sql("UPDATE customers SET status = 'suspended' WHERE email = 'suspended@example.com'")
    answers = [
        await sign_in(password="a wrong password"),
        await sign_in("nobody@example.com"),
        await sign_in("suspended@example.com"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    bodies = [{key: value for key, value in answer.json().items() if key != "request_id"} for answer in answers]
    assert bodies[0]["reason"] == "CREDENTIALS_INVALID"
    assert bodies[0] == bodies[1] == bodies[2]
    assert len({frozenset(answer.headers) for answer in answers}) == 1


async def test_an_unknown_email_costs_the_same_work_as_a_wrong_password(
    sign_up: Post, sign_in: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hash is computed in both cases; without it the unknown one would be some twenty times faster."""
    await sign_up()
    hashed: list[str] = []
    verify = PasswordHash.verify

    def counted(self: PasswordHash, password: str, password_hash: str) -> bool:
        hashed.append(password_hash)
        return verify(self, password, password_hash)

    monkeypatch.setattr(PasswordHash, "verify", counted)
    for email in ("asma@example.com", "nobody@example.com"):
        hashed.clear()
        await sign_in(email, "a wrong password")
        assert len(hashed) == 1, email


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "asma@example.com"},
        {"email": "a\0b", "password": "x"},
        {"email": "a@example.com", "password": "secret" * 40},
        {"email": ["a"], "password": "x"},
    ],
)
async def test_a_malformed_sign_in_is_refused_and_not_repeated(api: httpx2.AsyncClient, body: Tokens) -> None:
    answer = await api.post("/v1/sessions", json=body)
    assert answer.status_code == 422
    assert "secret" not in answer.text


async def test_customers_and_operators_sign_in_at_their_own_doors(
    api: httpx2.AsyncClient, sign_up: Post, sign_in: Post, db: Database
) -> None:
    await sign_up()
    async with db.write() as session:
        await service.create_operator(session, "Op@wapsi.example", PASSWORD, OperatorRole.CATALOGUE)
    assert (await sign_in("op@wapsi.example")).status_code == 401
    customer = {"email": "asma@example.com", "password": PASSWORD}
    assert (await api.post("/v1/admin/sessions", json=customer)).status_code == 401

    tokens = (await api.post("/v1/admin/sessions", json={"email": "op@wapsi.example", "password": PASSWORD})).json()
    assert (await api.get("/v1/admin/feed-sources", headers=bearer(tokens))).status_code == 200
    refused = await api.get("/v1/me", headers=bearer(tokens))
    assert (refused.status_code, refused.json()["reason"]) == (403, "PERMISSION_MISSING")
    assert (await api.delete("/v1/admin/sessions/current", headers=bearer(tokens))).status_code == 204


# Refreshing


async def test_a_refresh_token_gives_new_tokens_once(api: httpx2.AsyncClient, customer: Tokens, refresh: Post) -> None:
    first = await refresh(customer)
    assert (first.status_code, first.headers["cache-control"]) == (200, "no-store")
    second = await refresh(first.json())
    assert second.status_code == 200
    seen = {tokens["refresh_token"] for tokens in (customer, first.json(), second.json())}
    assert len(seen) == 3
    assert (await api.get("/v1/me", headers=bearer(second.json()))).status_code == 200


async def test_a_used_refresh_token_ends_the_whole_family(customer: Tokens, refresh: Post, sign_in: Post) -> None:
    other_device = (await sign_in()).json()
    newer = (await refresh(customer)).json()
    reused = await refresh(customer)
    assert (reused.status_code, reused.json()["reason"]) == (401, "CREDENTIALS_INVALID")
    assert (await refresh(newer)).status_code == 401, "the thief's or the owner's: nobody knows, so it ends"
    assert (await refresh(other_device)).status_code == 200, "another sign-in is another family"


async def test_of_two_refreshes_at_once_one_wins_and_the_family_ends(customer: Tokens, refresh: Post) -> None:
    answers = await asyncio.gather(*(refresh(customer) for _ in range(4)))
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert {answer.status_code for answer in answers} == {200, 401}
    assert (await refresh(won[0].json())).status_code == 401


async def test_an_expired_refresh_token_is_refused(customer: Tokens, refresh: Post, settings: Settings) -> None:
    with time_machine.travel(now() + timedelta(seconds=settings.refresh_token_ttl_s + 1), tick=True):
        assert (await refresh(customer)).status_code == 401


async def test_a_session_that_is_used_all_the_time_ends_too(
    customer: Tokens, refresh: Post, settings: Settings
) -> None:
    """Refreshed every 25 days, so that it is never left alone for long; then its last tokens are cut short."""
    began, tokens, lived_s = now(), customer, 0
    step_s = 25 * 86_400
    while lived_s + step_s < settings.session_longest_s:
        lived_s += step_s
        with time_machine.travel(began + timedelta(seconds=lived_s), tick=True):
            answer = await refresh(tokens)
        assert answer.status_code == 200
        tokens = answer.json()
    assert lived_s == 175 * 86_400
    assert 4 * 86_400 < tokens["refresh_expires_in"] <= 5 * 86_400
    with time_machine.travel(began + timedelta(seconds=settings.session_longest_s - 10), tick=True):
        last = (await refresh(tokens)).json()
    assert last["expires_in"] <= 11, "an access token does not outlive its session"
    with time_machine.travel(began + timedelta(seconds=settings.session_longest_s + 10), tick=True):
        assert (await refresh(last)).status_code == 401


async def test_an_operators_sessions_are_short(
    api: httpx2.AsyncClient, db: Database, refresh: Post, settings: Settings
) -> None:
    async with db.write() as session:
        await service.create_operator(session, "op@wapsi.example", PASSWORD, OperatorRole.SUPPORT)
    began = now()
    tokens = (await api.post("/v1/admin/sessions", json={"email": "op@wapsi.example", "password": PASSWORD})).json()
    assert tokens["refresh_expires_in"] == settings.operator_refresh_token_ttl_s
    for hour in range(1, 15):
        with time_machine.travel(began + timedelta(minutes=55 * hour), tick=True):
            answer = await refresh(tokens)
        if answer.status_code == 401:
            break
        tokens = answer.json()
    assert answer.status_code == 401
    assert 55 * hour * 60 > settings.operator_session_longest_s


async def test_each_attempt_to_sign_in_is_logged_by_the_accounts_id(
    customer: Tokens, sign_in: Callable[..., Awaitable[httpx2.Response]], runtime: Runtime
) -> None:
    subject = str(await runtime.authenticator.authenticate(customer["access_token"]))
    with capture_logs() as lines:
        await sign_in(password="not the password")
        await sign_in(email="nobody@wapsi.example")
        await sign_in()
    told = [(line["event"], line["subject"]) for line in lines if "sign" in line["event"]]
    assert told == [("sign_in_refused", subject), ("sign_in_refused", None), ("signed_in", subject)]


async def test_a_suspended_customer_is_not_refreshed(customer: Tokens, refresh: Post, admin_sql: SQL) -> None:
    await admin_sql("UPDATE customers SET status = 'suspended'")
    assert (await refresh(customer)).status_code == 401


async def test_an_operators_new_role_counts_from_the_next_refresh(
    api: httpx2.AsyncClient, db: Database, runtime: Runtime, refresh: Post, admin_sql: SQL
) -> None:
    async with db.write() as session:
        await service.create_operator(session, "op@wapsi.example", PASSWORD, OperatorRole.CATALOGUE)
    tokens = (await api.post("/v1/admin/sessions", json={"email": "op@wapsi.example", "password": PASSWORD})).json()
    await admin_sql("UPDATE operators SET role = 'support'")
    tokens = (await refresh(tokens)).json()
    principal = await runtime.authenticator.authenticate(tokens["access_token"])
    assert principal.permissions == ROLE_PERMISSIONS[OperatorRole.SUPPORT]
    await admin_sql("UPDATE operators SET status = 'disabled'")
    assert (await refresh(tokens)).status_code == 401


async def test_what_is_no_refresh_token_is_refused(customer: Tokens, refresh: Post) -> None:
    for text in ("", "nonsense", customer["access_token"][:200]):
        assert (await refresh({"refresh_token": text})).status_code == 401


async def test_refresh_tokens_are_not_stored(customer: Tokens, admin_sql: SQL) -> None:
    (row,) = await admin_sql("SELECT sessions::text AS line, refresh_hash FROM sessions")
    assert customer["refresh_token"] not in row["line"]
    assert customer["refresh_token"].encode() not in row["refresh_hash"]


# Signing out


async def test_signing_out_ends_this_session_only(
    api: httpx2.AsyncClient, customer: Tokens, refresh: Post, sign_in: Post
) -> None:
    other = (await sign_in()).json()
    for status in (204, 401):
        assert (await api.delete("/v1/sessions/current", headers=bearer(customer))).status_code == status
    assert (await refresh(customer)).status_code == 401
    assert (await refresh(other)).status_code == 200


async def test_signing_out_wins_over_a_refresh_at_the_same_time(
    api: httpx2.AsyncClient, customer: Tokens, refresh: Post
) -> None:
    refreshed, signed_out = await asyncio.gather(
        refresh(customer), api.delete("/v1/sessions/current", headers=bearer(customer))
    )
    assert signed_out.status_code == 204
    if refreshed.status_code == 200:
        assert (await refresh(refreshed.json())).status_code == 401


async def test_all_sessions_of_an_account_end_but_for_the_one_that_is_kept(
    api: httpx2.AsyncClient, customer: Tokens, sign_up: Post, sign_in: Post, refresh: Post, runtime: Runtime
) -> None:
    other, third = (await sign_in()).json(), (await sign_in()).json()
    await sign_up("bilal@example.com")
    stranger = (await sign_in("bilal@example.com")).json()
    me = await runtime.authenticator.authenticate(customer["access_token"])
    async with runtime.db.write() as session:
        ended = await service.end_sessions_of(session, SubjectKind.CUSTOMER, me.id, keep=me.session_id)
    assert ended == 2
    statuses = [(await refresh(tokens)).status_code for tokens in (customer, other, third, stranger)]
    assert statuses == [200, 401, 401, 200]


async def test_a_sign_in_with_the_password_of_a_moment_ago_is_refused(
    sign_up: Post, sign_in: Post, admin_sql: SQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password changes after it was checked and before the session is made: nobody would end that session."""
    await sign_up()

    async def checked_slowly(password: str, password_hash: str | None) -> bool:
        matches = await verify_password(password, password_hash)
        await admin_sql("UPDATE customers SET password_hash = 'another'")
        return matches

    monkeypatch.setattr(sessions, "verify_password", checked_slowly)
    assert (await sign_in()).status_code == 401
    assert await admin_sql("SELECT 1 FROM sessions") == []


# Forgetting


async def test_long_expired_sessions_are_forgotten_and_the_others_kept(
    customer: Tokens, sign_in: Post, runtime: Runtime, admin_sql: SQL
) -> None:
    await sign_in()
    await admin_sql(
        "UPDATE sessions SET expires_at = now() - interval '8 days' WHERE id = (SELECT id FROM sessions LIMIT 1)"
    )
    async with runtime.db.write() as session:
        job_id = await enqueue(session, "customers.forget_sessions", {})
    assert job_id is not None
    await run_job(runtime, job_id)
    assert [row["state"] for row in await admin_sql("SELECT state FROM jobs")] == ["done"]
    assert len(await admin_sql("SELECT 1 FROM sessions")) == 1


@pytest.mark.parametrize(
    ("kind", "table", "makes_old"),
    [
        ("customers.forget_sessions", "sessions", "UPDATE sessions SET expires_at = now() - interval '40 days'"),
        ("customers.forget_contacts", "messages", "UPDATE messages SET created_at = now() - interval '40 days'"),
    ],
)
async def test_more_than_goes_at_once_is_forgotten_in_the_same_hour(
    customer: Tokens,
    sign_in: Post,
    runtime: Runtime,
    admin_sql: SQL,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    table: str,
    makes_old: str,
) -> None:
    monkeypatch.setattr(sessions, "FORGET_AT_ONCE", 2)
    monkeypatch.setattr(service_messages, "FORGET_AT_ONCE", 2)
    for _ in range(4):
        await sign_in()
        await admin_sql(
            "INSERT INTO messages (channel, template, recipient_fingerprint, expires_at)"
            " VALUES ('email', 'reset_code', '', now())"
        )
    await admin_sql(makes_old)
    async with runtime.db.write() as session:
        job_id = await enqueue(session, kind, {})
    assert job_id is not None
    await run_job(runtime, job_id)
    assert await admin_sql(f"SELECT 1 FROM {table}") == []


# Operators


async def test_an_operator_needs_a_password_of_length_and_an_email_of_its_own(db: Database, admin_sql: SQL) -> None:
    async with db.write() as session:
        with pytest.raises(PasswordInvalid):
            await service.create_operator(session, "a@wapsi.example", "short", OperatorRole.ADMIN)
        operator = await service.create_operator(session, "A@wapsi.example", PASSWORD, OperatorRole.ADMIN)
        with pytest.raises(OperatorExists):
            await service.create_operator(session, "a@wapsi.example", PASSWORD, OperatorRole.SUPPORT)
    assert operator.email == "a@wapsi.example"
    (entry,) = await admin_sql("SELECT actor, action, target, audit_log::text AS line FROM audit_log")
    assert (entry["actor"], entry["action"]) == ("system", "operator.created")
    assert entry["target"] == f"operator:{operator.id}"
    assert "a@wapsi.example" not in entry["line"]
