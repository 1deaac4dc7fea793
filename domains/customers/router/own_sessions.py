"""The caller's sessions: where they are signed in, and signing out elsewhere. Alike for customers and operators."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from domains.customers import service
from domains.customers.router.routers import REFUSED, admin_router, router
from domains.customers.schemas.sessions import SessionOut, SessionsEndedOut
from wapsi.http.deps import ReadDep, WriteDep, requires
from wapsi.http.paging import Page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal


def _add_session_routes(routes: APIRouter, prefix: str, whose: Any) -> None:
    @routes.get(f"{prefix}/sessions", responses=REFUSED)
    async def list_sessions(session: ReadDep, principal: Principal = whose) -> Page[SessionOut]:
        """Those that have not ended, the one used last first; at most a hundred."""
        found = await service.list_sessions(session, principal)
        return Page(items=[SessionOut.of(one, principal) for one in found])

    @routes.delete(
        f"{prefix}/sessions/{{session_id}}", status_code=204, responses={**REFUSED, **problem_responses(404, 422)}
    )
    async def end_own_session(session: WriteDep, session_id: UUID, principal: Principal = whose) -> None:
        """Its tokens are refused from now on, everywhere within a second."""
        await service.end_own_session(session, principal, session_id)

    @routes.post(f"{prefix}/sessions:revoke-others", responses=REFUSED)
    async def end_other_sessions(session: WriteDep, principal: Principal = whose) -> SessionsEndedOut:
        """All but the one that asks."""
        return SessionsEndedOut(ended=await service.end_other_sessions(session, principal))


_add_session_routes(router, "/v1/me", requires(Permission.OWN_ACCOUNT))
_add_session_routes(admin_router, "/me", requires(Permission.BACK_OFFICE))
