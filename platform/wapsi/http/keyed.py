"""Idempotency-Key for requests that are answered in groups: what wapsi.http.idempotency does for one at a time.

The same table and the same locks, so that both ways know each other's requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Header, Request

from wapsi.db.arrays import array
from wapsi.db.errors import TextInvalid
from wapsi.db.rows import add_rows
from wapsi.errors import DomainError
from wapsi.http.idempotency import (
    MAX_KEY_LENGTH,
    caller_of,
    checked_key,
    fingerprints_of,
    in_flight,
    key_reused,
)

# Of each the lock and the answer. Who held the lock may have committed between the two: what is done then for a second
# time breaks with its key, and its group with it, of which each is done alone, and finds the answer.
_CLAIM = """SELECT pg_try_advisory_xact_lock(hashtextextended(k.name, 0)), a.fingerprint, a.status, a.body, a.location
    FROM unnest($1::text::text[], $2::text::text[], $3::text::text[]) WITH ORDINALITY AS k (name, scope, key, number)
    LEFT JOIN idempotent_answers a ON a.scope = k.scope AND a.key = k.key ORDER BY k.number"""
_KEPT_COLUMNS = ("scope", "key", "fingerprint", "status", "body", "location")


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
    names = [request.lock_name for request in requests]
    scopes, keys = [request.scope for request in requests], [request.key for request in requests]
    rows = await driver.fetch(_CLAIM, array(names), array(scopes), array(keys))
    results: list[KeptAnswer | DomainError | None] = []
    seen: set[str] = set()
    for request, name, (is_locked, fingerprint, status, body, location) in zip(requests, names, rows, strict=True):
        if not is_locked:
            results.append(in_flight())
        elif fingerprint is not None:
            same = fingerprint in request.fingerprints
            results.append(KeptAnswer(status, body, location, replayed=True) if same else key_reused())
        else:
            results.append(in_flight() if name in seen else None)
        seen.add(name)
    return results


async def keep(driver: asyncpg.Connection, answers: Sequence[tuple[KeyedRequest, KeptAnswer]]) -> None:
    """In the transaction that did the work, so that neither exists without the other."""
    records = [
        (request.scope, request.key, request.fingerprints[0], answer.status, answer.body, answer.location)
        for request, answer in answers
    ]
    await add_rows(driver, "idempotent_answers", _KEPT_COLUMNS, records)


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
