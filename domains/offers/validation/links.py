"""Checking of links: http or https, a plain host, nothing hidden, pure ASCII in the end."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote

MAX_LINK_LENGTH: Final = 2000
MAX_HOST_LENGTH: Final = 253
_MAX_PORT: Final = 65535
# What a URL may consist of, the percent sign included; anything else is percent-encoded.
_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"
_HOST_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")


@dataclass(frozen=True, slots=True)
class Link:
    """`url` is ASCII (other characters percent-encoded, the host in its IDNA form); `host` is lower case."""

    url: str
    host: str


@dataclass(frozen=True, slots=True)
class LinkProblem:
    """`code` is a suffix: INVALID, TOO_LONG or HAS_CREDENTIALS."""

    code: str
    message: str


def check_link(text: str) -> Link | LinkProblem:
    """Reads an absolute web address. Blanks at its ends must be gone already."""
    if len(text) > MAX_LINK_LENGTH:
        return LinkProblem("TOO_LONG", f"The link has over {MAX_LINK_LENGTH} characters. Send a shorter one.")
    scheme, found, rest = text.partition("://")
    if not found or scheme.lower() not in ("http", "https"):
        return LinkProblem("INVALID", "The link must be absolute and begin with https:// or http://.")
    plain = rest.isascii()
    if "\\" in rest or not (rest.isprintable() if plain else _has_no_controls(rest)):
        return LinkProblem("INVALID", "The link has a backslash or control characters. Percent-encode or drop them.")
    end = len(rest)
    for separator in "/?#":
        position = rest.find(separator, 0, end)
        if position >= 0:
            end = position
    authority = rest[:end]
    if "@" in authority:
        return LinkProblem("HAS_CREDENTIALS", "The link must not carry a user name or password.")
    host = _host(authority)
    if host is None:
        return LinkProblem("INVALID", "The link has no valid host name.")
    ascii_host, port = host
    path = rest[end:]
    if not plain or " " in path or '"' in path or "<" in path or ">" in path:
        path = quote(path, safe=_SAFE)
        if len(path) + len(ascii_host) > MAX_LINK_LENGTH:
            return LinkProblem("TOO_LONG", f"Percent-encoded the link has over {MAX_LINK_LENGTH} characters.")
    return Link(f"{scheme.lower()}://{ascii_host}{port}{path}", ascii_host)


def _has_no_controls(text: str) -> bool:
    return all(character.isprintable() or character in "\u200c\u200d" for character in text)


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
