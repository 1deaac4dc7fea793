"""Where a connection may go: to public addresses, by whatever name or spelling."""

import ipaddress
from typing import Any

import pytest

from tests.platform.fetch.servers import HOST, PUBLIC, SECRET, Names, answer, fetch, make_fetcher, refusal
from wapsi.fetch import Fetcher, FetchLimits, is_public

NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:0.0.0.0",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:a00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%2",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_name_may_not_lead_inside(address: str) -> None:
    reason, words = await refusal(Fetcher(FetchLimits(1000), resolve=Names([address])), f"https://{HOST}/feed")
    assert reason == "FETCH_ADDRESS_REFUSED"
    assert str(ipaddress.ip_address(address)) in words


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_nor_may_an_address_in_the_url(address: str) -> None:
    asked = Names([PUBLIC])
    host = f"[{address}]" if ":" in address else address
    reason, _ = await refusal(Fetcher(FetchLimits(1000), resolve=asked), f"https://{host}/feed")
    assert reason == ("FETCH_URL_INVALID" if "%" in address else "FETCH_ADDRESS_REFUSED")
    assert asked.asked == 0


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1", "2a00:1450::200e"],
)
def test_public_addresses_are_reached(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("found", [[PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], ["2606:4700::1111", "::1"]])
async def test_one_bad_address_among_good_ones_is_enough(found: list[str]) -> None:
    reason, _ = await refusal(Fetcher(FetchLimits(1000), resolve=Names(found)), f"https://{HOST}/feed")
    assert reason == "FETCH_ADDRESS_REFUSED"


async def test_a_name_that_leads_elsewhere_a_moment_later_changes_nothing(serve: Any) -> None:
    """Rebinding: vetted is what is connected to, and the name is not looked up between the two."""
    good = await serve(answer(b"the shop's"))
    inside = await serve(answer(b"a secret"), on="127.0.0.2", port=good.port)
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    fetcher = make_fetcher(resolve=names, trusted_networks=[ipaddress.ip_network("127.0.0.1")])
    assert await fetch(fetcher, good.url()) == b"the shop's"
    assert names.asked == 1
    assert (await refusal(fetcher, good.url()))[0] == "FETCH_ADDRESS_REFUSED"
    assert inside.requests == []


async def test_the_systems_resolver_is_asked_and_not_believed() -> None:
    assert (await refusal(Fetcher(FetchLimits(1000)), "https://localhost/feed"))[0] == "FETCH_ADDRESS_REFUSED"
    assert (await refusal(Fetcher(FetchLimits(1000)), f"https://{'x' * 64}.example/"))[0] == "FETCH_HOST_UNKNOWN"


async def test_the_next_address_is_tried_where_one_takes_no_connection(serve: Any) -> None:
    server = await serve(answer())
    assert await fetch(make_fetcher("127.0.0.9", "127.0.0.1"), server.url()) == b"a feed"
    reason, words = await refusal(make_fetcher("127.0.0.9"), server.url())
    assert reason == "FETCH_CONNECT_FAILED"
    assert f"{HOST} takes no connection on port {server.port}" in words


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "shop.example.",
        "127.0.0.0x1",
        "0x",
        "1.2.3.256",
        "1.2.3.4.5",
        "%31%32%37.0.0.1",
        "a%2eb",
        "[::1%25lo]",
        "[fe80::1%25eth0]",
        "[::1",
        "-a.example",
        "a..example",
        "",
    ],
)
async def test_an_address_in_disguise_is_no_host(host: str) -> None:
    asked = Names([PUBLIC])
    assert (await refusal(Fetcher(FetchLimits(1000), resolve=asked), f"https://{host}/feed"))[0] == "FETCH_URL_INVALID"
    assert asked.asked == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://shop.example/feed", "FETCH_SCHEME_REFUSED"),
        ("ftp://shop.example/feed", "FETCH_SCHEME_REFUSED"),
        ("file:///etc/passwd", "FETCH_SCHEME_REFUSED"),
        ("gopher://shop.example/", "FETCH_SCHEME_REFUSED"),
        ("//shop.example/feed", "FETCH_SCHEME_REFUSED"),
        ("shop.example/feed", "FETCH_SCHEME_REFUSED"),
        (f"https://user:{SECRET}@shop.example/", "FETCH_USER_INFO_REFUSED"),
        (f"https://{SECRET}@shop.example/", "FETCH_USER_INFO_REFUSED"),
        ("https://shop.example:22/", "FETCH_PORT_REFUSED"),
        ("https://shop.example:5432/", "FETCH_PORT_REFUSED"),
        ("https://shop.example:0/", "FETCH_PORT_REFUSED"),
        ("https://shop.example:99999/", "FETCH_PORT_REFUSED"),
        ("https://shop.example:x/", "FETCH_URL_INVALID"),
        ("https://shop.example\\@evil.example/", "FETCH_URL_INVALID"),
        ("https://shop.example/a b", "FETCH_URL_INVALID"),
        ("https://shop.example/\r\nHost: evil", "FETCH_URL_INVALID"),
        ("https://shop.example/\x00", "FETCH_URL_INVALID"),
        ("https://sh\u00f6p.example/", "FETCH_URL_INVALID"),
        ("https://\uff11\uff12\uff17.0.0.1/", "FETCH_URL_INVALID"),
        ("https:///feed", "FETCH_URL_INVALID"),
        ("https://shop.example/" + "x" * 2000, "FETCH_URL_INVALID"),
        ("", "FETCH_URL_INVALID"),
    ],
)
async def test_some_urls_are_never_fetched(url: str, reason: str) -> None:
    asked = Names([PUBLIC])
    found, words = await refusal(Fetcher(FetchLimits(1000), resolve=asked), url)
    assert found == reason
    assert words.endswith(".") or "https://" in words
    assert asked.asked == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "https://shop.example:8443/feed?x",
        "https://xn--shp-sna.example/",
        "https://a_b.shop.example/",
        "https://1.1.1.1/feed",
        "https://[2606:4700::1111]:443/feed",
        "HTTPS://SHOP.EXAMPLE:8080/",
        "https://3com.example/",
        "https://0x7f.example/",
    ],
)
def test_others_may_be(url: str) -> None:
    Fetcher(FetchLimits(1000)).check(url)
