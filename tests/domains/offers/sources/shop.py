"""A shop's web server with a feed on it, and an operator's desk with the merchant's feed source."""

import asyncio
import contextlib
import hashlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from domains.merchants import service as merchants
from domains.offers.service import sources
from wapsi.config import Settings
from wapsi.fetch import Fetcher, FetchLimits
from wapsi.queue import outbox
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime

SECRET = "s3cr3t-feed-token"
KEY_IN_PATH = "k3y-in-the-path"
INCREMENTAL = pb.SYNC_MODE_INCREMENTAL


def row(offer_id: str, price: str = "PKR 1,299.00") -> str:
    return (
        f'{{"id": "{offer_id}", "title": "Kurta {offer_id}", "link": "https://shop.example/{offer_id}",'
        f' "price": "{price}", "availability": "in_stock"}}\n'
    )


@dataclass
class FeedServer:
    """A shop's web server with one file, which it gives with an ETag unless told otherwise."""

    port: int = 0
    body: str = row("1") + row("2")
    status: int = 200
    etags: bool = True
    requests: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/apikey/{KEY_IN_PATH}/feed.jsonl?token={SECRET}"

    @property
    def shown(self) -> str:
        return f"http://127.0.0.1:{self.port}/apikey/***/feed.jsonl?***"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(request)
            self.asked.set()
            if self.hold is not None:
                await self.hold.wait()
            etag = f'"{hashlib.sha256(self.body.encode()).hexdigest()}"'
            known = self.etags and f"if-none-match: {etag}" in request.lower()
            status = 304 if known and self.status == 200 else self.status
            body = "" if known else self.body
            lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body.encode())}"]
            lines += [f"ETag: {etag}"] if self.etags else []
            writer.write("\r\n".join([*lines, "", body]).encode())
            await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[FeedServer]:
    server = FeedServer()
    listening = await asyncio.start_server(server.answer, "127.0.0.1")
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    if server.hold is not None:
        server.hold.set()
    listening.close()


@pytest.fixture
def loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    def make_fetcher(settings: Settings) -> Fetcher:
        limits = FetchLimits(size_bytes=settings.feed_upload_limit_bytes)
        return Fetcher(limits, allow_http=True, trusted_networks=[ipaddress.ip_network("127.0.0.0/8")])

    monkeypatch.setattr(sources, "make_fetcher", make_fetcher)


@dataclass
class Desk:
    """An operator's desk: the feed source of the merchant `shop`, and the clock's hands."""

    api: Any
    token: str
    runtime: Runtime
    drain: Callable[[], Awaitable[int]]
    sql: Any
    path: str = "/v1/admin/merchants/shop/feed-source"

    async def call(self, method: str, path: str | None = None, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self.api.request(method, path or self.path, headers=headers, **options)

    async def put(self, **body: Any) -> Any:
        answer = await self.call("PUT", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def source(self) -> Any:
        answer = await self.call("GET")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def run(self, kind: str = "offers.schedule_fetches") -> None:
        """As the scheduler would, and then everything that follows."""
        async with self.runtime.db.write() as session:
            await outbox.enqueue(session, kind, {})
        await self.drain()

    async def when_due(self) -> Any:
        """The next fetch, on its schedule; returns the source after it."""
        await self.sql("UPDATE feed_sources SET next_fetch_at = now()")
        await self.run()
        return await self.source()

    async def offers(self) -> dict[str, int]:
        items = (await self.api.get("/v1/offers")).json()["items"]
        return {item["offer_id"]: item["price_minor"] for item in items}

    async def syncs(self) -> list[Any]:
        return list(await self.sql("SELECT * FROM syncs ORDER BY id"))


@pytest.fixture
async def desk(
    api: Any, runtime: Runtime, shop: Any, operator_token: str, admin_sql: Any, loopback_is_public: None
) -> Desk:
    return Desk(api, operator_token, runtime, shop.drain, admin_sql)


# How many at once


async def sources_of(desk: Desk, server: FeedServer, count: int) -> None:
    """As many merchants more, each with a source that is due."""
    for number in range(count):
        async with desk.runtime.db.write() as session:
            new = merchants.NewMerchant(slug=f"shop-{number}", name=f"Shop {number}", currency="PKR")
            await merchants.create_merchant(session, None, new)
        answer = await desk.call("PUT", f"/v1/admin/merchants/shop-{number}/feed-source", json={"url": server.url})
        assert answer.status_code == 200, answer.text
