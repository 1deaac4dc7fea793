"""Operators: the ledger."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from domains.cashback import service
from domains.cashback.router.routers import admin_router
from domains.cashback.schemas import AccountOut, TransactionOut, VerificationOut, ViolationOut
from wapsi.cursors import encode_cursor, number_in_cursor
from wapsi.http.deps import ReadDep, requires
from wapsi.http.paging import CursorParam, Page, PageSize, split_page
from wapsi.http.problems import problem_responses
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal

LedgerReader = Annotated[Principal, requires(Permission.LEDGER_READ)]


@admin_router.get("/ledger/accounts", responses=problem_responses(401, 403, 422))
async def list_accounts(
    session: ReadDep,
    principal: LedgerReader,
    prefix: Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$", description="Such as assets:bank:")] = "",
    limit: PageSize = 50,
    cursor: CursorParam = None,
) -> Page[AccountOut]:
    """Accounts with the sum of their entries."""
    listing = f"accounts {prefix}"
    accounts = await service.list_accounts(
        session, limit=limit + 1, prefix=prefix, after=number_in_cursor(listing, cursor)
    )
    page, more = split_page(accounts, limit)
    return Page(
        items=[AccountOut.model_validate(account) for account in page],
        next_cursor=encode_cursor(listing, page[-1].id) if more else None,
    )


@admin_router.get("/ledger/transactions/{transaction_id}", responses=problem_responses(401, 403, 404, 422))
async def get_transaction(session: ReadDep, principal: LedgerReader, transaction_id: UUID) -> TransactionOut:
    return TransactionOut.model_validate(await service.get_transaction(session, transaction_id))


@admin_router.get("/ledger/verification", responses=problem_responses(401, 403))
async def get_verification(session: ReadDep, principal: LedgerReader) -> VerificationOut:
    """What the daily check of every invariant, over every entry, found last. `wapsi ledger verify` checks now: that
    takes longer, the larger the ledger is, than a request may.
    """
    last = await service.last_verification(session)
    if last is None:
        return VerificationOut()
    return VerificationOut(
        started_at=last.started_at,
        finished_at=last.finished_at,
        sound=not last.violations,
        violations=[ViolationOut.model_validate(violation) for violation in last.violations],
    )
