"""Signing up, and the own account."""

from typing import cast

from starlette.responses import Response

from domains.customers import service
from domains.customers.router.routers import REFUSED, Customer, router
from domains.customers.schemas.accounts import MeOut, MePatch, SignUpIn, SignUpOut
from wapsi.http.deps import PublicDep, ReadDep, WriteDep
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.problems import problem_responses
from wapsi.security.passwords import hash_password


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


@router.get("/v1/me", responses={**REFUSED, **problem_responses(404)})
async def get_me(session: ReadDep, principal: Customer) -> MeOut:
    return MeOut.of(await service.get_profile(session, principal.id))


@router.patch("/v1/me", responses={**REFUSED, **problem_responses(404, 422)})
async def update_me(session: WriteDep, principal: Customer, body: MePatch) -> MeOut:
    changes = cast("service.ProfileChanges", body.model_dump(exclude_unset=True))
    return MeOut.of(await service.update_profile(session, principal.id, changes))
