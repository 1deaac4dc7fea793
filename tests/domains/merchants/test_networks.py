"""Networks and their postback secrets: shown once, stored encrypted, overlapping while they rotate."""

import base64
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from domains.merchants import service
from domains.merchants.errors import NetworkExists, NetworkNotFound
from domains.merchants.service import NetworkKind
from wapsi.clock import now
from wapsi.runtime import Runtime

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]


def key_of(secret: str) -> bytes:
    assert secret.startswith("whsec_")
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


async def test_a_network_has_a_standard_webhooks_secret_that_is_stored_encrypted(
    runtime: Runtime, admin_sql: SQL
) -> None:
    async with runtime.db.write() as session:
        network, secret = await service.create_network(session, None, runtime.keys, slug="cj", name="CJ")
    assert network.kind == NetworkKind.AGGREGATOR
    assert len(key_of(secret)) == 32
    async with runtime.db.read() as session:
        assert await service.postback_secrets(session, runtime.keys, network.id) == [key_of(secret)]
        assert await service.get_network(session, "cj") == network
        assert await service.list_networks(session) == [network]
    (row,) = await admin_sql("SELECT secret_current FROM affiliate_networks")
    assert key_of(secret) not in row["secret_current"]
    assert secret.encode() not in row["secret_current"]


async def test_while_a_secret_rotates_both_count_the_new_one_first(runtime: Runtime, admin_sql: SQL) -> None:
    async with runtime.db.write() as session:
        network, first = await service.create_network(session, None, runtime.keys, slug="cj", name="CJ")
        _, second, until = await service.rotate_network_secret(session, None, runtime.keys, "cj")
    assert timedelta(hours=23) < until - now() <= timedelta(hours=24)
    async with runtime.db.read() as session:
        secrets = await service.postback_secrets(session, runtime.keys, network.id)
    assert secrets == [key_of(second), key_of(first)]

    await admin_sql("UPDATE affiliate_networks SET secret_previous_until = now() - interval '1 second'")
    async with runtime.db.read() as session:
        assert await service.postback_secrets(session, runtime.keys, network.id) == [key_of(second)]


async def test_a_second_rotation_ends_the_first_secret(runtime: Runtime) -> None:
    async with runtime.db.write() as session:
        network, first = await service.create_network(session, None, runtime.keys, slug="cj", name="CJ")
        await service.rotate_network_secret(session, None, runtime.keys, "cj")
        await service.rotate_network_secret(session, None, runtime.keys, "cj")
        assert key_of(first) not in await service.postback_secrets(session, runtime.keys, network.id)


async def test_a_slug_is_given_once(runtime: Runtime) -> None:
    async with runtime.db.write() as session:
        await service.create_network(session, None, runtime.keys, slug="cj", name="CJ")
        with pytest.raises(NetworkExists):
            await service.create_network(session, None, runtime.keys, slug="cj", name="Another")


async def test_an_unknown_network_is_not_found(runtime: Runtime) -> None:
    async with runtime.db.write() as session:
        with pytest.raises(NetworkNotFound):
            await service.get_network(session, "nobody")
        with pytest.raises(NetworkNotFound):
            await service.rotate_network_secret(session, None, runtime.keys, "nobody")
        with pytest.raises(NetworkNotFound):
            await service.postback_secrets(session, runtime.keys, uuid4())


async def test_no_secret_is_in_the_audit_log(runtime: Runtime, admin_sql: SQL) -> None:
    async with runtime.db.write() as session:
        _, first = await service.create_network(session, None, runtime.keys, slug="cj", name="CJ")
        _, second, _ = await service.rotate_network_secret(session, None, runtime.keys, "cj")
    entries = await admin_sql("SELECT audit_log::text AS line FROM audit_log ORDER BY id")
    assert len(entries) == 2
    assert not any(secret in entry["line"] for entry in entries for secret in (first, second))
