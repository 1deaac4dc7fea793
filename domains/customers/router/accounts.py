"""Signing up, and the own account."""

from typing import cast

from starlette.responses import Response

from domains.customers import service
from domains.customers.errors import CodeInvalid
from domains.customers.router.routers import REFUSED, Customer, contact_in, router
from domains.customers.schemas.accounts import MeOut, MePatch, SignedUpOut, SignUpCodeIn, SignUpIn, SignUpOut
from domains.customers.service import VerificationPurpose
from wapsi.http.deps import PublicDep, ReadDep, RuntimeDep, WriteDep
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.problems import problem_responses
from wapsi.http.rate_limits import limited
from wapsi.limits.policies import CODE, SIGN_UP
from wapsi.security.passwords import hash_password


@router.post(
    "/v1/customers",
    status_code=202,
    response_model=SignUpOut,
    responses=problem_responses(400, 409, 422),
    dependencies=[PublicDep],
    openapi_extra=limited(SIGN_UP),
)
async def sign_up(session: WriteDep, runtime: RuntimeDep, idempotency: IdempotencyDep, body: SignUpIn) -> Response:
    """Asks for an account; a code is sent to the contact, and with it POST /v1/customers:verify makes the account.

    A contact that has an account already gets the same answer after the same work, and a message that says so: this
    call tells nobody who is a customer.
    """
    contact = contact_in(runtime, body)
    await service.check_new_password(body.password.get_secret_value(), body.display_name, body.email)
    password_hash = await hash_password(body.password.get_secret_value())

    async def work() -> SignUpOut:
        sign_up_id = await service.sign_up(
            session,
            runtime.keys,
            contact,
            password_hash=password_hash,
            display_name=body.display_name,
            locale=body.locale,
            referral_code=body.referral_code,
        )
        return SignUpOut(sign_up_id=sign_up_id)

    return await idempotency.answer(work, status=202)


@router.post(
    "/v1/customers:verify",
    status_code=201,
    response_model=SignedUpOut,
    responses=problem_responses(400, 409, 422),
    dependencies=[PublicDep],
    openapi_extra=limited(CODE),
)
async def verify_sign_up(
    session: WriteDep, runtime: RuntimeDep, idempotency: IdempotencyDep, body: SignUpCodeIn
) -> Response:
    """Makes the account; then sign in. A code is good for ten minutes, five attempts and one use."""
    is_right = await service.is_right_code(
        runtime.db, runtime.keys, VerificationPurpose.SIGN_UP, body.sign_up_id, body.code
    )

    async def work() -> SignedUpOut:
        if not is_right:
            raise CodeInvalid
        await service.finish_sign_up(session, runtime.keys, body.sign_up_id)
        return SignedUpOut()

    return await idempotency.answer(work)


@router.get("/v1/me", responses={**REFUSED, **problem_responses(404)})
async def get_me(session: ReadDep, principal: Customer) -> MeOut:
    return MeOut.of(await service.get_profile(session, principal.id))


@router.patch("/v1/me", responses={**REFUSED, **problem_responses(404, 422)})
async def update_me(session: WriteDep, principal: Customer, body: MePatch) -> MeOut:
    changes = cast("service.ProfileChanges", body.model_dump(exclude_unset=True))
    return MeOut.of(await service.update_profile(session, principal.id, changes))
