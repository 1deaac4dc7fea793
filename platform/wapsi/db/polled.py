"""What a process knows of the database because it asks again and again, and never by more than one question at once."""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import structlog

from wapsi.db.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

POLL_S = 0.25
# What was seen longer ago than this is asked again before anything is done by it.
TRUST_S = 0.75


class Polled(ABC):
    """Without a running `polling` nothing is trusted, and every use asks.

    `_ask` puts the answer in place; `_seen_s` is when it was asked for. `name` stands in the log.
    """

    name: str

    def __init__(self) -> None:
        self._seen_s = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self.is_polling = False

    @abstractmethod
    async def _ask(self) -> None:
        """Raises DatabaseUnavailable."""

    @property
    def is_trusted(self) -> bool:
        """Whether what is known was the newest a moment ago, so that nothing need be asked."""
        return self.is_polling and time.monotonic() - self._seen_s < TRUST_S

    async def check(self) -> None:
        """Asks the database, unless that is under way. Raises DatabaseUnavailable."""
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask())
            self._asking.add_done_callback(self._asked)
        await asyncio.shield(self._asking)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if not task.cancelled():
            # Whoever waited has it; where nobody did, nobody needs it.
            task.exception()

    @contextlib.asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """While it is open, the database is asked in the background."""
        task = asyncio.ensure_future(self._poll())
        self.is_polling = True
        try:
            yield
        finally:
            self.is_polling = False
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _poll(self) -> None:
        answered = True
        while True:
            try:
                await self.check()
                answered = True
            except DatabaseUnavailable:
                if answered:
                    log.warning("poll_not_answered", of=self.name)
                answered = False
            await asyncio.sleep(POLL_S)
