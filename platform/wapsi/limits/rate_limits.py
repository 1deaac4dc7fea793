"""Counts what callers do, over all processes: on Valkey or Redis by the sliding windows of `limits`.

When the server does not answer within TIMEOUT_S, each process goes on with what it has counted itself: limits then hold
a process and not over all of them, which is neither open nor closed. The server is tried again every RETRY_S.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from opentelemetry import metrics
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from wapsi.limits.errors import RateLimited
from wapsi.limits.policies import Policy
from wapsi.limits.settings import LimitSettings
from wapsi.limits.windows import Usage, Windows

log = structlog.get_logger(__name__)
_meter = metrics.get_meter(__name__)
_refused = _meter.create_counter("wapsi.limits.refused", unit="{hit}", description="Hits refused, by policy.")
_alone = _meter.create_counter(
    "wapsi.limits.alone", unit="{hit}", description="Hits counted in this process alone, as the server did not answer."
)

TIMEOUT_S = 0.05
RETRY_S = 5.0
# A refusal is repeated from memory for so long: a flood of refused requests costs one question a second.
REFUSED_FOR_S = 1.0
CONNECTIONS_MAX = 16
KEYS_MAX = 50_000
# Of keys that were hashed: an address or a caller's name, and not whatever somebody may write into a path.
REMEMBERED_MAX = 10_000
REMEMBERED_LENGTH_MAX = 64


@dataclass(slots=True)
class Verdict:
    """`reset_after_s`: where it is refused, when it may be tried again; else when more of the quota is free."""

    allowed: bool
    policy: Policy
    remaining: int
    reset_after_s: float


@dataclass(slots=True)
class _Block:
    """What this process took of a quota and has not used, until when it may; `left` is -1 for a refusal."""

    left: int
    beyond: int
    reset_at_s: float
    until_s: float


class RateLimits:
    """`secret` hashes identities, so that no address or e-mail lies on the server."""

    def __init__(self, settings: LimitSettings, *, url: str, secret: bytes) -> None:
        self.settings = settings
        self.is_on = settings.rate_limits
        self._policies = settings.policies()
        self._secret = secret
        self._pool = BlockingConnectionPool.from_url(
            settings.limits_url or url,
            max_connections=CONNECTIONS_MAX,
            timeout=TIMEOUT_S,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        options: dict[str, Any] = {"connection_pool": self._pool}
        self._storage = RedisStorage("redis://", implementation="redispy", key_prefix=settings.limits_prefix, **options)
        self._items: dict[Policy, RateLimitItemPerSecond] = {}
        # Hashing takes longer than counting.
        self._keys: dict[tuple[str, int, int, tuple[str, ...]], str] = {}
        self._blocks: OrderedDict[str, _Block] = OrderedDict()
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._windows = Windows(KEYS_MAX)
        self._lost = False
        self._retry_at_s = 0.0

    def effective(self, policy: Policy) -> Policy:
        """As the settings have it; a policy that is not in the table stands as it is."""
        return self._policies.get(policy.name, policy)

    async def hit(self, policy: Policy, *identity: str, cost: int = 1) -> Verdict:
        """Counts, unless it is refused. Never raises."""
        policy = self.effective(policy)
        if not self.is_on:
            return Verdict(True, policy, policy.quota, 0.0)
        key, now_s = self._key(policy, identity), time.monotonic()
        verdict = self._from_memory(policy, key, cost, now_s)
        while verdict is None and key in self._asked:
            # Of those who come at once one asks, and takes a block for some of them.
            await asyncio.shield(self._asked[key])
            verdict = self._from_memory(policy, key, cost, now_s)
        if verdict is None:
            verdict = await self._from_server(policy, key, cost, now_s)
        if verdict is None:
            verdict = self._alone(policy, key, cost, now_s)
        if verdict.allowed:
            self._windows.add(key, policy.window_s, now_s, cost)
        else:
            _refused.add(1, {"policy": policy.name})
        return verdict

    async def test(self, policy: Policy, *identity: str, cost: int = 1) -> Verdict:
        """What `hit` would say, without counting. Never raises."""
        policy = self.effective(policy)
        if not self.is_on:
            return Verdict(True, policy, policy.quota, 0.0)
        key, now_s = self._key(policy, identity), time.monotonic()
        usage = None
        if self._may_ask(now_s):
            usage = await self._asking(self._usage(policy, key))
        if usage is None:
            usage = self._windows.usage(key, policy.window_s, now_s)
        return _verdict(policy, usage, cost)

    async def require(self, policy: Policy, *identity: str, cost: int = 1) -> Verdict:
        """`hit` that raises RateLimited."""
        verdict = await self.hit(policy, *identity, cost=cost)
        if not verdict.allowed:
            raise RateLimited(verdict.policy.name, verdict.reset_after_s)
        return verdict

    async def forget(self, policy: Policy, *identity: str) -> None:
        """Begins anew, as after a sign-in that succeeded. Never raises."""
        policy = self.effective(policy)
        key = self._key(policy, identity)
        self._windows.forget(key)
        self._blocks.pop(key, None)
        if self.is_on and self._may_ask(time.monotonic()):
            await self._asking(self._storage.clear_sliding_window(key, policy.window_s))

    async def aclose(self) -> None:
        await self._pool.disconnect()

    def _key(self, policy: Policy, identity: tuple[str, ...]) -> str:
        if sum(map(len, identity)) > REMEMBERED_LENGTH_MAX:
            return self._new_key(policy, identity)
        of = (policy.name, policy.quota, policy.window_s, identity)
        known = self._keys.get(of)
        if known is None:
            while len(self._keys) >= REMEMBERED_MAX:
                del self._keys[next(iter(self._keys))]
            known = self._keys[of] = self._new_key(policy, identity)
        return known

    def _new_key(self, policy: Policy, identity: tuple[str, ...]) -> str:
        name = "\0".join(identity).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(name, key=self._secret, digest_size=16).hexdigest()
        item = self._items.get(policy)
        if item is None:
            item = self._items[policy] = RateLimitItemPerSecond(policy.quota, policy.window_s, policy.name)
        return item.key_for(digest)

    def _from_memory(self, policy: Policy, key: str, cost: int, now_s: float) -> Verdict | None:
        block = self._blocks.get(key)
        if block is None or now_s >= block.until_s:
            return None
        if block.left < 0:
            return Verdict(False, policy, 0, block.reset_at_s - now_s)
        if block.left < cost:
            return None
        block.left -= cost
        return Verdict(True, policy, block.beyond + block.left, max(0.0, block.reset_at_s - now_s))

    async def _from_server(self, policy: Policy, key: str, cost: int, now_s: float) -> Verdict | None:
        if not self._may_ask(now_s):
            return None
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked[key] = answered
        try:
            return await self._taking(policy, key, cost, now_s)
        finally:
            del self._asked[key]
            answered.set_result(None)

    async def _taking(self, policy: Policy, key: str, cost: int, now_s: float) -> Verdict | None:
        taken_usage = await self._asking(self._take(policy, key, cost))
        if taken_usage is None:
            return None
        taken, usage = taken_usage
        verdict = _verdict(policy, usage, cost if not taken else 1)
        if not taken:
            # Of a dearer hit it says nothing about cheaper ones.
            if cost == 1:
                self._remember(key, _Block(-1, 0, now_s + verdict.reset_after_s, now_s + _short(verdict)))
            return Verdict(False, policy, 0, verdict.reset_after_s)
        if taken > cost:
            until_s = now_s + policy.window_s / 2
            self._remember(key, _Block(taken - cost, verdict.remaining, now_s + verdict.reset_after_s, until_s))
        return Verdict(True, policy, verdict.remaining + taken - cost, verdict.reset_after_s)

    async def _take(self, policy: Policy, key: str, cost: int) -> tuple[int, Usage]:
        block = max(cost, policy.block)
        acquire = self._storage.acquire_sliding_window_entry
        taken = block if await acquire(key, policy.quota, policy.window_s, block) else 0
        if not taken and block > cost:
            taken = cost if await acquire(key, policy.quota, policy.window_s, cost) else 0
        return taken, await self._usage(policy, key)

    async def _usage(self, policy: Policy, key: str) -> Usage:
        return Usage(*await self._storage.get_sliding_window(key, policy.window_s))

    def _may_ask(self, now_s: float) -> bool:
        """While the server is lost, one caller asks now and then, and nobody else waits for it."""
        if not self._lost:
            return True
        if now_s < self._retry_at_s:
            return False
        self._retry_at_s = now_s + RETRY_S
        return True

    async def _asking(self, question: Any) -> Any:
        """The answer, None where there is none in time."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await question
        except (TimeoutError, RedisError, OSError) as error:
            if not self._lost:
                log.warning("rate_limits_alone", cause=repr(error))
            self._lost = True
            self._retry_at_s = time.monotonic() + RETRY_S
            return None
        if self._lost:
            self._lost = False
            log.info("rate_limits_shared")
        return answer

    def _alone(self, policy: Policy, key: str, cost: int, now_s: float) -> Verdict:
        _alone.add(1)
        usage = self._windows.usage(key, policy.window_s, now_s)
        verdict = _verdict(policy, usage, cost)
        return Verdict(verdict.allowed, policy, max(0, verdict.remaining - cost), verdict.reset_after_s)

    def _remember(self, key: str, block: _Block) -> None:
        before = self._blocks.get(key)
        if before is not None and before.left > 0 and block.left > 0:
            # Two of them were under way: neither is lost.
            block.left += before.left
        self._blocks[key] = block
        self._blocks.move_to_end(key)
        if len(self._blocks) > KEYS_MAX:
            self._blocks.popitem(last=False)


def _verdict(policy: Policy, usage: Usage, cost: int) -> Verdict:
    wait_s = usage.wait_s(policy.quota, policy.window_s, cost)
    remaining = max(0, policy.quota - usage.used(policy.window_s))
    if wait_s == 0 and remaining < policy.quota:
        # When more is free: as soon as what is left would no longer do for one more than is left.
        return Verdict(True, policy, remaining, usage.wait_s(policy.quota, policy.window_s, remaining + 1))
    return Verdict(wait_s == 0, policy, remaining, wait_s)


def _short(verdict: Verdict) -> float:
    return min(REFUSED_FOR_S, verdict.reset_after_s)
