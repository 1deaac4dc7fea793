"""WAPSI_SECRET_KEY was changed and the one before is kept as previous: nobody notices, whatever it had made."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from domains.cashback.service.links import click_of_token, click_token
from domains.cashback.service.seals import Seal
from domains.customers import service
from domains.customers.service import Contact, ShownMessage
from domains.customers.service.message_texts import Template
from domains.customers.service.messages import LIMITS_PER_HOUR, has_had_enough, queue_message
from tests.domains.customers.second_factors.people import PASSWORD, Person
from wapsi.ids import new_id
from wapsi.messages import Channel
from wapsi.runtime import Runtime
from wapsi.security.signing import Keys

Json = dict[str, Any]
Messages = Callable[[str], Awaitable[list[ShownMessage]]]
EMAIL = "asma@example.com"
IBAN = "PK36SCBL0000001123456702"
WRONG = {"email": EMAIL, "password": "not the password"}


@pytest.fixture
def after(runtime: Runtime) -> Runtime:
    """A process that was started with the next secret, and knows the one before."""
    previous = runtime.settings.secret_key.get_secret_value() + "\n"
    update = {
        "secret_key": SecretStr("the next secret, of 32 characters or more"),
        "secret_keys_previous": SecretStr(previous),
    }
    settings = runtime.settings.model_copy(update=update)
    keys = Keys(settings)
    return replace(
        runtime, settings=settings, keys=keys, authenticator=service.Authentication(runtime.db, keys, settings)
    )


@pytest.fixture
def rotate(app: FastAPI, after: Runtime) -> Callable[[], None]:
    def rotate() -> None:
        app.state.runtime = after

    return rotate


@pytest.fixture
def asma(api: httpx2.AsyncClient, customer: Json) -> Person:
    return Person(api, customer, EMAIL, "/v1/sessions")


def new_key(**headers: str) -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex, **headers}


async def test_a_session_goes_on(asma: Person, rotate: Callable[[], None]) -> None:
    rotate()
    assert await asma.refresh() == 200


async def test_the_second_step_of_a_sign_in_goes_on_by_a_code_of_the_app(
    asma: Person, rotate: Callable[[], None]
) -> None:
    app, _ = await asma.enrol()
    challenge = await asma.challenge()
    rotate()
    assert (await asma.verify(challenge, app.code())).status_code == 201


async def test_a_recovery_code_is_good_once_still(asma: Person, rotate: Callable[[], None]) -> None:
    _, codes = await asma.enrol()
    rotate()
    answers = [(await asma.verify(await asma.challenge(), codes[0])).status_code for _ in range(2)]
    assert answers == [201, 401]


async def test_a_code_that_was_sent_is_taken(
    api: httpx2.AsyncClient, asma: Person, rotate: Callable[[], None], drain: Any, messages: Messages
) -> None:
    asked = await api.post("/v1/password-resets", json={"email": EMAIL}, headers=new_key())
    await drain()
    code = (await messages(EMAIL))[0].code
    rotate()
    done = await api.post(
        f"/v1/password-resets/{asked.json()['reset_id']}:confirm",
        json={"code": code, "new_password": "quite another battery"},
    )
    assert done.status_code == 204, done.text


@pytest.mark.rate_limits(sign_in="2/60", sign_in_hour="2/3600")
async def test_a_known_device_is_known(api: httpx2.AsyncClient, asma: Person, rotate: Callable[[], None]) -> None:
    device = {"Device-Token": (await asma.sign_in()).headers["device-token"]}
    rotate()
    mistakes = [(await api.post("/v1/sessions", json=WRONG)).status_code for _ in range(3)]
    assert mistakes == [401, 401, 429]
    right = await api.post("/v1/sessions", json={"email": EMAIL, "password": PASSWORD}, headers=device)
    assert right.status_code == 201, right.text
    rotated = {"Device-Token": right.headers["device-token"]}
    right = await api.post("/v1/sessions", json={"email": EMAIL, "password": PASSWORD}, headers=rotated)
    assert right.status_code == 201, "what it was given now is not good"


async def test_an_account_is_not_added_twice_and_is_read(
    api: httpx2.AsyncClient, headers: dict[str, str], rotate: Callable[[], None], after: Runtime
) -> None:
    body = {"kind": "bank_account", "iban": IBAN, "label": "Mine"}
    made = await api.post("/v1/me/payout-methods", json=body, headers=headers)
    assert made.status_code == 201, made.text
    rotate()
    again = await api.post("/v1/me/payout-methods", json=body, headers=headers | new_key())
    assert (again.status_code, again.json()["reason"]) == (409, "PAYOUT_METHOD_EXISTS")
    me = await after.authenticator.authenticate(headers["Authorization"].removeprefix("Bearer "))
    async with after.db.read() as session:
        account = await service.payout_account(session, after.keys, me.id, made.json()["id"])
    assert account == IBAN


async def test_a_repeated_request_gets_its_answer_once_more_and_another_body_is_refused(
    api: httpx2.AsyncClient, headers: dict[str, str], rotate: Callable[[], None]
) -> None:
    body = {"kind": "bank_account", "iban": IBAN, "label": "Mine"}
    made = await api.post("/v1/me/payout-methods", json=body, headers=headers)
    rotate()
    again = await api.post("/v1/me/payout-methods", json=body, headers=headers)
    assert (again.status_code, again.json()) == (201, made.json())
    other = await api.post("/v1/me/payout-methods", json=body | {"label": "Hers"}, headers=headers)
    assert other.status_code == 422


async def test_what_a_contact_was_sent_still_counts(runtime: Runtime, after: Runtime) -> None:
    contact = Contact.of(email=None, phone="+923001234567")
    async with runtime.db.write() as session:
        for _ in range(LIMITS_PER_HOUR[Channel.SMS]):
            await queue_message(session, runtime.keys, contact, Template.SIGN_UP_CODE, locale="en", code="12345678")
    async with after.db.write() as session:
        assert await has_had_enough(session, after.keys, contact)


def test_a_link_that_was_given_out_leads_on(runtime: Runtime, after: Runtime) -> None:
    click_id = new_id()
    assert click_of_token(after.keys, click_token(runtime.keys, click_id)) == click_id


def test_a_seal_is_known_to_be_ours(runtime: Runtime, after: Runtime) -> None:
    seal = Seal(1, 1, 2, [1, 2], b"digests", b"hash", b"")
    assert seal.macs_after(runtime.keys, b"")[0] in seal.macs_after(after.keys, b"")


def test_of_a_secret_that_was_given_up_nothing_is_known(runtime: Runtime, after: Runtime) -> None:
    alone = Keys(after.settings.model_copy(update={"secret_keys_previous": SecretStr("")}))
    seal = Seal(1, 1, 2, [1, 2], b"digests", b"hash", b"")
    assert seal.macs_after(runtime.keys, b"")[0] not in seal.macs_after(alone, b"")
