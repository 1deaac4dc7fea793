"""Whoever changes how an account is signed in to, its owner hears of it: at every contact, in their language."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from domains.customers import service
from domains.customers.service import ShownMessage
from domains.customers.service.message_texts import Template, text_of
from tests.domains.customers import test_passkeys as passkeys
from tests.domains.customers.second_factors import people as apps
from wapsi.db import Database
from wapsi.runtime import Runtime
from wapsi.security.permissions import OperatorRole

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Json = dict[str, Any]
Heard = Callable[..., Awaitable[list[str]]]
EMAIL, PHONE = "asma@example.com", "+923001234567"
NEW_PASSWORD = "quite another battery"


@pytest.fixture
async def asma(api: httpx2.AsyncClient, customer: Json, admin_sql: SQL) -> apps.Person:
    """With an e-mail address and a number."""
    await admin_sql("UPDATE customers SET phone = $1, phone_verified_at = now()", PHONE)
    return apps.Person(api, customer, EMAIL, "/v1/sessions")


@pytest.fixture
def heard(drain: Callable[[], Awaitable[int]], messages: Callable[[str], Awaitable[list[ShownMessage]]]) -> Heard:
    """The subjects of what a contact was sent, the oldest first."""

    async def heard(recipient: str = EMAIL) -> list[str]:
        await drain()
        return [message.subject for message in reversed(await messages(recipient))]

    return heard


def subjects(*templates: Template, locale: str = "en") -> list[str]:
    return [text_of(template, locale).subject for template in templates]


async def test_an_app_that_is_added_and_removed(asma: apps.Person, heard: Heard) -> None:
    app, _ = await asma.enrol()
    await asma.refresh()
    gone = await asma.post("/factors/totp:remove", apps.CONFIRMED | {"code": app.code()})
    assert gone.status_code == 204, gone.text
    told = subjects(Template.TOTP_ADDED, Template.TOTP_REMOVED)
    assert await heard() == told
    assert await heard(PHONE) == told


async def test_passkeys_that_are_added_and_removed(api: httpx2.AsyncClient, asma: apps.Person, heard: Heard) -> None:
    person = passkeys.Person(api, asma.tokens)
    made = await person.register(passkeys.Device())
    assert made.status_code == 201, made.text
    await person.refresh()
    gone = await person.call("POST", f"/passkeys/{made.json()['id']}:remove", passkeys.CONFIRMED)
    assert gone.status_code == 204, gone.text
    assert await heard() == subjects(Template.PASSKEY_ADDED, Template.PASSKEY_REMOVED)


async def test_recovery_codes_that_are_renewed_and_one_that_is_used(asma: apps.Person, heard: Heard) -> None:
    await asma.enrol()
    await asma.refresh()
    made = await asma.post("/recovery-codes", apps.CONFIRMED)
    assert made.status_code == 201, made.text
    code = made.json()["recovery_codes"][0]
    assert (await asma.verify(await asma.challenge(), code)).status_code == 201
    assert await heard() == subjects(Template.TOTP_ADDED, Template.RECOVERY_CODES_RENEWED, Template.RECOVERY_CODE_USED)


async def test_a_wrong_recovery_code_is_no_news(asma: apps.Person, heard: Heard) -> None:
    await asma.enrol()
    assert (await asma.verify(await asma.challenge(), "AAAAA-AAAAA")).status_code == 401
    assert await heard() == subjects(Template.TOTP_ADDED)


async def test_a_code_of_the_app_is_no_news(asma: apps.Person, heard: Heard) -> None:
    app, _ = await asma.enrol()
    assert (await asma.verify(await asma.challenge(), app.code())).status_code == 201
    assert await heard() == subjects(Template.TOTP_ADDED)


async def test_a_password_that_is_changed(asma: apps.Person, heard: Heard) -> None:
    changed = await asma.post("/password", apps.CONFIRMED | {"new_password": NEW_PASSWORD})
    assert changed.status_code == 204, changed.text
    assert await heard() == await heard(PHONE) == subjects(Template.PASSWORD_CHANGED)


async def test_in_the_language_of_the_account(asma: apps.Person, heard: Heard, admin_sql: SQL) -> None:
    await admin_sql("UPDATE customers SET locale = 'ur-PK'")
    await asma.enrol()
    assert await heard() == subjects(Template.TOTP_ADDED, locale="ur-PK")


async def test_who_proves_an_address_that_a_stranger_signed_up_with_hears_of_the_strangers_factors(
    api: httpx2.AsyncClient, customer: Json, heard: Heard, admin_sql: SQL, messages: Any
) -> None:
    await apps.Person(api, customer, EMAIL, "/v1/sessions").enrol()
    await admin_sql("UPDATE customers SET email_verified_at = NULL")
    asked = await api.post("/v1/password-resets", json={"email": EMAIL}, headers={"Idempotency-Key": "1"})
    await heard()
    code = (await messages(EMAIL))[0].code
    done = await api.post(
        f"/v1/password-resets/{asked.json()['reset_id']}:confirm", json={"code": code, "new_password": NEW_PASSWORD}
    )
    assert done.status_code == 204, done.text
    told = await heard()
    assert told == subjects(Template.TOTP_ADDED, Template.RESET_CODE, Template.FACTORS_RESET, Template.PASSWORD_CHANGED)


async def test_operators_hear_of_theirs(
    api: httpx2.AsyncClient, db: Database, runtime: Runtime, heard: Heard, admin_sql: SQL
) -> None:
    email = "desk@wapsi.example"
    async with db.write() as session:
        operator_id: UUID = (await service.create_operator(session, email, apps.PASSWORD, OperatorRole.SUPPORT)).id
    person = apps.Person(api, {}, email, "/v1/admin/sessions")
    person.tokens = (await person.sign_in()).json()
    await person.enrol()
    async with db.write() as session:
        await service.reset_operator_factors(session, runtime.keys, operator_id, principal=None)
        await service.reset_operator_password(session, runtime.keys, operator_id, NEW_PASSWORD)
    assert await heard(email) == subjects(Template.TOTP_ADDED, Template.FACTORS_RESET, Template.PASSWORD_CHANGED)
    assert await admin_sql("SELECT 1 FROM messages WHERE customer_id IS NOT NULL") == []
