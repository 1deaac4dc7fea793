"""How much of the gRPC server one caller may have: calls in a while over all processes, calls at once in each."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from wapsi.errors import Exhausted
from wapsi.limits import RateLimits
from wapsi.limits.policies import PRODUCER_CALL
from wapsi.security.principal import Principal


class TooManyCallsAtOnce(Exhausted):
    reason = "TOO_MANY_CALLS_AT_ONCE"
    retry_after_s = 1


class CallLimits:
    """By the key that a producer came with, so that one program does not take the calls of another one's key."""

    def __init__(self, limits: RateLimits, *, at_once: int) -> None:
        self._limits = limits
        self._at_once = at_once
        self._under_way: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def call(self, principal: Principal) -> AsyncIterator[None]:
        """For as long as the call or stream lasts. Raises TooManyCallsAtOnce and RateLimited."""
        caller = principal.key_prefix or str(principal)
        if self._under_way[caller] >= self._at_once:
            raise TooManyCallsAtOnce(f"{self._at_once} calls of this key are under way. Wait until one has ended.")
        self._under_way[caller] += 1
        try:
            await self._limits.require(PRODUCER_CALL, caller)
            yield
        finally:
            self._under_way[caller] -= 1
            if not self._under_way[caller]:
                del self._under_way[caller]
