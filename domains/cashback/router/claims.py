"""Claims: customers make them and answer, operators ask, decide and settle."""

from typing import Annotated
from uuid import UUID

from fastapi import Query
from starlette.responses import Response

from domains.cashback import service
from domains.cashback.router.claim_shapes import (
    AdminClaimOut,
    ClaimApprovalIn,
    ClaimCaseOut,
    ClaimDecisionIn,
    ClaimDetailsOut,
    ClaimIn,
    ClaimMessageIn,
    ClaimMessageOut,
    ClaimOut,
)
from domains.cashback.router.routers import Customer, admin_router, router
from domains.cashback.service import ClaimState
from wapsi.cursors import encode_cursor, id_in_cursor
from wapsi.http.deps import ReadDep, RuntimeDep, WriteDep, requires
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

ClaimDecider = Annotated[Principal, requires(Permission.CLAIMS_DECIDE)]

_READ = problem_responses(401, 403, 422)
_ONE = problem_responses(401, 403, 404, 422)
_MADE = problem_responses(400, 401, 403, 404, 409, 422)
_DECIDED = problem_responses(401, 403, 404, 409, 422)


@router.post("/v1/me/claims", status_code=201, response_model=ClaimOut, tags=["me"], responses=_MADE)
async def submit_claim(session: WriteDep, idempotency: IdempotencyDep, principal: Customer, body: ClaimIn) -> Response:
    """Cashback is missing or wrong: one claim an order."""

    async def work() -> ClaimOut:
        new = service.NewClaim(body.reason_code, body.click_id, body.order_id, body.order_amount_minor, body.note)
        return ClaimOut.model_validate(await service.submit_claim(session, principal.id, new))

    return await idempotency.answer(work)


@router.get("/v1/me/claims", tags=["me"], responses=_READ)
async def list_own_claims(
    session: ReadDep, principal: Customer, limit: PageSize = 50, cursor: CursorParam = None
) -> Page[ClaimOut]:
    """The newest first."""
    listing = "claims"
    claims = await service.list_claims(
        session, limit=limit + 1, customer_id=principal.id, before=id_in_cursor(listing, cursor)
    )
    page, more = split_page(claims, limit)
    return Page(
        items=[ClaimOut.model_validate(claim) for claim in page],
        next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
    )


@router.get("/v1/me/claims/{claim_id}", tags=["me"], responses=_ONE)
async def get_own_claim(session: ReadDep, principal: Customer, claim_id: UUID) -> ClaimDetailsOut:
    """With its story, and what was written about it."""
    return ClaimDetailsOut.model_validate(await service.claim_details(session, principal.id, claim_id))


@router.post(
    "/v1/me/claims/{claim_id}/messages", status_code=201, response_model=ClaimMessageOut, tags=["me"], responses=_MADE
)
async def answer_claim(
    session: WriteDep, idempotency: IdempotencyDep, principal: Customer, claim_id: UUID, body: ClaimMessageIn
) -> Response:
    """Says more about a claim, or answers what was asked: then it does not end by itself any more."""

    async def work() -> ClaimMessageOut:
        message = await service.answer_claim(session, principal.id, claim_id, body.text)
        return ClaimMessageOut.model_validate(message)

    return await idempotency.answer(work)


@admin_router.get("/claims", responses=_READ)
async def list_claims(
    session: ReadDep,
    principal: ClaimDecider,
    state: Annotated[ClaimState | None, Query()] = None,
    sale_unclear: Annotated[bool, Query()] = False,
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[AdminClaimOut]:
    """The newest first. `sale_unclear`: those that were given goodwill, and a sale came that may be for the order."""
    listing = f"all claims {state} {sale_unclear}"
    claims = await service.list_claims(
        session, limit=limit + 1, state=state, sale_unclear=sale_unclear, before=id_in_cursor(listing, cursor)
    )
    page, more = split_page(claims, limit)
    return Page(
        items=[AdminClaimOut.model_validate(claim) for claim in page],
        next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
    )


@admin_router.get("/claims/{claim_id}", responses=_ONE)
async def get_claim(session: ReadDep, runtime: RuntimeDep, principal: ClaimDecider, claim_id: UUID) -> ClaimCaseOut:
    """What there is to decide by: the sale with the order's number, what is owed, and what was written."""
    return ClaimCaseOut.model_validate(await service.claim_case(session, runtime.keys, claim_id))


@admin_router.post("/claims/{claim_id}:decide", responses=_DECIDED)
async def decide_claim(
    session: WriteDep, principal: ClaimDecider, claim_id: UUID, body: ClaimDecisionIn
) -> AdminClaimOut:
    """Moves a claim on, always with a reason."""
    return AdminClaimOut.model_validate(
        await service.move_claim(session, principal, claim_id, ClaimState(body.state), body.reason_code, body.message)
    )


@admin_router.post("/claims/{claim_id}:approve", responses=_DECIDED)
async def approve_claim(
    session: WriteDep, runtime: RuntimeDep, principal: ClaimDecider, claim_id: UUID, body: ClaimApprovalIn
) -> AdminClaimOut:
    """Settles a claim by its sale, or by goodwill of ours. Goodwill that is large, or not the first for its visit,
    takes two operators: after the first one's word the claim stays where it is, the second one's books."""
    settlement = service.Settlement(body.resolution, body.conversion_id, body.amount_minor)
    return AdminClaimOut.model_validate(
        await service.approve_claim(session, runtime.keys, principal, claim_id, settlement, body.reason_code)
    )
