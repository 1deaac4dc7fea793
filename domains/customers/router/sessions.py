"""Signing in and out, for customers and operators."""

from typing import Any

from fastapi import Request
from pydantic import SecretStr
from starlette.responses import Response

from domains.customers import service
from domains.customers.router.routers import REFUSED, Customer, Operator, admin_router, router, user_agent_of
from domains.customers.router.throttle import DeviceToken, attempted
from domains.customers.schemas.passkeys import PasskeyOptionsOut, PasskeySignInIn
from domains.customers.schemas.sessions import (
    OperatorSignInIn,
    RefreshIn,
    SecondFactorIn,
    SecondStepOut,
    SignInIn,
    TokensOut,
)
from domains.customers.service import CHALLENGE_LIFETIME_S, SecondStep, SessionIssuer, SubjectKind, login_of
from wapsi.http.deps import PublicDep, RuntimeDep, WriteDep
from wapsi.http.problems import problem_responses
from wapsi.http.rate_limits import limited
from wapsi.limits.policies import CODE, REFRESH, SECOND_FACTOR, SECOND_FACTOR_DAY, SIGN_IN_ADDRESS
from wapsi.runtime import Runtime
from wapsi.security.principal import CredentialsInvalid

_SIGNED_IN: dict[int | str, dict[str, Any]] = {
    **problem_responses(401, 422),
    202: {"model": SecondStepOut, "description": "The password is right; go on at /v1/sessions:verify."},
}


@router.post(
    "/v1/sessions",
    status_code=201,
    response_model=TokensOut,
    responses=_SIGNED_IN,
    dependencies=[PublicDep],
    openapi_extra=limited(SIGN_IN_ADDRESS),
)
async def sign_in(request: Request, runtime: RuntimeDep, body: SignInIn, device_token: DeviceToken = None) -> Response:
    """For customers. One answer for a wrong password, an unknown contact and a suspended account.

    An account with a second factor gets a 202 with a challenge, for /v1/sessions:verify. The Device-Token of the
    answer, sent with the next sign-in, keeps strangers' mistakes from counting against this device.
    """
    login = login_of(body.email, body.phone)
    return await _sign_in(request, runtime, SubjectKind.CUSTOMER, login, body.password, device_token)


@router.post(
    "/v1/sessions:verify",
    status_code=201,
    responses=problem_responses(401, 422),
    dependencies=[PublicDep],
    openapi_extra=limited(CODE),
)
async def verify_second_factor(
    request: Request, response: Response, runtime: RuntimeDep, body: SecondFactorIn
) -> TokensOut:
    """The second step of a sign-in, for customers and operators alike: five attempts in five minutes."""
    issuer = SessionIssuer(runtime.keys, runtime.settings)
    challenge = issuer.second_step(body.challenge)
    identity = f"{challenge.kind}:{challenge.subject_id}"
    # Who guesses knows the password: with a new one the owner is free of them.
    of_password = identity, challenge.password_mark
    await runtime.limits.require(SECOND_FACTOR, identity)
    await runtime.limits.require(SECOND_FACTOR_DAY, *of_password)
    tokens = await issuer.verify(runtime.db, challenge, body.proof, user_agent_of(request))
    await runtime.limits.forget(SECOND_FACTOR, identity)
    await runtime.limits.forget(SECOND_FACTOR_DAY, *of_password)
    response.headers["Cache-Control"] = "no-store"
    return TokensOut.of(tokens)


@router.post("/v1/sessions:passkey-options", responses=problem_responses(422), dependencies=[PublicDep])
async def passkey_sign_in_options(response: Response, runtime: RuntimeDep) -> PasskeyOptionsOut:
    """What navigator.credentials.get() needs to sign in without a password; the same for everybody."""
    token, options = SessionIssuer(runtime.keys, runtime.settings).passkey_options()
    response.headers["Cache-Control"] = "no-store"
    return PasskeyOptionsOut(challenge=token, expires_in=CHALLENGE_LIFETIME_S, options=options)


@router.post(
    "/v1/sessions:passkey",
    status_code=201,
    responses=problem_responses(401, 422),
    dependencies=[PublicDep],
    openapi_extra=limited(SIGN_IN_ADDRESS),
)
async def sign_in_by_passkey(
    request: Request, response: Response, runtime: RuntimeDep, body: PasskeySignInIn
) -> TokensOut:
    """Signs in the customer or the operator whose passkey it is: a device that has verified its user is two factors."""
    tokens = await SessionIssuer(runtime.keys, runtime.settings).sign_in_by_passkey(
        runtime.db, body.challenge, body.credential.model_dump(), user_agent_of(request)
    )
    response.headers["Cache-Control"] = "no-store"
    return TokensOut.of(tokens)


@router.post(
    "/v1/sessions:refresh",
    responses=problem_responses(401, 422),
    dependencies=[PublicDep],
    openapi_extra=limited(REFRESH),
)
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


@router.delete("/v1/sessions/current", status_code=204, responses=REFUSED)
async def sign_out(session: WriteDep, principal: Customer) -> None:
    """Ends the session: its tokens are refused from now on, everywhere within a second."""
    if principal.session_id is not None:
        await service.end_session(session, principal.session_id)


@admin_router.post(
    "/sessions",
    status_code=201,
    response_model=TokensOut,
    responses=_SIGNED_IN,
    dependencies=[PublicDep],
    openapi_extra=limited(SIGN_IN_ADDRESS),
)
async def sign_in_operator(
    request: Request, runtime: RuntimeDep, body: OperatorSignInIn, device_token: DeviceToken = None
) -> Response:
    """For operators; goes on at /v1/sessions:verify, and is refreshed at /v1/sessions:refresh."""
    return await _sign_in(request, runtime, SubjectKind.OPERATOR, body.email, body.password, device_token)


@admin_router.delete("/sessions/current", status_code=204, responses=problem_responses(401, 403))
async def sign_out_operator(session: WriteDep, principal: Operator) -> None:
    """Ends the session: its tokens are refused from now on, everywhere within a second."""
    if principal.session_id is not None:
        await service.end_session(session, principal.session_id)


async def _sign_in(
    request: Request,
    runtime: Runtime,
    kind: SubjectKind,
    login: str,
    password: SecretStr,
    device_token: str | None,
) -> Response:
    async with attempted(request, runtime, kind, login, device_token) as headers:
        result = await SessionIssuer(runtime.keys, runtime.settings).sign_in(
            runtime.db, kind, login, password.get_secret_value(), user_agent_of(request)
        )
    waits = isinstance(result, SecondStep)
    answer = SecondStepOut.of(result) if isinstance(result, SecondStep) else TokensOut.of(result)
    return Response(
        answer.model_dump_json(),
        status_code=202 if waits else 201,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **headers},
    )
