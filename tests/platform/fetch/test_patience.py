"""How long each part of a fetch, and all of it, may take."""

import asyncio
from typing import Any

import pytest

from tests.platform.fetch.servers import (
    HOST,
    Handler,
    answer,
    fetch,
    make_fetcher,
    refusal,
)


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
