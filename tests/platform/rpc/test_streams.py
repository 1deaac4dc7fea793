"""Messages of a stream in groups: whatever has come in, no more than a bound, nothing lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from wapsi.rpc.streams import grouped


async def numbers(count: int, pause_after: int | None = None) -> AsyncIterator[int]:
    for number in range(count):
        if number == pause_after:
            await asyncio.sleep(0.05)
        yield number


async def test_what_has_come_in_comes_together() -> None:
    assert [group async for group in grouped(numbers(5), most=8)] == [[0, 1, 2, 3, 4]]


async def test_a_group_has_a_bound() -> None:
    assert [group async for group in grouped(numbers(7), most=3)] == [[0, 1, 2], [3, 4, 5], [6]]


async def test_nothing_is_waited_for_that_has_not_come() -> None:
    assert [group async for group in grouped(numbers(4, pause_after=3), most=8)] == [[0, 1, 2], [3]]


async def test_an_empty_stream_has_no_groups() -> None:
    assert [group async for group in grouped(numbers(0), most=8)] == []


async def test_no_more_is_read_than_the_consumer_took() -> None:
    read: list[int] = []

    async def watched() -> AsyncIterator[int]:
        async for number in numbers(100):
            read.append(number)
            yield number

    async for _group in grouped(watched(), most=4):
        await asyncio.sleep(0.01)
        assert len(read) <= 4 + 4
        break


async def test_what_the_stream_raises_comes_after_what_it_gave() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise ConnectionResetError

    groups = grouped(broken(), most=8)
    assert await anext(groups) == [1, 2]
    with pytest.raises(ConnectionResetError):
        await anext(groups)


async def test_who_stops_early_leaves_no_reader_behind() -> None:
    before = asyncio.all_tasks()
    groups = grouped(numbers(10, pause_after=5), most=2)
    assert await anext(groups) == [0, 1]
    await groups.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before == set()
