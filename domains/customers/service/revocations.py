"""Sessions that have ended, while their access tokens would still be good by their signature.

docs/decisions/0011-ended-sessions.md says why they are polled.
"""

import time
from uuid import UUID

from wapsi.db import Reads
from wapsi.db.polled import Polled

# What a write session tells when it has ended one, by its id.
SESSION_ENDED = "customers.session_ended"
# A session is marked as ended before its transaction commits, by the clock of the process that ends it.
OVERLAP_S = 60.0

_ENDED = "SELECT DISTINCT family_id FROM sessions WHERE revoked_at > now() - make_interval(secs => $1)"


class Revocations(Polled):
    """Remembers those that ended within `lifetime_s`, the lifetime of an access token.

    A poll and the time for which it is trusted are the second within which a token is refused everywhere.
    """

    name = "ended sessions"

    def __init__(self, reads: Reads, lifetime_s: float) -> None:
        super().__init__()
        self._reads = reads
        self._lifetime_s = lifetime_s
        # By session, until when it matters.
        self._ended: dict[UUID, float] = {}

    def note(self, session_id: UUID) -> None:
        """One that this process has ended itself."""
        self._ended.setdefault(session_id, time.monotonic() + self._lifetime_s + OVERLAP_S)

    async def is_ended(self, session_id: UUID) -> bool:
        """Raises DatabaseUnavailable where nobody could say for a while: better no answer than a wrong one."""
        if session_id in self._ended:
            return True
        if self.is_trusted:
            return False
        await self.check()
        return session_id in self._ended

    async def _ask(self) -> None:
        asked_s = time.monotonic()
        missed_s = min(self._lifetime_s, asked_s - self._seen_s)
        # The primary: a replica may be behind.
        for row in await self._reads.fetch_current(_ENDED, missed_s + OVERLAP_S):
            self.note(row[0])
        self._seen_s = asked_s
        # In the order in which they were noted, and so in that in which they matter no more.
        while self._ended and self._ended[first := next(iter(self._ended))] < asked_s:
            del self._ended[first]
