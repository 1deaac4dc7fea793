"""REST of the merchants domain: what anyone may read, and what operators may change."""

from collections.abc import Collection
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from domains.merchants import service
from domains.merchants.schemas import (
    AdminMerchantOut,
    BoostIn,
    BoostOut,
    MerchantIn,
    MerchantOut,
    MerchantPatch,
    NetworkIn,
    NetworkOut,
    NetworkWithSecret,
    RatesOut,
    ScheduleIn,
    ScheduleOut,
    SlugPath,
)
from domains.merchants.service import PUBLIC_STATUSES, MerchantNotFound, MerchantRef, MerchantStatus, NewMerchant
from wapsi.clock import now
from wapsi.cursors import decode_cursor, encode_cursor
from wapsi.db import ReadSession, WriteSession
from wapsi.http.cache import CACHED
from wapsi.http.deps import PublicDep, ReadDep, RuntimeDep, WriteDep, requires
from wapsi.http.etags import NOT_MODIFIED, answer_with_etag
from wapsi.http.idempotency import IdempotencyDep, shown_once
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

router = APIRouter(tags=["merchants"], dependencies=[PublicDep])
admin_router = APIRouter(prefix="/v1/admin", tags=["admin"])

Reader = Annotated[Principal, requires(Permission.BACK_OFFICE)]
Writer = Annotated[Principal, requires(Permission.MERCHANTS_WRITE)]
NamePrefix = Annotated[
    str | None, Query(max_length=100, pattern=r"^[^\x00]*$", description="How the name begins, in any case.")
]

_LISTING = "merchants"
_REFUSED = problem_responses(401, 403, 422)


@router.get(
    "/v1/merchants",
    response_model=Page[MerchantOut],
    responses={**NOT_MODIFIED, **problem_responses(422)},
    openapi_extra=CACHED,
)
async def list_merchants(
    request: Request, session: ReadDep, limit: PageSize = 50, cursor: CursorParam = None, q: NamePrefix = None
) -> Response:
    """Merchants by slug; `q` finds those whose name begins so."""
    merchants, following = await _page(session, limit, cursor, q, PUBLIC_STATUSES)
    return answer_with_etag(
        request,
        Page[MerchantOut](items=[MerchantOut.of(merchant) for merchant in merchants], next_cursor=following),
        public=True,
    )


@router.get(
    "/v1/merchants/{slug}",
    response_model=MerchantOut,
    responses={**NOT_MODIFIED, **problem_responses(404, 422)},
    openapi_extra=CACHED,
)
async def get_merchant(request: Request, session: ReadDep, slug: SlugPath) -> Response:
    return answer_with_etag(
        request, MerchantOut.of(await service.get_merchant(session, slug, statuses=PUBLIC_STATUSES)), public=True
    )


@router.get(
    "/v1/merchants/{slug}/rates",
    response_model=RatesOut,
    responses={**NOT_MODIFIED, **problem_responses(404, 422)},
    openapi_extra=CACHED,
)
async def get_rates(request: Request, session: ReadDep, slug: SlugPath) -> Response:
    """What customers earn now, and what has been announced."""
    merchant = await service.get_merchant(session, slug, statuses=PUBLIC_STATUSES)
    current, upcoming = await service.current_and_upcoming(session, merchant.id, now())
    return answer_with_etag(
        request,
        RatesOut(
            merchant=slug,
            current=None if current is None else ScheduleOut.of(current),
            upcoming=[ScheduleOut.of(schedule) for schedule in upcoming],
            boosts=[BoostOut.of(boost) for boost in await service.boosts_of(session, merchant.id)],
        ),
        public=True,
    )


@admin_router.get("/networks", responses=problem_responses(401, 403))
async def list_networks(session: ReadDep, _principal: Reader) -> Page[NetworkOut]:
    return Page(items=[NetworkOut.of(network) for network in await service.list_networks(session)])


@admin_router.post(
    "/networks",
    status_code=201,
    response_model=NetworkWithSecret,
    responses={**_REFUSED, **problem_responses(400, 409)},
)
async def create_network(
    session: WriteDep, runtime: RuntimeDep, principal: Writer, idempotency: IdempotencyDep, body: NetworkIn
) -> Response:
    """Makes an affiliate network with a secret for its postbacks, which is shown this once."""
    made: list[NetworkWithSecret] = []

    async def work() -> NetworkWithSecret:
        network, secret = await service.create_network(
            session, principal, runtime.keys, slug=body.slug, name=body.name, kind=body.kind
        )
        made.append(NetworkWithSecret(**NetworkOut.of(network).model_dump(), secret=secret))
        return made[0].model_copy(update={"secret": None})

    return shown_once(await idempotency.answer(work), made)


@admin_router.post(
    "/networks/{slug}:rotate-secret",
    response_model=NetworkWithSecret,
    responses={**_REFUSED, **problem_responses(400, 404, 409)},
)
async def rotate_network_secret(
    session: WriteDep, runtime: RuntimeDep, principal: Writer, idempotency: IdempotencyDep, slug: SlugPath
) -> Response:
    """A new secret, shown this once. The one before is accepted for another day."""
    made: list[NetworkWithSecret] = []

    async def work() -> NetworkWithSecret:
        network, secret, until = await service.rotate_network_secret(session, principal, runtime.keys, slug)
        made.append(NetworkWithSecret(**NetworkOut.of(network).model_dump(), secret=secret, previous_valid_until=until))
        return made[0].model_copy(update={"secret": None})

    return shown_once(await idempotency.answer(work, status=200), made)


@admin_router.get("/merchants", responses=_REFUSED)
async def list_all_merchants(
    session: ReadDep, principal: Reader, limit: PageSize = 50, cursor: CursorParam = None, q: NamePrefix = None
) -> Page[AdminMerchantOut]:
    """Merchants in every state; a producer sees its own."""
    merchants, following = await _page(session, limit, cursor, q, None, principal)
    return Page(items=[AdminMerchantOut.of(merchant) for merchant in merchants], next_cursor=following)


@admin_router.get("/merchants/{slug}", responses={**_REFUSED, **problem_responses(404)})
async def get_any_merchant(session: ReadDep, principal: Reader, slug: SlugPath) -> AdminMerchantOut:
    merchant = await service.get_merchant(session, slug)
    if not principal.may_use_merchant(merchant.id):
        raise MerchantNotFound(f"There is no merchant {slug}.", merchant=slug)
    return AdminMerchantOut.of(merchant)


@admin_router.post(
    "/merchants",
    status_code=201,
    response_model=AdminMerchantOut,
    responses={**_REFUSED, **problem_responses(400, 404, 409)},
)
async def create_merchant(
    session: WriteDep, principal: Writer, idempotency: IdempotencyDep, body: MerchantIn
) -> Response:
    """Makes a draft, which only operators see until it is activated."""
    fields = body.model_dump()
    new = NewMerchant(**fields | {"allowed_landing_hosts": tuple(body.allowed_landing_hosts)})

    async def work() -> AdminMerchantOut:
        return AdminMerchantOut.of(await service.create_merchant(session, principal, new))

    return await idempotency.answer(work, location=lambda _: f"/v1/admin/merchants/{body.slug}")


@admin_router.patch("/merchants/{slug}", responses={**_REFUSED, **problem_responses(404, 409)})
async def update_merchant(
    session: WriteDep, principal: Writer, slug: SlugPath, body: MerchantPatch
) -> AdminMerchantOut:
    changes = cast("service.MerchantChanges", body.model_dump(exclude_unset=True))
    return AdminMerchantOut.of(await service.update_merchant(session, principal, slug, changes))


@admin_router.post("/merchants/{slug}:activate", responses={**_REFUSED, **problem_responses(404, 409)})
async def activate_merchant(session: WriteDep, principal: Writer, slug: SlugPath) -> AdminMerchantOut:
    """Needs a deep-link template, landing hosts, and rates that have begun."""
    return await _move(session, principal, slug, MerchantStatus.ACTIVE)


@admin_router.post("/merchants/{slug}:pause", responses={**_REFUSED, **problem_responses(404, 409)})
async def pause_merchant(session: WriteDep, principal: Writer, slug: SlugPath) -> AdminMerchantOut:
    """It stays visible and takes no new clicks."""
    return await _move(session, principal, slug, MerchantStatus.PAUSED)


@admin_router.post("/merchants/{slug}:archive", responses={**_REFUSED, **problem_responses(404, 409)})
async def archive_merchant(session: WriteDep, principal: Writer, slug: SlugPath) -> AdminMerchantOut:
    """For good, and only once it is paused."""
    return await _move(session, principal, slug, MerchantStatus.ARCHIVED)


@admin_router.post(
    "/merchants/{slug}/rates",
    status_code=201,
    response_model=ScheduleOut,
    responses={**_REFUSED, **problem_responses(400, 404, 409)},
)
async def publish_rates(
    session: WriteDep, principal: Writer, idempotency: IdempotencyDep, slug: SlugPath, body: ScheduleIn
) -> Response:
    """Publishes rates as the next version. What has been published is never changed."""

    async def work() -> ScheduleOut:
        return ScheduleOut.of(await service.publish_rates(session, principal, slug, body.to_schedule()))

    return await idempotency.answer(work, location=lambda _: f"/v1/merchants/{slug}/rates")


@admin_router.post(
    "/merchants/{slug}/boosts",
    status_code=201,
    response_model=BoostOut,
    responses={**_REFUSED, **problem_responses(400, 404, 409)},
)
async def add_boost(
    session: WriteDep, principal: Writer, idempotency: IdempotencyDep, slug: SlugPath, body: BoostIn
) -> Response:
    """A campaign that raises rates for a while. It is never changed, only ended."""

    async def work() -> BoostOut:
        return BoostOut.of(await service.add_boost(session, principal, slug, body.to_boost()))

    return await idempotency.answer(work, location=lambda _: f"/v1/merchants/{slug}/rates")


@admin_router.post("/merchants/{slug}/boosts/{boost_id}:end", responses={**_REFUSED, **problem_responses(404, 409)})
async def end_boost(session: WriteDep, principal: Writer, slug: SlugPath, boost_id: UUID) -> BoostOut:
    """For clicks from now on; those before keep what they were promised."""
    return BoostOut.of(await service.end_boost(session, principal, slug, boost_id))


async def _move(session: WriteSession, principal: Principal, slug: str, target: MerchantStatus) -> AdminMerchantOut:
    return AdminMerchantOut.of(await service.move_merchant(session, principal, slug, target))


async def _page(
    session: ReadSession,
    limit: int,
    cursor: str | None,
    q: str | None,
    statuses: Collection[MerchantStatus] | None,
    principal: Principal | None = None,
) -> tuple[list[MerchantRef], str | None]:
    key = decode_cursor(_LISTING, cursor, str)
    after = None if key is None else key[0]
    found = await service.list_merchants(
        session,
        limit=limit + 1,
        after_slug=after,
        name_prefix=q,
        statuses=statuses,
        merchant_ids=None if principal is None else principal.merchant_ids,
    )
    merchants, more = split_page(found, limit)
    return list(merchants), encode_cursor(_LISTING, merchants[-1].slug) if more else None
