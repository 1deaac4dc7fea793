"""Signatures of postbacks, by the Standard Webhooks specification: HMAC-SHA256 over id, time and body."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from domains.cashback.errors import PostbackUnsigned

TOLERANCE_S = 300
_SECRET_PREFIX = "whsec_"  # noqa: S105  # the specification's prefix, not a secret
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_VERSION = "v1,"
_MAX_SIGNATURES = 10


def sign_postback(secret: str, webhook_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers of a signed postback. `secret` is as it was shown: whsec_ and base64. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("the secret is not whsec_ and base64") from None
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": _VERSION + _signature(key, webhook_id, str(timestamp_s), body),
    }


def verify_postback(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, *, now_s: float) -> str:
    """The message's id. One of several signatures must match one of the keys. Raises PostbackUnsigned."""
    webhook_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not _ID.fullmatch(webhook_id) or not _TIMESTAMP.fullmatch(timestamp):
        raise PostbackUnsigned
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise PostbackUnsigned
    given = headers.get("webhook-signature", "").split(" ")[:_MAX_SIGNATURES]
    expected = [(_VERSION + _signature(key, webhook_id, timestamp, body)).encode() for key in keys]
    # All are compared, each in constant time.
    matches = [
        hmac.compare_digest(signature.encode("utf-8", "replace"), wanted) for signature in given for wanted in expected
    ]
    if not any(matches):
        raise PostbackUnsigned
    return webhook_id


def _signature(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    message = f"{webhook_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
