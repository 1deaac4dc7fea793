"""Claims: a customer says that cashback is missing or wrong, with a reason; operators move them on, with one too."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from domains.cashback.errors import ClaimExists, ClaimNotFound, CustomerNotActive
from domains.cashback.models import ClaimRow
from domains.cashback.service import history
from domains.cashback.service.clicks import find_click
from domains.cashback.service.history import Cause
from domains.cashback.service.links import unknown_click
from domains.cashback.service.views import merchants_of
from domains.cashback.states import CLAIM_STATES, ClaimReason, ClaimState, Entity
from domains.customers import service as customers
from domains.merchants import service as merchants
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal


@dataclass(frozen=True, slots=True)
class NewClaim:
    """`click_id` is the visit that led to the order; amounts in minor units of the merchant's currency."""

    reason: ClaimReason
    click_id: UUID
    order_id: str
    order_amount_minor: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class ClaimView:
    """`decision_code` is the reason of the last move."""

    id: UUID
    customer_id: UUID
    merchant: str
    state: ClaimState
    reason_code: str
    click_id: UUID
    order_id: str
    order_amount_minor: int
    currency: str
    note: str
    decision_code: str
    created_at: datetime
    updated_at: datetime


async def submit_claim(session: WriteSession, customer_id: UUID, new: NewClaim) -> ClaimView:
    """Raises CustomerNotActive, ClickNotFound (another's too), and ClaimExists: one claim an order."""
    customer = await customers.get_customer(session, customer_id)
    if customer.status != customers.CustomerStatus.ACTIVE:
        raise CustomerNotActive("This account is not active.")
    click = await find_click(session, new.click_id)
    if click is None or click.customer_id != customer_id:
        raise unknown_click()
    row = await session.scalar(
        insert(ClaimRow)
        .values(
            id=new_id(),
            customer_id=customer_id,
            merchant_id=click.merchant_id,
            state=ClaimState.SUBMITTED,
            reason_code=new.reason,
            click_id=click.id,
            order_id=new.order_id,
            order_amount_minor=new.order_amount_minor,
            currency=click.currency,
            note=new.note,
        )
        .on_conflict_do_nothing(index_elements=[ClaimRow.customer_id, ClaimRow.merchant_id, ClaimRow.order_id])
        .returning(ClaimRow)
    )
    if row is None:
        raise ClaimExists("You have a claim about this order already.", order_id=new.order_id)
    # Without the note, which is the customer's own and may have to go; what is written here stays for ever.
    cause = Cause(f"customer:{customer_id}", new.reason)
    history.record(session, Entity.CLAIM, row.id, None, ClaimState.SUBMITTED, cause)
    await session.flush()
    return _view(row, await merchants.get_merchant_by_id(session, row.merchant_id))


async def move_claim(
    session: WriteSession, principal: Principal, claim_id: UUID, target: ClaimState, decision_code: str
) -> ClaimView:
    """Raises ClaimNotFound and IllegalMove."""
    row = await session.get_locked(ClaimRow, claim_id)
    if row is None:
        raise ClaimNotFound("There is no such claim.", claim_id=str(claim_id))
    before = ClaimState(row.state)
    row.state = CLAIM_STATES.check(before, target)
    row.decision_code = decision_code
    row.updated_at = now()
    history.record(session, Entity.CLAIM, row.id, before, target, Cause(str(principal), decision_code))
    await session.flush()
    await audit.record(
        session,
        principal,
        action=f"claim.{target}",
        target=f"claim:{claim_id}",
        before={"state": before},
        after={"state": target, "reason_code": decision_code},
    )
    return _view(row, await merchants.get_merchant_by_id(session, row.merchant_id))


async def list_claims(
    session: ReadSession,
    *,
    limit: int,
    customer_id: UUID | None = None,
    state: ClaimState | None = None,
    before: UUID | None = None,
) -> list[ClaimView]:
    """The newest first; `before` is the id of the last one seen."""
    statement = select(ClaimRow).order_by(ClaimRow.id.desc()).limit(limit)
    if customer_id is not None:
        statement = statement.where(ClaimRow.customer_id == customer_id)
    if state is not None:
        statement = statement.where(ClaimRow.state == state)
    if before is not None:
        statement = statement.where(ClaimRow.id < before)
    rows = (await session.scalars(statement)).all()
    refs = await merchants_of(session, (row.merchant_id for row in rows))
    return [_view(row, refs[row.merchant_id]) for row in rows]


def _view(row: ClaimRow, merchant: merchants.MerchantRef) -> ClaimView:
    return ClaimView(
        id=row.id,
        customer_id=row.customer_id,
        merchant=merchant.slug,
        state=ClaimState(row.state),
        reason_code=row.reason_code,
        click_id=row.click_id,
        order_id=row.order_id,
        order_amount_minor=row.order_amount_minor,
        currency=row.currency,
        note=row.note,
        decision_code=row.decision_code,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
