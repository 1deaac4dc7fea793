"""Bonuses: what is promised, what a customer has got, and what operators decide about them."""

from typing import Annotated
from uuid import UUID

from fastapi import Query
from starlette.responses import Response

from domains.cashback import service
from domains.cashback.bonus_schemas import (
    AdminBonusOut,
    AdminBonusRuleOut,
    BonusExplanationOut,
    BonusOut,
    BonusRuleIn,
    BonusRuleOut,
    BonusRulesOut,
)
from domains.cashback.router.routers import Customer, admin_router, router
from domains.cashback.schemas import DecisionIn
from domains.cashback.service import BonusState
from wapsi.cursors import encode_cursor, id_in_cursor
from wapsi.http.deps import PublicDep, ReadDep, WriteDep, requires
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

Reader = Annotated[Principal, requires(Permission.CONVERSIONS_READ)]
Manager = Annotated[Principal, requires(Permission.BONUSES_MANAGE)]
_READ = problem_responses(401, 403, 422)
_DECIDED = problem_responses(401, 403, 404, 409, 422)


@router.get("/v1/bonus-rules", tags=["bonuses"], dependencies=[PublicDep])
async def get_bonus_rules(session: ReadDep) -> BonusRulesOut:
    """What whoever joins now is promised for a first cashback."""
    found = await service.current_bonus_rules(session)
    return BonusRulesOut(rules=[BonusRuleOut.model_validate(rule) for rule in found])


@router.get("/v1/me/bonuses", tags=["me"], responses=_READ)
async def list_own_bonuses(
    session: ReadDep,
    principal: Customer,
    state: Annotated[BonusState | None, Query()] = None,
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[BonusOut]:
    """The newest first."""
    listing = f"bonuses {state}"
    bonuses = await service.list_bonuses(
        session, limit=limit + 1, customer_id=principal.id, state=state, before=id_in_cursor(listing, cursor)
    )
    page, more = split_page(bonuses, limit)
    return Page(
        items=[BonusOut.model_validate(bonus) for bonus in page],
        next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
    )


@router.get("/v1/me/bonuses/{bonus_id}/explain", tags=["me"], responses=problem_responses(401, 403, 404, 422))
async def explain_own_bonus(session: ReadDep, principal: Customer, bonus_id: UUID) -> BonusExplanationOut:
    """What it was given for, by which rule, and what was booked."""
    return BonusExplanationOut.model_validate(await service.explain_bonus(session, bonus_id, principal.id))


@admin_router.get("/bonus-rules", responses=_READ)
async def list_bonus_rules(
    session: ReadDep, principal: Reader, limit: PageSize = 50, cursor: CursorParam = None
) -> Page[AdminBonusRuleOut]:
    """The newest first."""
    listing = "bonus rules"
    rules = await service.list_bonus_rules(session, limit=limit + 1, before=id_in_cursor(listing, cursor))
    page, more = split_page(rules, limit)
    return Page(
        items=[AdminBonusRuleOut.model_validate(rule) for rule in page],
        next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
    )


@admin_router.post(
    "/bonus-rules",
    status_code=201,
    response_model=AdminBonusRuleOut,
    responses=problem_responses(400, 401, 403, 409, 422),
)
async def add_bonus_rule(
    session: WriteDep, idempotency: IdempotencyDep, principal: Manager, body: BonusRuleIn
) -> Response:
    """For who joins while it holds. It is never changed, only ended."""

    async def work() -> AdminBonusRuleOut:
        return AdminBonusRuleOut.model_validate(await service.add_bonus_rule(session, principal, body.to_rule()))

    return await idempotency.answer(work)


@admin_router.post("/bonus-rules/{rule_id}:end", responses=_DECIDED)
async def end_bonus_rule(session: WriteDep, principal: Manager, rule_id: UUID) -> AdminBonusRuleOut:
    """Nobody joins under it any more; who has joined keeps what was promised."""
    return AdminBonusRuleOut.model_validate(await service.end_bonus_rule(session, principal, rule_id))


@admin_router.get("/bonuses", responses=_READ)
async def list_bonuses(
    session: ReadDep,
    principal: Reader,
    state: Annotated[BonusState | None, Query()] = None,
    customer_id: UUID | None = None,
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[AdminBonusOut]:
    """The newest first; `state=held` lists those that wait for an operator."""
    listing = f"all bonuses {state} {customer_id}"
    bonuses = await service.list_bonuses(
        session, limit=limit + 1, customer_id=customer_id, state=state, before=id_in_cursor(listing, cursor)
    )
    page, more = split_page(bonuses, limit)
    return Page(
        items=[AdminBonusOut.model_validate(bonus) for bonus in page],
        next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
    )


@admin_router.post("/bonuses/{bonus_id}:release", responses=_DECIDED)
async def release_bonus(session: WriteDep, principal: Manager, bonus_id: UUID, body: DecisionIn) -> AdminBonusOut:
    """A held bonus is pending again."""
    await service.release_bonus(session, principal, bonus_id, body.reason_code)
    return AdminBonusOut.model_validate((await service.explain_bonus(session, bonus_id)).bonus)


@admin_router.post("/bonuses/{bonus_id}:decline", responses=_DECIDED)
async def decline_bonus(session: WriteDep, principal: Manager, bonus_id: UUID, body: DecisionIn) -> AdminBonusOut:
    """While it is held or pending."""
    await service.decline_bonus(session, principal, bonus_id, body.reason_code)
    return AdminBonusOut.model_validate((await service.explain_bonus(session, bonus_id)).bonus)
