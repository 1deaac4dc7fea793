"""Where people are signed in, how they sign out elsewhere, and that a session's tokens end with it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from domains.customers import service
from domains.customers.service import revocations
from domains.customers.service.revocations import Revocations
from wapsi.db import polled
from wapsi.db.errors import DatabaseUnavailable
from wapsi.errors import Unavailable
from wapsi.roots.container import make_runtime
from wapsi.runtime import Runtime
from wapsi.security.permissions import OperatorRole
from wapsi.security.principal import CredentialsInvalid
from wapsi.telemetry.setup import Telemetry

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Post = Callable[..., Awaitable[httpx2.Response]]
Tokens = dict[str, Any]
PASSWORD = "correct horse battery"


def bearer(tokens: Tokens) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def signed_in(api: httpx2.AsyncClient, device: str, email: str = "asma@example.com") -> Tokens:
    body = {"email": email, "password": PASSWORD}
    answer = await api.post("/v1/sessions", json=body, headers={"User-Agent": device})
    assert answer.status_code == 201, answer.text
    tokens: Tokens = answer.json()
    return tokens


async def listed(api: httpx2.AsyncClient, tokens: Tokens) -> list[dict[str, Any]]:
    answer = await api.get("/v1/me/sessions", headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


# Listing


async def test_each_sign_in_is_listed_once_with_its_device_and_the_one_that_asks_is_marked(
    api: httpx2.AsyncClient, customer: Tokens
) -> None:
    phone = await signed_in(api, "A phone")
    await api.post(
        "/v1/sessions:refresh", json={"refresh_token": phone["refresh_token"]}, headers={"User-Agent": "A newer phone"}
    )
    found = await listed(api, phone)
    assert [(one["device"], one["current"]) for one in found] == [("A newer phone", True), (found[1]["device"], False)]
    assert found[0]["created_at"] < found[0]["last_used_at"], "the refresh is a use, and not another sign-in"


async def test_what_has_ended_or_expired_and_what_is_anothers_is_not_listed(
    api: httpx2.AsyncClient, customer: Tokens, sign_up: Post, admin_sql: SQL
) -> None:
    await signed_in(api, "expired")
    await admin_sql("UPDATE sessions SET expires_at = now() WHERE user_agent = 'expired'")
    gone = await signed_in(api, "signed out")
    assert (await api.delete("/v1/sessions/current", headers=bearer(gone))).status_code == 204
    await sign_up("bilal@example.com")
    await signed_in(api, "Bilal's", "bilal@example.com")
    assert [one["current"] for one in await listed(api, customer)] == [True]


# Ending


async def test_a_session_is_ended_from_another_and_its_tokens_at_once(
    api: httpx2.AsyncClient, customer: Tokens
) -> None:
    lost = await signed_in(api, "A lost phone")
    assert (await api.get("/v1/me", headers=bearer(lost))).status_code == 200
    [session_id] = [one["id"] for one in await listed(api, customer) if one["device"] == "A lost phone"]
    for _ in range(2):
        assert (await api.delete(f"/v1/me/sessions/{session_id}", headers=bearer(customer))).status_code == 204
    refused = await api.get("/v1/me", headers=bearer(lost))
    assert (refused.status_code, refused.json()["reason"]) == (401, "CREDENTIALS_INVALID")
    body = {"refresh_token": lost["refresh_token"]}
    assert (await api.post("/v1/sessions:refresh", json=body)).status_code == 401
    assert (await api.get("/v1/me", headers=bearer(customer))).status_code == 200


async def test_another_persons_session_cannot_be_ended_nor_told_from_one_that_never_was(
    api: httpx2.AsyncClient, customer: Tokens, sign_up: Post
) -> None:
    await sign_up("bilal@example.com")
    bilal = await signed_in(api, "Bilal's", "bilal@example.com")
    [his] = [one["id"] for one in await listed(api, bilal)]
    for session_id in (his, uuid4()):
        refused = await api.delete(f"/v1/me/sessions/{session_id}", headers=bearer(customer))
        assert (refused.status_code, refused.json()["reason"]) == (404, "SESSION_NOT_FOUND")
    assert (await api.get("/v1/me", headers=bearer(bilal))).status_code == 200


async def test_all_others_are_ended_at_once(api: httpx2.AsyncClient, customer: Tokens) -> None:
    others = [await signed_in(api, f"device {number}") for number in range(2)]
    answer = await api.post("/v1/me/sessions:revoke-others", headers=bearer(customer))
    assert answer.json() == {"ended": 2}
    statuses = [(await api.get("/v1/me", headers=bearer(tokens))).status_code for tokens in (customer, *others)]
    assert statuses == [200, 401, 401]


async def test_signing_out_and_a_stolen_refresh_token_end_the_access_token_too(
    api: httpx2.AsyncClient, customer: Tokens
) -> None:
    other = await signed_in(api, "another")
    assert (await api.delete("/v1/sessions/current", headers=bearer(other))).status_code == 204
    assert (await api.get("/v1/me", headers=bearer(other))).status_code == 401
    for status in (200, 401):
        answer = await api.post("/v1/sessions:refresh", json={"refresh_token": customer["refresh_token"]})
        assert answer.status_code == status
    assert (await api.get("/v1/me", headers=bearer(customer))).status_code == 401


async def test_operators_have_the_same_and_it_is_in_the_audit_log(
    api: httpx2.AsyncClient, operator: Callable[[OperatorRole], Awaitable[dict[str, str]]], admin_sql: SQL
) -> None:
    headers = await operator(OperatorRole.SUPPORT)
    [own] = (await api.get("/v1/admin/me/sessions", headers=headers)).json()["items"]
    assert own["current"]
    answer = await api.post("/v1/admin/me/sessions:revoke-others", headers=headers)
    assert answer.json() == {"ended": 0}
    assert (await api.delete(f"/v1/admin/me/sessions/{own['id']}", headers=headers)).status_code == 204
    assert (await api.get("/v1/admin/me/sessions", headers=headers)).status_code == 401
    actions = await admin_sql("SELECT action FROM audit_log WHERE action LIKE '%session%' ORDER BY id")
    assert [row["action"] for row in actions] == ["operator.other_sessions_ended", "operator.session_ended"]


# In other processes


@pytest.fixture
async def elsewhere(runtime: Runtime, telemetry: Telemetry) -> Any:
    """Another process, that polls."""
    other = make_runtime(runtime.settings, telemetry, role="elsewhere")
    async with other.authenticator.polling():
        yield other
    await other.limits.aclose()
    await other.db.dispose()


async def until_refused(runtime: Runtime, token: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await runtime.authenticator.authenticate(token)
            except CredentialsInvalid:
                return
            await asyncio.sleep(0.01)


async def test_an_ended_session_is_refused_in_other_processes_too(
    api: httpx2.AsyncClient, customer: Tokens, elsewhere: Runtime
) -> None:
    token = customer["access_token"]
    await elsewhere.authenticator.authenticate(token)
    assert (await api.delete("/v1/sessions/current", headers=bearer(customer))).status_code == 204
    await until_refused(elsewhere, token)


async def test_a_process_that_starts_knows_what_ended_before(
    api: httpx2.AsyncClient, customer: Tokens, runtime: Runtime, admin_sql: SQL, telemetry: Telemetry
) -> None:
    assert (await api.delete("/v1/sessions/current", headers=bearer(customer))).status_code == 204
    await admin_sql("UPDATE sessions SET revoked_at = now() - interval '14 minutes'")
    new = make_runtime(runtime.settings, telemetry, role="new")
    with pytest.raises(CredentialsInvalid):
        await new.authenticator.authenticate(customer["access_token"])
    await new.limits.aclose()
    await new.db.dispose()


async def test_while_it_polls_a_request_asks_nothing_and_once_it_cannot_it_refuses_to_say(
    customer: Tokens, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Revocations(runtime.db.reads, 900)
    questions = 0
    fetch = runtime.db.reads.fetch_current

    async def counted(sql: str, *arguments: Any) -> Any:
        nonlocal questions
        questions += 1
        return await fetch(sql, *arguments)

    async def away(sql: str, *arguments: Any) -> Any:
        raise DatabaseUnavailable("The database did not answer. Try again in a moment.")

    monkeypatch.setattr(runtime.db.reads, "fetch_current", counted)
    monkeypatch.setattr(polled, "POLL_S", 3600)
    monkeypatch.setattr(polled, "TRUST_S", 3600)
    async with asked.polling():
        assert not await asked.is_ended(uuid4())
        for _ in range(100):
            assert not await asked.is_ended(uuid4())
        assert questions == 1
        known = uuid4()
        asked.note(known)
        monkeypatch.setattr(polled, "TRUST_S", 0)
        monkeypatch.setattr(runtime.db.reads, "fetch_current", away)
        assert await asked.is_ended(known)
        with pytest.raises(Unavailable):
            await asked.is_ended(uuid4())


async def test_what_ended_is_forgotten_once_its_tokens_have_expired(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Revocations(runtime.db.reads, 0.0)
    monkeypatch.setattr(revocations, "OVERLAP_S", 0.0)
    session_id = uuid4()
    asked.note(session_id)
    await asyncio.sleep(0.01)
    await asked.check()
    assert not await asked.is_ended(session_id)


async def test_what_was_rolled_back_is_not_told(runtime: Runtime, customer: Tokens) -> None:
    """A sign-out that is not committed has not happened."""
    me = await runtime.authenticator.authenticate(customer["access_token"])
    assert isinstance(me.session_id, UUID)

    async def fails() -> None:
        assert me.session_id is not None
        async with runtime.db.write() as session:
            await service.end_session(session, me.session_id)
            raise RuntimeError("after it")

    with pytest.raises(RuntimeError):
        await fails()
    await runtime.authenticator.authenticate(customer["access_token"])
