"""Whose address counts: the peer's, unless proxies of ours name another."""

import ipaddress
from typing import Any

import pytest

from wapsi.limits.client_address import ClientAddresses, subscriber_of

PROXIES = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


def scope_of(peer: str | None, *forwarded: str) -> dict[str, Any]:
    return {
        "client": None if peer is None else (peer, 1234),
        "headers": [(b"x-forwarded-for", hop.encode("latin-1")) for hop in forwarded],
    }


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # a stranger says whatever it likes
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["8.8.8.8, 198.51.100.1"], "198.51.100.1"),  # the client wrote what stands left of it
        ("10.0.0.1", ["8.8.8.8, 198.51.100.1, 10.1.2.3"], "198.51.100.1"),
        ("10.0.0.1", ["8.8.8.8", "198.51.100.1"], "198.51.100.1"),  # a header of one's own a proxy
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.9, 10.0.0.8"], "10.0.0.9"),  # nobody but us
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["8.8.8.8, unknown"], "10.0.0.1"),  # what is no address ends the list
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["\xff\xfe, '; drop table"], "10.0.0.1"),
        (None, ["198.51.100.1"], "unknown"),
    ],
)
def test_the_address_is_the_first_from_the_right_that_is_not_ours(
    peer: str | None, forwarded: list[str], address: str
) -> None:
    assert ClientAddresses(PROXIES).of(scope_of(peer, *forwarded)) == address


def test_without_proxies_nobody_is_believed() -> None:
    assert ClientAddresses([]).of(scope_of("10.0.0.1", "198.51.100.1")) == "10.0.0.1"


@pytest.mark.parametrize(
    ("host", "subscriber"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::1", "2001:db8:0:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_a_subscriber_is_an_ipv4_address_or_a_64_of_ipv6(host: str, subscriber: str) -> None:
    assert subscriber_of(host) == subscriber
