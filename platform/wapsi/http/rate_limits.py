"""Limits at the REST door: by address before anything else is done, by caller once it is known who that is.

A route has a limit of its own beside those where it says so: `openapi_extra=limited(CLICK)`. It counts by the caller;
on a public route by the address, and by what a parameter of the path names.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from fastapi import Request
from starlette.types import Scope, Send

from wapsi.errors import Category
from wapsi.http.refusals import refuse
from wapsi.limits import Policy, RateLimited, RateLimits, Verdict
from wapsi.limits.client_address import ClientAddresses, subscriber_of
from wapsi.limits.policies import ADDRESS, CUSTOMER, OPERATOR, POLICIES, PRODUCER
from wapsi.security.principal import Principal, PrincipalKind

HEADERS = (b"ratelimit", b"ratelimit-policy")
PLACES_MIN = 20
PLACE_RETRY_S = 1.0
_EXTRA = "x-rate-limit"
_BY_KIND = {
    PrincipalKind.CUSTOMER: CUSTOMER,
    PrincipalKind.OPERATOR: OPERATOR,
    PrincipalKind.PRODUCER: PRODUCER,
    PrincipalKind.SYSTEM: OPERATOR,
}


def limited(policy: Policy, *, by: str | None = None) -> dict[str, Any]:
    """For a route's `openapi_extra`. `by`: a parameter of the path that counts beside the address."""
    assert policy.name in POLICIES
    return {_EXTRA: {"policy": policy.name} | ({} if by is None else {"by": by})}


class AddressLimits:
    """Refuses an address that asks too often, or has too much under way; the Door asks it, but not for health checks.

    Whether limits are on or not, `scope["address"]` says who is at the other end.
    """

    def __init__(self, limits: RateLimits, addresses: ClientAddresses) -> None:
        self._limits = limits
        self._addresses = addresses
        self._places = places_of(limits.effective(ADDRESS))
        self._under_way: dict[str, int] = {}

    def name(self, scope: Scope) -> bool:
        """Into the scope. Whether there are limits."""
        scope["client_address"] = self._addresses.of(scope)
        scope["address"] = subscriber_of(scope["client_address"])
        return self._limits.is_on

    def arrive(self, address: str) -> bool:
        """Then `leave`. Whether it has as much under way as it may."""
        under_way = self._under_way.get(address, 0)
        self._under_way[address] = under_way + 1
        return under_way >= self._places

    async def judge(self, address: str, *, is_beyond: bool) -> Verdict:
        verdict = await self._limits.hit(ADDRESS, address)
        if verdict.allowed and is_beyond:
            return replace(verdict, allowed=False, reset_after_s=PLACE_RETRY_S)
        return verdict

    def leave(self, address: str) -> None:
        left = self._under_way[address] - 1
        if left:
            self._under_way[address] = left
        else:
            del self._under_way[address]


def places_of(policy: Policy) -> int:
    """How many requests of an address may be under way: as many as it may ask in a second.

    Slow bodies of one client could hold all places of a process otherwise, for as long as a body may take.
    """
    return max(PLACES_MIN, math.ceil(policy.quota / policy.window_s))


async def admit(request: Request, principal: Principal) -> None:
    """Counts a request of somebody who is known. Raises RateLimited."""
    limits, scope = _limits_of(request), request.scope
    if limits is None or "admitted" in scope:
        return
    # A short way and the declared one may both ask: see wapsi.http.direct_routes.
    scope["admitted"] = True
    await _require(scope, limits, _BY_KIND[principal.kind], str(principal))
    own = _own_limit(scope)
    if own is not None:
        await _require(scope, limits, own[0], str(principal))


async def admit_stranger(request: Request) -> None:
    """The same for a public route, where the route has a limit of its own. Raises RateLimited."""
    limits, scope = _limits_of(request), request.scope
    own = None if limits is None else _own_limit(scope)
    if limits is None or own is None:
        return
    policy, by = own
    named = () if by is None else (str(request.path_params.get(by)),)
    await _require(scope, limits, policy, *named, address_of(request))


def address_of(request: Request) -> str:
    """What is counted as one subscriber."""
    address: str = request.scope.get("address", "unknown")
    return address


def client_address_of(request: Request) -> str:
    """The very address of whoever calls."""
    address: str = request.scope.get("client_address", "unknown")
    return address


def headers_of(verdicts: Sequence[Verdict]) -> list[tuple[bytes, bytes]]:
    """As the IETF's draft (ratelimit-headers 10) has them; of several quotas each is told."""
    left = ", ".join(
        f'"{verdict.policy.name}";r={verdict.remaining};t={math.ceil(verdict.reset_after_s)}' for verdict in verdicts
    )
    policies = _policies_header(tuple(verdict.policy for verdict in verdicts))
    return [(b"ratelimit", left.encode()), (b"ratelimit-policy", policies)]


@lru_cache(maxsize=256)
def _policies_header(policies: tuple[Policy, ...]) -> bytes:
    return ", ".join(f'"{policy.name}";q={policy.quota};w={policy.window_s}' for policy in policies).encode()


async def note(request: Request, policy: Policy, *identity: str) -> None:
    """For a router that counts by what it alone knows: as other limits are told to the caller. Raises RateLimited."""
    limits = _limits_of(request)
    if limits is not None:
        await _require(request.scope, limits, policy, *identity)


async def _require(scope: Scope, limits: RateLimits, policy: Policy, *identity: str) -> None:
    verdict = await limits.hit(policy, *identity)
    verdicts: list[Verdict] = scope.setdefault("rate_limits", [])
    verdicts.append(verdict)
    if not verdict.allowed:
        raise RateLimited(verdict.policy.name, verdict.reset_after_s)


def _limits_of(request: Request) -> RateLimits | None:
    limits: RateLimits = request.app.state.runtime.limits
    return limits if limits.is_on else None


def _own_limit(scope: Scope) -> tuple[Policy, str | None] | None:
    extra = getattr(scope.get("route"), "openapi_extra", None)
    found = None if extra is None else extra.get(_EXTRA)
    return None if found is None else (POLICIES[found["policy"]], found.get("by"))


async def refuse_limited(scope: Scope, send: Send, verdict: Verdict) -> None:
    error = RateLimited(verdict.policy.name, verdict.reset_after_s)
    await refuse(
        scope,
        send,
        Category.EXHAUSTED,
        error.reason,
        error.message,
        metadata=error.metadata,
        headers=[(b"retry-after", str(error.retry_after_s).encode())],
    )
