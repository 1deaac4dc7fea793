"""Sessions that have ended, while their access tokens would still be good by their signature.

docs/decisions/0011-ended-sessions.md says why they are polled.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from uuid import UUID

import structlog

from wapsi.db import Reads
from wapsi.errors import Unavailable

log = structlog.get_logger(__name__)

# What a write session tells when it has ended one, by its id.
SESSION_ENDED = "customers.session_ended"
POLL_S = 0.25
# What was looked up longer ago than this is looked up again before a token is believed: both together are the second
# within which a token is refused everywhere.
TRUST_S = 0.75
# A session is marked as ended before its transaction commits, by the clock of the process that ends it.
OVERLAP_S = 60.0

_ENDED = "SELECT DISTINCT family_id FROM sessions WHERE revoked_at > now() - make_interval(secs => $1)"


class Revocations:
    """Remembers those that ended within `lifetime_s`, the lifetime of an access token.

    Without a running `polling` each question asks the database.
    """

    def __init__(self, reads: Reads, lifetime_s: float) -> None:
        self._reads = reads
        self._lifetime_s = lifetime_s
        # By session, until when it matters.
        self._ended: dict[UUID, float] = {}
        self._seen_s: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self.is_polling = False

    def note(self, session_id: UUID) -> None:
        """One that this process has ended itself."""
        self._ended.setdefault(session_id, time.monotonic() + self._lifetime_s + OVERLAP_S)

    async def is_ended(self, session_id: UUID) -> bool:
        """Raises DatabaseUnavailable where nobody could say for a while: better no answer than a wrong one."""
        if session_id in self._ended:
            return True
        if self.is_polling and self._seen_s is not None and time.monotonic() - self._seen_s < TRUST_S:
            return False
        await self.check()
        return session_id in self._ended

    async def check(self) -> None:
        """Asks the database, unless that is under way. Raises DatabaseUnavailable."""
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask())
            self._asking.add_done_callback(self._asked)
        await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        asked_s = time.monotonic()
        missed_s = self._lifetime_s if self._seen_s is None else min(self._lifetime_s, asked_s - self._seen_s)
        # The primary: a replica may be behind.
        for row in await self._reads.fetch_current(_ENDED, missed_s + OVERLAP_S):
            self.note(row[0])
        self._seen_s = asked_s
        # In the order in which they were noted, and so in that in which they matter no more.
        while self._ended and self._ended[first := next(iter(self._ended))] < asked_s:
            del self._ended[first]

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if not task.cancelled():
            # Whoever waited has it; where nobody did, nobody needs it.
            task.exception()

    @contextlib.asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """While it is open, ended sessions are looked up in the background."""
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
            except Unavailable:
                if answered:
                    log.warning("ended_sessions_not_answered")
                answered = False
            await asyncio.sleep(POLL_S)
