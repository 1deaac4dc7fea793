"""Producers and their keys: shown once, stored hashed, bound to merchants, refused the moment they end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from domains.customers import service
from domains.customers.errors import (
    MerchantUnknown,
    NetworkUnknown,
    ProducerExpiryPast,
    ProducerNotFound,
    ProducerRevoked,
)
from domains.customers.service import NewKey, ProducerRef
from wapsi.clock import now
from wapsi.runtime import Runtime
from wapsi.security.permissions import PRODUCER_PERMISSIONS, OperatorRole
from wapsi.security.principal import CredentialsInvalid, PrincipalKind

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Insert = Callable[[str], Awaitable[UUID]]
Headers = dict[str, str]
NOBODY = "019a0000-0000-7000-8000-000000000000"


def keyed(headers: Headers) -> Headers:
    return headers | {"Idempotency-Key": uuid4().hex}


async def make(runtime: Runtime, *merchant_ids: UUID, **options: Any) -> tuple[ProducerRef, str]:
    async with runtime.db.write() as session:
        return await service.create_producer(session, "feeds", merchant_ids, **options)


async def refused(runtime: Runtime, key: str) -> bool:
    try:
        await runtime.authenticator.authenticate(key)
    except CredentialsInvalid:
        return True
    return False


# Keys


async def test_a_key_speaks_for_its_merchants_only(runtime: Runtime, insert_merchant: Insert) -> None:
    own, foreign = await insert_merchant("own"), await insert_merchant("foreign")
    producer, key = await make(runtime, own)
    assert key.startswith(f"wpk_{producer.keys[0].prefix}_")
    principal = await runtime.authenticator.authenticate(key)
    assert (principal.kind, principal.id, principal.session_id) == (PrincipalKind.PRODUCER, producer.id, None)
    assert principal.permissions == PRODUCER_PERMISSIONS
    assert principal.may_use_merchant(own)
    assert not principal.may_use_merchant(foreign)


async def test_a_producer_without_merchants_may_use_none(runtime: Runtime, insert_merchant: Insert) -> None:
    merchant = await insert_merchant("some")
    _, key = await make(runtime)
    assert not (await runtime.authenticator.authenticate(key)).may_use_merchant(merchant)


async def test_a_key_is_stored_as_a_hash(runtime: Runtime, admin_sql: SQL) -> None:
    _, key = await make(runtime)
    secret = key.split("_", 2)[2]
    (row,) = await admin_sql("SELECT * FROM producers JOIN producer_keys ON producer_id = producers.id")
    assert len(row["hash"]) == 32
    assert secret not in str(dict(row))


async def test_wrong_keys_are_refused(runtime: Runtime) -> None:
    _, key = await make(runtime)
    prefix = key.split("_")[1]
    for wrong in (
        key[:-1],
        key + "x",
        f"wpk_{prefix}_",
        f"wpk_{prefix}",
        "wpk_",
        "wpk__",
        key.replace(prefix, "0" * 12),
        f"wpk_{prefix}\0_x",
        f"wpk_{prefix}é_x",
    ):
        assert await refused(runtime, wrong), wrong
    assert not await refused(runtime, key)


async def test_a_revoked_key_is_refused_at_once(runtime: Runtime) -> None:
    producer, key = await make(runtime)
    async with runtime.db.write() as session:
        revoked = await service.revoke_producer(session, producer.id)
        again = await service.revoke_producer(session, producer.id)
    assert revoked.revoked_at is not None
    assert again == revoked
    assert await refused(runtime, key)


async def test_an_expired_key_is_refused(runtime: Runtime, admin_sql: SQL) -> None:
    _, key = await make(runtime, key=NewKey(expires_at=now() + timedelta(hours=1)))
    assert not await refused(runtime, key)
    await admin_sql("UPDATE producer_keys SET expires_at = now()")
    assert await refused(runtime, key)


async def test_a_rotation_without_overlap_ends_the_key_before(runtime: Runtime, insert_merchant: Insert) -> None:
    merchant = await insert_merchant("own")
    producer, old = await make(runtime, merchant)
    async with runtime.db.write() as session:
        rotated, new = await service.rotate_producer(session, producer.id, overlap_s=0)
    assert rotated.id == producer.id
    assert await refused(runtime, old)
    assert (await runtime.authenticator.authenticate(new)).merchant_ids == frozenset({merchant})


async def test_a_revoked_producer_does_not_come_back_by_rotation(runtime: Runtime) -> None:
    producer, _ = await make(runtime)
    async with runtime.db.write() as session:
        await service.revoke_producer(session, producer.id)
        with pytest.raises(ProducerRevoked):
            await service.rotate_producer(session, producer.id)


async def test_the_last_use_is_noted_once_a_minute(runtime: Runtime, admin_sql: SQL) -> None:
    _, key = await make(runtime)

    async def last_use() -> Any:
        return (await admin_sql("SELECT last_used_at FROM producer_keys"))[0][0]

    assert await last_use() is None
    await runtime.authenticator.authenticate(key)
    first = await last_use()
    assert now() - first < timedelta(seconds=10)
    await runtime.authenticator.authenticate(key)
    assert await last_use() == first
    await admin_sql("UPDATE producer_keys SET last_used_at = now() - interval '61 seconds'")
    await runtime.authenticator.authenticate(key)
    assert await last_use() > first


async def test_a_use_that_cannot_be_noted_fails_no_call(runtime: Runtime, admin_sql: SQL) -> None:
    producer, key = await make(runtime)
    await admin_sql("REVOKE UPDATE ON producer_keys FROM wapsi_app")
    try:
        assert (await runtime.authenticator.authenticate(key)).id == producer.id
    finally:
        await admin_sql("GRANT UPDATE ON producer_keys TO wapsi_app")
    assert (await admin_sql("SELECT last_used_at FROM producer_keys"))[0][0] is None


async def test_a_use_does_not_wait_for_somebody_who_holds_the_row(runtime: Runtime) -> None:
    producer, key = await make(runtime)
    async with runtime.db.write() as session:
        await service.rotate_producer(session, producer.id)
        async with asyncio.timeout(5):
            assert (await runtime.authenticator.authenticate(key)).id == producer.id


async def test_a_producer_for_what_does_not_exist_is_not_made(runtime: Runtime, admin_sql: SQL) -> None:
    for options, error in (
        ({"network_id": uuid4()}, NetworkUnknown),
        ({"key": NewKey(expires_at=now())}, ProducerExpiryPast),
    ):
        with pytest.raises(error):
            await make(runtime, **options)
    with pytest.raises(MerchantUnknown):
        await make(runtime, uuid4())
    assert await admin_sql("SELECT 1 FROM producers") == []


async def test_unknown_producers_are_not_found(runtime: Runtime) -> None:
    async with runtime.db.write() as session:
        for action in (service.get_producer, service.rotate_producer, service.revoke_producer):
            with pytest.raises(ProducerNotFound):
                await action(session, uuid4())


async def test_a_producers_network_can_be_read(runtime: Runtime, admin_sql: SQL) -> None:
    rows = await admin_sql(
        "INSERT INTO affiliate_networks (slug, name, kind, secret_current) VALUES ('cj', 'CJ', 'aggregator', 'x')"
        " RETURNING id"
    )
    producer, _ = await make(runtime, network_id=rows[0]["id"])
    async with runtime.db.read() as session:
        assert (await service.get_producer(session, producer.id)).network_id == rows[0]["id"]


# The API


async def test_an_operator_makes_rotates_and_revokes_a_producer(
    api: httpx2.AsyncClient, admin: Headers, runtime: Runtime, insert_merchant: Insert, admin_sql: SQL
) -> None:
    merchant = await insert_merchant("own")
    body = {"name": "Feeds", "merchant_ids": [str(merchant)]}
    made = await api.post("/v1/admin/producers", json=body, headers=admin)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store"), made.text
    key = made.json()["key"]
    assert not await refused(runtime, key)
    again = await api.post("/v1/admin/producers", json=body, headers=admin)
    assert again.json() == made.json() | {"key": None}, "a key is shown once"
    assert all(key.encode() not in row["body"] for row in await admin_sql("SELECT body FROM idempotent_answers"))

    path = f"/v1/admin/producers/{made.json()['id']}"
    headers = keyed(admin)
    rotated = await api.post(f"{path}:rotate", json={"overlap_s": 0}, headers=headers)
    assert rotated.status_code == 200, rotated.text
    assert (await api.post(f"{path}:rotate", json={"overlap_s": 0}, headers=headers)).json()["key"] is None
    assert await refused(runtime, key)
    assert not await refused(runtime, rotated.json()["key"]), "a lost answer does not rotate twice"

    revoked = await api.post(f"{path}:revoke", headers=admin)
    assert revoked.json()["revoked_at"] is not None
    assert await refused(runtime, rotated.json()["key"])
    refusal = await api.post(f"{path}:rotate", headers=keyed(admin))
    assert (refusal.status_code, refusal.json()["reason"]) == (409, "PRODUCER_REVOKED")

    log = (await api.get("/v1/admin/audit-log", headers=admin)).json()["items"]
    actions = [entry["action"] for entry in log]
    assert actions == ["producer.revoked", "producer.rotated", "producer.created", "operator.created"]
    assert not any(secret in str(log) for secret in (key, rotated.json()["key"]))


async def test_the_list_is_paged_the_newest_first_and_has_no_keys(
    api: httpx2.AsyncClient, admin: Headers, runtime: Runtime
) -> None:
    made = [str((await make(runtime))[0].id) for _ in range(5)]
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/v1/admin/producers", params=params, headers=admin)).json()
        assert all("key" not in item and "key_hash" not in item for item in page["items"])
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]
    assert cursor is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"name": "x", "merchant_ids": [NOBODY]}, "MERCHANT_UNKNOWN"),
        ({"name": "x", "merchant_ids": [], "network_id": NOBODY}, "NETWORK_UNKNOWN"),
        ({"name": "x", "merchant_ids": [], "expires_at": "2020-01-01T00:00:00Z"}, "PRODUCER_EXPIRY_PAST"),
        ({"name": "x", "merchant_ids": [], "expires_at": "2099-01-01T00:00:00"}, "REQUEST_INVALID"),
        ({"name": "", "merchant_ids": []}, "REQUEST_INVALID"),
        ({"name": "x", "merchant_ids": ["daraz"]}, "REQUEST_INVALID"),
    ],
)
async def test_a_producer_that_makes_no_sense_is_refused(
    api: httpx2.AsyncClient, admin: Headers, body: dict[str, Any], reason: str
) -> None:
    answer = await api.post("/v1/admin/producers", json=body, headers=admin)
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)


@pytest.mark.parametrize("role", [OperatorRole.SUPPORT, OperatorRole.CATALOGUE, OperatorRole.FINANCE])
async def test_only_admins_make_producers(
    api: httpx2.AsyncClient, operator: Callable[[OperatorRole], Awaitable[Headers]], role: OperatorRole
) -> None:
    headers = await operator(role)
    for method, path in (("GET", "/v1/admin/producers"), ("POST", f"/v1/admin/producers/{uuid4()}:rotate")):
        answer = await api.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["reason"]) == (403, "PERMISSION_MISSING")


async def test_a_producer_reaches_no_account(api: httpx2.AsyncClient, runtime: Runtime) -> None:
    _, key = await make(runtime)
    for path in ("/v1/me", "/v1/admin/producers", "/v1/admin/audit-log", "/v1/admin/networks"):
        answer = await api.get(path, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 403, path
