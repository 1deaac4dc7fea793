"""Signing up, and the own account."""

from typing import cast

from fastapi import Request
from pydantic import ValidationError
from starlette.responses import Response

from domains.customers import service
from domains.customers.errors import CodeInvalid
from domains.customers.router.routers import REFUSED, Customer, contact_in, router
from domains.customers.schemas.accounts import MeOut, MePatch, SignedUpOut, SignUpCodeIn, SignUpIn, SignUpOut
from domains.customers.service import VerificationPurpose
from wapsi.db.transactions import Statements
from wapsi.errors import DomainError
from wapsi.http.deps import PublicDep, RuntimeDep, WriteDep, get_runtime
from wapsi.http.direct_routes import json_answer, own_way, principal_with, short_way
from wapsi.http.idempotency import IdempotencyDep
from wapsi.http.middleware import header_of
from wapsi.http.problems import problem_responses
from wapsi.http.rate_limits import limited
from wapsi.limits.policies import CODE, SIGN_UP
from wapsi.runtime import Runtime
from wapsi.security.passwords import hash_password
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal


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


async def _me(runtime: Runtime, principal: Principal) -> Response:
    return json_answer(MeOut.of(await service.get_profile(runtime.db.reads, principal.id)))


@router.get("/v1/me", response_model=MeOut, responses={**REFUSED, **problem_responses(404)})
async def get_me(runtime: RuntimeDep, principal: Customer) -> Response:
    return await _me(runtime, principal)


async def _change(runtime: Runtime, principal: Principal, body: MePatch) -> Response:
    changes = cast("service.ProfileChanges", body.model_dump(exclude_unset=True))
    # One statement, which is committed when it has run.
    async with Statements(runtime.db).write() as driver:
        profile = await service.update_profile(driver, principal.id, changes)
    return json_answer(MeOut.of(profile))


@router.patch("/v1/me", response_model=MeOut, responses={**REFUSED, **problem_responses(404, 422)})
async def update_me(runtime: RuntimeDep, principal: Customer, body: MePatch) -> Response:
    return await _change(runtime, principal, body)


async def _changed(request: Request) -> Response | None:
    """As update_me, of a request with which nothing is wrong."""
    principal = await principal_with(request, Permission.OWN_ACCOUNT)
    if principal is None or header_of(request.scope, b"content-type") != "application/json":
        return None
    try:
        body = MePatch.model_validate_json(await request.body())
    except (DomainError, ValidationError):
        return None
    return await _change(get_runtime(request), principal, body)


SHORT_WAYS = (own_way(router, get_me, _me), short_way(router, update_me, _changed))
