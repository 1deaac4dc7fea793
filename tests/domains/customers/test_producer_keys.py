"""Several keys of one producer: rotation with an overlap, scopes, certificates, and the end of one alone."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from domains.customers import service
from domains.customers.errors import (
    ProducerExpiryPast,
    ProducerKeyLimit,
    ProducerKeyNotFound,
    ProducerKeyRevoked,
    ProducerNotFound,
    ProducerRevoked,
    ProducerScopesInvalid,
)
from domains.customers.service import DEFAULT_OVERLAP, LONGEST_OVERLAP, NewKey, ProducerRef
from domains.customers.service.producer_keys import KEYS_MAX, hash_producer_secret
from wapsi.clock import now
from wapsi.runtime import Runtime
from wapsi.security.permissions import PRODUCER_PERMISSIONS, Permission
from wapsi.security.principal import CredentialsInvalid, PermissionMissing

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Insert = Callable[[str], Awaitable[UUID]]
Headers = dict[str, str]
READ_ONLY = frozenset({Permission.SYNCS_READ, Permission.MERCHANTS_READ})
CERTIFICATE, OTHER_CERTIFICATE = bytes(range(32)), bytes(range(1, 33))


def keyed(headers: Headers) -> Headers:
    return headers | {"Idempotency-Key": uuid4().hex}


def prefix_of(key: str) -> str:
    return key.split("_")[1]


class Desk:
    """What an operator does with one producer, each in a transaction of its own."""

    def __init__(self, runtime: Runtime, producer: ProducerRef) -> None:
        self.runtime = runtime
        self.id = producer.id

    async def rotate(self, **options: Any) -> str:
        async with self.runtime.db.write() as session:
            _, key = await service.rotate_producer(session, self.id, **options)
        return key

    async def add(self, key: NewKey | None = None) -> str:
        async with self.runtime.db.write() as session:
            _, added = await service.add_producer_key(session, self.id, key or NewKey())
        return added

    async def revoke(self, prefix: str | None = None) -> ProducerRef:
        async with self.runtime.db.write() as session:
            if prefix is None:
                return await service.revoke_producer(session, self.id)
            return await service.revoke_producer_key(session, self.id, prefix)

    async def get(self) -> ProducerRef:
        async with self.runtime.db.read() as session:
            return await service.get_producer(session, self.id)

    async def is_good(self, key: str, **options: Any) -> bool:
        try:
            principal = await self.runtime.authenticator.authenticate(key, **options)
        except CredentialsInvalid:
            return False
        assert (principal.id, principal.key_prefix) == (self.id, prefix_of(key))
        return True


@pytest.fixture
def open_desk(runtime: Runtime) -> Callable[..., Awaitable[tuple[Desk, str]]]:
    """Makes a producer: the desk for it, and its first key."""

    async def open_desk(**key: Any) -> tuple[Desk, str]:
        async with runtime.db.write() as session:
            producer, first = await service.create_producer(session, "feeds", [], key=NewKey(**key))
        return Desk(runtime, producer), first

    return open_desk


OpenDesk = Callable[..., Awaitable[tuple[Desk, str]]]


# Rotation


async def test_for_a_day_the_old_and_the_new_key_are_good(open_desk: OpenDesk, admin_sql: SQL) -> None:
    desk, old = await open_desk()
    new = await desk.rotate()
    assert await desk.is_good(old)
    assert await desk.is_good(new)
    newest, replaced = (await desk.get()).keys
    assert (newest.prefix, newest.expires_at) == (prefix_of(new), None)
    assert replaced.expires_at is not None
    assert abs(replaced.expires_at - now() - timedelta(seconds=DEFAULT_OVERLAP)) < timedelta(minutes=1)

    await admin_sql("UPDATE producer_keys SET expires_at = now() WHERE prefix = $1", prefix_of(old))
    assert not await desk.is_good(old)
    assert await desk.is_good(new)


async def test_an_overlap_does_not_make_a_key_last_longer_than_it_would_have(open_desk: OpenDesk) -> None:
    soon = now() + timedelta(minutes=5)
    desk, _ = await open_desk(expires_at=soon)
    await desk.rotate(overlap_s=LONGEST_OVERLAP)
    assert (await desk.get()).keys[1].expires_at == soon


async def test_a_new_key_may_do_what_the_one_before_it_may(open_desk: OpenDesk, runtime: Runtime) -> None:
    desk, _ = await open_desk(scopes=READ_ONLY, certificate_sha256=CERTIFICATE)
    new = await desk.rotate(expires_at=now() + timedelta(days=30))
    assert not await desk.is_good(new)
    principal = await runtime.authenticator.authenticate(new, certificate_sha256=CERTIFICATE)
    assert principal.permissions == READ_ONLY
    assert (await desk.get()).keys[0].expires_at is not None


async def test_a_rotation_replaces_the_key_that_is_named_and_no_other(open_desk: OpenDesk) -> None:
    desk, first = await open_desk()
    second = await desk.add(NewKey(scopes=READ_ONLY))
    third = await desk.rotate(key_prefix=prefix_of(first), overlap_s=0)
    assert [await desk.is_good(key) for key in (first, second, third)] == [False, True, True]
    assert (await desk.get()).keys[0].scopes == PRODUCER_PERMISSIONS


async def test_an_expired_key_can_be_replaced_a_revoked_one_cannot(open_desk: OpenDesk, admin_sql: SQL) -> None:
    desk, first = await open_desk()
    await admin_sql("UPDATE producer_keys SET expires_at = now() - interval '1 day'")
    second = await desk.rotate()
    assert await desk.is_good(second)
    await desk.revoke(prefix_of(second))
    with pytest.raises(ProducerKeyRevoked):
        await desk.rotate(key_prefix=prefix_of(second))
    assert not await desk.is_good(first)


async def test_a_rotation_that_makes_no_sense_changes_nothing(open_desk: OpenDesk) -> None:
    desk, key = await open_desk()
    stranger, foreign = await open_desk()
    for options, error in (
        ({"key_prefix": prefix_of(foreign)}, ProducerKeyNotFound),
        ({"key_prefix": "0" * 12}, ProducerKeyNotFound),
        ({"expires_at": now() - timedelta(days=1), "overlap_s": 0}, ProducerExpiryPast),
    ):
        with pytest.raises(error):
            await desk.rotate(**options)
    assert await desk.is_good(key)
    assert await stranger.is_good(foreign)
    assert len((await desk.get()).keys) == 1


# Several keys


async def test_one_key_is_revoked_at_once_and_the_others_go_on(open_desk: OpenDesk) -> None:
    desk, first = await open_desk()
    second = await desk.add()
    once = await desk.revoke(prefix_of(first))
    assert await desk.revoke(prefix_of(first)) == once
    assert [await desk.is_good(key) for key in (first, second)] == [False, True]
    await desk.revoke()
    assert not await desk.is_good(second)
    with pytest.raises(ProducerRevoked):
        await desk.add()


async def test_a_stranger_key_is_not_revoked(open_desk: OpenDesk) -> None:
    desk, _ = await open_desk()
    stranger, foreign = await open_desk()
    with pytest.raises(ProducerKeyNotFound):
        await desk.revoke(prefix_of(foreign))
    assert await stranger.is_good(foreign)


async def test_not_more_than_ten_keys_are_good_at_a_time(open_desk: OpenDesk) -> None:
    desk, first = await open_desk()
    for _ in range(KEYS_MAX - 1):
        await desk.add()
    with pytest.raises(ProducerKeyLimit):
        await desk.add()
    with pytest.raises(ProducerKeyLimit):
        await desk.rotate()
    await desk.rotate(overlap_s=0)
    await desk.revoke(prefix_of(first))
    await desk.add()


async def test_each_key_has_its_own_last_use(open_desk: OpenDesk) -> None:
    desk, first = await open_desk()
    await desk.add()
    await desk.is_good(first)
    used = {key.prefix: key.last_used_at is not None for key in (await desk.get()).keys}
    assert used.pop(prefix_of(first))
    assert list(used.values()) == [False]


# Scopes and certificates


async def test_a_key_does_what_its_scopes_say(open_desk: OpenDesk, runtime: Runtime) -> None:
    _, key = await open_desk(scopes=READ_ONLY)
    principal = await runtime.authenticator.authenticate(key)
    assert principal.permissions == READ_ONLY
    with pytest.raises(PermissionMissing):
        principal.require(Permission.SYNCS_WRITE)


@pytest.mark.parametrize("scopes", [frozenset(), {Permission.SYNCS_READ, Permission.PAYOUTS_DECIDE}])
async def test_a_key_gets_no_more_than_a_producer_may_have(open_desk: OpenDesk, scopes: Any) -> None:
    with pytest.raises(ProducerScopesInvalid):
        await open_desk(scopes=frozenset(scopes))


async def test_a_permission_that_producers_may_no_longer_have_is_none(
    open_desk: OpenDesk, runtime: Runtime, admin_sql: SQL
) -> None:
    _, key = await open_desk()
    await admin_sql("UPDATE producer_keys SET scopes = '{syncs:read,payouts:decide,made:up}'")
    assert (await runtime.authenticator.authenticate(key)).permissions == {Permission.SYNCS_READ}


async def test_a_key_that_is_bound_to_a_certificate_is_good_with_no_other(open_desk: OpenDesk) -> None:
    desk, key = await open_desk(certificate_sha256=CERTIFICATE)
    assert await desk.is_good(key, certificate_sha256=CERTIFICATE)
    assert not await desk.is_good(key, certificate_sha256=OTHER_CERTIFICATE)
    assert not await desk.is_good(key), "REST has no certificates: such a key is closed to it"
    unbound = await desk.add()
    assert await desk.is_good(unbound, certificate_sha256=OTHER_CERTIFICATE)


# Beside processes of the release before, which know the columns of producers only


async def test_what_the_release_before_makes_and_rotates_is_known(runtime: Runtime, admin_sql: SQL) -> None:
    insert = "INSERT INTO producers (name, key_prefix, key_hash) VALUES ('old', $1, $2) RETURNING id"
    (row,) = await admin_sql(insert, "a" * 12, hash_producer_secret("first"))
    principal = await runtime.authenticator.authenticate(f"wpk_{'a' * 12}_first")
    assert (principal.id, principal.permissions) == (row["id"], PRODUCER_PERMISSIONS)
    rotate = "UPDATE producers SET key_prefix = $1, key_hash = $2"
    await admin_sql(rotate, "b" * 12, hash_producer_secret("second"))
    assert (await runtime.authenticator.authenticate(f"wpk_{'b' * 12}_second")).id == row["id"]
    with pytest.raises(CredentialsInvalid):
        await runtime.authenticator.authenticate(f"wpk_{'a' * 12}_first")


async def test_the_release_before_refuses_what_has_ended_here(open_desk: OpenDesk, admin_sql: SQL) -> None:
    """It compares with producers.key_hash, and looks at expires_at and revoked_at beside it."""
    insert = "INSERT INTO producers (name, key_prefix, key_hash) VALUES ('old', $1, $2) RETURNING id"
    (row,) = await admin_sql(insert, "a" * 12, hash_producer_secret("secret"))
    desk, _ = await open_desk()
    assert (await admin_sql("SELECT key_hash FROM producers WHERE id = $1", desk.id))[0][0] == b"", "matches nothing"
    desk.id = row["id"]
    await desk.rotate()
    (before,) = await admin_sql("SELECT * FROM producers WHERE id = $1", row["id"])
    assert before["key_hash"] == hash_producer_secret("secret")
    assert before["expires_at"] == (await desk.get()).keys[1].expires_at
    await desk.revoke("a" * 12)
    assert (await admin_sql("SELECT key_hash FROM producers WHERE id = $1", row["id"]))[0][0] == b""


# The API


async def test_an_operator_adds_rotates_and_revokes_keys(
    api: httpx2.AsyncClient, admin: Headers, runtime: Runtime, insert_merchant: Insert, admin_sql: SQL
) -> None:
    fingerprint = ":".join(f"{byte:02X}" for byte in CERTIFICATE)
    body = {"name": "Feeds", "merchant_ids": [str(await insert_merchant("own"))], "scopes": ["syncs:read"]}
    made = await api.post("/v1/admin/producers", json=body, headers=keyed(admin))
    assert [key["scopes"] for key in made.json()["keys"]] == [["syncs:read"]], made.text
    path = f"/v1/admin/producers/{made.json()['id']}"

    wanted = {"scopes": ["syncs:read", "syncs:write"], "certificate_sha256": fingerprint}
    headers = keyed(admin)
    added = await api.post(f"{path}/keys", json=wanted, headers=headers)
    assert (added.status_code, added.headers["cache-control"]) == (201, "no-store"), added.text
    assert added.json()["keys"][0]["certificate_sha256"] == CERTIFICATE.hex()
    assert (await api.post(f"{path}/keys", json=wanted, headers=headers)).json() == added.json() | {"key": None}

    first = prefix_of(made.json()["key"])
    rotation = {"key_prefix": first, "overlap_s": 60}
    rotated = await api.post(f"{path}:rotate", json=rotation, headers=keyed(admin))
    assert rotated.status_code == 200, rotated.text
    assert (await runtime.authenticator.authenticate(made.json()["key"])).permissions == {Permission.SYNCS_READ}

    revoked = await api.post(f"{path}/keys/{first}:revoke", headers=admin)
    assert [key["revoked_at"] is None for key in revoked.json()["keys"]] == [True, True, False], revoked.text
    with pytest.raises(CredentialsInvalid):
        await runtime.authenticator.authenticate(made.json()["key"])

    log = await admin_sql("SELECT action, before, after FROM audit_log ORDER BY id")
    assert [row["action"] for row in log][-4:] == [
        "producer.created",
        "producer.key_added",
        "producer.rotated",
        "producer.key_revoked",
    ]
    assert all(row["after"] is not None for row in log[-4:])
    secrets = [answer.json()["key"].split("_", 2)[2] for answer in (made, added, rotated)]
    assert not any(secret in str([dict(row) for row in log]) for secret in secrets)


@pytest.mark.parametrize(
    ("call", "body", "status", "reason"),
    [
        ("/keys", {"scopes": []}, 422, "REQUEST_INVALID"),
        ("/keys", {"scopes": ["payouts:decide"]}, 422, "PRODUCER_SCOPES_INVALID"),
        ("/keys", {"certificate_sha256": "ab"}, 422, "REQUEST_INVALID"),
        ("/keys", {"expires_at": "2020-01-01T00:00:00Z"}, 422, "PRODUCER_EXPIRY_PAST"),
        (":rotate", {"overlap_s": LONGEST_OVERLAP + 1}, 422, "REQUEST_INVALID"),
        (":rotate", {"overlap_s": -1}, 422, "REQUEST_INVALID"),
        (":rotate", {"key_prefix": "0" * 12}, 404, "PRODUCER_KEY_NOT_FOUND"),
        ("/keys/000000000000:revoke", None, 404, "PRODUCER_KEY_NOT_FOUND"),
    ],
)
async def test_keys_that_make_no_sense_are_refused(
    api: httpx2.AsyncClient, admin: Headers, open_desk: OpenDesk, call: str, body: Any, status: int, reason: str
) -> None:
    desk, key = await open_desk()
    answer = await api.post(f"/v1/admin/producers/{desk.id}{call}", json=body, headers=keyed(admin))
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert await desk.is_good(key)


async def test_nobody_gets_a_key_of_a_producer_that_is_not_there(runtime: Runtime) -> None:
    async with runtime.db.write() as session:
        with pytest.raises(ProducerNotFound):
            await service.add_producer_key(session, uuid4(), NewKey())
        with pytest.raises(ProducerNotFound):
            await service.revoke_producer_key(session, uuid4(), "0" * 12)
