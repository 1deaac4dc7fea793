"""Blocking work beside the loop, some of which must stay in one thread."""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

# Ten times as often as by default.
_SWITCH_INTERVAL_S = 0.0005


def give_way_soon() -> None:
    """For a process that computes in threads: the loop gets the interpreter soon, when it has something to pass on.

    Each time that it waits on a socket it waits for the thread too, up to 5 ms by default. While rows were made in a
    thread, the database got those that were ready in pieces, and did nothing for a quarter of a first load.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


class OneThread:
    """Runs calls one after the other in a thread of its own.

    For readers that go on from call to call: asyncio.to_thread takes another thread each time, and libxml2 keeps a
    dictionary of names for each thread, which two parsers in turn corrupt.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)
