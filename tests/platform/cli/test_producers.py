"""`wapsi producer`: keys are made, listed, replaced and ended by those who can reach the server; shown once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from typer.testing import Result

from tests.domains.cashback.conftest import MERCHANT, World
from wapsi.runtime import Runtime
from wapsi.security.permissions import PRODUCER_PERMISSIONS, Permission
from wapsi.security.principal import CredentialsInvalid

Run = Callable[..., Result]
SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
FINGERPRINT = "ab" * 32


@pytest.fixture
async def producer(
    run: Run, environment: dict[str, str], runtime: Runtime, admin_sql: SQL
) -> Callable[..., Awaitable[Result]]:
    """`await producer("list")`, on a thread of its own: a command has a loop of its own. There is a merchant."""
    await World(runtime, admin_sql).begin()

    async def producer(*arguments: str) -> Result:
        return await asyncio.to_thread(run, "producer", *arguments, **environment)

    return producer


@pytest.fixture
async def key(producer: Any) -> str:
    made = await producer("add", "Feeds", "--merchant", MERCHANT)
    assert made.exit_code == 0, made.output
    assert len(made.stdout.split()) == 1, "standard output holds the key alone, for scripts"
    return str(made.stdout.strip())


@pytest.fixture
async def producer_id(key: str, admin_sql: SQL) -> str:
    [row] = await admin_sql("SELECT id FROM producers")
    return str(row["id"])


async def is_good(runtime: Runtime, key: str) -> bool:
    try:
        await runtime.authenticator.authenticate(key)
    except CredentialsInvalid:
        return False
    return True


async def test_a_new_key_opens_the_door_and_is_known_by_its_prefix_only(
    producer: Any, key: str, producer_id: str, runtime: Runtime
) -> None:
    principal = await runtime.authenticator.authenticate(key)
    assert str(principal.id) == producer_id
    assert principal.permissions == PRODUCER_PERMISSIONS
    listed = await producer("list")
    assert listed.exit_code == 0, listed.output
    [line] = [line for line in listed.output.splitlines() if producer_id in line]
    assert "Feeds" in line
    assert "good" in line
    assert key not in listed.output
    assert any(len(word) > 5 and word in key for word in line.split()), "no prefix of the key is shown"


async def test_a_key_may_do_less_and_end(producer: Any, runtime: Runtime, admin_sql: SQL) -> None:
    scope = sorted(PRODUCER_PERMISSIONS)[0]
    made = await producer("add", "Reader", "--merchant", MERCHANT, "--scope", scope, "--expires-in-days", "1")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert (await runtime.authenticator.authenticate(key)).permissions == {Permission(scope)}
    assert "until " in (await producer("list")).output
    await admin_sql("UPDATE producer_keys SET expires_at = now() - interval '1 second'")
    assert not await is_good(runtime, key)
    assert "expired" in (await producer("list")).output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--merchant", "no-such-shop"), "MERCHANT_NOT_FOUND"),
        (("--merchant", MERCHANT, "--scope", "everything"), "everything"),
        (("--merchant", MERCHANT, "--certificate-sha256", "ab"), "64 hexadecimal digits"),
        (("--merchant", MERCHANT, "--expires-in-days", "0"), "greater than or equal to 1"),
        ((), "--merchant"),
    ],
)
async def test_what_makes_no_key_is_said(producer: Any, admin_sql: SQL, arguments: tuple[str, ...], words: str) -> None:
    result = await producer("add", "Feeds", *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert await admin_sql("SELECT 1 FROM producer_keys") == []


async def test_a_key_that_is_bound_to_a_certificate_is_refused_without_it(producer: Any, runtime: Runtime) -> None:
    made = await producer("add", "Feeds", "--merchant", MERCHANT, "--certificate-sha256", FINGERPRINT)
    key = made.stdout.strip()
    assert not await is_good(runtime, key)
    await runtime.authenticator.authenticate(key, certificate_sha256=bytes.fromhex(FINGERPRINT))


@pytest.mark.parametrize("overlap", [(), ("--overlap-s", "0")], ids=["with an overlap", "at once"])
async def test_a_replaced_key_ends_after_the_overlap(
    producer: Any, key: str, producer_id: str, runtime: Runtime, overlap: tuple[str, ...]
) -> None:
    rotated = await producer("rotate", producer_id, *overlap)
    assert rotated.exit_code == 0, rotated.output
    fresh = rotated.stdout.strip()
    assert await is_good(runtime, fresh)
    assert await is_good(runtime, key) == (overlap == ())


async def test_one_key_ends_or_all(producer: Any, key: str, producer_id: str, runtime: Runtime, admin_sql: SQL) -> None:
    fresh = (await producer("rotate", producer_id)).stdout.strip()
    [first, _second] = await admin_sql("SELECT prefix FROM producer_keys ORDER BY created_at")
    ended = await producer("revoke", producer_id, "--key", first["prefix"])
    assert (ended.exit_code, "refused from now on" in ended.output) == (0, True), ended.output
    assert [await is_good(runtime, one) for one in (key, fresh)] == [False, True]
    assert (await producer("revoke", producer_id)).exit_code == 0
    assert not await is_good(runtime, fresh)
    assert (await producer("list")).output.count("revoked") == 2


@pytest.mark.parametrize("command", ["rotate", "revoke"])
async def test_a_producer_that_is_not_there_is_said(producer: Any, command: str) -> None:
    result = await producer(command, "00000000-0000-0000-0000-000000000000")
    assert result.exit_code == 1
    assert "PRODUCER_NOT_FOUND" in result.output
