"""Guessing passwords is slow, and nobody can be locked out by somebody else's guesses.

Failures count by account and address, or by account and device where a sign-in from that device succeeded before: its
answer had a Device-Token, which the device sends again. So strangers use up their own quota and never the owner's. The
account counts as it was named, whether there is one or not: a refusal tells nobody who is a customer.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Header, Request

from domains.customers.service import SubjectKind
from wapsi.clock import now
from wapsi.http.rate_limits import address_of, note
from wapsi.ids import new_id
from wapsi.limits.policies import SIGN_IN, SIGN_IN_HOUR
from wapsi.runtime import Runtime
from wapsi.security.signing import SignatureInvalid

DEVICE_HEADER = "Device-Token"
DEVICE_TOKEN_TYPE = "wapsi-device+jwt"  # noqa: S105  # a type, not a token
_AUDIENCE = "wapsi-devices"
_TTL_S = 180 * 86400
_MAX_LENGTH = 1000

DeviceToken = Annotated[
    str | None,
    Header(
        alias=DEVICE_HEADER,
        max_length=_MAX_LENGTH,
        description="From the last sign-in on this device: strangers' mistakes then do not count against it.",
    ),
]


@contextlib.asynccontextmanager
async def attempted(
    request: Request, runtime: Runtime, kind: SubjectKind, login: str, device_token: str | None
) -> AsyncIterator[dict[str, str]]:
    """Around the check of a password, which raises where it fails. Gives headers for the answer, filled on success.

    Raises RateLimited.
    """
    named = f"{kind} {login.strip().lower()}".encode("utf-8", "replace")
    accounts = [mac.hex() for mac in runtime.keys.macs("sign-in", named)]
    account = accounts[0]
    device = _known_device(runtime, accounts, device_token)
    who = f"device {device}" if device is not None else f"address {address_of(request)}"
    # Counted before it is known how it ends, so that many at once are not one.
    for policy in (SIGN_IN, SIGN_IN_HOUR):
        await note(request, policy, account, who)
    headers: dict[str, str] = {}
    yield headers
    for policy in (SIGN_IN, SIGN_IN_HOUR):
        await runtime.limits.forget(policy, account, who)
    headers[DEVICE_HEADER] = _device_token(runtime, account, device or new_id())


def _known_device(runtime: Runtime, accounts: list[str], token: str | None) -> UUID | None:
    if token is None:
        return None
    try:
        claims = runtime.keys.verify(DEVICE_TOKEN_TYPE, token, audience=_AUDIENCE, issuer=runtime.settings.public_url)
        return UUID(claims["sub"]) if claims.get("account") in accounts else None
    except (SignatureInvalid, ValueError):
        return None


def _device_token(runtime: Runtime, account: str, device: UUID) -> str:
    issued_s = int(now().timestamp())
    claims = {
        "iss": runtime.settings.public_url,
        "aud": _AUDIENCE,
        "sub": str(device),
        "account": account,
        "iat": issued_s,
        "exp": issued_s + _TTL_S,
    }
    return runtime.keys.sign(DEVICE_TOKEN_TYPE, claims)
