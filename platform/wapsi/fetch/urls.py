"""URLs: what may be fetched at all, and what of a URL people may see."""

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import Final

import httpx2

from wapsi.fetch.addresses import Address
from wapsi.fetch.errors import PortRefused, SchemeRefused, URLInvalid, UserInfoRefused

MAX_LENGTH: Final = 2000
PORTS: Final = (80, 443, 8080, 8443)
HIDDEN: Final = "***"

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# Nothing that programs read differently: no blanks, no control characters, no backslash, no letters beyond ASCII.
_PLAIN: Final = re.compile(r"[!-\[\]-~]+")
_NAME: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Some networks put the key into the path: /datafeed/download/apikey/…/language/en
_KEYS_IN_PATH: Final = re.compile(r"(/(?:api[-_]?)?(?:key|token|secret|password)/)[^/]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be fetched, once its host's addresses are vetted."""

    url: httpx2.URL = field(repr=False)
    host: str
    port: int

    def at(self, address: Address) -> httpx2.URL:
        """The URL with the address in the name's place."""
        return self.url.copy_with(host=str(address), fragment=None)


def parse(text: str, *, allow_http: bool, any_port: bool) -> Target:
    """Raises URLInvalid, SchemeRefused, UserInfoRefused, PortRefused."""
    if len(text) > MAX_LENGTH or not _PLAIN.fullmatch(text):
        raise URLInvalid(
            f"A URL has at most {MAX_LENGTH} characters, all of them printable ASCII and none a backslash. "
            "Write others percent-encoded, and a host with others as its xn-- name."
        )
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        raise URLInvalid("The URL cannot be read. Check how its host and port are written.") from None
    schemes = ("https", "http") if allow_http else ("https",)
    if url.scheme not in schemes:
        raise SchemeRefused(f"Only {' and '.join(schemes)} URLs are fetched. Give one that begins with https://")
    if url.userinfo:
        raise UserInfoRefused("A URL may not hold a name or password before its host. Put a token into its query.")
    host = url.raw_host.decode("ascii")
    _check_host(host)
    port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    if port not in PORTS and not (any_port and 0 < port < 65536):
        raise PortRefused(f"Port {port} is not used for feeds. Use one of {', '.join(map(str, PORTS))}.")
    return Target(url, host, port)


def _check_host(host: str) -> None:
    """Resolvers take 2130706433, 0x7f.1 and 0177.0.0.1 for addresses: a name whose last part is a number is none."""
    if ":" in host and "%" not in host:
        return  # an IPv6 address, which the parser has checked
    if not _NAME.fullmatch(host):
        raise URLInvalid("The URL's host is neither a name nor an address. Check how it is written.")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            IPv4Address(host)
        except AddressValueError:
            raise URLInvalid("An IPv4 address is written as four decimal numbers, such as 203.0.113.7.") from None


def shown(url: str | httpx2.URL) -> str:
    """The URL as people and logs may see it: what may be a key is hidden, the whole query with it."""
    parsed = httpx2.URL(url)
    return without_query(parsed) + (f"?{HIDDEN}" if parsed.query else "")


def without_query(url: str | httpx2.URL) -> str:
    parsed = httpx2.URL(url)
    path = parsed.raw_path.partition(b"?")[0].decode("ascii")
    hidden = _KEYS_IN_PATH.sub(rf"\1{HIDDEN}", path)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}{hidden}"
