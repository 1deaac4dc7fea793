"""Addresses for networks that sign nothing: whoever knows the address is taken for the network.

The last part of the address is made of the network's secret, so that it changes with it, and the old one counts as long
as the previous secret does.
"""

import base64
import hmac
from collections.abc import Sequence

_BYTES = 24


def address_token(secret: bytes, network: str) -> str:
    """32 URL-safe characters."""
    mac = hmac.digest(secret, b"postback address\0" + network.encode(), "sha256")
    return base64.urlsafe_b64encode(mac[:_BYTES]).decode()


def is_address_of(secrets: Sequence[bytes], network: str, token: str) -> bool:
    """Compared with each, in constant time."""
    given = token.encode("utf-8", "replace")
    matches = [hmac.compare_digest(address_token(secret, network).encode(), given) for secret in secrets]
    return any(matches)
