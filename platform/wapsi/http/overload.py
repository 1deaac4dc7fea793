"""More requests than can be served are refused, so that those that were accepted stay fast.

Without a limit all of them wait for each other, until every answer comes after its client has given up.
"""

import asyncio
import re
import time

import structlog
from opentelemetry import metrics
from starlette.types import Scope, Send

from wapsi.errors import Category
from wapsi.http.refusals import refuse

log = structlog.get_logger(__name__)
_refused = metrics.get_meter(__name__).create_counter(
    "wapsi.http.overload.refused", unit="{request}", description="Requests refused because too many were under way."
)

REASON = "OVERLOADED"
WAIT_S = 0.2
LOG_EVERY_S = 10.0
HEALTH_PATHS = frozenset({"/healthz", "/livez", "/readyz"})
_DETAIL = "Too many requests are under way here. Try again in a moment."


class ConcurrencyLimit:
    """At most `limit` requests are under way; one more waits WAIT_S, and then gets a 503.

    The wait carries a burst, and slows down clients that come again at once: refusing those without it took all of the
    time that serving would have taken. Health checks are let through, or an overloaded process would be restarted for
    it. So is what matches `exempt`: uploads take as long as their senders do, and wait for the network and not for us.
    """

    def __init__(self, *, limit: int, exempt: re.Pattern[str]) -> None:
        self.limit = limit
        self.exempt = exempt
        self.under_way = 0
        # In the order in which they came; a dict, since most of them leave from the middle.
        self._waiting: dict[asyncio.Future[bool], None] = {}
        self._logged_s = float("-inf")
        self._refused_since_log = 0

    def is_free(self, path: str) -> bool:
        """Whether requests of this path need no place."""
        return path in HEALTH_PATHS or self.exempt.fullmatch(path) is not None

    def take(self) -> bool:
        """A place, where there is one; then `leave`."""
        if self.under_way >= self.limit:
            return False
        self.under_way += 1
        return True

    async def wait(self) -> bool:
        """Whether a place was handed over in time."""
        loop = asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        self._waiting[place] = None
        timer = loop.call_later(WAIT_S, _give_up, place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.leave()  # it came too late for a client that has left
            raise
        finally:
            timer.cancel()
            self._waiting.pop(place, None)

    def leave(self) -> None:
        """Hands the place to whoever has waited longest."""
        while self._waiting:
            place = next(iter(self._waiting))
            del self._waiting[place]
            if not place.done():
                place.set_result(True)
                return
        self.under_way -= 1

    async def refuse(self, scope: Scope, send: Send) -> None:
        _refused.add(1)
        self._refused_since_log += 1
        now_s = time.monotonic()
        if now_s - self._logged_s >= LOG_EVERY_S:
            # Not a line each: whoever is overloaded has better things to do.
            log.warning("overloaded", refused=self._refused_since_log, limit=self.limit)
            self._logged_s, self._refused_since_log = now_s, 0
        await refuse(scope, send, Category.UNAVAILABLE, REASON, _DETAIL, headers=[(b"retry-after", b"1")])


def _give_up(place: asyncio.Future[bool]) -> None:
    if not place.done():
        place.set_result(False)
