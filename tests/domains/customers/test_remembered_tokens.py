"""Verified tokens are remembered, but no more of them than is meant, and nothing that was refused."""

from uuid import uuid4

import pytest

from domains.customers.service import authentication
from wapsi.clock import now
from wapsi.config import Settings
from wapsi.runtime import Runtime
from wapsi.security.principal import CredentialsInvalid


def token(runtime: Runtime, settings: Settings) -> str:
    moment = int(now().timestamp())
    claims = {"iss": settings.public_url, "aud": "wapsi", "sub": str(uuid4()), "sid": str(uuid4()), "kind": "customer"}
    return runtime.keys.sign("at+jwt", claims | {"iat": moment, "exp": moment + 900})


async def test_the_same_token_is_the_same_caller(runtime: Runtime, settings: Settings) -> None:
    one, other = token(runtime, settings), token(runtime, settings)
    first = await runtime.authenticator.authenticate(one)
    assert await runtime.authenticator.authenticate(other) != first
    assert await runtime.authenticator.authenticate(one) == first


async def test_a_changed_token_is_refused_though_the_good_one_is_known(runtime: Runtime, settings: Settings) -> None:
    good = token(runtime, settings)
    await runtime.authenticator.authenticate(good)
    for changed in (good[:-4] + "AAAA", good + "A", good.swapcase()):
        for _ in range(2):
            with pytest.raises(CredentialsInvalid):
                await runtime.authenticator.authenticate(changed)


async def test_the_oldest_are_forgotten_and_verified_anew(
    runtime: Runtime, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "REMEMBERED_TOKENS", 3)
    tokens = [token(runtime, settings) for _ in range(5)]
    known = [await runtime.authenticator.authenticate(one) for one in tokens]
    assert len(runtime.authenticator._verified) == 3  # type: ignore[attr-defined]
    assert [await runtime.authenticator.authenticate(one) for one in tokens] == known


async def test_one_token_has_one_writing_so_nobody_fills_the_memory_with_others(
    runtime: Runtime, settings: Settings
) -> None:
    good = token(runtime, settings)
    header, payload, signature = good.split(".")
    assert signature[-1] in "AQgw", "the last character of 64 bytes has four bits that say nothing"
    other_end = signature[:-1] + chr(ord(signature[-1]) + 1)
    for changed in (f"{good}{'!' * 9000}", f"{header}.{payload}.~{signature}", f"{header}.{payload}.{other_end}"):
        with pytest.raises(CredentialsInvalid):
            await runtime.authenticator.authenticate(changed)
    assert not runtime.authenticator._verified  # type: ignore[attr-defined]
    await runtime.authenticator.authenticate(good)
