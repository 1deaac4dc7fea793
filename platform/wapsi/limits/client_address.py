"""Who is at the other end: the peer, or whom a proxy of ours names in X-Forwarded-For."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN = "unknown"
# One subscriber has a /64 of IPv6 at least, and as many addresses as it likes in it.
IPV6_PREFIX = 64


class ClientAddresses:
    """`trusted`: networks whose X-Forwarded-For is believed; nobody else's is."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)
        self._is_trusted = lru_cache(maxsize=4096)(self._contains)

    def of(self, scope: Scope) -> str:
        """Who sent an HTTP request."""
        client = scope.get("client")
        return self.of_peer(client[0] if client else UNKNOWN, _forwarded(scope["headers"]))

    def of_peer(self, peer: str, forwarded: Iterable[str]) -> str:
        """`forwarded`: the values of X-Forwarded-For. Read from right to left: each proxy of ours adds whom it spoke
        to, and what stands left of the first address that is not ours was written by a stranger."""
        if not self._trusted or not self._is_trusted(peer):
            return peer
        for hop in reversed([hop for value in forwarded for hop in value.split(",")]):
            named = _host(hop)
            if named is None:
                break
            peer = named
            if not self._is_trusted(peer):
                break
        return peer

    def _contains(self, host: str) -> bool:
        address = _parsed(host)
        return address is not None and any(address in network for network in self._trusted)


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[str]:
    for name, value in headers:
        if name == b"x-forwarded-for":
            yield value.decode("latin-1")


def _host(hop: str) -> str | None:
    """An address, with or without a port; None for anything else."""
    hop = hop.strip()
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    return None if _parsed(hop) is None else hop


def _parsed(host: str) -> Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=16_384)
def subscriber_of(host: str) -> str:
    """What is counted as one: an IPv4 address, or a /64 of IPv6."""
    address = _parsed(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX), strict=False))
    return host if address is None else str(address)
