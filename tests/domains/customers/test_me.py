"""The own account, and the payout methods in it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from domains.customers import service
from domains.customers.errors import CustomerNotFound, PayoutMethodNotFound
from wapsi.runtime import Runtime

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Post = Callable[..., Awaitable[httpx2.Response]]
Headers = dict[str, str]

IBAN = "PK36SCBL0000001123456702"
BANK = {"kind": "bank_account", "label": "Salary", "iban": "pk36 scbl 0000 0011 2345 6702"}
WALLET = {"kind": "mobile_wallet", "label": "Phone", "provider": "easypaisa", "mobile_number": "0300 1234567"}


def keyed(headers: Headers) -> Headers:
    return headers | {"Idempotency-Key": uuid4().hex}


@pytest.fixture
async def other(sign_up: Post, sign_in: Post) -> Headers:
    """Bilal's headers: another customer."""
    await sign_up("bilal@example.com")
    tokens = (await sign_in("bilal@example.com")).json()
    return {"Authorization": f"Bearer {tokens['access_token']}", "Idempotency-Key": uuid4().hex}


# The account


async def test_a_change_touches_only_what_it_names(api: httpx2.AsyncClient, headers: Headers) -> None:
    before = (await api.get("/v1/me", headers=headers)).json()
    changed = await api.patch("/v1/me", json={"preferences": {"marketing": True}}, headers=headers)
    assert changed.status_code == 200, changed.text
    assert changed.json() == before | {"preferences": {"notify_by_email": True, "marketing": True}}
    renamed = await api.patch("/v1/me", json={"display_name": " عاصمہ ", "locale": "ur-PK"}, headers=headers)
    assert renamed.json() == changed.json() | {"display_name": "عاصمہ", "locale": "ur-PK"}
    assert (await api.get("/v1/me", headers=headers)).json() == renamed.json()


@pytest.mark.parametrize(
    "patch",
    [
        {"email": "x@example.com"},
        {"status": "active"},
        {"display_name": None},
        {"display_name": ""},
        {"preferences": None},
        {"preferences": {"admin": True}},
        {"locale": "xx-yy"},
    ],
)
async def test_what_a_customer_may_not_change_is_refused(
    api: httpx2.AsyncClient, headers: Headers, patch: dict[str, Any]
) -> None:
    assert (await api.patch("/v1/me", json=patch, headers=headers)).status_code == 422


# What has no parameters goes past FastAPI: see wapsi.http.direct_routes.


def without(names: set[str], headers: httpx2.Headers) -> Headers:
    return {name: value for name, value in headers.items() if name not in names}


@pytest.mark.parametrize("path", ["/v1/me", "/v1/me/balance", "/v1/me/cashbacks", "/v1/me/statements"])
async def test_the_short_way_answers_as_the_declared_one(api: httpx2.AsyncClient, headers: Headers, path: str) -> None:
    short = await api.get(path, headers=headers)
    declared = await api.get(path, headers=headers, params={"unknown": "1"})
    assert (short.status_code, short.content) == (declared.status_code, declared.content) == (200, short.content)
    of_one_request = {"x-request-id", "ratelimit"}
    assert without(of_one_request, short.headers) == without(of_one_request, declared.headers)
    refused = await api.get(path, headers={"Authorization": "Bearer no"})
    assert (refused.status_code, refused.json()["reason"]) == (401, "CREDENTIALS_INVALID")


async def test_a_change_is_answered_alike_both_ways(api: httpx2.AsyncClient, headers: Headers) -> None:
    for media_type in ("application/json", "application/json; charset=utf-8"):
        for body, status in ((b'{"locale": "ur-PK"}', 200), (b'{"locale": 1}', 422), (b"{", 422)):
            answer = await api.patch("/v1/me", content=body, headers=headers | {"Content-Type": media_type})
            assert answer.status_code == status, (media_type, body, answer.text)
            if status == 200:
                assert answer.json() == (await api.get("/v1/me", headers=headers)).json()
    refused = await api.patch("/v1/me", json={"locale": "en"}, headers={"Authorization": "Bearer no"})
    assert (refused.status_code, refused.json()["reason"]) == (401, "CREDENTIALS_INVALID")


async def test_changes_at_once_all_count(api: httpx2.AsyncClient, headers: Headers) -> None:
    await asyncio.gather(
        api.patch("/v1/me", json={"preferences": {"marketing": True}}, headers=headers),
        api.patch("/v1/me", json={"preferences": {"notify_by_email": False}}, headers=headers),
        api.patch("/v1/me", json={"display_name": "Asma B."}, headers=headers),
    )
    me = (await api.get("/v1/me", headers=headers)).json()
    assert (me["display_name"], me["preferences"]) == ("Asma B.", {"marketing": True, "notify_by_email": False})


async def test_others_find_a_customer_by_id(runtime: Runtime, api: httpx2.AsyncClient, headers: Headers) -> None:
    me = (await api.get("/v1/me", headers=headers)).json()
    async with runtime.db.read() as session:
        customer = await service.get_customer(session, UUID(me["id"]))
        assert (customer.email, customer.currency, customer.status) == ("asma@example.com", "PKR", "active")
        with pytest.raises(CustomerNotFound):
            await service.get_customer(session, uuid4())
        with pytest.raises(CustomerNotFound):
            await service.profile_within(session, uuid4())
    with pytest.raises(CustomerNotFound):
        await service.get_profile(runtime.db.reads, uuid4())


# Payout methods


async def test_a_bank_account_is_kept_encrypted_and_shown_masked(
    api: httpx2.AsyncClient, headers: Headers, runtime: Runtime, admin_sql: SQL
) -> None:
    made = await api.post("/v1/me/payout-methods", json=BANK, headers=headers)
    assert made.status_code == 201, made.text
    method = made.json()
    assert (method["kind"], method["provider"], method["label"]) == ("bank_account", None, "Salary")
    assert method["masked"] == "PK••••••••••••••••••6702"
    listed = (await api.get("/v1/me/payout-methods", headers=headers)).json()
    assert listed == {"items": [method], "next_cursor": None}

    (row,) = await admin_sql("SELECT * FROM payout_methods")
    assert IBAN not in str(dict(row))
    async with runtime.db.read() as session:
        reference = await service.get_payout_method(session, row["customer_id"], row["id"])
        assert (reference.masked, reference.kind) == (method["masked"], "bank_account")
        account = await service.payout_account(session, runtime.keys, row["customer_id"], row["id"])
    assert account == IBAN


async def test_a_mobile_wallet_is_kept_in_e164(
    api: httpx2.AsyncClient, headers: Headers, runtime: Runtime, admin_sql: SQL
) -> None:
    made = (await api.post("/v1/me/payout-methods", json=WALLET, headers=headers)).json()
    assert (made["provider"], made["masked"]) == ("easypaisa", "+92••••••4567")
    (row,) = await admin_sql("SELECT id, customer_id FROM payout_methods")
    async with runtime.db.read() as session:
        account = await service.payout_account(session, runtime.keys, row["customer_id"], row["id"])
    assert account == "+923001234567"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BANK | {"iban": "PK37SCBL0000001123456702"}, "IBAN_INVALID"),
        (WALLET | {"mobile_number": "021 1234567"}, "MOBILE_NUMBER_INVALID"),
        (WALLET | {"provider": "paypal"}, "REQUEST_INVALID"),
        (BANK | {"kind": "cash"}, "REQUEST_INVALID"),
        (BANK | {"label": ""}, "REQUEST_INVALID"),
        (WALLET | {"iban": IBAN}, "REQUEST_INVALID"),
    ],
)
async def test_a_method_that_cannot_be_paid_to_is_refused_and_not_repeated(
    api: httpx2.AsyncClient, headers: Headers, body: dict[str, Any], reason: str
) -> None:
    answer = await api.post("/v1/me/payout-methods", json=body, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    for account in (body.get("iban"), body.get("mobile_number")):
        assert account is None or account not in answer.text


async def test_an_account_is_added_once_a_customer(api: httpx2.AsyncClient, headers: Headers, other: Headers) -> None:
    await api.post("/v1/me/payout-methods", json=BANK, headers=headers)
    again = await api.post("/v1/me/payout-methods", json=BANK | {"iban": IBAN}, headers=keyed(headers))
    assert (again.status_code, again.json()["reason"]) == (409, "PAYOUT_METHOD_EXISTS")
    shared = await api.post("/v1/me/payout-methods", json=BANK, headers=other)
    assert shared.status_code == 201, "two customers of one family may share an account"
    same_number = await api.post(
        "/v1/me/payout-methods", json=WALLET | {"provider": "jazzcash"}, headers=keyed(headers)
    )
    assert same_number.status_code == 201


async def test_a_removed_method_is_gone_for_the_customer_and_can_be_added_again(
    api: httpx2.AsyncClient, headers: Headers, runtime: Runtime, admin_sql: SQL
) -> None:
    method = (await api.post("/v1/me/payout-methods", json=BANK, headers=headers)).json()
    path = f"/v1/me/payout-methods/{method['id']}"
    assert (await api.delete(path, headers=headers)).status_code == 204
    assert (await api.delete(path, headers=headers)).status_code == 404
    assert (await api.get("/v1/me/payout-methods", headers=headers)).json()["items"] == []
    (row,) = await admin_sql("SELECT id, customer_id FROM payout_methods")
    async with runtime.db.read() as session:
        with pytest.raises(PayoutMethodNotFound):
            await service.get_payout_method(session, row["customer_id"], row["id"])
        account = await service.payout_account(session, runtime.keys, row["customer_id"], row["id"])
    assert account == IBAN, "a payout that is under way still reaches it"
    assert (await api.post("/v1/me/payout-methods", json=BANK, headers=keyed(headers))).status_code == 201


async def test_nobody_reaches_anothers_methods(
    api: httpx2.AsyncClient, headers: Headers, other: Headers, runtime: Runtime
) -> None:
    method = (await api.post("/v1/me/payout-methods", json=BANK, headers=headers)).json()
    assert (await api.get("/v1/me/payout-methods", headers=other)).json()["items"] == []
    answer = await api.delete(f"/v1/me/payout-methods/{method['id']}", headers=other)
    assert (answer.status_code, answer.json()["reason"]) == (404, "PAYOUT_METHOD_NOT_FOUND")
    bilal = UUID((await api.get("/v1/me", headers=other)).json()["id"])
    async with runtime.db.read() as session:
        with pytest.raises(PayoutMethodNotFound):
            await service.get_payout_method(session, bilal, UUID(method["id"]))
        with pytest.raises(PayoutMethodNotFound):
            await service.payout_account(session, runtime.keys, bilal, UUID(method["id"]))


async def test_there_is_a_limit_that_requests_at_once_do_not_pass(
    api: httpx2.AsyncClient, headers: Headers, admin_sql: SQL
) -> None:
    answers = await asyncio.gather(
        *(
            api.post(
                "/v1/me/payout-methods", json=WALLET | {"mobile_number": f"030012345{n:02}"}, headers=keyed(headers)
            )
            for n in range(13)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 3
    assert {answer.json()["reason"] for answer in answers if answer.status_code == 409} == {"PAYOUT_METHOD_LIMIT"}
    assert len(await admin_sql("SELECT 1 FROM payout_methods")) == 10


async def test_a_repeated_request_adds_one_method_and_anothers_key_is_anothers(
    api: httpx2.AsyncClient, headers: Headers, other: Headers, admin_sql: SQL
) -> None:
    keyless = {"Authorization": headers["Authorization"]}
    missing = await api.post("/v1/me/payout-methods", json=BANK, headers=keyless)
    assert (missing.status_code, missing.json()["reason"]) == (400, "IDEMPOTENCY_KEY_MISSING")
    first = await api.post("/v1/me/payout-methods", json=BANK, headers=headers)
    again = await api.post("/v1/me/payout-methods", json=BANK, headers=headers)
    assert again.json() == first.json()
    altered = await api.post("/v1/me/payout-methods", json=WALLET, headers=headers)
    assert (altered.status_code, altered.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    same_key = other | {"Idempotency-Key": headers["Idempotency-Key"]}
    bilals = await api.post("/v1/me/payout-methods", json=WALLET, headers=same_key)
    assert bilals.status_code == 201
    assert len(await admin_sql("SELECT 1 FROM payout_methods")) == 2


async def test_the_account_stands_in_no_answer_that_is_kept(
    api: httpx2.AsyncClient, headers: Headers, admin_sql: SQL
) -> None:
    await api.post("/v1/me/payout-methods", json=BANK, headers=headers)
    for row in await admin_sql("SELECT body FROM idempotent_answers"):
        assert b"0000001123456702" not in row["body"]
