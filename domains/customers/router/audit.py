"""For operators: who changed what."""

from typing import Annotated

from domains.customers.router.routers import admin_router
from domains.customers.schemas.audit import AuditEntryOut
from wapsi.cursors import encode_cursor, id_in_cursor
from wapsi.http.deps import ReadDep, requires
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security import audit
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

AuditReader = Annotated[Principal, requires(Permission.AUDIT_READ)]

_REFUSED = problem_responses(401, 403, 422)


@admin_router.get("/audit-log", responses=_REFUSED)
async def list_audit_log(
    session: ReadDep, _principal: AuditReader, limit: PageSize = 50, cursor: CursorParam = None
) -> Page[AuditEntryOut]:
    """Who changed what, the newest first."""
    found = await audit.list_entries(session, limit=limit + 1, older_than=id_in_cursor("audit-log", cursor))
    entries, more = split_page(found, limit)
    return Page(
        items=[AuditEntryOut.of(entry) for entry in entries],
        next_cursor=encode_cursor("audit-log", str(entries[-1].id)) if more else None,
    )
