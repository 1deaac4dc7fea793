"""Whoever calls with keys that are refused is soon refused unread: each costs a look into the database."""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote

from wapsi.limits import RateLimited, RateLimits
from wapsi.limits.client_address import ClientAddresses, subscriber_of
from wapsi.limits.policies import REFUSED_KEY
from wapsi.security.principal import CredentialsInvalid, Principal

# Hashes of keys and tokens that were good when they came last.
KNOWN_MAX = 10_000


class RefusedKeys:
    """Counts them by address, as REST counts every request. What has been good here once is not kept out.

    So a program whose key has ended does not take its neighbours behind the same address or proxy with it.
    """

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        self._addresses = ClientAddresses(limits.settings.trusted_proxies)
        self._known: OrderedDict[bytes, None] = OrderedDict()

    async def checked(
        self, bearer: str, peer: str, metadata: Mapping[str, str], authenticate: Callable[[], Awaitable[Principal]]
    ) -> Principal:
        """What `authenticate` says. Raises CredentialsInvalid and RateLimited. `peer`: as gRPC names it."""
        mark = hashlib.blake2b(bearer.encode("utf-8", "replace"), digest_size=16).digest()
        address = self._address(peer, metadata)
        if mark not in self._known:
            verdict = await self._limits.test(REFUSED_KEY, address)
            if not verdict.allowed:
                raise RateLimited(verdict.policy.name, verdict.reset_after_s)
        try:
            principal = await authenticate()
        except CredentialsInvalid:
            self._known.pop(mark, None)
            # Counted, and refused by number where many came at once and each had seen few.
            await self._limits.require(REFUSED_KEY, address)
            raise
        self._known[mark] = None
        self._known.move_to_end(mark)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return principal

    def _address(self, peer: str, metadata: Mapping[str, str]) -> str:
        return subscriber_of(self._addresses.of_peer(_host(peer), [metadata.get("x-forwarded-for", "")]))


def _host(peer: str) -> str:
    """ipv4:127.0.0.1:4711, ipv6:%5B::1%5D:4711 or unix:…"""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else peer
