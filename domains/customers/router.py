"""REST for customers and their sessions: signing up and in, the own account, payout methods."""

from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from domains.customers import service
from domains.customers.admin_router import admin_router
from domains.customers.schemas import (
    BankAccountIn,
    MeOut,
    MePatch,
    PayoutMethodIn,
    PayoutMethodOut,
    RefreshIn,
    SignInIn,
    SignUpIn,
    SignUpOut,
    TokensOut,
)
from domains.customers.service import SessionIssuer, SubjectKind
from wapsi.http.deps import PublicDep, ReadDep, RuntimeDep, WriteDep, requires
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.paging import Page
from wapsi.http.problems import problem_responses
from wapsi.security.passwords import hash_password
from wapsi.security.permissions import Permission
from wapsi.security.principal import CredentialsInvalid, Principal

__all__ = ["admin_router", "router"]

router = APIRouter(tags=["customers"])

Customer = Annotated[Principal, requires(Permission.OWN_ACCOUNT)]
_REFUSED = problem_responses(401, 403)


@router.post(
    "/v1/customers",
    status_code=201,
    response_model=SignUpOut,
    responses=problem_responses(400, 409, 422),
    dependencies=[PublicDep],
)
async def sign_up(session: WriteDep, idempotency: IdempotencyDep, body: SignUpIn) -> Response:
    """Makes an account; then sign in.

    An e-mail that has an account already gets the same answer after the same work, and that account stays as it is:
    this call tells nobody who is a customer.
    """
    password_hash = await hash_password(body.password.get_secret_value())

    async def work() -> SignUpOut:
        await service.sign_up(
            session,
            email=body.email,
            password_hash=password_hash,
            display_name=body.display_name,
            locale=body.locale,
            referral_code=body.referral_code,
        )
        return SignUpOut(email=body.email)

    return await idempotency.answer(work)


@router.post("/v1/sessions", status_code=201, responses=problem_responses(401, 422), dependencies=[PublicDep])
async def sign_in(request: Request, response: Response, runtime: RuntimeDep, body: SignInIn) -> TokensOut:
    """For customers. One answer for a wrong password, an unknown e-mail and a suspended account."""
    tokens = await SessionIssuer(runtime.keys, runtime.settings).sign_in(
        runtime.db, SubjectKind.CUSTOMER, body.email, body.password.get_secret_value(), user_agent_of(request)
    )
    response.headers["Cache-Control"] = "no-store"
    return TokensOut.of(tokens)


@router.post("/v1/sessions:refresh", responses=problem_responses(401, 422), dependencies=[PublicDep])
async def refresh_session(request: Request, response: Response, runtime: RuntimeDep, body: RefreshIn) -> TokensOut:
    """New tokens for a refresh token, for customers and operators alike.

    A refresh token works once. One that comes a second time ends the whole session.
    """
    issuer = SessionIssuer(runtime.keys, runtime.settings)
    # Its own unit of work: a refusal ends the session, which must be committed before the error is raised.
    async with runtime.db.write() as session:
        tokens = await issuer.refresh(session, body.refresh_token.get_secret_value(), user_agent_of(request))
    if tokens is None:
        raise CredentialsInvalid
    response.headers["Cache-Control"] = "no-store"
    return TokensOut.of(tokens)


@router.delete("/v1/sessions/current", status_code=204, responses=_REFUSED)
async def sign_out(session: WriteDep, principal: Customer) -> None:
    """Ends the session: its refresh token is refused from now on, its access token when it expires."""
    if principal.session_id is not None:
        await service.end_session(session, principal.session_id)


@router.get("/v1/me", responses={**_REFUSED, **problem_responses(404)})
async def get_me(session: ReadDep, principal: Customer) -> MeOut:
    return MeOut.of(await service.get_profile(session, principal.id))


@router.patch("/v1/me", responses={**_REFUSED, **problem_responses(404, 422)})
async def update_me(session: WriteDep, principal: Customer, body: MePatch) -> MeOut:
    changes = cast("service.ProfileChanges", body.model_dump(exclude_unset=True))
    return MeOut.of(await service.update_profile(session, principal.id, changes))


@router.get("/v1/me/payout-methods", responses=_REFUSED)
async def list_payout_methods(session: ReadDep, principal: Customer) -> Page[PayoutMethodOut]:
    """All of them; there are never many."""
    methods = await service.list_payout_methods(session, principal.id)
    return Page(items=[PayoutMethodOut.of(method) for method in methods])


@router.post(
    "/v1/me/payout-methods",
    status_code=201,
    response_model=PayoutMethodOut,
    responses={**_REFUSED, **problem_responses(400, 404, 409, 422)},
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
    "/v1/me/payout-methods/{method_id}", status_code=204, responses={**_REFUSED, **problem_responses(404, 422)}
)
async def remove_payout_method(session: WriteDep, principal: Customer, method_id: UUID) -> None:
    """Payouts that are under way still reach it."""
    await service.remove_payout_method(session, principal.id, method_id)


def user_agent_of(request: Request) -> str:
    return request.headers.get("user-agent", "")
