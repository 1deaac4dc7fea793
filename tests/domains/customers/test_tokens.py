"""Access tokens that were tampered with, confused, or made elsewhere are refused, all with one answer."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wapsi.clock import now
from wapsi.config import Settings
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.security.principal import CredentialsInvalid, PrincipalKind

Forge = Callable[[Runtime, dict[str, Any]], str]


def claims(settings: Settings, **changes: Any) -> dict[str, Any]:
    moment = int(now().timestamp())
    good = {
        "iss": settings.public_url,
        "aud": "wapsi",
        "sub": str(uuid4()),
        "sid": str(uuid4()),
        "kind": "customer",
        "iat": moment,
        "exp": moment + 900,
    }
    return {key: value for key, value in (good | changes).items() if value is not ...}


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def alg_none(runtime: Runtime, good: dict[str, Any]) -> str:
    return f"{encoded({'alg': 'none', 'typ': 'at+jwt'})}.{encoded(good)}."


def alg_none_with_signature(runtime: Runtime, good: dict[str, Any]) -> str:
    signature = runtime.keys.sign("at+jwt", good).rsplit(".", 1)[1]
    return f"{encoded({'alg': 'nOnE', 'typ': 'at+jwt'})}.{encoded(good)}.{signature}"


def hmac_with_the_public_key(runtime: Runtime, good: dict[str, Any]) -> str:
    """Algorithm confusion: what everyone can read used as a shared secret."""
    public = runtime.keys.public_key_set()["keys"][0]["x"]
    return jwt.encode(good, public, algorithm="HS256", headers={"typ": "at+jwt"})


def another_key(runtime: Runtime, good: dict[str, Any]) -> str:
    headers = {"typ": "at+jwt", "kid": runtime.keys.key_id}
    return jwt.encode(good, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=headers)


def other_claims_under_the_signature(runtime: Runtime, good: dict[str, Any]) -> str:
    head, _, signature = runtime.keys.sign("at+jwt", good).split(".")
    return f"{head}.{encoded(good | {'kind': 'operator', 'role': 'admin'})}.{signature}"


def a_receipt(runtime: Runtime, good: dict[str, Any]) -> str:
    return runtime.keys.sign("receipt+jwt", good)


def no_type(runtime: Runtime, good: dict[str, Any]) -> str:
    return runtime.keys.sign("JWT", good)


@pytest.mark.parametrize(
    "forge",
    [
        alg_none,
        alg_none_with_signature,
        hmac_with_the_public_key,
        another_key,
        other_claims_under_the_signature,
        a_receipt,
        no_type,
    ],
)
async def test_a_forged_token_is_refused(
    api: httpx2.AsyncClient, runtime: Runtime, settings: Settings, forge: Forge
) -> None:
    token = forge(runtime, claims(settings))
    answer = await api.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["reason"]) == (401, "CREDENTIALS_INVALID")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "another"},
        {"aud": ["another", "third"]},
        {"aud": ...},
        {"iss": "http://elsewhere.example"},
        {"iss": ...},
        {"exp": 1},
        {"exp": ...},
        {"exp": "soon"},
        {"iat": ...},
        {"nbf": 4102444800},
        {"sub": "nobody"},
        {"sub": ...},
        {"sub": 7},
        {"sid": ...},
        {"sid": None},
        {"sid": ["x"]},
        {"kind": ...},
        {"kind": "producer"},
        {"kind": "root"},
        {"kind": {"a": 1}},
        {"kind": "operator"},
        {"kind": "operator", "role": "root"},
        {"kind": "operator", "role": ["admin"]},
    ],
    ids=str,
)
async def test_wrong_claims_are_refused_though_the_signature_is_ours(
    runtime: Runtime, settings: Settings, change: dict[str, Any]
) -> None:
    token = runtime.keys.sign("at+jwt", claims(settings, **change))
    with pytest.raises(CredentialsInvalid):
        await runtime.authenticator.authenticate(token)


async def test_a_good_token_is_accepted_until_it_expires(runtime: Runtime, settings: Settings) -> None:
    """The control: what the forgeries above differ from."""
    good = claims(settings)
    token = runtime.keys.sign("at+jwt", good)
    principal = await runtime.authenticator.authenticate(token)
    assert (principal.kind, str(principal.id)) == (PrincipalKind.CUSTOMER, good["sub"])
    assert principal.permissions == {Permission.OWN_ACCOUNT}
    assert str(principal.session_id) == good["sid"]
    with time_machine.travel(now() + timedelta(seconds=901)), pytest.raises(CredentialsInvalid):
        await runtime.authenticator.authenticate(token)


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer ", "Basic YTpi", "nonsense", "Bearer a.b", "Bearer ...", "Bearer \xff\xfe", "Bearer é.é.é"],
)
async def test_garbage_is_refused(api: httpx2.AsyncClient, authorization: str) -> None:
    answer = await api.get("/v1/me", headers={b"Authorization": authorization.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.json()["reason"] in ("CREDENTIALS_MISSING", "CREDENTIALS_INVALID")
