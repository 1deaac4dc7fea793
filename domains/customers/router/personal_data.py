"""The person's own data: taken along, deleted, and the friends it brought."""

from typing import Any

from fastapi.responses import StreamingResponse

from domains.customers import service
from domains.customers.router.routers import REFUSED, Customer, router
from domains.customers.schemas.personal_data import DeletionIn, ReferralsOut
from domains.customers.service import SubjectKind
from wapsi.http.deps import ReadDep, RuntimeDep
from wapsi.http.problems import problem_responses
from wapsi.http.rate_limits import limited
from wapsi.limits.policies import EXPORT, PASSWORD

_EXPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All of it, as one JSON document.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


@router.get(
    "/v1/me/export",
    response_class=StreamingResponse,
    responses={**_EXPORT, **REFUSED, **problem_responses(404)},
    openapi_extra=limited(EXPORT),
)
async def export_my_data(runtime: RuntimeDep, principal: Customer) -> StreamingResponse:
    """Everything that is kept about the caller: account, sessions, accounts to be paid to (in full), clicks,
    cashbacks, payouts, ledger entries, claims and favourites. A list for each, the oldest first.

    It is read while it is sent: what changes meanwhile may be in it or not.
    """
    await service.get_profile(runtime.db.reads, principal.id)
    document = runtime.personal_data.export(runtime.db.reads, runtime.keys, principal.id)
    headers = {"Content-Disposition": 'attachment; filename="wapsi-export.json"', "Cache-Control": "no-store"}
    return StreamingResponse(document, media_type="application/json", headers=headers)


@router.post(
    "/v1/me:delete",
    status_code=204,
    responses={**REFUSED, **problem_responses(404, 409, 422)},
    openapi_extra=limited(PASSWORD),
)
async def delete_me(runtime: RuntimeDep, principal: Customer, body: DeletionIn) -> None:
    """Deletes the account, for good: all sessions end, and the e-mail is free to sign up anew.

    Refused while a payout is under way, and while there is cashback unless `forfeit` says that it is given up. What
    the books must keep (sales, payouts, ledger entries) stays without the person.
    """
    await service.confirm_password(
        runtime.db, SubjectKind.CUSTOMER, principal.id, body.current_password.get_secret_value()
    )
    # Its own unit of work: nothing is held during the slow check before it.
    async with runtime.db.write() as session:
        await service.delete_account(session, runtime.personal_data, principal, forfeit=body.forfeit)


@router.get("/v1/me/referrals", responses={**REFUSED, **problem_responses(404)})
async def get_my_referrals(session: ReadDep, runtime: RuntimeDep, principal: Customer) -> ReferralsOut:
    """The code for friends, a link with it, and how many joined by the month."""
    return ReferralsOut.of(await service.referrals_of(session, runtime.settings, principal.id))
