"""`wapsi feed push` to a real server that asks for client certificates, with a key that is bound to one of them."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import Result

from tests.domains.cashback.conftest import MERCHANT, World
from tests.platform.rpc.test_tls import CA, CLIENT, SERVER, STRANGER, Pair
from wapsi.roots.grpc_app import make_rpc_server
from wapsi.rpc.server import RPCServer
from wapsi.runtime import Runtime

Run = Callable[..., Result]
SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
OTHER = Pair("another client", CA)
FEED = b'{"id":"1","title":"Lamp","link":"https://daraz.example/p/1","price":"PKR 100","availability":"in stock"}\n'


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {"ca": CA.pem, "feed.jsonl": FEED}
    for name, pair in (("server", SERVER), ("client", CLIENT), ("other", OTHER), ("stranger", STRANGER)):
        made |= {name: pair.pem, f"{name}_key": pair.key_pem}
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    return {name: tmp_path / name for name in made}


@pytest.fixture
async def server(runtime: Runtime, admin_sql: SQL, files: dict[str, Path]) -> AsyncIterator[RPCServer]:
    await World(runtime, admin_sql).begin()
    changes = {
        "grpc_tls_cert_file": files["server"],
        "grpc_tls_key_file": files["server_key"],
        "grpc_tls_client_ca_file": files["ca"],
    }
    settings = runtime.settings.model_copy(update=changes)
    server = make_rpc_server(dataclasses.replace(runtime, settings=settings))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def bound_key(run: Run, environment: dict[str, str], server: RPCServer) -> str:
    """Made by the command, for CLIENT's certificate alone."""
    arguments = ("producer", "add", "Feeds", "--merchant", MERCHANT, "--certificate-sha256", CLIENT.sha256.hex())
    made = await asyncio.to_thread(run, *arguments, **environment)
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


@pytest.fixture
def push(
    run: Run, environment: dict[str, str], server: RPCServer, files: dict[str, Path], bound_key: str
) -> Callable[..., Awaitable[Result]]:
    async def push(*options: str) -> Result:
        target = f"127.0.0.1:{server.port}"
        arguments = ("feed", "push", str(files["feed.jsonl"]), "--merchant", MERCHANT, "--target", target)
        return await asyncio.to_thread(run, *arguments, "--key", bound_key, *options, **environment)

    return push


def shown(files: dict[str, Path], name: str) -> tuple[str, ...]:
    return "--tls-ca", str(files["ca"]), "--tls-cert", str(files[name]), "--tls-key", str(files[f"{name}_key"])


async def test_the_certificate_that_the_key_is_bound_to_lets_the_feed_in(
    push: Any, files: dict[str, Path], admin_sql: SQL, drain: Callable[[], Awaitable[int]]
) -> None:
    pushing = asyncio.create_task(push(*shown(files, "client")))
    while not pushing.done():
        await drain()
        await asyncio.sleep(0.05)
    result = await pushing
    assert result.exit_code == 0, result.output
    assert [row["offer_id"] for row in await admin_sql("SELECT offer_id FROM offers")] == ["1"]


async def test_another_certificate_of_the_same_ca_does_not_go_with_the_key(push: Any, files: dict[str, Path]) -> None:
    result = await push(*shown(files, "other"))
    assert result.exit_code == 1
    assert "CREDENTIALS_INVALID" in result.output


@pytest.mark.parametrize("half", ["--tls-cert", "--tls-key"])
async def test_a_certificate_without_its_key_is_said(push: Any, files: dict[str, Path], half: str) -> None:
    result = await push(half, str(files["client"]))
    assert result.exit_code == 2
    assert "go together" in result.output
