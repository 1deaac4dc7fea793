"""For operators: producers and their keys."""

from typing import Annotated
from uuid import UUID

from starlette.responses import Response

from domains.customers import service
from domains.customers.router.routers import admin_router
from domains.customers.schemas.producers import ProducerIn, ProducerOut, ProducerWithKey
from domains.customers.service import ProducerRef
from wapsi.cursors import encode_cursor, id_in_cursor
from wapsi.http.deps import ReadDep, WriteDep, requires
from wapsi.http.idempotency import IdempotencyDep, shown_once
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

ProducersWriter = Annotated[Principal, requires(Permission.PRODUCERS_WRITE)]

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
            expires_at=body.expires_at,
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
    session: WriteDep, principal: ProducersWriter, idempotency: IdempotencyDep, producer_id: UUID
) -> Response:
    """A new key, shown this once. The one before is refused from now on."""
    made: list[ProducerWithKey] = []

    async def work() -> ProducerOut:
        producer, key = await service.rotate_producer(session, producer_id, principal=principal)
        return _note(made, producer, key)

    return shown_once(await idempotency.answer(work, status=200), made)


@admin_router.post("/producers/{producer_id}:revoke", responses={**_REFUSED, **problem_responses(404)})
async def revoke_producer(session: WriteDep, principal: ProducersWriter, producer_id: UUID) -> ProducerOut:
    """Its key is refused from now on, for good."""
    return ProducerOut.of(await service.revoke_producer(session, producer_id, principal=principal))


def _note(made: list[ProducerWithKey], producer: ProducerRef, key: str) -> ProducerWithKey:
    """Keeps the answer with the key for the caller; returns the one without it, to be stored."""
    without_key = ProducerWithKey.of(producer)
    made.append(without_key.model_copy(update={"key": key}))
    return without_key
