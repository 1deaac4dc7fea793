"""Group commit: what concurrent callers want written is written in one transaction, and each is answered after it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Protocol, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")
# Writes all items, in order, and says of each what became of it. An exception among the results is raised to the
# caller of that item alone: refusing one must leave nothing of it behind, and must not keep the others from being
# written. An exception that is raised ends the whole group, and nothing of it is written.
Work = Callable[[Any, Sequence[Item]], Awaitable[Sequence[Result | Exception]]]


class Writes(Protocol):
    """A Database, whose `write` yields sessions, or Transactions, whose `write` yields the driver's connection."""

    def write(self) -> AbstractAsyncContextManager[Any]: ...


class GroupCommit(Generic[Item, Result]):
    """While one group is being committed, the next one gathers: a single caller waits for nobody.

    `groups_at_once` transactions may run side by side, each with at most `limit` items. While one runs, another begins
    only for `least` items or more: a transaction costs as much as many items do.
    """

    def __init__(
        self, db: Writes, work: Work[Item, Result], *, limit: int = 256, groups_at_once: int = 1, least: int = 1
    ) -> None:
        self._db = db
        self._work = work
        self._limit = limit
        self._groups_at_once = groups_at_once
        self._least = least
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._in_flight = 0

    async def submit(self, item: Item) -> Result:
        """Returns once the item is durable. Raises what its work says, or what ended its group.

        A caller that is cancelled no longer waits; its item is written all the same, or not, like any other.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        running = len(self._running)
        if running < self._groups_at_once and (not running or len(self._waiting) >= self._least):
            task = asyncio.ensure_future(self._run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await future

    async def _run(self) -> None:
        while True:
            # Whoever is ready to submit in this turn of the loop comes along: callers that were just answered, too.
            await asyncio.sleep(0)
            if not self._waiting or (len(self._running) > 1 and len(self._waiting) < self._least):
                # At once, and not when the task is done: who submits in between must start another.
                self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))
                return
            group = [self._waiting.popleft() for _ in range(self._share())]
            self._in_flight += len(group)
            try:
                async with self._db.write() as session:
                    results = await self._work(session, [item for item, _ in group])
            except Exception as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                continue
            except asyncio.CancelledError:
                for _, future in group:
                    future.cancel()
                raise
            finally:
                self._in_flight -= len(group)
            for (_, future), result in zip(group, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _share(self) -> int:
        """So much that groups which run side by side are of one size: while the one is written, the other is made."""
        fair = -(-(len(self._waiting) + self._in_flight) // self._groups_at_once)
        return min(self._limit, len(self._waiting), max(self._least, fair))

    async def drain(self) -> None:
        """Until everything that was submitted is answered."""
        while self._running:
            await asyncio.wait(set(self._running))
