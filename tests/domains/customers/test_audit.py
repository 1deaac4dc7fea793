"""The audit log: what it holds stays, and operators page through it."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import asyncpg
import httpx2
import pytest
import sqlalchemy.exc
from sqlalchemy import text

from wapsi.db import Database
from wapsi.security import audit
from wapsi.security.permissions import OperatorRole
from wapsi.security.principal import Principal, PrincipalKind

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Headers = dict[str, str]


async def write(db: Database, *actions: str) -> None:
    async with db.write() as session:
        for action in actions:
            await audit.record(session, None, action=action, target="thing:1", after={"n": 1})


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_entries_cannot_be_changed(db: Database, admin_sql: SQL, statement: str) -> None:
    await write(db, "a")
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="permission denied"):
        async with db.write() as session:
            await session.execute(text(statement))
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await admin_sql(statement)
    assert len(await admin_sql("SELECT 1 FROM audit_log")) == 1


async def test_an_entry_goes_with_the_change_that_it_records(db: Database, admin_sql: SQL) -> None:
    async def fail() -> None:
        async with db.write() as session:
            await audit.record(session, None, action="a", target="thing:1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await admin_sql("SELECT 1 FROM audit_log") == []


async def test_an_entry_says_who_and_nothing_is_not_a_json_null(db: Database, admin_sql: SQL) -> None:
    operator = Principal(PrincipalKind.OPERATOR, uuid4(), frozenset())
    async with db.write() as session:
        await audit.record(session, operator, action="a", target="thing:1", after={"x": None})
    (entry,) = await admin_sql("SELECT actor, before IS NULL AS no_before, after::text FROM audit_log")
    assert tuple(entry) == (f"operator:{operator.id}", True, '{"x": null}')


async def test_the_log_is_paged_the_newest_first(api: httpx2.AsyncClient, admin: Headers, db: Database) -> None:
    await write(db, "a", "b", "c", "d")
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/v1/admin/audit-log", params=params, headers=admin)).json()
        seen += [entry["action"] for entry in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["d", "c", "b", "a", "operator.created"]
    assert cursor is None


@pytest.mark.parametrize("cursor", ["nonsense", "WyJhdWRpdC1sb2ciLDFd", "WyJwcm9kdWNlcnMiLCJ4Il0"])
async def test_a_foreign_cursor_is_refused(api: httpx2.AsyncClient, admin: Headers, cursor: str) -> None:
    answer = await api.get("/v1/admin/audit-log", params={"cursor": cursor}, headers=admin)
    assert (answer.status_code, answer.json()["reason"]) == (422, "CURSOR_INVALID")


@pytest.mark.parametrize(
    ("role", "status"),
    [
        (OperatorRole.ADMIN, 200),
        (OperatorRole.FINANCE, 200),
        (OperatorRole.SUPPORT, 403),
        (OperatorRole.CATALOGUE, 403),
    ],
)
async def test_who_may_read_the_log(
    api: httpx2.AsyncClient,
    operator: Callable[[OperatorRole], Awaitable[Headers]],
    role: OperatorRole,
    status: int,
) -> None:
    assert (await api.get("/v1/admin/audit-log", headers=await operator(role))).status_code == status


async def test_the_log_is_found_by_who_what_whose_and_when(
    api: httpx2.AsyncClient, admin: Headers, db: Database, admin_sql: SQL
) -> None:
    operator = Principal(PrincipalKind.OPERATOR, uuid4(), frozenset())
    async with db.write() as session:
        for target in ("thing:1", "thing:2"):
            await audit.record(session, operator, action="thing.moved", target=target)
    async with db.write() as session:
        await audit.record(session, None, action="thing.moved", target="thing:1")
    [row] = await admin_sql("SELECT min(at) AS first, max(at) AS last FROM audit_log WHERE action = 'thing.moved'")

    async def found(**only: str) -> list[tuple[str, str]]:
        answer = await api.get("/v1/admin/audit-log", params=only | {"limit": 200}, headers=admin)
        assert answer.status_code == 200, answer.text
        return [(entry["actor"].partition(":")[0], entry["target"]) for entry in answer.json()["items"]]

    one, two, system = ("operator", "thing:1"), ("operator", "thing:2"), ("system", "thing:1")
    first, last = row["first"].isoformat(), row["last"].isoformat()
    assert await found(action="thing.moved") == [system, two, one]
    assert await found(actor=str(operator)) == [two, one]
    assert await found(target="thing:1") == [system, one]
    assert await found(actor=str(operator), target="thing:1", action="thing.moved") == [one]
    assert await found(action="thing.moved", since=first, until=last) == [two, one]
    assert await found(action="thing.moved", since=first) == [system, two, one]
    assert await found(action="thing.moved", until=first) == []
    assert await found(action="thing") == []
    assert len(await found(since="2000-01-01T00:00:00+00:00", until="2199-12-31T23:59:59-00:00")) >= 4


async def test_a_cursor_belongs_to_its_filter(api: httpx2.AsyncClient, admin: Headers, db: Database) -> None:
    await write(db, "a", "a", "a")
    page = (await api.get("/v1/admin/audit-log", params={"action": "a", "limit": 2}, headers=admin)).json()
    next_page = {"limit": 2, "cursor": page["next_cursor"]}
    assert len(
        (await api.get("/v1/admin/audit-log", params=next_page | {"action": "a"}, headers=admin)).json()["items"]
    )
    other = await api.get("/v1/admin/audit-log", params=next_page | {"action": "b"}, headers=admin)
    assert (other.status_code, other.json()["reason"]) == (422, "CURSOR_INVALID")


@pytest.mark.parametrize(
    "only",
    [{"since": "yesterday"}, {"since": "2026-11-30T00:00:00"}, {"actor": ""}, {"target": "a\0"}, {"action": "x" * 300}],
)
async def test_a_filter_that_is_none_is_refused(api: httpx2.AsyncClient, admin: Headers, only: dict[str, str]) -> None:
    assert (await api.get("/v1/admin/audit-log", params=only, headers=admin)).status_code == 422
