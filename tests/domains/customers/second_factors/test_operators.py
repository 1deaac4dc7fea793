"""Second factors of operators: some need one, and who has lost everything begins anew."""

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from domains.customers import service
from domains.customers.service import totp_code
from tests.domains.customers.second_factors.people import CONFIRMED, PASSWORD, SQL, Person, bearer
from wapsi.db import Database
from wapsi.runtime import Runtime
from wapsi.security.permissions import OperatorRole


@pytest.mark.parametrize("role", [OperatorRole.FINANCE, OperatorRole.ADMIN])
async def test_finance_and_admin_may_little_before_they_have_shown_a_second_factor(
    desk: Callable[[OperatorRole], Awaitable[Person]], api: httpx2.AsyncClient, role: OperatorRole, admin_sql: SQL
) -> None:
    person = await desk(role)
    refused = await api.get("/v1/admin/audit-log", headers=bearer(person.tokens))
    assert (refused.status_code, refused.json()["reason"]) == (403, "SECOND_FACTOR_NEEDED")
    assert (await api.get("/v1/admin/feed-sources", headers=bearer(person.tokens))).status_code == 200

    app, _codes = await person.enrol()
    assert (await api.get("/v1/admin/audit-log", headers=bearer(person.tokens))).status_code == 403
    assert await person.refresh() == 200
    assert (await api.get("/v1/admin/audit-log", headers=bearer(person.tokens))).status_code == 200

    answer = await person.verify(await person.challenge(), app.code())
    assert answer.status_code == 201
    page = await api.get("/v1/admin/audit-log", headers=bearer(answer.json()))
    assert page.status_code == 200
    [entry] = [entry for entry in page.json()["items"] if entry["action"] == "operator.totp_added"]
    assert (entry["before"]["totp"], entry["after"]["totp"]) == (False, True)
    assert entry["actor"] == entry["target"]


async def test_an_operator_who_removes_the_last_factor_is_out(
    desk: Callable[[OperatorRole], Awaitable[Person]], api: httpx2.AsyncClient
) -> None:
    """What the session may do was given to the factor."""
    person = await desk(OperatorRole.FINANCE)
    _app, codes = await person.enrol()
    assert await person.refresh() == 200
    assert (await person.post("/factors/totp:remove", CONFIRMED | {"code": codes[0]})).status_code == 204
    assert (await api.get("/v1/admin/audit-log", headers=bearer(person.tokens))).status_code == 401
    assert await person.refresh() == 401
    assert (await person.sign_in()).status_code == 201


@pytest.mark.parametrize("role", [OperatorRole.SUPPORT, OperatorRole.CATALOGUE])
async def test_for_the_others_it_is_optional_and_asked_for_once_there_is_one(
    desk: Callable[[OperatorRole], Awaitable[Person]], runtime: Runtime, role: OperatorRole
) -> None:
    person = await desk(role)
    principal = await runtime.authenticator.authenticate(person.tokens["access_token"])
    assert not principal.withheld
    await person.enrol()
    assert (await person.sign_in()).status_code == 202


async def test_a_second_factor_is_not_lost_at_a_refresh(
    desk: Callable[[OperatorRole], Awaitable[Person]], runtime: Runtime
) -> None:
    person = await desk(OperatorRole.ADMIN)
    app, _codes = await person.enrol()
    person.tokens = (await person.verify(await person.challenge(), app.code())).json()
    for _ in range(2):
        assert await person.refresh() == 200
        principal = await runtime.authenticator.authenticate(person.tokens["access_token"])
        assert principal.has_second_factor
        assert not principal.withheld


async def test_a_customers_factors_are_not_in_the_audit_log(asma: Person, admin_sql: SQL) -> None:
    await asma.enrol()
    assert await admin_sql("SELECT 1 FROM audit_log") == []


async def test_who_has_lost_everything_begins_anew(
    desk: Callable[[OperatorRole], Awaitable[Person]], db: Database, admin_sql: SQL, runtime: Runtime
) -> None:
    person = await desk(OperatorRole.ADMIN)
    await person.enrol()
    me = await runtime.authenticator.authenticate(person.tokens["access_token"])
    async with db.write() as session:
        await service.reset_operator_factors(session, runtime.keys, me.id, principal=None)
    assert await person.refresh() == 401
    assert (await person.sign_in()).status_code == 201
    [entry] = await admin_sql("SELECT actor, target FROM audit_log WHERE action = 'operator.factors_reset'")
    assert (entry["actor"], entry["target"]) == ("system", f"operator:{me.id}")


async def test_the_sample_operators_first_code_counts(db: Database, api: httpx2.AsyncClient, runtime: Runtime) -> None:
    email = "sample@wapsi.example"
    async with db.write() as session:
        operator = await service.create_operator(session, email, PASSWORD, OperatorRole.ADMIN)
        secret = await service.enrol_operator(session, runtime.keys, operator.id)
    person = Person(api, {}, email, "/v1/admin/sessions")
    assert (await person.verify(await person.challenge(), totp_code(secret))).status_code == 201
