"""The real server, for what the client is to others: merchants, a key, a worker that works beside."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from domains.customers import service as customers
from domains.merchants import service as merchants
from domains.offers import rpc
from wapsi.rpc.server import RPCServer
from wapsi.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Door:
    """Where a producer is let in, with a key for the merchant my-shop, whose offers lead to my-shop.example."""

    target: str
    key: str


@pytest.fixture
async def door(runtime: Runtime) -> AsyncIterator[Door]:
    async with runtime.db.write() as session:
        new = merchants.NewMerchant(
            slug="my-shop",
            name="My Shop",
            currency="PKR",
            deep_link_template="https://go.example/?u={link}&c={click_id}",
            allowed_landing_hosts=("my-shop.example",),
        )
        merchant = await merchants.create_merchant(session, None, new)
        _ref, key = await customers.create_producer(session, "kit", [merchant.id])
    server = RPCServer(runtime, [rpc.rpc_service(runtime)])
    await server.start()
    yield Door(f"127.0.0.1:{server.port}", key)
    await server.stop()


@pytest.fixture
def beside(drain: Callable[[], Awaitable[int]]) -> Callable[[Any], Awaitable[Any]]:
    """Awaits something while the worker works."""

    async def beside(work: Any) -> Any:
        task = asyncio.create_task(work)
        while not task.done():
            await drain()
            await asyncio.sleep(0.01)
        return await task

    return beside
