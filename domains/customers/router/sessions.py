"""Signing in and out, for customers and operators."""

from fastapi import Request
from starlette.responses import Response

from domains.customers import service
from domains.customers.router.routers import REFUSED, Customer, Operator, admin_router, router, user_agent_of
from domains.customers.schemas.sessions import OperatorSignInIn, RefreshIn, SignInIn, TokensOut
from domains.customers.service import SessionIssuer, SubjectKind, login_of
from wapsi.http.deps import PublicDep, RuntimeDep, WriteDep
from wapsi.http.problems import problem_responses
from wapsi.security.principal import CredentialsInvalid


@router.post("/v1/sessions", status_code=201, responses=problem_responses(401, 422), dependencies=[PublicDep])
async def sign_in(request: Request, response: Response, runtime: RuntimeDep, body: SignInIn) -> TokensOut:
    """For customers. One answer for a wrong password, an unknown contact and a suspended account."""
    tokens = await SessionIssuer(runtime.keys, runtime.settings).sign_in(
        runtime.db,
        SubjectKind.CUSTOMER,
        login_of(body.email, body.phone),
        body.password.get_secret_value(),
        user_agent_of(request),
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


@router.delete("/v1/sessions/current", status_code=204, responses=REFUSED)
async def sign_out(session: WriteDep, principal: Customer) -> None:
    """Ends the session: its refresh token is refused from now on, its access token when it expires."""
    if principal.session_id is not None:
        await service.end_session(session, principal.session_id)


@admin_router.post("/sessions", status_code=201, responses=problem_responses(401, 422), dependencies=[PublicDep])
async def sign_in_operator(
    request: Request, response: Response, runtime: RuntimeDep, body: OperatorSignInIn
) -> TokensOut:
    """For operators; refreshed at /v1/sessions:refresh."""
    tokens = await SessionIssuer(runtime.keys, runtime.settings).sign_in(
        runtime.db,
        SubjectKind.OPERATOR,
        body.email,
        body.password.get_secret_value(),
        user_agent_of(request),
    )
    response.headers["Cache-Control"] = "no-store"
    return TokensOut.of(tokens)


@admin_router.delete("/sessions/current", status_code=204, responses=problem_responses(401, 403))
async def sign_out_operator(session: WriteDep, principal: Operator) -> None:
    """Ends the session: its refresh token is refused from now on, its access token when it expires."""
    if principal.session_id is not None:
        await service.end_session(session, principal.session_id)
