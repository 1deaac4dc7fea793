"""Sales that no click explains, and who may have bought: found by an operator, or by a customer's claim."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from domains.cashback.errors import ClickDoesNotExplain, ConversionNotFound, SaleAttributed
from domains.cashback.models import ClaimRow, ClickRow, ConversionRow
from domains.cashback.service import attribution, loading, rewards
from domains.cashback.service.amendments import Facts, price_of
from domains.cashback.service.drafts import Draft
from domains.cashback.service.history import Cause
from domains.cashback.service.ledger import locked_balances
from domains.cashback.service.links import unknown_click
from domains.cashback.service.operator_events import operator_event
from domains.cashback.service.order_numbers import spellings
from domains.cashback.service.postings import Sale, post_attributed
from domains.cashback.service.refusals import Refused
from domains.cashback.service.steps import advance, move_conversion
from domains.cashback.service.writing import Written, write
from domains.cashback.states import ConversionState
from domains.merchants import service as merchants
from wapsi.db import ReadSession, WriteSession
from wapsi.security import audit
from wapsi.security.principal import Principal
from wapsi.security.signing import Keys
from wapsi.telemetry.setup import current_trace_id

_C = ConversionState
CANDIDATES = 50


@dataclass(frozen=True, slots=True)
class Candidate:
    """A click that may have led to a sale. `claim_id` is the customer's claim about this very order; `sales` says how
    many other sales the click explains already."""

    click_id: UUID
    customer_id: UUID
    clicked_at: datetime
    redirected_at: datetime | None
    offer_id: UUID | None
    bot: bool
    duplicate_of: UUID | None
    claim_id: UUID | None
    sales: int


async def list_candidates(session: ReadSession, conversion_id: UUID) -> list[Candidate]:
    """Clicks at the merchant from which the sale may have come, at most CANDIDATES: those of claims about it first,
    then the nearest before it. Raises ConversionNotFound."""
    sale = await session.get(ConversionRow, conversion_id)
    if sale is None:
        raise _unknown(conversion_id)
    merchant = await merchants.get_merchant_by_id(session, sale.merchant_id)
    days = merchant.click_window_days + (0 if sale.network_state == _C.PENDING else merchant.validation_days)
    claimed = (
        await session.execute(
            select(ClaimRow.click_id, ClaimRow.id)
            .where(ClaimRow.merchant_id == sale.merchant_id, ClaimRow.order_id.in_(spellings(sale.external_id)))
            .order_by(ClaimRow.id)
            .limit(CANDIDATES)
        )
    ).all()
    claims = {row.click_id: row.id for row in claimed}
    within = (
        ClickRow.merchant_id == sale.merchant_id,
        ClickRow.clicked_at >= sale.occurred_at - timedelta(days=days),
        ClickRow.clicked_at <= sale.occurred_at + attribution.CLOCK_TOLERANCE,
    )
    newest = select(ClickRow).where(*within).order_by(ClickRow.clicked_at.desc(), ClickRow.id.desc())
    rows = list((await session.scalars(select(ClickRow).where(*within, ClickRow.id.in_(claims)))).all())
    rows += (await session.scalars(newest.where(ClickRow.id.not_in(claims)).limit(CANDIDATES - len(rows)))).all()
    explained = await session.scalars(
        select(ConversionRow.click_id).where(ConversionRow.click_id.in_([row.id for row in rows]))
    )
    taken = list(explained)
    return [
        Candidate(
            row.id,
            row.customer_id,
            row.clicked_at,
            row.redirected_at,
            row.offer_id,
            row.bot,
            row.duplicate_of,
            claims.get(row.id),
            taken.count(row.id),
        )
        for row in rows
    ]


async def attribute_sale(
    session: WriteSession, keys: Keys, principal: Principal, conversion_id: UUID, click_id: UUID, reason_code: str
) -> None:
    """An operator says which click led to a sale: its customer earns what was promised there.

    Raises ConversionNotFound, ClickNotFound, SaleAttributed and ClickDoesNotExplain.
    """
    sale = await loading.load_sale(session, conversion_id)
    if sale is None:
        raise _unknown(conversion_id)
    await attribute(session, keys, principal, sale, click_id, reason_code)


async def attribute(
    session: WriteSession, keys: Keys, principal: Principal, sale: Sale, click_id: UUID, reason_code: str
) -> None:
    """The sale is locked. Raises ClickNotFound, SaleAttributed and ClickDoesNotExplain."""
    driver = await session.driver()
    row = sale.conversion
    if row.state != _C.UNATTRIBUTED:
        raise SaleAttributed(f"The sale is {row.state}: only one that no click explains can be given to a click.")
    found = await loading.load_clicks(driver, [click_id])
    if not found:
        raise unknown_click()
    [click] = found
    clicks = loading.Clicks(keys, found)
    state = _C(row.network_state)
    explained = attribution.attribute_to(clicks, click, row.occurred_at, state, row.merchant_id, reason_code)
    receipt = explained.receipt
    if receipt is None:
        failed = explained.rules[-1]
        raise ClickDoesNotExplain(f"The click does not explain this sale: {failed['why']}.", rule=failed["rule"])
    try:
        price = price_of(receipt, row.currency, Facts.of(row))
    except Refused as refusal:
        raise ClickDoesNotExplain(refusal.message, rule=refusal.reason) from None
    draft = Draft(
        await locked_balances(driver, [receipt.customer_id]), [receipt.customer_id], trace_id=current_trace_id()
    )
    event = operator_event(row, principal, reason_code)
    cause = Cause(str(principal), reason_code, event.id)
    row.click_id, row.customer_id = receipt.click_id, receipt.customer_id
    row.attribution = explained.rules
    move_conversion(draft, row, _C.PENDING, cause)
    sale.reward = rewards.create(draft, row, receipt, price, cause)
    post_attributed(draft, sale)
    advance(draft, sale, state, cause)
    await write(driver, Written(events=[event], changed_conversions=[row], new_rewards=[sale.reward], drafts=[draft]))
    await audit.record(
        session,
        principal,
        action="conversion.attributed",
        target=f"conversion:{row.id}",
        before={"state": _C.UNATTRIBUTED},
        after={"state": row.state, "click_id": str(receipt.click_id), "reason_code": reason_code},
    )


def _unknown(conversion_id: UUID) -> ConversionNotFound:
    return ConversionNotFound("There is no such sale.", conversion_id=str(conversion_id))
