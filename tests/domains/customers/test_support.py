"""Operators help one customer at a time: found by the whole address, shown masked, suspended with a reason."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from domains.customers.service.support import mask_email
from wapsi.security.permissions import ROLE_PERMISSIONS, OperatorRole, Permission

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Headers = dict[str, str]
Operators = Callable[[OperatorRole], Awaitable[Headers]]
REASON = {"reason_code": "stolen_account"}


@pytest.fixture
async def support(operator: Operators) -> Headers:
    return await operator(OperatorRole.SUPPORT)


@pytest.fixture
async def asma(customer: dict[str, Any], admin_sql: SQL) -> UUID:
    [row] = await admin_sql("SELECT id FROM customers WHERE email = 'asma@example.com'")
    found: UUID = row["id"]
    return found


async def test_a_customer_is_found_by_the_whole_address_and_shown_masked(
    api: httpx2.AsyncClient, support: Headers, asma: UUID, admin_sql: SQL
) -> None:
    found = await api.post("/v1/admin/customers:find", json={"email": "Asma@Example.com"}, headers=support)
    assert found.status_code == 200, found.text
    assert (found.json()["id"], found.json()["email"], found.json()["status"]) == (
        str(asma),
        "a***@example.com",
        "active",
    )
    assert "asma@" not in found.text
    assert found.json()["phone"] is None
    shown = await api.get(f"/v1/admin/customers/{asma}", headers=support)
    assert (shown.status_code, shown.json()) == (200, found.json())
    [entry] = await admin_sql("SELECT target, audit_log::text AS line FROM audit_log WHERE action = 'customer.found'")
    assert entry["target"] == f"customer:{asma}"
    assert "example.com" not in entry["line"]


async def test_a_customer_is_found_by_the_number_too(
    api: httpx2.AsyncClient, support: Headers, asma: UUID, admin_sql: SQL
) -> None:
    await admin_sql("UPDATE customers SET phone = '+923001234567', email = NULL WHERE id = $1", asma)
    found = await api.post("/v1/admin/customers:find", json={"phone": "0300 1234567"}, headers=support)
    assert found.status_code == 200, found.text
    assert (found.json()["id"], found.json()["phone"], found.json()["email"]) == (str(asma), "***567", None)
    for body, status in (
        ({"phone": "+923001234568"}, 404),
        ({"phone": "1234567"}, 422),
        ({}, 422),
        ({"phone": "+923001234567", "email": "asma@example.com"}, 422),
    ):
        assert (await api.post("/v1/admin/customers:find", json=body, headers=support)).status_code == status
    lines = await admin_sql("SELECT audit_log::text AS line FROM audit_log")
    assert not [row for row in lines if "1234567" in row["line"]]


async def test_there_is_nothing_to_browse(api: httpx2.AsyncClient, support: Headers, asma: UUID) -> None:
    assert (await api.get("/v1/admin/customers", headers=support)).status_code == 404
    for email, status in (("asma@example.co", 404), ("asma", 422), ("%@example.com", 404), ("@example.com", 422)):
        answer = await api.post("/v1/admin/customers:find", json={"email": email}, headers=support)
        assert answer.status_code == status, email
    assert (await api.get(f"/v1/admin/customers/{uuid4()}", headers=support)).status_code == 404


async def test_a_suspended_customer_is_out_until_reactivated(
    api: httpx2.AsyncClient,
    support: Headers,
    asma: UUID,
    customer: dict[str, Any],
    sign_in: Callable[..., Awaitable[httpx2.Response]],
    admin_sql: SQL,
) -> None:
    suspended = await api.post(f"/v1/admin/customers/{asma}:suspend", json=REASON, headers=support)
    assert (suspended.status_code, suspended.json()["status"]) == (200, "suspended")
    refreshed = await api.post("/v1/sessions:refresh", json={"refresh_token": customer["refresh_token"]})
    assert refreshed.status_code == 401
    assert (await sign_in()).status_code == 401
    twice = await api.post(f"/v1/admin/customers/{asma}:suspend", json=REASON, headers=support)
    assert (twice.status_code, twice.json()["reason"]) == (409, "ILLEGAL_STATE_CHANGE")

    again = await api.post(
        f"/v1/admin/customers/{asma}:reactivate", json={"reason_code": "identity_shown"}, headers=support
    )
    assert (again.status_code, again.json()["status"]) == (200, "active")
    assert (await sign_in()).status_code == 201
    entries = await admin_sql(
        "SELECT action, before::text, after::text FROM audit_log WHERE target = $1 ORDER BY id", f"customer:{asma}"
    )
    assert [tuple(entry) for entry in entries] == [
        (
            "customer.suspended",
            '{"status": "active"}',
            '{"status": "suspended", "reason_code": "stolen_account"}',
        ),
        (
            "customer.reactivated",
            '{"status": "suspended"}',
            '{"status": "active", "reason_code": "identity_shown"}',
        ),
    ]


async def test_a_deleted_account_stays_deleted(
    api: httpx2.AsyncClient, support: Headers, asma: UUID, admin_sql: SQL
) -> None:
    await admin_sql("UPDATE customers SET status = 'deleted' WHERE id = $1", asma)
    for move in ("suspend", "reactivate"):
        answer = await api.post(f"/v1/admin/customers/{asma}:{move}", json=REASON, headers=support)
        assert (answer.status_code, answer.json()["reason"]) == (409, "ILLEGAL_STATE_CHANGE")


async def test_a_decision_has_a_reason_and_a_customer(api: httpx2.AsyncClient, support: Headers, asma: UUID) -> None:
    for move in ("suspend", "reactivate"):
        path = f"/v1/admin/customers/{asma}:{move}"
        for body in ({}, {"reason_code": ""}, {"reason_code": "Because I say so"}):
            assert (await api.post(path, json=body, headers=support)).status_code == 422
        missing = await api.post(f"/v1/admin/customers/{uuid4()}:{move}", json=REASON, headers=support)
        assert (missing.status_code, missing.json()["reason"]) == (404, "CUSTOMER_NOT_FOUND")


@pytest.mark.parametrize("role", list(OperatorRole))
async def test_who_may_look_and_decide(api: httpx2.AsyncClient, operator: Operators, role: OperatorRole) -> None:
    headers, may = await operator(role), ROLE_PERMISSIONS[role]
    nobody = uuid4()
    looked = await api.get(f"/v1/admin/customers/{nobody}", headers=headers)
    assert looked.status_code == (404 if Permission.CUSTOMERS_READ in may else 403)
    decided = await api.post(f"/v1/admin/customers/{nobody}:suspend", json=REASON, headers=headers)
    assert decided.status_code == (404 if Permission.CUSTOMERS_DECIDE in may else 403)


@pytest.mark.parametrize(
    ("email", "masked"),
    [("a@example.com", "a***@example.com"), ("asma.khan@example.com", "a***@example.com"), ('"a@b"@c.pk', '"***@c.pk')],
)
def test_a_mask_tells_neither_name_nor_length(email: str, masked: str) -> None:
    assert mask_email(email) == masked
