"""Idempotency-Key for requests that are answered in groups: what wapsi.http.idempotency does for one at a time.

The same table and the same locks, so that both ways know each other's requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Header, Request

from wapsi.db.errors import TextInvalid
from wapsi.errors import DomainError
from wapsi.http.idempotency import (
    MAX_KEY_LENGTH,
    caller_of,
    checked_key,
    fingerprints_of,
    in_flight,
    key_reused,
)

_LOCK = """SELECT pg_try_advisory_xact_lock(hashtextextended(k.name, 0))
    FROM unnest($1::text[]) WITH ORDINALITY AS k (name, number) ORDER BY k.number"""
_KEPT = """SELECT k.number, a.fingerprint, a.status, a.body, a.location
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (scope, key, number)
    JOIN idempotent_answers a ON a.scope = k.scope AND a.key = k.key"""
_KEEP = """INSERT INTO idempotent_answers (scope, key, fingerprint, status, body, location)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::integer[], $5::bytea[], $6::text[])"""


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """`scope` keeps one caller's keys apart from another's; `fingerprints` are those of the request, the current one
    first."""

    scope: str
    key: str
    fingerprints: list[bytes]

    @property
    def lock_name(self) -> str:
        return f"idempotency {self.scope} {self.key}"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    status: int
    body: bytes
    location: str | None
    replayed: bool


async def claim(driver: asyncpg.Connection, requests: Sequence[KeyedRequest]) -> list[KeptAnswer | DomainError | None]:
    """Of each: None where it is to be done now, the answer where it was done before, or what refuses it.

    Until the transaction ends, nobody else does what is to be done. Of the same key twice in a group the first counts.
    """
    # The locks first: what a statement sees was committed before it began, so the answers need one of their own.
    rows = await driver.fetch(_LOCK, [request.lock_name for request in requests])
    results: list[KeptAnswer | DomainError | None] = [None if row[0] else in_flight() for row in rows]
    scopes, keys = [request.scope for request in requests], [request.key for request in requests]
    for number, fingerprint, status, body, location in await driver.fetch(_KEPT, scopes, keys):
        if results[number - 1] is None:
            same = fingerprint in requests[number - 1].fingerprints
            results[number - 1] = KeptAnswer(status, body, location, replayed=True) if same else key_reused()
    seen: set[str] = set()
    for position, request in enumerate(requests):
        if results[position] is None and request.lock_name in seen:
            results[position] = in_flight()
        seen.add(request.lock_name)
    return results


async def keep(driver: asyncpg.Connection, answers: Sequence[tuple[KeyedRequest, KeptAnswer]]) -> None:
    """In the transaction that did the work, so that neither exists without the other."""
    if not answers:
        return
    await driver.execute(
        _KEEP,
        [request.scope for request, _ in answers],
        [request.key for request, _ in answers],
        [request.fingerprints[0] for request, _ in answers],
        [answer.status for _, answer in answers],
        [answer.body for _, answer in answers],
        [answer.location for _, answer in answers],
    )


async def keyed_request(request: Request, key: str | None, scope: str) -> KeyedRequest:
    """Raises IdempotencyKeyMissing and TextInvalid. `scope` is the caller."""
    key = checked_key(key)
    if "\0" in key or len(key) > MAX_KEY_LENGTH:
        # The database would refuse it, and the whole group with it.
        raise TextInvalid(f"An Idempotency-Key has at most {MAX_KEY_LENGTH} characters, and no NUL among them.")
    return KeyedRequest(scope, key, await fingerprints_of(request))


async def _keyed(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(max_length=MAX_KEY_LENGTH, description="Any unique string, such as a UUID. Required."),
    ] = None,
) -> KeyedRequest:
    return await keyed_request(request, idempotency_key, await caller_of(request))


KeyedDep = Annotated[KeyedRequest, Depends(_keyed)]
