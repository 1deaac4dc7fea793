"""New passwords, and other contacts for the own account."""

from uuid import UUID

from starlette.responses import Response

from domains.customers import service
from domains.customers.errors import CodeInvalid
from domains.customers.router.routers import REFUSED, Customer, contact_in, router
from domains.customers.schemas.accounts import MeOut
from domains.customers.schemas.passwords import (
    ContactCodeIn,
    NewContactIn,
    NewContactOut,
    PasswordIn,
    ResetCodeIn,
    ResetIn,
    ResetOut,
)
from domains.customers.service import SubjectKind, VerificationPurpose
from wapsi.http.deps import PublicDep, RuntimeDep, WriteDep
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.problems import problem_responses
from wapsi.http.rate_limits import limited
from wapsi.limits.policies import CODE, PASSWORD, RESET
from wapsi.security.passwords import hash_password


@router.post(
    "/v1/password-resets",
    status_code=202,
    response_model=ResetOut,
    responses=problem_responses(400, 409, 422),
    dependencies=[PublicDep],
    openapi_extra=limited(RESET),
)
async def ask_for_reset(session: WriteDep, runtime: RuntimeDep, idempotency: IdempotencyDep, body: ResetIn) -> Response:
    """For a forgotten password: a code is sent to the contact, if it has an account. The answer does not tell."""
    contact = contact_in(runtime, body)

    async def work() -> ResetOut:
        return ResetOut(reset_id=await service.ask_for_reset(session, runtime.keys, contact))

    return await idempotency.answer(work, status=202)


@router.post(
    "/v1/password-resets/{reset_id}:confirm",
    status_code=204,
    responses=problem_responses(422),
    dependencies=[PublicDep],
    openapi_extra=limited(CODE),
)
async def confirm_reset(session: WriteDep, runtime: RuntimeDep, reset_id: UUID, body: ResetCodeIn) -> None:
    """Sets the password; all sessions of the account end. A code is good for ten minutes, five attempts and one use."""
    new_password = body.new_password.get_secret_value()
    # Before the code: a password that is refused costs no attempt.
    await service.check_new_password(new_password)
    purpose = VerificationPurpose.PASSWORD_RESET
    if not await service.is_right_code(runtime.db, runtime.keys, purpose, reset_id, body.code):
        raise CodeInvalid
    password_hash = await hash_password(new_password)
    await service.finish_reset(session, runtime.keys, reset_id, new_password=new_password, password_hash=password_hash)


@router.post(
    "/v1/me/password",
    status_code=204,
    responses={**REFUSED, **problem_responses(422)},
    openapi_extra=limited(PASSWORD),
)
async def change_password(runtime: RuntimeDep, principal: Customer, body: PasswordIn) -> None:
    """Sets another password; the other sessions of the account end."""
    await service.change_password(
        runtime.db,
        runtime.keys,
        principal.id,
        current=body.current_password.get_secret_value(),
        new=body.new_password.get_secret_value(),
        keep=principal.session_id,
    )


@router.post(
    "/v1/me/contacts",
    status_code=202,
    response_model=NewContactOut,
    responses={**REFUSED, **problem_responses(400, 409, 422)},
    openapi_extra=limited(PASSWORD),
)
async def ask_for_contact(
    session: WriteDep, runtime: RuntimeDep, principal: Customer, idempotency: IdempotencyDep, body: NewContactIn
) -> Response:
    """Another e-mail or mobile number, or a first one beside the other: a code is sent to it."""
    contact = contact_in(runtime, body)
    await service.confirm_password(
        runtime.db, SubjectKind.CUSTOMER, principal.id, body.current_password.get_secret_value()
    )

    async def work() -> NewContactOut:
        contact_id = await service.ask_for_contact(session, runtime.keys, principal.id, contact)
        return NewContactOut(contact_id=contact_id)

    return await idempotency.answer(work, status=202)


@router.post(
    "/v1/me/contacts:verify",
    response_model=MeOut,
    responses={**REFUSED, **problem_responses(400, 404, 409, 422)},
    openapi_extra=limited(CODE),
)
async def verify_contact(
    session: WriteDep, runtime: RuntimeDep, principal: Customer, idempotency: IdempotencyDep, body: ContactCodeIn
) -> Response:
    """The contact counts from now on, in the place of the one before it, which is told."""
    is_right = await service.is_right_code(
        runtime.db,
        runtime.keys,
        VerificationPurpose.CONTACT,
        body.contact_id,
        body.code,
        customer_id=principal.id,
    )

    async def work() -> MeOut:
        if not is_right:
            raise CodeInvalid
        await service.finish_contact(session, runtime.keys, principal.id, body.contact_id)
        return MeOut.of(await service.profile_within(session, principal.id))

    return await idempotency.answer(work, status=200)
