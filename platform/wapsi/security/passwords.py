"""Password hashes: argon2id with OWASP's parameters, off the event loop, a few at a time."""

import asyncio
from weakref import WeakKeyDictionary

import structlog
from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

log = structlog.get_logger(__name__)

# m=19 MiB, t=2, p=1: 26 ms here. The library's defaults took 231 ms and 64 MiB a login.
_HASHER = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),))
_CONCURRENT_HASHES = 2
# One a loop, by the loop itself: an id may be given again once a loop is gone.
_semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

# A hash of nothing anyone knows: verifying against it takes as long as against a real one.
_DECOY = _HASHER.hash("a decoy; not a password")


def _semaphore() -> asyncio.Semaphore:
    return _semaphores.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_CONCURRENT_HASHES))


async def hash_password(password: str) -> str:
    async with _semaphore():
        return await asyncio.to_thread(_HASHER.hash, password)


async def verify_password(password: str, password_hash: str | None) -> bool:
    """None (no such account) takes the same time and is False; so does what is no hash that we make."""
    async with _semaphore():
        try:
            matches = await asyncio.to_thread(_HASHER.verify, password, password_hash or _DECOY)
        except UnknownHashError:
            log.error("password_hash_unreadable")
            await asyncio.to_thread(_HASHER.verify, password, _DECOY)
            return False
    return matches and password_hash is not None
