"""Clicks, their receipts and the redirect; and how well merchants track."""

from typing import Annotated
from uuid import UUID

from fastapi import Header
from starlette.responses import RedirectResponse, Response

from domains.cashback import service
from domains.cashback.router.routers import Customer, router
from domains.cashback.schemas import ClickIn, ClickOut, ReceiptOut, TrackingStatsOut
from wapsi.http.deps import PublicDep, ReadDep, RuntimeDep, WriteDep
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.problems import problem_responses


@router.post(
    "/v1/clicks",
    status_code=201,
    response_model=ClickOut,
    tags=["clicks"],
    responses=problem_responses(400, 401, 403, 404, 409, 422),
)
async def create_click(
    session: WriteDep,
    runtime: RuntimeDep,
    idempotency: IdempotencyDep,
    principal: Customer,
    body: ClickIn,
    user_agent: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """A short link to follow, and a signed receipt of what is promised for a purchase after it."""

    async def work() -> ClickOut:
        new = service.NewClick(body.offer_id, body.merchant, body.link, user_agent)
        click = await service.create_click(session, runtime, principal.id, new)
        return ClickOut(click_id=click.id, url=click.url, receipt=click.receipt)

    return await idempotency.answer(work)


@router.get("/v1/clicks/{click_id}/receipt", tags=["clicks"], responses=problem_responses(401, 403, 404, 422))
async def get_receipt(session: ReadDep, principal: Customer, click_id: UUID) -> ReceiptOut:
    """Of an own click."""
    return ReceiptOut(click_id=click_id, receipt=await service.get_receipt(session, principal.id, click_id))


@router.get(
    "/r/{token}",
    status_code=302,
    response_class=RedirectResponse,
    tags=["clicks"],
    dependencies=[PublicDep],
    responses={302: {"description": "To the merchant."}, **problem_responses(404)},
)
async def follow(session: WriteDep, runtime: RuntimeDep, token: str) -> Response:
    """Leads on to the merchant. Links never expire; cashback depends on the merchant's click window."""
    target = await service.follow(session, runtime.keys, token)
    headers = {
        "Location": target,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
    }
    return Response(status_code=302, headers=headers)


@router.get(
    "/v1/merchants/{slug}/tracking-stats",
    tags=["merchants"],
    dependencies=[PublicDep],
    responses=problem_responses(404),
)
async def get_tracking_stats(session: ReadDep, response: Response, slug: str) -> TrackingStatsOut:
    """From real clicks and sales of the last 90 days."""
    stats = TrackingStatsOut.model_validate(await service.tracking_stats(session, slug))
    response.headers["Cache-Control"] = "public, max-age=60"
    return stats
