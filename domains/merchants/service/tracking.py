"""The settings that say where a click may lead: checked before they are stored, since customers follow them."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from domains.merchants.errors import DeepLinkTemplateInvalid, LandingHostInvalid
from wapsi.errors import FieldViolation

MAX_LANDING_HOSTS = 50
MAX_TEMPLATE_LENGTH = 2000

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
# Printable ASCII but the backslash, which browsers read as a slash.
_URL_CHARACTERS = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_PLACEHOLDERS = frozenset({"{link}", "{click_id}"})


def check_deep_link_template(template: str) -> str:
    """Returns it. Raises DeepLinkTemplateInvalid, saying what is wrong."""
    fault = _template_fault(template)
    if fault is not None:
        raise DeepLinkTemplateInvalid(
            f"The deep-link template {fault}.", violations=[FieldViolation("deep_link_template", fault)]
        )
    return template


def _template_fault(template: str) -> str | None:
    if len(template) > MAX_TEMPLATE_LENGTH or not _URL_CHARACTERS.fullmatch(template):
        return f"must be 1 to {MAX_TEMPLATE_LENGTH} printable ASCII characters without spaces and backslashes"
    found = set(_PLACEHOLDER.findall(template))
    if found != _PLACEHOLDERS or "{" in (rest := _PLACEHOLDER.sub("", template)) or "}" in rest:
        return "must hold {link} and {click_id}, and no other braces"
    try:
        parts = urlsplit(template)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return "must be a URL"
    if parts.scheme not in ("https", "http"):
        return "must begin with https:// or http://"
    if "@" in parts.netloc or not _HOST.fullmatch(host):
        return "must name a fixed host, without a user or placeholders in it"
    if parts.fragment:
        return "must not have a fragment: it never reaches the network"
    return None


def check_landing_hosts(hosts: Iterable[str]) -> list[str]:
    """In lower case, sorted, each once. Raises LandingHostInvalid, naming the first that is not a host name."""
    checked = sorted({host.lower() for host in hosts})
    for position, host in enumerate(checked):
        if not _HOST.fullmatch(host):
            message = "A landing host is a plain host name, such as www.shop.example, without scheme, port or wildcard."
            raise LandingHostInvalid(
                message, violations=[FieldViolation(f"allowed_landing_hosts.{position}", "not a host name")]
            )
    if len(checked) > MAX_LANDING_HOSTS:
        raise LandingHostInvalid(f"A merchant may have at most {MAX_LANDING_HOSTS} landing hosts.")
    return checked
