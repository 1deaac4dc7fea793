"""Signatures of postbacks, by the Standard Webhooks specification: HMAC-SHA256 over id, time and body."""

import hmac
import re
from collections.abc import Mapping, Sequence

from domains.cashback.errors import PostbackUnsigned
from wapsi.security.webhooks import VERSION, sign_webhook, webhook_signature

TOLERANCE_S = 300
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_MAX_SIGNATURES = 10


def sign_postback(secret: str, webhook_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers of a signed postback. `secret` is as it was shown: whsec_ and base64. Raises ValueError."""
    return sign_webhook(secret, webhook_id, timestamp_s, body)


def verify_postback(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, *, now_s: float) -> str:
    """The message's id. One of several signatures must match one of the keys. Raises PostbackUnsigned."""
    webhook_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not _ID.fullmatch(webhook_id) or not _TIMESTAMP.fullmatch(timestamp):
        raise PostbackUnsigned
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise PostbackUnsigned
    given = headers.get("webhook-signature", "").split(" ")[:_MAX_SIGNATURES]
    expected = [(VERSION + webhook_signature(key, webhook_id, timestamp, body)).encode() for key in keys]
    # All are compared, each in constant time.
    matches = [
        hmac.compare_digest(signature.encode("utf-8", "replace"), wanted) for signature in given for wanted in expected
    ]
    if not any(matches):
        raise PostbackUnsigned
    return webhook_id
