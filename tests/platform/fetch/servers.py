"""Servers that answer as they are told, names that lead where they should not, and fetchers for both."""

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from wapsi.fetch import Fetcher, FetchError, FetchLimits

HOST = "feeds.shop.example"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
PUBLIC = "93.184.216.34"
SECRET = "s3cr3t-feed-token"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = b"a feed", *, status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if "content_length" not in headers and "transfer_encoding" not in headers:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Server:
    """What it was asked, and where it is."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)

    def url(self, path: str = "/feed.csv", host: str = HOST) -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """Starts an HTTP server that answers every request with these bytes, or lets a function answer."""
    running: list[asyncio.Server] = []

    async def serve(
        reply: bytes | Handler, *, on: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> Server:
        server = Server()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                server.requests.append(await reader.readuntil(b"\r\n\r\n"))
                if callable(reply):
                    await reply(reader, writer)
                else:
                    writer.write(reply)
                    await writer.drain()
            writer.close()

        listening = await asyncio.start_server(handle, on, port, ssl=tls)
        server.port = listening.sockets[0].getsockname()[1]
        running.append(listening)
        return server

    yield serve
    for listening in running:
        listening.close()


class Names:
    """A resolver that gives its answers one after the other, the last one for ever; `asked` counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return list(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


def make_fetcher(*found: str, **options: Any) -> Fetcher:
    """Takes loopback for public, and every name for 127.0.0.1."""
    limits = {"size_bytes": 1_000_000, "answer_s": 5, "total_s": 10} | options.pop("limits", {})
    options = {"allow_http": True, "trusted_networks": LOOPBACK, "resolve": Names(found or ["127.0.0.1"])} | options
    return Fetcher(FetchLimits(**limits), **options)


async def fetch(fetcher: Fetcher, url: str, **validators: str) -> bytes:
    async with fetcher.get(url, **validators) as fetched:
        return b"".join([piece async for piece in fetched.body()])


async def refusal(fetcher: Fetcher, url: str, **validators: str) -> tuple[str, str]:
    """The reason and the words."""
    with pytest.raises(FetchError) as caught:
        await fetch(fetcher, url, **validators)
    assert SECRET not in str(caught.value)
    return caught.value.reason, caught.value.message
