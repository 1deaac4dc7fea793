"""Fetching by a URL that somebody else gave: what comes of it, and what people may see of the URL."""

import logging
from typing import Any

import pytest

from tests.platform.fetch.servers import HOST, SECRET, answer, fetch, make_fetcher, refusal
from wapsi.fetch import Fetcher, FetchLimits, shown, without_query


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
