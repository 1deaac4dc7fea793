"""Operators: admins change the others, never themselves, and never the last of their kind."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from domains.customers import service
from domains.customers.errors import LastAdmin, OperatorIsSelf, OperatorNotFound, PasswordInvalid
from wapsi.db import Database
from wapsi.runtime import Runtime
from wapsi.security.permissions import ROLE_PERMISSIONS, OperatorRole, Permission
from wapsi.security.principal import Principal, PrincipalKind

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Headers = dict[str, str]
Operators = Callable[[OperatorRole], Awaitable[Headers]]
DISABLED = service.OperatorStatus.DISABLED
ACTIVE = service.OperatorStatus.ACTIVE


@pytest.fixture
def make(db: Database) -> Callable[..., Awaitable[service.OperatorRef]]:
    async def make(role: OperatorRole = OperatorRole.SUPPORT) -> service.OperatorRef:
        async with db.write() as session:
            return await service.create_operator(session, f"{uuid4().hex}@wapsi.example", "correct horse battery", role)

    return make


async def change(db: Database, operator_id: UUID, by: service.OperatorRef | None = None, **what: Any) -> Any:
    principal = None if by is None else Principal(PrincipalKind.OPERATOR, by.id, frozenset())
    async with db.write() as session:
        return await service.change_operator(session, operator_id, principal=principal, **what)


async def entries(admin_sql: SQL, operator_id: UUID) -> list[Any]:
    return await admin_sql(
        "SELECT actor, action, before::text, after::text FROM audit_log WHERE target = $1 ORDER BY id",
        f"operator:{operator_id}",
    )


async def test_a_change_is_audited_with_before_and_after(db: Database, make: Any, admin_sql: SQL) -> None:
    admin, helper = await make(OperatorRole.ADMIN), await make()
    changed = await change(db, helper.id, admin, role=OperatorRole.FINANCE)
    assert (changed.role, changed.status) == (OperatorRole.FINANCE, ACTIVE)
    created, entry = await entries(admin_sql, helper.id)
    assert (created["actor"], created["action"]) == ("system", "operator.created")
    assert tuple(entry) == (
        f"operator:{admin.id}",
        "operator.changed",
        '{"role": "support", "status": "active"}',
        '{"role": "finance", "status": "active"}',
    )


async def test_a_change_that_changes_nothing_leaves_no_trace(db: Database, make: Any, admin_sql: SQL) -> None:
    helper = await make()
    await change(db, helper.id, role=OperatorRole.SUPPORT, status=ACTIVE)
    assert len(await entries(admin_sql, helper.id)) == 1


async def test_nobody_changes_themselves(db: Database, make: Any) -> None:
    admin, _other = await make(OperatorRole.ADMIN), await make(OperatorRole.ADMIN)
    for what in ({"status": DISABLED}, {"role": OperatorRole.SUPPORT}, {"role": OperatorRole.ADMIN}):
        with pytest.raises(OperatorIsSelf):
            await change(db, admin.id, admin, **what)


@pytest.mark.parametrize("what", [{"status": DISABLED}, {"role": OperatorRole.FINANCE}])
async def test_the_last_active_admin_stays_one(db: Database, make: Any, what: Any, admin_sql: SQL) -> None:
    admin, gone = await make(OperatorRole.ADMIN), await make(OperatorRole.ADMIN)
    await change(db, gone.id, status=DISABLED)
    with pytest.raises(LastAdmin):
        await change(db, admin.id, **what)
    rows = await admin_sql("SELECT role, status FROM operators WHERE id = $1", admin.id)
    assert [tuple(row) for row in rows] == [("admin", "active")]
    await change(db, gone.id, status=ACTIVE)
    await change(db, admin.id, **what)


async def test_admins_who_demote_each_other_at_once_leave_one(db: Database, make: Any, admin_sql: SQL) -> None:
    for _ in range(5):
        await admin_sql("DELETE FROM operators")
        admins = [await make(OperatorRole.ADMIN) for _ in range(4)]
        pairs = zip(admins, [*admins[1:], admins[0]], strict=True)
        results = await asyncio.gather(
            *(change(db, target.id, by, role=OperatorRole.SUPPORT) for by, target in pairs), return_exceptions=True
        )
        assert sum(isinstance(result, LastAdmin) for result in results) == 1, results
        assert len(await admin_sql("SELECT 1 FROM operators WHERE role = 'admin'")) == 1


async def test_one_that_is_not_there_is_said(db: Database) -> None:
    with pytest.raises(OperatorNotFound):
        await change(db, uuid4(), status=DISABLED)
    async with db.read() as session:
        with pytest.raises(OperatorNotFound):
            await service.find_operator(session, "nobody@wapsi.example")


async def test_who_may_is_answered_as_of_now(db: Database, make: Any) -> None:
    finance, support, gone = await make(OperatorRole.FINANCE), await make(), await make(OperatorRole.FINANCE)
    await change(db, gone.id, status=DISABLED)
    ids = [finance.id, support.id, gone.id, uuid4()]
    async with db.read() as session:
        may = await service.operators_who_may(session, Permission.PAYOUTS_DECIDE, ids)
        nobody = await service.operators_who_may(session, Permission.PAYOUTS_DECIDE, [])
    assert (may, nobody) == ({finance.id}, frozenset())


async def test_a_new_password_ends_the_sessions_and_is_not_in_the_log(
    db: Database, runtime: Runtime, make: Any, api: httpx2.AsyncClient, admin_sql: SQL
) -> None:
    operator = await make()
    old, new = "correct horse battery", "another horse battery"

    async def sign_in(password: str) -> httpx2.Response:
        return await api.post("/v1/admin/sessions", json={"email": operator.email, "password": password})

    before = (await sign_in(old)).json()
    async with db.write() as session:
        await service.reset_operator_password(session, runtime.keys, operator.id, new)
    refreshed = await api.post("/v1/sessions:refresh", json={"refresh_token": before["refresh_token"]})
    assert refreshed.status_code == 401
    assert ((await sign_in(old)).status_code, (await sign_in(new)).status_code) == (401, 201)
    lines = " ".join(str(tuple(entry)) for entry in await entries(admin_sql, operator.id))
    assert "operator.password_reset" in lines
    assert "battery" not in lines


async def test_a_password_must_be_one(db: Database, runtime: Runtime, make: Any) -> None:
    operator = await make()
    async with db.write() as session:
        with pytest.raises(PasswordInvalid):
            await service.reset_operator_password(session, runtime.keys, operator.id, "short")


async def test_over_rest_an_admin_lists_and_changes(
    api: httpx2.AsyncClient, make: Any, operator: Operators, admin: Headers
) -> None:
    helper = await make()
    listed = (await api.get("/v1/admin/operators", params={"limit": 1}, headers=admin)).json()
    assert [item["email"] for item in listed["items"]] == [helper.email]
    rest = await api.get("/v1/admin/operators", params={"cursor": listed["next_cursor"]}, headers=admin)
    assert [item["role"] for item in rest.json()["items"]] == ["admin"]

    path = f"/v1/admin/operators/{helper.id}"
    tokens = await api.post("/v1/admin/sessions", json={"email": helper.email, "password": "correct horse battery"})
    changed = await api.patch(path, json={"status": "disabled"}, headers=admin)
    assert (changed.status_code, changed.json()["status"], changed.json()["role"]) == (200, "disabled", "support")
    again = await api.post("/v1/sessions:refresh", json={"refresh_token": tokens.json()["refresh_token"]})
    assert again.status_code == 401

    me = rest.json()["items"][0]["id"]
    own = await api.patch(f"/v1/admin/operators/{me}", json={"role": "support"}, headers=admin)
    assert (own.status_code, own.json()["reason"]) == (409, "OPERATOR_IS_SELF")
    for body in ({}, {"role": "owner"}, {"email": "x@example.com"}):
        assert (await api.patch(path, json=body, headers=admin)).status_code == 422
    missing = await api.patch(f"/v1/admin/operators/{uuid4()}", json={"role": "support"}, headers=admin)
    assert (missing.status_code, missing.json()["reason"]) == (404, "OPERATOR_NOT_FOUND")


@pytest.mark.parametrize("role", [role for role in OperatorRole if role is not OperatorRole.ADMIN])
async def test_only_admins_look_at_operators(api: httpx2.AsyncClient, operator: Operators, role: OperatorRole) -> None:
    headers = await operator(role)
    assert (await api.get("/v1/admin/operators", headers=headers)).status_code == 403
    patched = await api.patch(f"/v1/admin/operators/{uuid4()}", json={"role": "admin"}, headers=headers)
    assert patched.status_code == 403


def test_every_role_has_the_back_office_and_only_admins_manage_operators() -> None:
    for role, permissions in ROLE_PERMISSIONS.items():
        assert Permission.BACK_OFFICE in permissions
        assert Permission.OWN_ACCOUNT not in permissions
        assert (Permission.OPERATORS_WRITE in permissions) == (role is OperatorRole.ADMIN)
