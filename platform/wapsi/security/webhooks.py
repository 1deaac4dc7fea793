"""Signing by the Standard Webhooks specification: HMAC-SHA256 over id, time and body."""

import base64
import binascii
import hashlib
import hmac

SECRET_PREFIX = "whsec_"  # noqa: S105  # the specification's prefix, not a secret
VERSION = "v1,"


def webhook_key(secret: str) -> bytes:
    """`secret` is as it is shown to people: whsec_ and base64. Raises ValueError."""
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("the secret is not whsec_ and base64") from None


def sign_webhook(secret: str, webhook_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers of a signed webhook. Raises ValueError."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": VERSION + webhook_signature(webhook_key(secret), webhook_id, str(timestamp_s), body),
    }


def webhook_signature(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    message = f"{webhook_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()
