"""Fetching by a URL that somebody else gave: what it reaches, what it refuses, and when it gives up."""

import asyncio
import contextlib
import datetime as dt
import gzip
import ipaddress
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wapsi.fetch import Fetcher, FetchError, FetchLimits, is_public, shown, without_query

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


async def test_a_file_comes_as_it_is(serve: Any) -> None:
    server = await serve(answer(b"id\n1\n", etag='"v1"', last_modified="Sun, 01 Nov 2026 12:00:00 GMT"))
    async with make_fetcher().get(server.url(f"/a%20b/feed.csv?token={SECRET}#part")) as fetched:
        assert b"".join([piece async for piece in fetched.body()]) == b"id\n1\n"
        assert (fetched.unchanged, fetched.etag) == (False, '"v1"')
        assert fetched.last_modified == "Sun, 01 Nov 2026 12:00:00 GMT"
    [request] = server.requests
    first, *lines = request.decode().rstrip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert first == f"GET /a%20b/feed.csv?token={SECRET} HTTP/1.1"
    assert headers["host"] == f"{HOST}:{server.port}", "the server finds the shop by its name"
    assert headers["accept-encoding"] == "identity"
    assert headers.keys() == {"host", "user-agent", "accept", "accept-encoding", "connection"}


async def test_chunks_of_any_size_come_together(serve: Any) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in (1, 70_000, 3)) + b"0\r\n\r\n"
    server = await serve(answer(chunks, transfer_encoding="chunked"))
    assert await fetch(make_fetcher(), server.url()) == b"x" * 70_004


async def test_an_unchanged_file_is_not_sent_again(serve: Any) -> None:
    server = await serve(answer(b"", status="304 Not Modified", etag='"v1"'))
    async with make_fetcher().get(server.url(), etag='"v1"', last_modified="Sun, 01 Nov 2026 12:00:00 GMT") as fetched:
        assert fetched.unchanged
        assert [piece async for piece in fetched.body()] == []
    assert b'if-none-match: "v1"\r\n' in server.requests[0].lower()
    assert b"if-modified-since: sun, 01 nov 2026 12:00:00 gmt\r\n" in server.requests[0].lower()
    reason, words = await refusal(make_fetcher(), server.url())
    assert reason == "FETCH_STATUS_REFUSED", "nobody asked whether it has changed"
    assert "304" in words


async def test_odd_validators_are_not_kept(serve: Any) -> None:
    server = await serve(answer(etag=f'"{"x" * 600}"', last_modified="caf\u00e9"))
    async with make_fetcher().get(server.url()) as fetched:
        assert (fetched.etag, fetched.last_modified) == (None, None)


async def test_nothing_is_remembered_from_one_fetch_for_the_next(serve: Any) -> None:
    server = await serve(answer(set_cookie="session=abc; Path=/"))
    fetcher = make_fetcher()
    for _ in range(2):
        await fetch(fetcher, server.url())
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


async def test_proxies_of_the_environment_are_not_used(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = await serve(answer(b"from the proxy"))
    server = await serve(answer(b"from the shop"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert await fetch(make_fetcher(), server.url()) == b"from the shop"
    assert proxy.requests == []


async def test_a_url_stays_out_of_the_logs(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = await serve(answer(status="500 No"))
    for library in ("httpx2", "httpcore2"):
        caplog.set_level(logging.DEBUG, logger=library)  # quiet once a process has configured its logs
    with caplog.at_level(logging.DEBUG):
        reason, _ = await refusal(make_fetcher(), server.url(f"/apikey/{SECRET}/feed?token={SECRET}"))
    assert reason == "FETCH_STATUS_REFUSED"
    assert caplog.records, "the library did log"
    assert SECRET not in caplog.text


# Where a connection may go


NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:0.0.0.0",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:a00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%2",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_name_may_not_lead_inside(address: str) -> None:
    reason, words = await refusal(Fetcher(FetchLimits(1000), resolve=Names([address])), f"https://{HOST}/feed")
    assert reason == "FETCH_ADDRESS_REFUSED"
    assert str(ipaddress.ip_address(address)) in words


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_nor_may_an_address_in_the_url(address: str) -> None:
    asked = Names([PUBLIC])
    host = f"[{address}]" if ":" in address else address
    reason, _ = await refusal(Fetcher(FetchLimits(1000), resolve=asked), f"https://{host}/feed")
    assert reason == ("FETCH_URL_INVALID" if "%" in address else "FETCH_ADDRESS_REFUSED")
    assert asked.asked == 0


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1", "2a00:1450::200e"],
)
def test_public_addresses_are_reached(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("found", [[PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], ["2606:4700::1111", "::1"]])
async def test_one_bad_address_among_good_ones_is_enough(found: list[str]) -> None:
    reason, _ = await refusal(Fetcher(FetchLimits(1000), resolve=Names(found)), f"https://{HOST}/feed")
    assert reason == "FETCH_ADDRESS_REFUSED"


async def test_a_name_that_leads_elsewhere_a_moment_later_changes_nothing(serve: Any) -> None:
    """Rebinding: vetted is what is connected to, and the name is not looked up between the two."""
    good = await serve(answer(b"the shop's"))
    inside = await serve(answer(b"a secret"), on="127.0.0.2", port=good.port)
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    fetcher = make_fetcher(resolve=names, trusted_networks=[ipaddress.ip_network("127.0.0.1")])
    assert await fetch(fetcher, good.url()) == b"the shop's"
    assert names.asked == 1
    assert (await refusal(fetcher, good.url()))[0] == "FETCH_ADDRESS_REFUSED"
    assert inside.requests == []


async def test_the_systems_resolver_is_asked_and_not_believed() -> None:
    assert (await refusal(Fetcher(FetchLimits(1000)), "https://localhost/feed"))[0] == "FETCH_ADDRESS_REFUSED"
    assert (await refusal(Fetcher(FetchLimits(1000)), f"https://{'x' * 64}.example/"))[0] == "FETCH_HOST_UNKNOWN"


async def test_the_next_address_is_tried_where_one_takes_no_connection(serve: Any) -> None:
    server = await serve(answer())
    assert await fetch(make_fetcher("127.0.0.9", "127.0.0.1"), server.url()) == b"a feed"
    reason, words = await refusal(make_fetcher("127.0.0.9"), server.url())
    assert reason == "FETCH_CONNECT_FAILED"
    assert f"{HOST} takes no connection on port {server.port}" in words


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "shop.example.",
        "127.0.0.0x1",
        "0x",
        "1.2.3.256",
        "1.2.3.4.5",
        "%31%32%37.0.0.1",
        "a%2eb",
        "[::1%25lo]",
        "[fe80::1%25eth0]",
        "[::1",
        "-a.example",
        "a..example",
        "",
    ],
)
async def test_an_address_in_disguise_is_no_host(host: str) -> None:
    asked = Names([PUBLIC])
    assert (await refusal(Fetcher(FetchLimits(1000), resolve=asked), f"https://{host}/feed"))[0] == "FETCH_URL_INVALID"
    assert asked.asked == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://shop.example/feed", "FETCH_SCHEME_REFUSED"),
        ("ftp://shop.example/feed", "FETCH_SCHEME_REFUSED"),
        ("file:///etc/passwd", "FETCH_SCHEME_REFUSED"),
        ("gopher://shop.example/", "FETCH_SCHEME_REFUSED"),
        ("//shop.example/feed", "FETCH_SCHEME_REFUSED"),
        ("shop.example/feed", "FETCH_SCHEME_REFUSED"),
        (f"https://user:{SECRET}@shop.example/", "FETCH_USER_INFO_REFUSED"),
        (f"https://{SECRET}@shop.example/", "FETCH_USER_INFO_REFUSED"),
        ("https://shop.example:22/", "FETCH_PORT_REFUSED"),
        ("https://shop.example:5432/", "FETCH_PORT_REFUSED"),
        ("https://shop.example:0/", "FETCH_PORT_REFUSED"),
        ("https://shop.example:99999/", "FETCH_PORT_REFUSED"),
        ("https://shop.example:x/", "FETCH_URL_INVALID"),
        ("https://shop.example\\@evil.example/", "FETCH_URL_INVALID"),
        ("https://shop.example/a b", "FETCH_URL_INVALID"),
        ("https://shop.example/\r\nHost: evil", "FETCH_URL_INVALID"),
        ("https://shop.example/\x00", "FETCH_URL_INVALID"),
        ("https://sh\u00f6p.example/", "FETCH_URL_INVALID"),
        ("https://\uff11\uff12\uff17.0.0.1/", "FETCH_URL_INVALID"),
        ("https:///feed", "FETCH_URL_INVALID"),
        ("https://shop.example/" + "x" * 2000, "FETCH_URL_INVALID"),
        ("", "FETCH_URL_INVALID"),
    ],
)
async def test_some_urls_are_never_fetched(url: str, reason: str) -> None:
    asked = Names([PUBLIC])
    found, words = await refusal(Fetcher(FetchLimits(1000), resolve=asked), url)
    assert found == reason
    assert words.endswith(".") or "https://" in words
    assert asked.asked == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "https://shop.example:8443/feed?x",
        "https://xn--shp-sna.example/",
        "https://a_b.shop.example/",
        "https://1.1.1.1/feed",
        "https://[2606:4700::1111]:443/feed",
        "HTTPS://SHOP.EXAMPLE:8080/",
        "https://3com.example/",
        "https://0x7f.example/",
    ],
)
def test_others_may_be(url: str) -> None:
    Fetcher(FetchLimits(1000)).check(url)


# What an answer may be


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_not_followed(serve: Any, status: str) -> None:
    there = f"http://169.254.169.254/latest/meta-data?token={SECRET}"
    server = await serve(answer(b"", status=status, location=there))
    reason, words = await refusal(make_fetcher(), server.url())
    assert reason == "FETCH_REDIRECTED"
    assert "http://169.254.169.254/latest/meta-data?***" in words, "it says where, so that somebody can decide"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/other?x=1", f"http://{HOST}:PORT/other?***"),
        ("//evil.example/x", "http://evil.example/x"),
        ("http://evil.example:x/", "an address that cannot be read"),
        (None, "another URL, which it does not name"),
    ],
)
async def test_a_redirect_is_named_as_far_as_it_can_be(serve: Any, location: str | None, words: str) -> None:
    server = await serve(answer(b"", status="302 Found", **({} if location is None else {"location": location})))
    _, found = await refusal(make_fetcher(), server.url())
    assert words.replace("PORT", str(server.port)) in found


@pytest.mark.parametrize("status", ["204 No Content", "206 Partial", "401 No", "403 No", "404 No", "429 Slow", "503 x"])
async def test_any_other_status_is_a_refusal(serve: Any, status: str) -> None:
    server = await serve(answer(b"", status=status))
    reason, words = await refusal(make_fetcher(), server.url())
    assert (reason, status[:3] in words) == ("FETCH_STATUS_REFUSED", True)


async def test_compressed_files_come_compressed(serve: Any) -> None:
    packed = gzip.compress(b"a feed")
    server = await serve(answer(packed, content_encoding="gzip"))
    assert await fetch(make_fetcher(), server.url()) == packed
    server = await serve(answer(b"?", content_encoding="br"))
    assert (await refusal(make_fetcher(), server.url()))[0] == "FETCH_ENCODING_REFUSED"


async def test_a_file_that_says_it_is_too_large_is_not_read(serve: Any) -> None:
    server = await serve(answer(b"x", content_length="1000001"))
    reason, words = await refusal(make_fetcher(), server.url())
    assert (reason, "1000000 bytes" in words) == ("FETCH_TOO_LARGE", True)


async def test_a_file_that_does_not_say_so_is_cut_off(serve: Any) -> None:
    sent = 0

    async def for_ever(_reader: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(answer(b"", transfer_encoding="chunked"))
        while True:
            writer.write(b"10000\r\n%s\r\n" % (b"x" * 0x10000))
            await writer.drain()
            sent += 0x10000

    server = await serve(for_ever)
    assert (await refusal(make_fetcher(), server.url()))[0] == "FETCH_TOO_LARGE"
    assert sent < 20_000_000


@pytest.mark.parametrize(
    "cut",
    [
        answer(b"half", content_length="8"),
        answer(b"8\r\nhalf", transfer_encoding="chunked"),
        answer(b"4\r\nhalf\r\n", transfer_encoding="chunked"),
        answer(b"zz\r\nhalf\r\n", transfer_encoding="chunked"),
    ],
)
async def test_half_a_file_is_no_file(serve: Any, cut: bytes) -> None:
    server = await serve(cut)
    assert (await refusal(make_fetcher(), server.url()))[0] == "FETCH_INCOMPLETE"


async def test_nor_is_an_empty_one(serve: Any) -> None:
    server = await serve(answer(b""))
    assert (await refusal(make_fetcher(), server.url()))[0] == "FETCH_EMPTY"
    server = await serve(answer(b"0\r\n\r\n", transfer_encoding="chunked"))
    assert (await refusal(make_fetcher(), server.url()))[0] == "FETCH_EMPTY"


async def test_nor_is_one_whose_end_cannot_be_told(serve: Any) -> None:
    server = await serve(b"HTTP/1.0 200 OK\r\n\r\nid\n1\n")
    assert (await refusal(make_fetcher(), server.url()))[0] == "FETCH_LENGTH_UNKNOWN"


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    ],
    ids=["ssh", "nothing", "many headers", "a long header", "two lengths", "no length", "no header"],
)
async def test_what_is_no_proper_http_is_refused(serve: Any, reply: bytes) -> None:
    server = await serve(reply)
    assert (await refusal(make_fetcher(), server.url()))[0] in ("FETCH_PROTOCOL_BROKEN", "FETCH_CONNECT_FAILED")


# How long it may take


def drip(head: bytes, piece: bytes, pause_s: float) -> Handler:
    async def reply(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return reply


LONG = answer(b"", content_length="100000")


async def test_a_slow_drip_is_given_up(serve: Any) -> None:
    server = await serve(drip(LONG, b"x", 0.02))
    limits = {"rate_bytes_s": 1000, "window_s": 0.3, "total_s": 30}
    reason, words = await refusal(make_fetcher(limits=limits), server.url())
    assert reason == "FETCH_TOO_SLOW"
    assert "1000 bytes a second" in words


async def test_silence_too(serve: Any) -> None:
    server = await serve(drip(LONG, b"", 10))
    assert (await refusal(make_fetcher(limits={"window_s": 0.2}), server.url()))[0] == "FETCH_TOO_SLOW"


async def test_a_drip_of_headers_is_given_up(serve: Any) -> None:
    server = await serve(drip(b"HTTP/1.1 200 OK\r\nx: ", b"y", 0.02))
    reason, words = await refusal(make_fetcher(limits={"answer_s": 0.3}), server.url())
    assert (reason, "did not answer within 0.3 s" in words) == ("FETCH_TIMED_OUT", True)


async def test_endless_early_hints_are_given_up(serve: Any) -> None:
    server = await serve(drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.02))
    assert (await refusal(make_fetcher(limits={"answer_s": 0.3}), server.url()))[0] == "FETCH_TIMED_OUT"


async def test_a_resolver_that_does_not_answer_is_given_up() -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    fetcher = make_fetcher(resolve=never, limits={"answer_s": 0.1})
    assert (await refusal(fetcher, f"https://{HOST}/"))[0] == "FETCH_TIMED_OUT"


async def test_everything_together_has_a_limit_too(serve: Any) -> None:
    server = await serve(drip(LONG, b"x" * 100, 0.02))
    limits = {"rate_bytes_s": 100, "window_s": 0.2, "total_s": 0.6}
    assert (await refusal(make_fetcher(limits=limits), server.url()))[0] == "FETCH_TIMED_OUT"


async def test_a_steady_sender_is_waited_for(serve: Any) -> None:
    async def steady(_reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"", content_length="12000"))
        for _ in range(12):
            writer.write(b"x" * 1000)
            await writer.drain()
            await asyncio.sleep(0.05)

    server = await serve(steady)
    assert len(await fetch(make_fetcher(limits={"rate_bytes_s": 2000, "window_s": 0.3}), server.url())) == 12_000


async def test_the_readers_own_time_is_not_the_senders(serve: Any) -> None:
    server = await serve(answer(b"x" * 200_000))
    received = 0
    async with make_fetcher(limits={"window_s": 0.1, "rate_bytes_s": 5_000_000}).get(server.url()) as fetched:
        async for piece in fetched.body():
            received += len(piece)
            await asyncio.sleep(0.2)
    assert received == 200_000


@pytest.mark.parametrize("begins", [True, False])
async def test_a_reader_that_stops_leaves_nothing_open(serve: Any, begins: bool) -> None:
    gone = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(LONG + b"x" * 1000)
        await reader.read()
        gone.set()

    async def read_a_little(url: str) -> None:
        async with make_fetcher().get(url) as fetched:
            if begins:
                await anext(fetched.body())
            raise RuntimeError("enough")

    server = await serve(watch)
    with pytest.raises(RuntimeError, match="enough"):
        await read_a_little(server.url())
    await asyncio.wait_for(gone.wait(), 2)


# Who is at the other end


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        certificate = self._certificate(self._name, self._key, constraints)
        self.context = ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())

    def _certificate(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: Any) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - dt.timedelta(days=1),
            not_valid_after=now + dt.timedelta(days=1),
        )
        for extension in (
            *extensions,
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
        ):
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())

    def server(self, *names: str) -> ssl.SSLContext:
        """For a server with these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]),
            key,
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]),
        )
        file = self._folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def shops_tls(authority: Authority) -> ssl.SSLContext:
    return authority.server(HOST)


def secure(server: Server) -> str:
    return server.url().replace("http:", "https:")


async def test_the_servers_name_is_checked_though_its_address_is_connected_to(
    serve: Any, authority: Authority, shops_tls: ssl.SSLContext
) -> None:
    asked_for: list[str | None] = []

    def note(_socket: Any, name: str | None, _context: Any) -> None:
        asked_for.append(name)

    shops_tls.sni_callback = note
    server = await serve(answer(), tls=shops_tls)
    assert await fetch(make_fetcher(tls=authority.context), secure(server)) == b"a feed"
    assert asked_for == [HOST]
    assert f"host: {HOST}:{server.port}".encode() in server.requests[0].lower()


async def test_another_servers_certificate_is_refused(
    serve: Any, authority: Authority, shops_tls: ssl.SSLContext
) -> None:
    server = await serve(answer(), tls=shops_tls)
    other = secure(server).replace(HOST, "other.example")
    reason, words = await refusal(make_fetcher("127.0.0.1", "127.0.0.1", tls=authority.context), other)
    assert reason == "FETCH_TLS_FAILED"
    assert "other.example cannot prove who it is" in words
    assert server.requests == []


async def test_an_address_in_the_url_needs_a_certificate_for_it(
    serve: Any, authority: Authority, shops_tls: ssl.SSLContext
) -> None:
    server = await serve(answer(), tls=shops_tls)
    url = secure(server).replace(HOST, "127.0.0.1")
    assert (await refusal(make_fetcher(tls=authority.context), url))[0] == "FETCH_TLS_FAILED"


async def test_an_unknown_authority_is_refused(serve: Any, shops_tls: ssl.SSLContext) -> None:
    server = await serve(answer(), tls=shops_tls)
    reason, words = await refusal(make_fetcher(), secure(server))
    assert (reason, "certificate" in words) == ("FETCH_TLS_FAILED", True)
    assert server.requests == []


async def test_a_server_without_tls_is_refused(serve: Any, authority: Authority) -> None:
    server = await serve(answer())
    fetcher = make_fetcher(tls=authority.context, limits={"connect_s": 0.3})
    assert (await refusal(fetcher, secure(server)))[0] == "FETCH_CONNECT_FAILED"


# What people may see


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        (f"https://shop.example/feed.xml?token={SECRET}", "https://shop.example/feed.xml?***"),
        ("https://shop.example/feed.xml", "https://shop.example/feed.xml"),
        ("https://shop.example:8443/feed?#x", "https://shop.example:8443/feed"),
        (
            f"https://productdata.example/datafeed/download/apikey/{SECRET}/language/en/",
            "https://productdata.example/datafeed/download/apikey/***/language/en/",
        ),
        (f"https://shop.example/API-Key/{SECRET}?a=b", "https://shop.example/API-Key/***?***"),
        (f"https://shop.example/token/{SECRET}", "https://shop.example/token/***"),
        ("https://shop.example/monkey/banana", "https://shop.example/monkey/banana"),
    ],
)
def test_credentials_are_hidden(url: str, seen: str) -> None:
    assert shown(url) == seen
    assert without_query(url) == seen.removesuffix("?***")


def test_nor_does_a_target_show_them() -> None:
    assert SECRET not in repr(Fetcher(FetchLimits(1000)).check(f"https://shop.example/?token={SECRET}"))
