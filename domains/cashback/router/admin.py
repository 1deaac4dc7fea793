"""Operators: sales and their events, cashback that is held, payouts."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from domains.cashback import service
from domains.cashback.router.routers import admin_router
from domains.cashback.schemas import (
    AdminPayoutOut,
    ApprovalIn,
    CashbackOut,
    ConversionOut,
    DecisionIn,
    EventOut,
    ExplanationOut,
)
from domains.cashback.service import ConversionState, EventOutcome, PayoutState
from wapsi.cursors import encode_cursor, id_in_cursor
from wapsi.http.deps import ReadDep, RuntimeDep, WriteDep, requires
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

SaleReader = Annotated[Principal, requires(Permission.CONVERSIONS_READ)]
SaleDecider = Annotated[Principal, requires(Permission.CONVERSIONS_DECIDE)]
PayoutReader = Annotated[Principal, requires(Permission.PAYOUTS_READ)]
PayoutDecider = Annotated[Principal, requires(Permission.PAYOUTS_DECIDE)]

_READ = problem_responses(401, 403, 422)
_ONE = problem_responses(401, 403, 404, 422)
_DECIDED = problem_responses(401, 403, 404, 409, 422)
_Name = Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$")]


@admin_router.get("/conversions", responses=problem_responses(401, 403, 404, 422))
async def list_conversions(
    session: ReadDep,
    principal: SaleReader,
    state: Annotated[ConversionState | None, Query()] = None,
    source: _Name = None,
    merchant: _Name = None,
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[ConversionOut]:
    """Sales, the newest first; `source` is a network's slug or `direct:` and a merchant's."""
    listing = f"conversions {state} {source} {merchant}"
    sales = await service.list_conversions(
        session,
        limit=limit + 1,
        state=state,
        source=source,
        merchant=merchant,
        before=id_in_cursor(listing, cursor),
    )
    page, more = split_page(sales, limit)
    return Page(
        items=[ConversionOut.model_validate(sale) for sale in page],
        next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
    )


@admin_router.get("/conversions/{conversion_id}", responses=_ONE)
async def get_conversion(
    session: ReadDep, runtime: RuntimeDep, principal: SaleReader, conversion_id: UUID
) -> ExplanationOut:
    """The sale with its whole story, as the customer sees it, also where it has no customer."""
    return ExplanationOut.model_validate(await service.explain_conversion(session, runtime.keys, conversion_id))


@admin_router.post("/conversions/{conversion_id}:approve", responses=_DECIDED)
async def approve_conversion(
    session: WriteDep,
    runtime: RuntimeDep,
    principal: SaleDecider,
    conversion_id: UUID,
    body: ApprovalIn | None = None,
) -> ExplanationOut:
    reason = (body or ApprovalIn()).reason_code
    await service.decide(session, principal, conversion_id, ConversionState.APPROVED, reason)
    return ExplanationOut.model_validate(await service.explain_conversion(session, runtime.keys, conversion_id))


@admin_router.post("/conversions/{conversion_id}:decline", responses=_DECIDED)
async def decline_conversion(
    session: WriteDep, runtime: RuntimeDep, principal: SaleDecider, conversion_id: UUID, body: DecisionIn
) -> ExplanationOut:
    """Takes the cashback back, from what the customer has; the rest the customer owes."""
    await service.decide(session, principal, conversion_id, ConversionState.DECLINED, body.reason_code)
    return ExplanationOut.model_validate(await service.explain_conversion(session, runtime.keys, conversion_id))


@admin_router.get("/conversion-events", responses=_READ)
async def list_events(
    session: ReadDep,
    principal: SaleReader,
    outcome: Annotated[EventOutcome | None, Query()] = None,
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[EventOut]:
    """The inbox, the newest first. `outcome=unknown_status` lists words that no mapping knows."""
    listing = f"events {outcome}"
    events = await service.list_events(session, limit=limit + 1, outcome=outcome, before=id_in_cursor(listing, cursor))
    page, more = split_page(events, limit)
    return Page(
        items=[EventOut.model_validate(event) for event in page],
        next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
    )


@admin_router.post("/rewards/{reward_id}:hold", responses=_DECIDED)
async def hold_reward(session: WriteDep, principal: SaleDecider, reward_id: UUID, body: DecisionIn) -> CashbackOut:
    """Puts cashback out of reach; refused where it has been withdrawn already."""
    await service.hold(session, principal, reward_id, body.reason_code)
    return CashbackOut.model_validate(await service.get_reward(session, reward_id))


@admin_router.post("/rewards/{reward_id}:release", responses=_DECIDED)
async def release_reward(session: WriteDep, principal: SaleDecider, reward_id: UUID, body: DecisionIn) -> CashbackOut:
    await service.release(session, principal, reward_id, body.reason_code)
    return CashbackOut.model_validate(await service.get_reward(session, reward_id))


@admin_router.post("/rewards/{reward_id}:decline", responses=_DECIDED)
async def decline_reward(session: WriteDep, principal: SaleDecider, reward_id: UUID, body: DecisionIn) -> CashbackOut:
    """Does not give held cashback, or takes it back. The sale stays as the network tells of it."""
    await service.decline(session, principal, reward_id, body.reason_code)
    return CashbackOut.model_validate(await service.get_reward(session, reward_id))


@admin_router.get("/payouts", responses=_READ)
async def list_payouts(
    session: ReadDep,
    principal: PayoutReader,
    state: Annotated[PayoutState | None, Query()] = None,
    customer_id: UUID | None = None,
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[AdminPayoutOut]:
    """The newest first."""
    listing = f"all payouts {state} {customer_id}"
    payouts = await service.list_payouts(
        session, limit=limit + 1, customer_id=customer_id, state=state, before=id_in_cursor(listing, cursor)
    )
    page, more = split_page(payouts, limit)
    return Page(
        items=[AdminPayoutOut.model_validate(payout) for payout in page],
        next_cursor=encode_cursor(listing, str(page[-1].id)) if more else None,
    )


@admin_router.get("/payouts/{payout_id}", responses=_ONE)
async def get_payout(session: ReadDep, principal: PayoutReader, payout_id: UUID) -> AdminPayoutOut:
    return AdminPayoutOut.model_validate(await service.get_payout(session, payout_id))


@admin_router.post("/payouts/{payout_id}:hold", responses=_DECIDED)
async def hold_payout(session: WriteDep, principal: PayoutDecider, payout_id: UUID, body: DecisionIn) -> AdminPayoutOut:
    """Keeps a payout that is not sent yet from being sent. Held already: the approvals it has do not count any more."""
    return AdminPayoutOut.model_validate(await service.hold_payout(session, principal, payout_id, body.reason_code))


@admin_router.post("/payouts/{payout_id}:release", responses=_DECIDED)
async def release_payout(
    session: WriteDep, principal: PayoutDecider, payout_id: UUID, body: DecisionIn
) -> AdminPayoutOut:
    """It takes two: the first operator approves and it stays held, the second releases it to be sent."""
    return AdminPayoutOut.model_validate(await service.release_payout(session, principal, payout_id, body.reason_code))
