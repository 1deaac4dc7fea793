"""Operators: cashback that merchants should have decided on."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query

from domains.cashback import service
from domains.cashback.router.routers import admin_router
from domains.cashback.schemas import Out
from wapsi.cursors import encode_cursor, id_in_cursor
from wapsi.http.deps import ReadDep, requires
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

_Name = Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$")]


class EnquiryOut(Out):
    """`source` is whom to ask, a network's slug, or `direct:` and a merchant's; `external_id` the sale's number there.

    `overdue_days`: since the decision was due.
    """

    reward_id: UUID
    conversion_id: UUID
    source: str
    external_id: str
    merchant: str
    customer_id: UUID
    raw_status: str
    order_amount_minor: int
    commission_minor: int
    amount_minor: int
    currency: str
    purchased_at: datetime
    expected_confirmation_at: datetime
    enquired_at: datetime
    overdue_days: int


@admin_router.get("/enquiries", responses=problem_responses(401, 403, 404, 422))
async def list_enquiries(
    session: ReadDep,
    principal: Annotated[Principal, requires(Permission.CONVERSIONS_READ)],
    source: _Name = None,
    merchant: _Name = None,
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[EnquiryOut]:
    """Open ones, the oldest cashback first. One is closed when the sale is decided on."""
    listing = f"enquiries {source} {merchant}"
    found = await service.list_enquiries(
        session, limit=limit + 1, source=source, merchant=merchant, after=id_in_cursor(listing, cursor)
    )
    page, more = split_page(found, limit)
    return Page(
        items=[EnquiryOut.model_validate(enquiry) for enquiry in page],
        next_cursor=encode_cursor(listing, str(page[-1].reward_id)) if more else None,
    )
