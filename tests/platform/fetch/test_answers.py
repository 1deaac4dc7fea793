"""What an answer may be: a whole file of a known size, from where it was asked for."""

import asyncio
import gzip
from typing import Any

import pytest

from tests.platform.fetch.servers import (
    HOST,
    SECRET,
    answer,
    fetch,
    make_fetcher,
    refusal,
)


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
