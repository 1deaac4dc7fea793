"""Which addresses are on the public network: an allow-list, also of what is wrapped in an address."""

import asyncio
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from wapsi.fetch.errors import AddressRefused, HostUnknown

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# Stands for an IPv4 address, its last 32 bits. Its sister 64:ff9b:1::/48 is for a network's own use, and not public.
_NAT64: Final = IPv6Network("64:ff9b::/96")
# What the standard library counts as global, or did for long, and is not.
_NOT_PUBLIC: Final = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv4Network("168.63.129.16/32"),  # the host's own services on Azure
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    IPv6Network("3fff::/20"),  # documentation
)


def is_public(address: Address) -> bool:
    """Whether it may be connected to. Addresses that carry another (mapped, NAT64, 6to4) are as public as that one."""
    if isinstance(address, IPv6Address):
        carried = _carried(address)
        if carried is not None:
            return is_public(carried)
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not _is_in(address, _NOT_PUBLIC)


def _carried(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _is_in(address: Address, networks: Collection[Network]) -> bool:
    return any(address in network for network in networks)


def vetted(host: str, found: Collection[str], trusted: Collection[Network]) -> list[Address]:
    """The addresses that a host has, each once, in order. Raises AddressRefused where even one is not public.

    One bad address among good ones is no slip of the shop's: it is an attempt, or a name that must not be used.
    """
    addresses = [ip_address(text) for text in dict.fromkeys(found)]
    for address in addresses:
        if not is_public(address) and not _is_in(address, trusted):
            raise AddressRefused(
                f"{host} leads to {address}, which is not an address on the public network. "
                "Give the address under which the shop publishes its feed."
            )
    return addresses


async def resolve(host: str, port: int) -> list[str]:
    """Asks the system's resolver, in a thread. Raises HostUnknown."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        # UnicodeError: a label of more than 63 characters.
        raise HostUnknown(f"No address is known for {host}. Check how it is written.") from None
    return [str(address[0]) for *_, address in found]
