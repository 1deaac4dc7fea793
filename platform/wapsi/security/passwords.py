"""Password hashes: argon2id with OWASP's parameters, off the event loop, a few at a time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary

import structlog
from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from wapsi.errors import Unavailable

log = structlog.get_logger(__name__)

# m=19 MiB, t=2, p=1: 26 ms here. The library's defaults took 231 ms and 64 MiB a login.
_HASHER = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),))
_CONCURRENT_HASHES = 2
# A second of work. Whoever waits holds a place among the requests of the process: a flood of sign-ins from many
# addresses would take them all.
WAITING_MAX = 64


class HashingOverloaded(Unavailable):
    reason = "OVERLOADED"


class _Turns:
    def __init__(self) -> None:
        self.free = asyncio.Semaphore(_CONCURRENT_HASHES)
        self.waiting = 0


# One a loop, by the loop itself: an id may be given again once a loop is gone.
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()

# A hash of nothing anyone knows: verifying against it takes as long as against a real one.
_DECOY = _HASHER.hash("a decoy; not a password")


@contextlib.asynccontextmanager
async def _turn() -> AsyncIterator[None]:
    """Raises HashingOverloaded."""
    turns = _turns.setdefault(asyncio.get_running_loop(), _Turns())
    if turns.free.locked() and turns.waiting >= WAITING_MAX:
        raise HashingOverloaded("Too many passwords are being checked here. Try again in a moment.")
    turns.waiting += 1
    try:
        await turns.free.acquire()
    finally:
        turns.waiting -= 1
    try:
        yield
    finally:
        turns.free.release()


async def hash_password(password: str) -> str:
    async with _turn():
        return await asyncio.to_thread(_HASHER.hash, password)


async def verify_password(password: str, password_hash: str | None) -> bool:
    """None (no such account) takes the same time and is False; so does what is no hash that we make."""
    async with _turn():
        try:
            matches = await asyncio.to_thread(_HASHER.verify, password, password_hash or _DECOY)
        except UnknownHashError:
            log.error("password_hash_unreadable")
            await asyncio.to_thread(_HASHER.verify, password, _DECOY)
            return False
    return matches and password_hash is not None
