"""Where customers are paid."""

from uuid import UUID

from starlette.responses import Response

from domains.customers import service
from domains.customers.router.routers import REFUSED, Customer, router
from domains.customers.schemas.payout_methods import BankAccountIn, PayoutMethodIn, PayoutMethodOut
from wapsi.http.deps import ReadDep, RuntimeDep, WriteDep
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.paging import Page
from wapsi.http.problems import problem_responses


@router.get("/v1/me/payout-methods", responses=REFUSED)
async def list_payout_methods(session: ReadDep, principal: Customer) -> Page[PayoutMethodOut]:
    """All of them; there are never many."""
    methods = await service.list_payout_methods(session, principal.id)
    return Page(items=[PayoutMethodOut.of(method) for method in methods])


@router.post(
    "/v1/me/payout-methods",
    status_code=201,
    response_model=PayoutMethodOut,
    responses={**REFUSED, **problem_responses(400, 404, 409, 422)},
)
async def add_payout_method(
    session: WriteDep, runtime: RuntimeDep, principal: Customer, idempotency: IdempotencyDep, body: PayoutMethodIn
) -> Response:
    """A bank account or a mobile wallet to be paid to."""

    async def work() -> PayoutMethodOut:
        if isinstance(body, BankAccountIn):
            method = await service.add_bank_account(
                session, runtime.keys, principal.id, iban=body.iban, label=body.label
            )
        else:
            method = await service.add_mobile_wallet(
                session,
                runtime.keys,
                principal.id,
                provider=body.provider,
                mobile_number=body.mobile_number,
                label=body.label,
            )
        return PayoutMethodOut.of(method)

    return await idempotency.answer(work)


@router.delete(
    "/v1/me/payout-methods/{method_id}", status_code=204, responses={**REFUSED, **problem_responses(404, 422)}
)
async def remove_payout_method(session: WriteDep, principal: Customer, method_id: UUID) -> None:
    """Payouts that are under way still reach it."""
    await service.remove_payout_method(session, principal.id, method_id)
