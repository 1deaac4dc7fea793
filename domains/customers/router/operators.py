"""For admins: who the operators are, what they may, whether they still may. `wapsi operator add` makes them."""

from typing import Annotated
from uuid import UUID

from domains.customers import service
from domains.customers.router.routers import admin_router
from domains.customers.schemas.operators import OperatorOut, OperatorPatch
from wapsi.cursors import encode_cursor, id_in_cursor
from wapsi.http.deps import ReadDep, WriteDep, requires
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

OperatorsWriter = Annotated[Principal, requires(Permission.OPERATORS_WRITE)]


@admin_router.get("/operators", responses=problem_responses(401, 403, 422))
async def list_operators(
    session: ReadDep, _principal: OperatorsWriter, limit: PageSize = 50, cursor: CursorParam = None
) -> Page[OperatorOut]:
    """The newest first."""
    found = await service.list_operators(session, limit=limit + 1, older_than=id_in_cursor("operators", cursor))
    operators, more = split_page(found, limit)
    return Page(
        items=[OperatorOut.of(operator) for operator in operators],
        next_cursor=encode_cursor("operators", str(operators[-1].id)) if more else None,
    )


@admin_router.patch("/operators/{operator_id}", responses=problem_responses(401, 403, 404, 409, 422))
async def change_operator(
    session: WriteDep, principal: OperatorsWriter, operator_id: UUID, body: OperatorPatch
) -> OperatorOut:
    """Another's role or status, never one's own; the last active admin stays one. Ends the operator's sessions."""
    changed = await service.change_operator(
        session, operator_id, role=body.role, status=body.status, principal=principal
    )
    return OperatorOut.of(changed)
