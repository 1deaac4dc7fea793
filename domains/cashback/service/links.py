"""Where a click leads, and the short token that stands for it.

A redirect goes only to what was stored with a click, and a click is stored only for a link that leads to one of the
merchant's own hosts.
"""

import base64
import hmac
import re
from functools import lru_cache
from urllib.parse import quote, urlsplit
from uuid import UUID

from domains.cashback.errors import ClickNotFound, LandingLinkRefused
from wapsi.security.signing import Keys

MAX_LINK_LENGTH = 2000
# Many visitors follow few links.
_REMEMBERED_LINKS = 2000
_TOKEN_MAC_BYTES = 8
_PURPOSE = "click"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
# Control characters, blanks, and the backslash, which browsers read as a slash.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))


@lru_cache(_REMEMBERED_LINKS)
def check_landing_link(link: str, allowed_hosts: tuple[str, ...]) -> str:
    """Returns it in ASCII. A subdomain of an allowed host is allowed. Raises LandingLinkRefused, saying why."""
    fault = _fault(link, allowed_hosts)
    if fault is not None:
        raise LandingLinkRefused(f"The link {fault}.")
    return quote(link, safe=_PRINTABLE_ASCII)


def _fault(link: str, allowed_hosts: tuple[str, ...]) -> str | None:
    if len(link) > MAX_LINK_LENGTH:
        return f"may have at most {MAX_LINK_LENGTH} characters"
    if _FORBIDDEN.search(link):
        return "must not contain blanks, control characters or backslashes"
    try:
        parts = urlsplit(link)
        port = parts.port
    except ValueError:
        return "is not a web address"
    if parts.scheme not in ("https", "http"):
        return "must begin with https:// or http://"
    if "@" in parts.netloc:
        return "must not name a user"
    if port not in (None, 80, 443):
        return "must not name an unusual port"
    host = parts.hostname or ""
    # Compared in ASCII only: a letter that merely looks like another must not pass.
    if not host.isascii() or not any(host == allowed or host.endswith(f".{allowed}") for allowed in allowed_hosts):
        return "does not lead to one of the merchant's own sites"
    return None


def tracked_link(template: str, link: str, click_id: UUID) -> str:
    """The merchant's deep link: where to land, and the click id that comes back with the sale."""
    return _landing(template, link).replace("{click_id}", str(click_id))


@lru_cache(_REMEMBERED_LINKS)
def _landing(template: str, link: str) -> str:
    # Quoted, so that no placeholder in a link is taken for the template's.
    return template.replace("{link}", quote(link, safe=""))


def click_token(keys: Keys, click_id: UUID) -> str:
    """32 URL-safe characters. It carries the id and proves that we made it, so that no table need be asked."""
    raw = click_id.bytes
    return base64.urlsafe_b64encode(raw + keys.mac(_PURPOSE, raw)[:_TOKEN_MAC_BYTES]).decode()


def click_of_token(keys: Keys, token: str) -> UUID:
    """Raises ClickNotFound for whatever we did not make."""
    if not _TOKEN.fullmatch(token):
        raise unknown_click()
    raw = base64.urlsafe_b64decode(token)
    click_id = UUID(bytes=raw[:-_TOKEN_MAC_BYTES])
    if not any(hmac.compare_digest(raw[-_TOKEN_MAC_BYTES:], mac) for mac in _macs(keys, click_id)):
        raise unknown_click()
    return click_id


def unknown_click() -> ClickNotFound:
    return ClickNotFound("There is no such click.")


def _macs(keys: Keys, click_id: UUID) -> list[bytes]:
    """Of today's secret and of earlier ones: a link that was made before it changed still leads on."""
    return [mac[:_TOKEN_MAC_BYTES] for mac in keys.macs(_PURPOSE, click_id.bytes)]
