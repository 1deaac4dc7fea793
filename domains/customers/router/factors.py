"""Authenticator apps and recovery codes, alike for customers and operators.

No Idempotency-Key: a repetition replaces what was not confirmed yet, and what was confirmed cannot be twice.
"""

from typing import Any

from fastapi import APIRouter, Response

from domains.customers import service
from domains.customers.router.routers import admin_router, router
from domains.customers.schemas.factors import (
    CodeIn,
    ConfirmedIn,
    FactorsOut,
    RecoveryCodesOut,
    RemoveTOTPIn,
    TOTPOut,
)
from domains.customers.service import FactorCodeWrong, SubjectKind
from wapsi.http.deps import ReadDep, RuntimeDep, WriteDep, requires
from wapsi.http.problems import problem_responses
from wapsi.limits.policies import PASSWORD, SECOND_FACTOR
from wapsi.runtime import Runtime
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

REFUSED = problem_responses(401, 403, 404, 422)


async def confirm_password(runtime: Runtime, principal: Principal, password: str) -> None:
    """Raises PasswordWrong, and RateLimited for who goes on guessing."""
    await runtime.limits.require(PASSWORD, str(principal))
    await service.confirm_password(runtime.db, SubjectKind(principal.kind), principal.id, password)


def _add_totp_routes(routes: APIRouter, prefix: str, whose: Any) -> None:
    @routes.get(f"{prefix}/factors", responses=REFUSED)
    async def get_factors(session: ReadDep, principal: Principal = whose) -> FactorsOut:
        """What is asked for beside the password; nothing where all is false."""
        return FactorsOut.of(await service.get_factors(session, principal))

    @routes.post(f"{prefix}/factors/totp", status_code=201, responses={**REFUSED, **problem_responses(409)})
    async def start_totp(
        response: Response, runtime: RuntimeDep, body: ConfirmedIn, principal: Principal = whose
    ) -> TOTPOut:
        """A secret for an authenticator app. It counts once a code of it was sent to :confirm."""
        await confirm_password(runtime, principal, body.current_password.get_secret_value())
        async with runtime.db.write() as session:
            made = await service.start_totp(session, runtime.keys, principal)
        response.headers["Cache-Control"] = "no-store"
        return TOTPOut.of(made)

    @routes.post(f"{prefix}/factors/totp:confirm", responses=REFUSED)
    async def confirm_totp(
        response: Response, session: WriteDep, runtime: RuntimeDep, body: CodeIn, principal: Principal = whose
    ) -> RecoveryCodesOut:
        """The app's first code. From now on a password alone does not sign in; all other sessions end.

        This session's next tokens, from /v1/sessions:refresh, say that it has shown a second factor.
        """
        await runtime.limits.require(SECOND_FACTOR, str(principal))
        codes = await service.finish_totp(session, runtime.keys, principal, body.code.get_secret_value())
        response.headers["Cache-Control"] = "no-store"
        return RecoveryCodesOut(recovery_codes=codes)

    @routes.post(f"{prefix}/factors/totp:remove", status_code=204, responses=REFUSED)
    async def remove_totp(runtime: RuntimeDep, body: RemoveTOTPIn, principal: Principal = whose) -> None:
        """Needs a code of it, or a recovery code."""
        await confirm_password(runtime, principal, body.current_password.get_secret_value())
        await runtime.limits.require(SECOND_FACTOR, str(principal))
        async with runtime.db.write() as session:
            right = await service.drop_totp(session, runtime.keys, principal, body.code.get_secret_value())
        if not right:
            raise FactorCodeWrong

    @routes.post(f"{prefix}/recovery-codes", status_code=201, responses=REFUSED)
    async def renew_recovery_codes(
        response: Response, runtime: RuntimeDep, body: ConfirmedIn, principal: Principal = whose
    ) -> RecoveryCodesOut:
        """Ten new ones; the earlier ones are good for nothing any more."""
        await confirm_password(runtime, principal, body.current_password.get_secret_value())
        async with runtime.db.write() as session:
            codes = await service.renew_recovery_codes(session, runtime.keys, principal)
        response.headers["Cache-Control"] = "no-store"
        return RecoveryCodesOut(recovery_codes=codes)


_add_totp_routes(router, "/v1/me", requires(Permission.OWN_ACCOUNT))
_add_totp_routes(admin_router, "/me", requires(Permission.BACK_OFFICE))
