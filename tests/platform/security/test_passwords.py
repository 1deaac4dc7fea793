"""Passwords are kept as slow hashes, off the event loop, and a missing account costs a guesser as much time."""

import asyncio
import threading
from typing import Any

import pytest
from structlog.testing import capture_logs

from wapsi.errors import Unavailable
from wapsi.security import passwords
from wapsi.security.passwords import hash_password, verify_password

pytestmark = pytest.mark.production_hashes
PASSWORD = "correct horse battery"


async def test_the_right_password_matches_and_others_do_not() -> None:
    kept = await hash_password(PASSWORD)
    assert await verify_password(PASSWORD, kept)
    for wrong in ("", PASSWORD + " ", PASSWORD.upper(), "wrong"):
        assert not await verify_password(wrong, kept)


async def test_a_hash_is_argon2id_with_owasps_parameters_and_a_salt_of_its_own() -> None:
    first, second = await hash_password(PASSWORD), await hash_password(PASSWORD)
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert PASSWORD not in first


async def test_without_an_account_a_hash_is_verified_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    real = passwords._HASHER.verify

    def verify(password: str, password_hash: str) -> bool:
        verified.append(password_hash)
        return real(password, password_hash)

    monkeypatch.setattr(passwords._HASHER, "verify", verify)
    assert await verify_password(PASSWORD, None) is False
    [decoy] = verified
    assert decoy.startswith("$argon2id$v=19$m=19456,t=2,p=1$"), "the decoy takes another time than a real hash"


async def test_nobody_signs_in_with_the_decoys_own_password() -> None:
    assert await verify_password("a decoy; not a password", None) is False


async def test_hashing_does_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash waits for what only the loop can do: on the loop itself it would wait for ever."""
    hashing, loop_went_on = threading.Event(), threading.Event()
    real: Any = passwords._HASHER.hash

    def wait_for_the_loop(password: str) -> str:
        hashing.set()
        assert loop_went_on.wait(timeout=10), "the loop stood still while a password was hashed"
        return real(password)

    monkeypatch.setattr(passwords._HASHER, "hash", wait_for_the_loop)
    made = asyncio.ensure_future(hash_password(PASSWORD))
    assert await asyncio.to_thread(hashing.wait, 10)
    loop_went_on.set()
    assert await verify_password(PASSWORD, await made)


async def test_at_most_two_hash_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes 19 MiB and a core: a burst of sign-ins queues up instead of taking the machine."""
    running = most = 0
    real: Any = passwords._HASHER.hash

    def count(password: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return real(password)
        finally:
            running -= 1

    monkeypatch.setattr(passwords._HASHER, "hash", count)
    await asyncio.gather(*(hash_password(PASSWORD) for _ in range(6)))
    assert most <= 2


async def test_those_who_would_wait_long_are_refused_so_that_they_hold_no_place_from_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passwords, "WAITING_MAX", 3)
    hashing = [asyncio.ensure_future(hash_password(PASSWORD)) for _ in range(5)]
    checking = [asyncio.ensure_future(verify_password(PASSWORD, None)) for _ in range(2)]
    answers = await asyncio.gather(*hashing, *checking, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert [error.reason for error in refused] == ["OVERLOADED"] * 2
    assert answers[5:] == refused, "who came last"
    assert await verify_password(PASSWORD, await hash_password(PASSWORD)), "and nobody once they are through"


async def test_what_is_no_hash_of_ours_matches_nothing_and_is_reported() -> None:
    """An account whose hash was taken away must not answer with a 500 where others answer 401."""
    for kept in ("none", "$2b$12$abcdefghijklmnopqrstuv"):
        with capture_logs() as logs:
            assert await verify_password(PASSWORD, kept) is False
        assert [line["event"] for line in logs] == ["password_hash_unreadable"]
        assert PASSWORD not in str(logs)
