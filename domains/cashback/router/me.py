"""The customer's own money: balance, cashbacks and why they are what they are, withdrawals."""

from typing import Annotated
from uuid import UUID

from fastapi import Query
from starlette.responses import Response

from domains.cashback import service
from domains.cashback.router.routers import Customer, router
from domains.cashback.schemas import (
    BalanceOut,
    BalancesOut,
    CashbackOut,
    ExplanationOut,
    PayoutIn,
    PayoutOut,
    StatementLineOut,
)
from domains.cashback.service import PayoutState, RewardState
from wapsi.cursors import encode_cursor, id_in_cursor, number_in_cursor
from wapsi.http.deps import ReadDep, RuntimeDep, WriteDep
from wapsi.http.direct_routes import json_answer, own_way
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.paging import PAGE_SIZE, CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.http.rate_limits import limited
from wapsi.limits.policies import PAYOUT
from wapsi.runtime import Runtime
from wapsi.security.principal import Principal

_READ = problem_responses(401, 403, 422)
_MADE = problem_responses(400, 401, 403, 404, 409, 422)


async def _balances(runtime: Runtime, principal: Principal) -> Response:
    found = await service.balances(runtime.db.reads, principal.id)
    return json_answer(BalancesOut(balances=[BalanceOut.model_validate(balance) for balance in found]))


@router.get("/v1/me/balance", response_model=BalancesOut, tags=["me"], responses=problem_responses(401, 403))
async def get_balance(runtime: RuntimeDep, principal: Customer) -> Response:
    """One balance a currency; none before the first cashback."""
    return await _balances(runtime, principal)


async def _cashbacks(
    runtime: Runtime,
    principal: Principal,
    state: RewardState | None = None,
    limit: int = PAGE_SIZE,
    cursor: str | None = None,
) -> Response:
    listing = f"cashbacks {state}"
    rewards = await service.list_rewards(
        runtime.db.reads, principal.id, limit=limit + 1, state=state, before=id_in_cursor(listing, cursor)
    )
    page, more = split_page(rewards, limit)
    return json_answer(
        Page(
            items=[CashbackOut.model_validate(reward) for reward in page],
            next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
        )
    )


@router.get("/v1/me/cashbacks", response_model=Page[CashbackOut], tags=["me"], responses=_READ)
async def list_cashbacks(
    runtime: RuntimeDep,
    principal: Customer,
    state: Annotated[RewardState | None, Query()] = None,
    limit: PageSize = PAGE_SIZE,
    cursor: CursorParam = None,
) -> Response:
    """The newest first."""
    return await _cashbacks(runtime, principal, state, limit, cursor)


@router.get("/v1/me/cashbacks/{cashback_id}", tags=["me"], responses=problem_responses(401, 403, 404, 422))
async def get_cashback(session: ReadDep, principal: Customer, cashback_id: UUID) -> CashbackOut:
    return CashbackOut.model_validate(await service.get_reward(session, cashback_id, principal.id))


@router.get("/v1/me/cashbacks/{cashback_id}/explain", tags=["me"], responses=problem_responses(401, 403, 404, 422))
async def explain_cashback(
    session: ReadDep, runtime: RuntimeDep, principal: Customer, cashback_id: UUID
) -> ExplanationOut:
    """The whole story: what was promised, what came in, which rule held, what was booked, and who decided."""
    explanation = await service.explain_reward(session, runtime.keys, principal.id, cashback_id)
    return ExplanationOut.model_validate(explanation)


async def _statement(
    runtime: Runtime, principal: Principal, limit: int = PAGE_SIZE, cursor: str | None = None
) -> Response:
    listing = "statement"
    before = number_in_cursor(listing, cursor)
    lines = await service.statement(runtime.db.reads, principal.id, limit=limit + 1, before=before)
    page, more = split_page(lines, limit)
    return json_answer(
        Page(
            items=[StatementLineOut.model_validate(line) for line in page],
            next_cursor=encode_cursor(listing, page[-1].id) if more else None,
        )
    )


@router.get("/v1/me/statements", response_model=Page[StatementLineOut], tags=["me"], responses=_READ)
async def get_statement(
    runtime: RuntimeDep, principal: Customer, limit: PageSize = PAGE_SIZE, cursor: CursorParam = None
) -> Response:
    """Every change of the balance, the newest first."""
    return await _statement(runtime, principal, limit, cursor)


@router.post(
    "/v1/me/payouts",
    status_code=201,
    response_model=PayoutOut,
    tags=["me"],
    responses=_MADE,
    openapi_extra=limited(PAYOUT),
)
async def request_payout(
    session: WriteDep, idempotency: IdempotencyDep, principal: Customer, body: PayoutIn
) -> Response:
    """Withdraws available cashback. The amount leaves the balance at once and is sent once."""

    async def work() -> PayoutOut:
        payout = await service.request_payout(
            session,
            principal.id,
            amount_minor=body.amount_minor,
            currency=body.currency,
            payout_method_id=body.payout_method_id,
        )
        return PayoutOut.model_validate(payout)

    return await idempotency.answer(work)


@router.post("/v1/me/payouts/{payout_id}:cancel", tags=["me"], responses=problem_responses(401, 403, 404, 409, 422))
async def cancel_payout(session: WriteDep, principal: Customer, payout_id: UUID) -> PayoutOut:
    """While it is only requested; the money is back at once."""
    return PayoutOut.model_validate(await service.cancel_payout(session, principal.id, payout_id))


@router.get("/v1/me/payouts", tags=["me"], responses=_READ)
async def list_payouts(
    session: ReadDep,
    principal: Customer,
    state: Annotated[PayoutState | None, Query()] = None,
    limit: PageSize = PAGE_SIZE,
    cursor: CursorParam = None,
) -> Page[PayoutOut]:
    """The newest first."""
    listing = f"payouts {state}"
    payouts = await service.list_payouts(
        session, limit=limit + 1, customer_id=principal.id, state=state, before=id_in_cursor(listing, cursor)
    )
    page, more = split_page(payouts, limit)
    return Page(
        items=[PayoutOut.model_validate(payout) for payout in page],
        next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
    )


SHORT_WAYS = (
    own_way(router, get_balance, _balances),
    own_way(router, list_cashbacks, _cashbacks),
    own_way(router, get_statement, _statement),
)
