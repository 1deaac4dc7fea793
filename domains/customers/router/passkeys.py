"""Passkeys, alike for customers and operators. No Idempotency-Key: a challenge is good for one passkey."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from domains.customers import service
from domains.customers.router.factors import REFUSED, confirm_password
from domains.customers.router.routers import admin_router, router
from domains.customers.schemas.factors import ConfirmedIn
from domains.customers.schemas.passkeys import PasskeyIn, PasskeyMadeOut, PasskeyOptionsOut, PasskeyOut, PasskeyPatch
from domains.customers.service import CHALLENGE_LIFETIME_S, SubjectKind
from wapsi.http.deps import ReadDep, RuntimeDep, WriteDep, requires
from wapsi.http.paging import Page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal


def _add_passkey_routes(routes: APIRouter, prefix: str, whose: Any) -> None:
    @routes.get(f"{prefix}/passkeys", responses=REFUSED)
    async def list_passkeys(session: ReadDep, principal: Principal = whose) -> Page[PasskeyOut]:
        """All of them; there are never many."""
        found = await service.list_passkeys(session, SubjectKind(principal.kind), principal.id)
        return Page(items=[PasskeyOut.of(passkey) for passkey in found])

    @routes.post(f"{prefix}/passkeys:options", responses=REFUSED)
    async def passkey_options(
        response: Response, runtime: RuntimeDep, body: ConfirmedIn, principal: Principal = whose
    ) -> PasskeyOptionsOut:
        """What navigator.credentials.create() needs to make one."""
        await confirm_password(runtime, principal, body.current_password.get_secret_value())
        async with runtime.db.write() as session:
            token, options = await service.start_passkey(session, runtime.keys, runtime.settings, principal)
        response.headers["Cache-Control"] = "no-store"
        return PasskeyOptionsOut(challenge=token, expires_in=CHALLENGE_LIFETIME_S, options=options)

    @routes.post(f"{prefix}/passkeys", status_code=201, responses={**REFUSED, **problem_responses(409)})
    async def add_passkey(
        response: Response, session: WriteDep, runtime: RuntimeDep, body: PasskeyIn, principal: Principal = whose
    ) -> PasskeyMadeOut:
        """The answer of the device. From now on a password alone does not sign in; all other sessions end."""
        passkey, codes = await service.finish_passkey(
            session,
            runtime.keys,
            runtime.settings,
            principal,
            body.challenge,
            body.credential.model_dump(),
            body.name,
        )
        response.headers["Cache-Control"] = "no-store"
        return PasskeyMadeOut(**PasskeyOut.of(passkey).model_dump(), recovery_codes=codes)

    @routes.patch(f"{prefix}/passkeys/{{passkey_id}}", responses=REFUSED)
    async def rename_passkey(
        session: WriteDep, passkey_id: UUID, body: PasskeyPatch, principal: Principal = whose
    ) -> PasskeyOut:
        kind = SubjectKind(principal.kind)
        return PasskeyOut.of(await service.rename_passkey(session, kind, principal.id, passkey_id, body.name))

    @routes.post(f"{prefix}/passkeys/{{passkey_id}}:remove", status_code=204, responses=REFUSED)
    async def remove_passkey(
        runtime: RuntimeDep, passkey_id: UUID, body: ConfirmedIn, principal: Principal = whose
    ) -> None:
        """Needs the password, and a session that has shown a second factor."""
        await confirm_password(runtime, principal, body.current_password.get_secret_value())
        async with runtime.db.write() as session:
            await service.drop_passkey(session, runtime.keys, principal, passkey_id)


_add_passkey_routes(router, "/v1/me", requires(Permission.OWN_ACCOUNT))
_add_passkey_routes(admin_router, "/me", requires(Permission.BACK_OFFICE))
