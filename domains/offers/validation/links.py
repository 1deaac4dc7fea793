"""Checking of links: http or https, a plain host, nothing hidden, pure ASCII in the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote

from domains.offers.validation.text import is_visible

MAX_LINK_LENGTH: Final = 2000
MAX_HOST_LENGTH: Final = 253
_MAX_PORT: Final = 65535
# What a URL may consist of, the percent sign included; anything else is percent-encoded.
_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"
# Changes whatever is not visible ASCII, or not taken as it is.
_MARK_UNUSUAL: Final = bytes(code if 0x20 < code < 0x7F and code not in b'\\"<>' else ord("?") for code in range(256))
# Stands between links that are looked at together: none that is taken as it is has one.
_BETWEEN: Final = "<"
_MARK_UNUSUAL_OF_MANY: Final = bytes(
    code if code == ord(_BETWEEN) else marked for code, marked in enumerate(_MARK_UNUSUAL)
)
_MIN_ORIGIN_LENGTH: Final = len("http://h")
_MAX_ORIGIN_LENGTH: Final = 300  # what is cached is no longer
_HOST_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")


class Link(NamedTuple):
    """`url` is ASCII (other characters percent-encoded, the host in its IDNA form); `host` is lower case."""

    url: str
    host: str


@dataclass(frozen=True, slots=True)
class LinkProblem:
    """`code` is a suffix: INVALID, TOO_LONG or HAS_CREDENTIALS."""

    code: str
    message: str


_TOO_LONG: Final = LinkProblem("TOO_LONG", f"The link has over {MAX_LINK_LENGTH} characters. Send a shorter one.")
_TOO_LONG_ENCODED: Final = LinkProblem("TOO_LONG", f"Percent-encoded the link has over {MAX_LINK_LENGTH} characters.")
_NOT_ABSOLUTE: Final = LinkProblem("INVALID", "The link must be absolute and begin with https:// or http://.")
_UNSAFE: Final = LinkProblem("INVALID", "The link has a backslash or control characters. Percent-encode or drop them.")
_HAS_CREDENTIALS: Final = LinkProblem("HAS_CREDENTIALS", "The link must not carry a user name or password.")
_NO_HOST: Final = LinkProblem("INVALID", "The link has no valid host name.")


def is_ordinary_link(text: str, hosts: frozenset[str] | None) -> bool:
    """Whether check_link gives the link back as it is, with a host that is on `hosts` or below one of them (any host
    where `hosts` is None). Much quicker than check_link; False also for good links of an unusual form.
    """
    end = text.find("/", _MIN_ORIGIN_LENGTH, _MAX_ORIGIN_LENGTH)
    if end < 0 or len(text) > MAX_LINK_LENGTH or not _leads_to(text[:end], hosts):
        return False
    encoded = text.encode()
    return encoded.translate(_MARK_UNUSUAL) == encoded


def are_ordinary_links(texts: Sequence[str], hosts: frozenset[str] | None) -> bool:
    """Whether is_ordinary_link holds for all of them."""
    if len(max(texts, key=len)) > MAX_LINK_LENGTH:
        return False
    together = _BETWEEN.join(texts)
    encoded = together.encode()
    if together.count(_BETWEEN) >= len(texts) or encoded.translate(_MARK_UNUSUAL_OF_MANY) != encoded:
        return False
    return all(_leads_to(origin, hosts) for origin in _origins(texts, together))


def _origins(texts: Sequence[str], together: str) -> set[str]:
    """What the links begin with, up to the path; '' where one has none."""
    first = texts[0][: texts[0].find("/", _MIN_ORIGIN_LENGTH, _MAX_ORIGIN_LENGTH) + 1]
    # Most shops have one.
    if first and together.count(_BETWEEN + first) == len(texts) - 1:
        return {first[:-1]}
    return {text[: max(0, text.find("/", _MIN_ORIGIN_LENGTH, _MAX_ORIGIN_LENGTH))] for text in texts}


@lru_cache(maxsize=4096)
def _leads_to(origin: str, hosts: frozenset[str] | None) -> bool:
    link = check_link(origin)
    return isinstance(link, Link) and link.url == origin and (hosts is None or is_below(link.host, hosts))


def is_below(host: str, hosts: frozenset[str]) -> bool:
    """Whether the host is one of the hosts or a subdomain of one, all as ascii_host gives them."""
    while host not in hosts:
        _, dot, host = host.partition(".")
        if not dot:
            return False
    return True


def check_link(text: str) -> Link | LinkProblem:
    """Reads an absolute web address. Blanks at its ends must be gone already."""
    if len(text) > MAX_LINK_LENGTH:
        return _TOO_LONG
    scheme, found, rest = text.partition("://")
    if not found or scheme.lower() not in ("http", "https"):
        return _NOT_ABSOLUTE
    plain = rest.isascii()
    if "\\" in rest or not (rest.isprintable() if plain else is_visible(rest)):
        return _UNSAFE
    end = len(rest)
    for separator in "/?#":
        position = rest.find(separator, 0, end)
        if position >= 0:
            end = position
    authority = rest[:end]
    if "@" in authority:
        return _HAS_CREDENTIALS
    host = _host(authority)
    if host is None:
        return _NO_HOST
    ascii_host, port = host
    path = rest[end:]
    if not plain or " " in path or '"' in path or "<" in path or ">" in path:
        path = quote(path, safe=_SAFE)
        if len(path) + len(ascii_host) > MAX_LINK_LENGTH:
            return _TOO_LONG_ENCODED
    return Link(f"{scheme.lower()}://{ascii_host}{port}{path}", ascii_host)


@lru_cache(maxsize=4096)
def _host(authority: str) -> tuple[str, str] | None:
    """(host in lower-case ASCII, ':port' or ''), None where it is not a host name."""
    name, colon, port = authority.partition(":")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _MAX_PORT):
        return None
    host = ascii_host(name)
    return None if host is None else (host, colon + port)


def ascii_host(name: str) -> str | None:
    """A host name in lower-case ASCII (IDNA), without a final dot; None where it is not one."""
    name = name.lower().removesuffix(".")
    if not name or len(name) > MAX_HOST_LENGTH:
        return None
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return None
    labels = name.split(".")
    if not _HOST_CHARACTERS.issuperset(name) or any(
        not label or len(label) > 63 or label[0] == "-" or label[-1] == "-" for label in labels
    ):
        return None
    # "example" is no web host, and neither is "2130706433", which some clients read as an IP address.
    return name if len(labels) > 1 and not labels[-1].isdigit() else None
