"""Taking a stream's messages in groups."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def grouped(messages: AsyncIterator[T], *, most: int) -> AsyncIterator[list[T]]:
    """Whatever has come in since the group before, at least one message and at most `most`, in order.

    No more than that is read ahead, so a slow consumer slows the sender down. What the stream raises is raised after
    the messages before it were given.
    """
    came_in: asyncio.Queue[T | None] = asyncio.Queue()
    room = asyncio.Semaphore(most)
    reader = asyncio.ensure_future(_read(messages, came_in, room))
    try:
        group: list[T] = []
        while (message := await came_in.get()) is not None:
            group.append(message)
            if came_in.empty() or len(group) == most:
                yield group
                for _ in group:
                    room.release()
                group = []
        if group:
            yield group
        await reader
    finally:
        reader.cancel()


async def _read(messages: AsyncIterator[T], came_in: "asyncio.Queue[T | None]", room: asyncio.Semaphore) -> None:
    try:
        await room.acquire()
        async for message in messages:
            came_in.put_nowait(message)
            await room.acquire()
    finally:
        came_in.put_nowait(None)
