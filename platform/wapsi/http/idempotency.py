"""Idempotency-Key: a repeated POST is answered with the first one's answer and changes nothing.

The key, a fingerprint of the request and the answer are stored in the transaction that did the work, so neither
exists without the other. While one request runs, its advisory lock makes a second one with the same key a 409.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlalchemy import Index, LargeBinary, PrimaryKeyConstraint, delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column
from starlette.responses import Response

from wapsi.db import Base, WriteSession
from wapsi.db.base import CreatedAt
from wapsi.errors import Category, Conflict, DomainError, Invalid
from wapsi.http.answers import JSONAnswer
from wapsi.http.deps import WriteDep, get_runtime
from wapsi.personal_data import Holder
from wapsi.security.principal import PrincipalKind, bearer_of

MAX_KEY_LENGTH = 200
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_.-]+)+")
FORGET_AT_ONCE = 20_000


class IdempotencyKeyMissing(DomainError):
    category: ClassVar[Category] = Category.MISSING_HEADER
    reason = "IDEMPOTENCY_KEY_MISSING"


class IdempotencyKeyReused(Invalid):
    reason = "IDEMPOTENCY_KEY_REUSED"


class IdempotencyInFlight(Conflict):
    reason = "IDEMPOTENCY_IN_FLIGHT"


class IdempotentAnswer(Base):
    """The answer to a request that made something. `scope` keeps one caller's keys apart from another's."""

    __tablename__ = "idempotent_answers"
    __table_args__ = (PrimaryKeyConstraint("scope", "key"), Index("ix_idempotent_answers_created_at", "created_at"))

    scope: Mapped[str]
    key: Mapped[str]
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    location: Mapped[str | None]
    created_at: Mapped[CreatedAt]


class Idempotency:
    """One request's key. `answer` runs the work once and answers every repetition alike."""

    def __init__(self, session: WriteSession, scope: str, key: str, fingerprints: list[bytes]) -> None:
        self._session = session
        self._scope = scope
        self._key = key
        self._fingerprints = fingerprints

    async def answer(
        self,
        work: Callable[[], Awaitable[BaseModel]],
        *,
        status: int = 201,
        location: Callable[[BaseModel], str] | None = None,
    ) -> Response:
        """Raises IdempotencyInFlight, IdempotencyKeyReused and what `work` raises."""
        locked = await self._session.scalar(
            text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))"),
            {"name": f"idempotency {self._scope} {self._key}"},
        )
        if not locked:
            raise in_flight()
        stored = await self._session.scalar(
            select(IdempotentAnswer).where(IdempotentAnswer.scope == self._scope, IdempotentAnswer.key == self._key)
        )
        if stored is not None:
            if stored.fingerprint not in self._fingerprints:
                raise key_reused()
            return response_of(stored.body, stored.status, stored.location, replayed=True)
        result = await work()
        body = result.model_dump_json().encode()
        where = location(result) if location is not None else None
        await self._session.execute(
            insert(IdempotentAnswer).values(
                scope=self._scope,
                key=self._key,
                fingerprint=self._fingerprints[0],
                status=status,
                body=body,
                location=where,
            )
        )
        return response_of(body, status, where, replayed=False)


def response_of(body: bytes, status: int, location: str | None, *, replayed: bool) -> Response:
    headers = [(b"idempotency-replayed", b"true")] if replayed else []
    if location is not None:
        headers.append((b"location", location.encode("latin-1")))
    return JSONAnswer(body, status, headers)


def shown_once(answer: Response, made: Sequence[BaseModel]) -> Response:
    """For work that makes a secret: the first answer carries it (`made` holds it), repetitions do not.

    What is stored for repetitions is not encrypted, so `work` returns the model without the secret.
    """
    if made:
        answer.body = made[0].model_dump_json().encode()
        answer.headers["Content-Length"] = str(len(answer.body))
        answer.headers["Cache-Control"] = "no-store"
    return answer


async def _idempotency(
    request: Request,
    session: WriteDep,
    idempotency_key: Annotated[
        str | None,
        Header(max_length=MAX_KEY_LENGTH, description="Any unique string, such as a UUID. Required."),
    ] = None,
) -> Idempotency:
    key = checked_key(idempotency_key)
    return Idempotency(session, await caller_of(request), key, await fingerprints_of(request))


def checked_key(key: str | None) -> str:
    """Raises IdempotencyKeyMissing."""
    if not key:
        raise IdempotencyKeyMissing("Send an Idempotency-Key header: any unique string, such as a UUID.")
    return key


def key_reused() -> IdempotencyKeyReused:
    return IdempotencyKeyReused("This Idempotency-Key was used with another request. Use a new key for a new request.")


def in_flight() -> IdempotencyInFlight:
    return IdempotencyInFlight("A request with this Idempotency-Key is still running. Try again shortly.")


async def fingerprints_of(request: Request) -> list[bytes]:
    """A keyed hash, since the body may hold a password; then those by which earlier secrets would have kept it."""
    head = f"{request.method} {_path_of(request)}\n".encode()
    return get_runtime(request).keys.macs("idempotency", head + await request.body())


def _path_of(request: Request) -> str:
    """As in the request's URL, which takes as long to put together as all else here."""
    path: str = request.scope["path"]
    return path if _PLAIN_PATH.fullmatch(path) else request.url.path


async def caller_of(request: Request) -> str:
    header = request.headers.get("authorization")
    if header is None:
        return "anonymous"
    return str(await get_runtime(request).authenticator.authenticate(bearer_of(header)))


IdempotencyDep = Annotated[Idempotency, Depends(_idempotency, scope="function")]


async def forget_answers(session: WriteSession, before: datetime) -> int:
    """Deletes answers older than `before`, at most FORGET_AT_ONCE; returns how many."""
    result = await session.execute(
        text(
            "WITH old AS (SELECT scope, key FROM idempotent_answers WHERE created_at < :before LIMIT :most),"
            " gone AS (DELETE FROM idempotent_answers a USING old WHERE a.scope = old.scope AND a.key = old.key"
            " AND a.created_at < :before RETURNING 1) SELECT count(*) FROM gone"
        ),
        {"before": before, "most": FORGET_AT_ONCE},
    )
    return int(result.scalar_one())


async def _erase(session: WriteSession, customer_id: UUID) -> None:
    scope = f"{PrincipalKind.CUSTOMER}:{customer_id}"
    await session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.scope == scope))


# Answers are what the other sections say once more, and gone after two days.
PERSONAL_DATA = Holder("answers to repeated requests", _erase)
