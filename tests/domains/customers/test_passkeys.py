"""Passkeys: a device in software registers and signs in, and every way in which its answer can be wrong is refused."""

import base64
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import cbor2
import httpx2
import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from domains.customers import service
from wapsi.clock import now
from wapsi.db import Database
from wapsi.runtime import Runtime
from wapsi.security.permissions import OperatorRole

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Post = Callable[..., Awaitable[httpx2.Response]]
Json = dict[str, Any]
PASSWORD = "correct horse battery"
CONFIRMED = {"current_password": PASSWORD}
ORIGIN, RP_ID = "http://wapsi.test", "wapsi.test"
PRESENT, VERIFIED, WITH_KEY = 0x01, 0x04, 0x40


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Device:
    """An authenticator with one passkey. What it says can be bent: that is what the tests are about."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = secrets.token_bytes(32)
        self.handle = b""
        self.count = 0
        self.origin = ORIGIN
        self.rp_id = RP_ID
        self.flags = PRESENT | VERIFIED

    def create(self, options: Json) -> Json:
        self.handle = base64.urlsafe_b64decode(options["user"]["id"] + "==")
        numbers = self.key.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32), numbers.y.to_bytes(32)
        key = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})
        data = self._data(self.flags | WITH_KEY)
        data += bytes(16) + len(self.credential_id).to_bytes(2) + self.credential_id + key
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options["challenge"])
        return self._answer(clientDataJSON=encoded(client), attestationObject=encoded(attestation))

    def get(self, options: Json, **changes: Any) -> Json:
        self.count += 1
        data = self._data(self.flags)
        client = self._client("webauthn.get", options["challenge"])
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": encoded(client),
            "authenticatorData": encoded(data),
            "signature": encoded(signature),
            "userHandle": encoded(self.handle),
        }
        return self._answer(**response | changes)

    def _answer(self, **response: str) -> Json:
        name = encoded(self.credential_id)
        return {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}

    def _client(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4)


class Person:
    def __init__(self, api: httpx2.AsyncClient, tokens: Json, prefix: str = "/v1/me") -> None:
        self.api = api
        self.tokens = tokens
        self.prefix = prefix

    async def call(self, method: str, path: str, body: Json | None = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.tokens['access_token']}"}
        return await self.api.request(method, f"{self.prefix}{path}", json=body, headers=headers)

    async def options(self) -> Json:
        answer = await self.call("POST", "/passkeys:options", CONFIRMED)
        assert answer.status_code == 200, answer.text
        asked: Json = answer.json()
        return asked

    async def register(self, device: Device, name: str = "A phone") -> httpx2.Response:
        asked = await self.options()
        body = {"challenge": asked["challenge"], "name": name, "credential": device.create(asked["options"])}
        return await self.call("POST", "/passkeys", body)

    async def refresh(self) -> None:
        body = {"refresh_token": self.tokens["refresh_token"]}
        answer = await self.api.post("/v1/sessions:refresh", json=body)
        assert answer.status_code == 200, answer.text
        self.tokens = answer.json()


@pytest.fixture
def asma(api: httpx2.AsyncClient, customer: Json) -> Person:
    return Person(api, customer)


@pytest.fixture
async def phone(asma: Person) -> Device:
    """Asma's, registered."""
    device = Device()
    made = await asma.register(device)
    assert made.status_code == 201, made.text
    return device


async def ask(api: httpx2.AsyncClient) -> Json:
    answer = await api.post("/v1/sessions:passkey-options")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    asked: Json = answer.json()
    return asked


async def sign_in(
    api: httpx2.AsyncClient, device: Device, asked: Json | None = None, **changes: Any
) -> httpx2.Response:
    asked = asked or await ask(api)
    body = {"challenge": asked["challenge"], "credential": device.get(asked["options"], **changes)}
    return await api.post("/v1/sessions:passkey", json=body)


# Registering


async def test_a_passkey_is_registered_listed_renamed_and_removed(asma: Person) -> None:
    made = (await asma.register(Device())).json()
    assert (made["name"], made["last_used_at"], len(made["recovery_codes"])) == ("A phone", None, 10)
    await asma.refresh()
    renamed = await asma.call("PATCH", f"/passkeys/{made['id']}", {"name": "An old phone"})
    assert renamed.json()["name"] == "An old phone"
    [listed] = (await asma.call("GET", "/passkeys")).json()["items"]
    assert listed == renamed.json()
    assert (await asma.call("POST", f"/passkeys/{made['id']}:remove", CONFIRMED)).status_code == 204
    assert (await asma.call("GET", "/passkeys")).json()["items"] == []


async def test_the_options_say_nothing_of_the_account_but_its_id_and_name(asma: Person, runtime: Runtime) -> None:
    options = (await asma.options())["options"]
    me = await runtime.authenticator.authenticate(asma.tokens["access_token"])
    assert options["rp"] == {"id": RP_ID, "name": "Wapsi"}
    assert UUID(bytes=base64.urlsafe_b64decode(options["user"]["id"] + "==")) == me.id
    assert options["authenticatorSelection"]["userVerification"] == "required"


async def test_a_second_passkey_brings_no_codes_and_is_not_offered_to_the_first_device(
    asma: Person, phone: Device
) -> None:
    await asma.refresh()
    excluded = (await asma.options())["options"]["excludeCredentials"]
    assert [one["id"] for one in excluded] == [encoded(phone.credential_id)]
    second = await asma.register(Device(), "A key")
    assert (second.status_code, second.json()["recovery_codes"]) == (201, [])


@pytest.mark.parametrize(
    ("wrong", "value"),
    [("origin", "https://evil.example"), ("rp_id", "evil.example"), ("flags", VERIFIED), ("flags", PRESENT)],
    ids=["origin", "rp", "nobody present", "nobody verified"],
)
async def test_an_answer_for_somewhere_else_is_not_registered(
    asma: Person, wrong: str, value: Any, admin_sql: SQL
) -> None:
    device = Device()
    setattr(device, wrong, value)
    refused = await asma.register(device)
    assert (refused.status_code, refused.json()["reason"]) == (422, "PASSKEY_INVALID")
    assert await admin_sql("SELECT 1 FROM passkeys") == []


async def test_a_challenge_registers_one_passkey_of_its_own_account(
    asma: Person, api: httpx2.AsyncClient, sign_up: Post
) -> None:
    asked = await asma.options()
    body = {"challenge": asked["challenge"], "name": "x", "credential": Device().create(asked["options"])}
    await sign_up("bilal@example.com")
    tokens = await api.post("/v1/sessions", json={"email": "bilal@example.com", "password": PASSWORD})
    other = await Person(api, tokens.json()).call("POST", "/passkeys", body)
    assert (other.status_code, other.json()["reason"]) == (401, "CHALLENGE_INVALID")
    assert (await asma.call("POST", "/passkeys", body)).status_code == 201
    await asma.refresh()
    again = await asma.call("POST", "/passkeys", body)
    assert (again.status_code, again.json()["reason"]) == (401, "CHALLENGE_INVALID")


async def test_a_passkey_belongs_to_one_account(
    asma: Person, phone: Device, api: httpx2.AsyncClient, sign_up: Post
) -> None:
    await sign_up("bilal@example.com")
    tokens = await api.post("/v1/sessions", json={"email": "bilal@example.com", "password": PASSWORD})
    taken = await Person(api, tokens.json()).register(phone)
    assert (taken.status_code, taken.json()["reason"]) == (409, "PASSKEY_EXISTS")


async def test_registering_and_removing_need_the_password(asma: Person, phone: Device) -> None:
    await asma.refresh()
    [passkey] = (await asma.call("GET", "/passkeys")).json()["items"]
    wrong = {"current_password": "a wrong password"}
    for path in ("/passkeys:options", f"/passkeys/{passkey['id']}:remove"):
        refused = await asma.call("POST", path, wrong)
        assert (refused.status_code, refused.json()["reason"]) == (403, "PASSWORD_WRONG")


async def test_anothers_passkey_can_be_neither_renamed_nor_removed(
    asma: Person, phone: Device, api: httpx2.AsyncClient, sign_up: Post
) -> None:
    [passkey] = (await asma.call("GET", "/passkeys")).json()["items"]
    await sign_up("bilal@example.com")
    tokens = await api.post("/v1/sessions", json={"email": "bilal@example.com", "password": PASSWORD})
    bilal = Person(api, tokens.json())
    for passkey_id in (passkey["id"], uuid4()):
        renamed = await bilal.call("PATCH", f"/passkeys/{passkey_id}", {"name": "mine"})
        removed = await bilal.call("POST", f"/passkeys/{passkey_id}:remove", CONFIRMED)
        assert {renamed.json()["reason"], removed.json()["reason"]} == {"PASSKEY_NOT_FOUND"}


# Signing in


async def test_a_passkey_signs_in_without_a_password_and_counts_as_two_factors(
    api: httpx2.AsyncClient, asma: Person, phone: Device, runtime: Runtime
) -> None:
    asked = await ask(api)
    assert asked["options"]["userVerification"] == "required"
    assert not asked["options"].get("allowCredentials")
    answer = await sign_in(api, phone, asked)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    principal = await runtime.authenticator.authenticate(answer.json()["access_token"])
    assert principal.has_second_factor
    signed_in = Person(api, answer.json())
    assert (await signed_in.call("GET", "/passkeys")).json()["items"][0]["last_used_at"] is not None


async def test_an_operator_of_finance_signs_in_by_passkey_alone(
    api: httpx2.AsyncClient, db: Database, runtime: Runtime
) -> None:
    async with db.write() as session:
        await service.create_operator(session, "op@wapsi.example", PASSWORD, OperatorRole.FINANCE)
    tokens = await api.post("/v1/admin/sessions", json={"email": "op@wapsi.example", "password": PASSWORD})
    device = Device()
    assert (await Person(api, tokens.json(), "/v1/admin/me").register(device)).status_code == 201
    answer = await sign_in(api, device)
    assert not (await runtime.authenticator.authenticate(answer.json()["access_token"])).withheld


@pytest.mark.parametrize(
    ("wrong", "value"),
    [
        ("origin", "https://evil.example"),
        ("rp_id", "evil.example"),
        ("flags", VERIFIED),
        ("flags", PRESENT),
        ("credential_id", b"a credential that nobody has"),
        ("key", ec.generate_private_key(ec.SECP256R1())),
        ("handle", bytes(16)),
    ],
    ids=["origin", "rp", "nobody present", "nobody verified", "unknown", "another key", "another account"],
)
async def test_whatever_is_wrong_there_is_one_answer(
    api: httpx2.AsyncClient, phone: Device, wrong: str, value: Any
) -> None:
    setattr(phone, wrong, value)
    refused = await sign_in(api, phone)
    assert (refused.status_code, refused.json()["reason"]) == (401, "CREDENTIALS_INVALID")
    assert refused.json()["detail"] == "The credentials are unknown, expired or revoked."


@pytest.mark.parametrize("field", ["clientDataJSON", "authenticatorData", "signature", "userHandle"])
@pytest.mark.parametrize("garbage", ["", "A", "AAAA", "A" * 5000])
async def test_garbage_is_refused(api: httpx2.AsyncClient, phone: Device, field: str, garbage: str) -> None:
    assert (await sign_in(api, phone, **{field: garbage})).status_code == 401


async def test_a_challenge_is_good_for_one_sign_in_and_for_five_minutes(api: httpx2.AsyncClient, phone: Device) -> None:
    asked = await ask(api)
    assert (await sign_in(api, phone, asked)).status_code == 201
    assert (await sign_in(api, phone, asked)).json()["reason"] == "CHALLENGE_INVALID"
    late = await ask(api)
    with time_machine.travel(now() + timedelta(minutes=6), tick=True):
        assert (await sign_in(api, phone, late)).json()["reason"] == "CHALLENGE_INVALID"


async def test_an_answer_to_another_challenge_is_refused(api: httpx2.AsyncClient, phone: Device) -> None:
    first, second = await ask(api), await ask(api)
    assert (await sign_in(api, phone, first | {"challenge": second["challenge"]})).status_code == 401


async def test_a_counter_that_goes_back_is_a_copy_and_is_refused(api: httpx2.AsyncClient, phone: Device) -> None:
    phone.count = 10
    assert (await sign_in(api, phone)).status_code == 201
    phone.count = 5
    assert (await sign_in(api, phone)).status_code == 401
    phone.count = 11
    assert (await sign_in(api, phone)).status_code == 201, "one further than before"


async def test_a_suspended_customer_is_not_let_in(api: httpx2.AsyncClient, phone: Device, admin_sql: SQL) -> None:
    await admin_sql("UPDATE customers SET status = 'suspended'")
    assert (await sign_in(api, phone)).status_code == 401


# Beside a password


async def test_after_the_password_a_passkey_of_the_account_is_asked_for(
    api: httpx2.AsyncClient, asma: Person, phone: Device, sign_up: Post
) -> None:
    body = {"email": "asma@example.com", "password": PASSWORD}
    step = (await api.post("/v1/sessions", json=body)).json()
    assert step["methods"] == ["passkey", "recovery_code"]
    assert [one["id"] for one in step["passkey_options"]["allowCredentials"]] == [encoded(phone.credential_id)]

    await sign_up("bilal@example.com")
    tokens = await api.post("/v1/sessions", json={"email": "bilal@example.com", "password": PASSWORD})
    bilals = Device()
    await Person(api, tokens.json()).register(bilals)
    answers = []
    for device in (bilals, phone):
        proof = {"challenge": step["challenge"], "credential": device.get(step["passkey_options"])}
        answers.append(await api.post("/v1/sessions:verify", json=proof))
    assert [answer.status_code for answer in answers] == [401, 201]
    assert answers[0].json()["reason"] == "SECOND_FACTOR_INVALID"


async def test_the_last_factor_that_goes_takes_the_recovery_codes_along(
    api: httpx2.AsyncClient, asma: Person, phone: Device, admin_sql: SQL
) -> None:
    await asma.refresh()
    [passkey] = (await asma.call("GET", "/passkeys")).json()["items"]
    assert (await asma.call("POST", f"/passkeys/{passkey['id']}:remove", CONFIRMED)).status_code == 204
    assert await admin_sql("SELECT 1 FROM recovery_codes") == []
    assert (await sign_in(api, phone)).status_code == 401
    body = {"email": "asma@example.com", "password": PASSWORD}
    assert (await api.post("/v1/sessions", json=body)).status_code == 201
