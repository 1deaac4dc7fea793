"""Operators: how each network's messages are read, and the addresses of those that sign nothing."""

from datetime import timedelta
from typing import Annotated

from fastapi import Path
from starlette.responses import Response

from domains.cashback import service
from domains.cashback.router.door_shapes import AdapterIn, AdapterOut, AddressIn, AddressOut, TriedOut, TryIn, TryOut
from domains.cashback.router.routers import admin_router
from wapsi.clock import now
from wapsi.db import ReadSession
from wapsi.http.deps import ReadDep, RuntimeDep, WriteDep, requires
from wapsi.http.idempotency import IdempotencyDep, shown_once
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

Reader = Annotated[Principal, requires(Permission.BACK_OFFICE)]
Writer = Annotated[Principal, requires(Permission.MERCHANTS_WRITE)]
NetworkSlug = Annotated[str, Path(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$", description="The network's slug.")]

_ONE = problem_responses(401, 403, 404, 422)
SHOWN = 100


@admin_router.get("/networks/{slug}/adapter", responses=_ONE)
async def get_adapter(session: ReadDep, _principal: Reader, slug: NetworkSlug) -> AdapterOut:
    return await _shown(session, await service.get_adapter(session, slug))


@admin_router.put("/networks/{slug}/adapter", responses=_ONE)
async def set_adapter(session: WriteDep, principal: Writer, slug: NetworkSlug, body: AdapterIn) -> AdapterOut:
    """Sets how the network's messages are read from now on. Try it first: `:try` stores nothing."""
    return await _shown(session, await service.set_adapter(session, principal, slug, body.to_adapter()))


@admin_router.post("/networks/{slug}/adapter:try", responses=_ONE)
async def try_adapter(session: ReadDep, _principal: Writer, slug: NetworkSlug, body: TryIn) -> TryOut:
    """Shows what a message of the network, or a file, would become. Nothing is stored."""
    adapter = await service.get_adapter(session, slug)
    new = None if body.adapter is None else body.adapter.to_adapter()
    message = service.Postback(
        body.method, body.query.encode(), body.content_type, b"" if body.method == "GET" else body.body.encode(), now()
    )
    tried = await service.try_message(session, adapter, message, new=new, format=body.format)
    events = [TriedOut.model_validate(one, from_attributes=True) for one in tried[:SHOWN]]
    return TryOut(events=events, total=len(tried))


@admin_router.post(
    "/networks/{slug}/adapter:rotate-address",
    response_model=AddressOut,
    responses={**_ONE, **problem_responses(400, 409)},
)
async def rotate_address(
    session: WriteDep,
    runtime: RuntimeDep,
    principal: Writer,
    idempotency: IdempotencyDep,
    slug: NetworkSlug,
    body: AddressIn | None = None,
) -> Response:
    """Makes an address for a network that cannot sign what it sends: whoever knows it speaks for the network."""
    overlap = timedelta(hours=(body or AddressIn()).overlap_hours)
    made: list[AddressOut] = []

    async def work() -> AddressOut:
        adapter, token = await service.rotate_address(session, principal, slug, overlap)
        address = f"{runtime.settings.public_url.rstrip('/')}/v1/postbacks/{slug}/{token}"
        made.append(AddressOut(network=slug, secret=address, previous_address_until=adapter.previous_address_until))
        return made[0].model_copy(update={"secret": None})

    return shown_once(await idempotency.answer(work, status=200), made)


@admin_router.post("/networks/{slug}/adapter:close-address", responses=_ONE)
async def close_address(session: WriteDep, principal: Writer, slug: NetworkSlug) -> AdapterOut:
    """From now on only what is signed is taken from this network."""
    return await _shown(session, await service.close_address(session, principal, slug))


async def _shown(session: ReadSession, adapter: service.NetworkAdapter) -> AdapterOut:
    return AdapterOut.of(adapter, await service.missing_words(session, adapter))
