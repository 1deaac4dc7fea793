"""For operators: who changed what."""

from typing import Annotated

from fastapi import Query

from domains.customers.router.routers import admin_router
from domains.customers.schemas.audit import AuditEntryOut
from wapsi.cursors import encode_cursor, id_in_cursor
from wapsi.http.deps import ReadDep, requires
from wapsi.http.fields import Moment
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security import audit
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

AuditReader = Annotated[Principal, requires(Permission.AUDIT_READ)]

_REFUSED = problem_responses(401, 403, 422)
_Name = Annotated[str | None, Query(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


_Moment = Annotated[Moment | None, Query(description="A moment with its offset, such as 2026-11-30T00:00:00Z")]


@admin_router.get("/audit-log", responses=_REFUSED)
async def list_audit_log(
    session: ReadDep,
    _principal: AuditReader,
    actor: _Name = None,
    action: _Name = None,
    target: _Name = None,
    since: _Moment = None,
    until: _Moment = None,
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[AuditEntryOut]:
    """Who changed what, the newest first. Names are whole: `actor=operator:<id>`, `target=payout:<id>`."""
    only = audit.AuditFilter(actor=actor, action=action, target=target, since=since, until=until)
    listing = f"audit-log {actor} {action} {target} {since} {until}"
    found = await audit.list_entries(session, limit=limit + 1, older_than=id_in_cursor(listing, cursor), only=only)
    entries, more = split_page(found, limit)
    return Page(
        items=[AuditEntryOut.of(entry) for entry in entries],
        next_cursor=encode_cursor(listing, str(entries[-1].id)) if more else None,
    )
