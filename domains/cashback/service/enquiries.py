"""Enquiries: pending cashback that the merchant should have decided on, and has not.

One is opened by the job that finds the cashback overdue (rewards.mark_overdue), and closed by the decision.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from domains.cashback.models import ConversionRow, RewardRow
from domains.cashback.service.views import merchants_of
from domains.cashback.states import RewardState
from domains.merchants import service as merchants
from wapsi.clock import now
from wapsi.db import ReadSession


@dataclass(frozen=True, slots=True)
class EnquiryView:
    """`source` is whom to ask: the network's slug, or direct:<merchant>; `external_id` its number of the sale.

    `overdue_days` since the decision was due.
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


async def list_enquiries(
    session: ReadSession,
    *,
    limit: int,
    source: str | None = None,
    merchant: str | None = None,
    after: UUID | None = None,
) -> list[EnquiryView]:
    """Open ones, the oldest cashback first; `after` is the id of the last one seen. Raises MerchantNotFound."""
    statement = (
        select(RewardRow, ConversionRow)
        .join(ConversionRow, ConversionRow.id == RewardRow.conversion_id)
        .where(RewardRow.state == RewardState.PENDING, RewardRow.enquired_at.is_not(None))
        .order_by(RewardRow.id)
        .limit(limit)
    )
    if source is not None:
        statement = statement.where(ConversionRow.source == source)
    if merchant is not None:
        statement = statement.where(RewardRow.merchant_id == (await merchants.get_merchant(session, merchant)).id)
    if after is not None:
        statement = statement.where(RewardRow.id > after)
    rows = (await session.execute(statement)).all()
    refs = await merchants_of(session, (row.RewardRow.merchant_id for row in rows))
    return [_view(row.RewardRow, row.ConversionRow, refs[row.RewardRow.merchant_id].slug) for row in rows]


def _view(reward: RewardRow, sale: ConversionRow, merchant: str) -> EnquiryView:
    assert reward.enquired_at is not None
    return EnquiryView(
        reward_id=reward.id,
        conversion_id=sale.id,
        source=sale.source,
        external_id=sale.external_id,
        merchant=merchant,
        customer_id=reward.customer_id,
        raw_status=sale.raw_status,
        order_amount_minor=sale.order_amount_minor,
        commission_minor=sale.commission_minor,
        amount_minor=reward.amount_minor,
        currency=reward.currency,
        purchased_at=sale.occurred_at,
        expected_confirmation_at=reward.expected_confirmation_at,
        enquired_at=reward.enquired_at,
        overdue_days=(now() - reward.expected_confirmation_at).days,
    )
