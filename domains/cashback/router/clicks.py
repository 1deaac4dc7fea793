"""Clicks, their receipts and the redirect; and how well merchants track."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import Header, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from domains.cashback import service
from domains.cashback.router.routers import Customer, router
from domains.cashback.schemas import ClickIn, ClickOut, ReceiptOut
from domains.cashback.tracking_schemas import TrackingNoticeOut, TrackingStatsOut
from wapsi.errors import DomainError
from wapsi.http.deps import PublicDep, ReadDep, RuntimeDep, get_runtime
from wapsi.http.direct_routes import principal_with, short_way
from wapsi.http.idempotency import response_of
from wapsi.http.keyed import KeyedDep, KeyedRequest, keyed_request
from wapsi.http.middleware import header_of
from wapsi.http.problems import problem_responses
from wapsi.http.rate_limits import limited
from wapsi.limits.policies import CLICK
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal


async def _created(request: Request) -> Response | None:
    """As create_click, of a request with which nothing is wrong."""
    principal = await principal_with(request, Permission.OWN_ACCOUNT)
    scope = request.scope
    if principal is None or header_of(scope, b"content-type") != "application/json":
        return None
    try:
        keyed = await keyed_request(request, header_of(scope, b"idempotency-key"), str(principal))
        body = ClickIn.model_validate_json(await request.body())
    except (DomainError, ValidationError):
        return None
    return await _click(get_runtime(request), keyed, principal, body, header_of(scope, b"user-agent"))


async def _followed(request: Request) -> Response:
    return await _lead_on(get_runtime(request), request.path_params["token"])


@router.post(
    "/v1/clicks",
    status_code=201,
    response_model=ClickOut,
    tags=["clicks"],
    responses=problem_responses(400, 401, 403, 404, 409, 422),
    openapi_extra=limited(CLICK),
)
async def create_click(
    runtime: RuntimeDep,
    keyed: KeyedDep,
    principal: Customer,
    body: ClickIn,
    user_agent: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """A short link to follow, and a signed receipt of what is promised for a purchase after it."""
    return await _click(runtime, keyed, principal, body, user_agent)


async def _click(
    runtime: Runtime, keyed: KeyedRequest, principal: Principal, body: ClickIn, user_agent: str
) -> Response:
    new = service.NewClick(body.offer_id, body.merchant, body.link, user_agent)
    board = service.tracking_board_of(runtime)
    await board.refresh()

    def body_of(click: service.Click) -> bytes:
        known = board.of(click.merchant_id)
        tracking = None if known is None else TrackingNoticeOut.model_validate(known)
        made = ClickOut(click_id=click.id, url=click.url, receipt=click.receipt, tracking=tracking)
        return made.model_dump_json().encode()

    answer = await service.click_desk_of(runtime).submit_keyed(principal.id, new, keyed, body_of)
    return response_of(answer.body, answer.status, answer.location, replayed=answer.replayed)


@router.get(
    "/r/{token}",
    status_code=302,
    response_class=RedirectResponse,
    tags=["clicks"],
    dependencies=[PublicDep],
    responses={302: {"description": "To the merchant."}, **problem_responses(404)},
)
async def follow(runtime: RuntimeDep, token: str) -> Response:
    """Leads on to the merchant. Links never expire; cashback depends on the merchant's click window."""
    return await _lead_on(runtime, token)


async def _lead_on(runtime: Runtime, token: str) -> Response:
    headers = {
        "Location": await service.click_desk_of(runtime).follow(token),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
    }
    return Response(status_code=302, headers=headers)


@router.get("/v1/clicks/{click_id}/receipt", tags=["clicks"], responses=problem_responses(401, 403, 404, 422))
async def get_receipt(session: ReadDep, principal: Customer, click_id: UUID) -> ReceiptOut:
    """Of an own click."""
    return ReceiptOut(click_id=click_id, receipt=await service.get_receipt(session, principal.id, click_id))


@router.get(
    "/v1/merchants/{slug}/tracking-stats",
    tags=["merchants"],
    dependencies=[PublicDep],
    responses=problem_responses(404),
)
async def get_tracking_stats(session: ReadDep, response: Response, slug: str) -> TrackingStatsOut:
    """From real clicks and sales of the last 90 days, worked out every quarter of an hour."""
    found = await service.tracking_stats(session, slug)
    stats = TrackingStatsOut.model_validate(asdict(found.known) | asdict(found))
    response.headers["Cache-Control"] = "public, max-age=60"
    return stats


SHORT_WAYS = (short_way(router, create_click, _created), short_way(router, follow, _followed))
