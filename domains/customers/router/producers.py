"""For operators: producers and their keys."""

from typing import Annotated
from uuid import UUID

from fastapi import Path
from starlette.responses import Response

from domains.customers import service
from domains.customers.router.routers import admin_router
from domains.customers.schemas.producers import (
    ProducerIn,
    ProducerKeyIn,
    ProducerOut,
    ProducerRotateIn,
    ProducerWithKey,
)
from domains.customers.service import ProducerRef
from wapsi.cursors import encode_cursor, id_in_cursor
from wapsi.http.deps import ReadDep, WriteDep, requires
from wapsi.http.idempotency import IdempotencyDep, shown_once
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

ProducersWriter = Annotated[Principal, requires(Permission.PRODUCERS_WRITE)]
KeyPrefix = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$")]

_REFUSED = problem_responses(401, 403, 422)


@admin_router.get("/producers", responses=_REFUSED)
async def list_producers(
    session: ReadDep, _principal: ProducersWriter, limit: PageSize = 50, cursor: CursorParam = None
) -> Page[ProducerOut]:
    """The newest first, without their keys."""
    found = await service.list_producers(session, limit=limit + 1, older_than=id_in_cursor("producers", cursor))
    producers, more = split_page(found, limit)
    return Page(
        items=[ProducerOut.of(producer) for producer in producers],
        next_cursor=encode_cursor("producers", str(producers[-1].id)) if more else None,
    )


@admin_router.post(
    "/producers",
    status_code=201,
    response_model=ProducerWithKey,
    responses={**_REFUSED, **problem_responses(400, 409)},
)
async def create_producer(
    session: WriteDep, principal: ProducersWriter, idempotency: IdempotencyDep, body: ProducerIn
) -> Response:
    """Makes a producer with a key, which is shown this once."""
    made: list[ProducerWithKey] = []

    async def work() -> ProducerOut:
        producer, key = await service.create_producer(
            session,
            body.name,
            body.merchant_ids,
            network_id=body.network_id,
            key=body.key(),
            principal=principal,
        )
        return _note(made, producer, key)

    return shown_once(await idempotency.answer(work), made)


@admin_router.post(
    "/producers/{producer_id}:rotate",
    response_model=ProducerWithKey,
    responses={**_REFUSED, **problem_responses(400, 404, 409)},
)
async def rotate_producer(
    session: WriteDep,
    principal: ProducersWriter,
    idempotency: IdempotencyDep,
    producer_id: UUID,
    body: ProducerRotateIn | None = None,
) -> Response:
    """A new key in place of another one, for the same scopes, shown this once. For a day both are good, unless
    overlap_s says otherwise."""
    made: list[ProducerWithKey] = []
    wanted = body or ProducerRotateIn()

    async def work() -> ProducerOut:
        producer, key = await service.rotate_producer(
            session,
            producer_id,
            key_prefix=wanted.key_prefix,
            overlap_s=wanted.overlap_s,
            expires_at=wanted.expires_at,
            principal=principal,
        )
        return _note(made, producer, key)

    return shown_once(await idempotency.answer(work, status=200), made)


@admin_router.post(
    "/producers/{producer_id}/keys",
    status_code=201,
    response_model=ProducerWithKey,
    responses={**_REFUSED, **problem_responses(400, 404, 409)},
)
async def add_producer_key(
    session: WriteDep, principal: ProducersWriter, idempotency: IdempotencyDep, producer_id: UUID, body: ProducerKeyIn
) -> Response:
    """One more key of the producer, shown this once."""
    made: list[ProducerWithKey] = []

    async def work() -> ProducerOut:
        producer, key = await service.add_producer_key(session, producer_id, body.key(), principal=principal)
        return _note(made, producer, key)

    return shown_once(await idempotency.answer(work), made)


@admin_router.post(
    "/producers/{producer_id}/keys/{key_prefix}:revoke", responses={**_REFUSED, **problem_responses(404)}
)
async def revoke_producer_key(
    session: WriteDep, principal: ProducersWriter, producer_id: UUID, key_prefix: KeyPrefix
) -> ProducerOut:
    """This key is refused from now on, for good; the others go on."""
    return ProducerOut.of(await service.revoke_producer_key(session, producer_id, key_prefix, principal=principal))


@admin_router.post("/producers/{producer_id}:revoke", responses={**_REFUSED, **problem_responses(404)})
async def revoke_producer(session: WriteDep, principal: ProducersWriter, producer_id: UUID) -> ProducerOut:
    """All its keys are refused from now on, for good."""
    return ProducerOut.of(await service.revoke_producer(session, producer_id, principal=principal))


def _note(made: list[ProducerWithKey], producer: ProducerRef, key: str) -> ProducerWithKey:
    """Keeps the answer with the key for the caller; returns the one without it, to be stored."""
    without_key = ProducerWithKey.of(producer)
    made.append(without_key.model_copy(update={"key": key}))
    return without_key
