"""Operators: sales that no click explains."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel

from domains.cashback import service
from domains.cashback.router.routers import admin_router
from domains.cashback.schemas import ExplanationOut, In, Out, ReasonCode
from wapsi.http.deps import ReadDep, RuntimeDep, WriteDep, requires
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal


class CandidateOut(Out):
    """A click that may have led to the sale. `claim_id`: its customer claims this very order. `sales`: how many the
    click explains already."""

    click_id: UUID
    customer_id: UUID
    clicked_at: datetime
    redirected_at: datetime | None
    offer_id: UUID | None
    bot: bool
    duplicate_of: UUID | None
    claim_id: UUID | None
    sales: int


class CandidatesOut(BaseModel):
    items: list[CandidateOut]


class AttributionIn(In):
    click_id: UUID
    reason_code: ReasonCode


@admin_router.get("/conversions/{conversion_id}/candidates", responses=problem_responses(401, 403, 404, 422))
async def list_candidates(
    session: ReadDep,
    principal: Annotated[Principal, requires(Permission.CONVERSIONS_READ)],
    conversion_id: UUID,
) -> CandidatesOut:
    """Clicks at the merchant within its window, those of claims about this order first, then the nearest before it."""
    found = await service.list_candidates(session, conversion_id)
    return CandidatesOut(items=[CandidateOut.model_validate(candidate) for candidate in found])


@admin_router.post("/conversions/{conversion_id}:attribute", responses=problem_responses(401, 403, 404, 409, 422))
async def attribute_conversion(
    session: WriteDep,
    runtime: RuntimeDep,
    principal: Annotated[Principal, requires(Permission.CONVERSIONS_DECIDE)],
    conversion_id: UUID,
    body: AttributionIn,
) -> ExplanationOut:
    """Gives a sale that no click explains to a click: its customer earns what was promised there."""
    await service.attribute_sale(session, runtime.keys, principal, conversion_id, body.click_id, body.reason_code)
    return ExplanationOut.model_validate(await service.explain_conversion(session, runtime.keys, conversion_id))
