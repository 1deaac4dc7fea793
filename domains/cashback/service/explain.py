"""The whole story of a sale and its cashback: what came in, which rules held, what was booked, and who decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from domains.cashback.errors import ConversionNotFound, RewardNotFound
from domains.cashback.models import AdjustmentRow, ConversionRow, EventRow, MappingRow, RewardRow
from domains.cashback.service import books, history, payouts, receipts
from domains.cashback.service.clicks import find_click
from domains.cashback.service.differences import Reading, readings_of
from domains.cashback.service.history import StateChange
from domains.cashback.service.ledger import side_of_customer
from domains.cashback.service.story import StoryLine, tell
from domains.cashback.service.views import (
    ConversionView,
    EventView,
    RewardView,
    conversion_view,
    event_view,
    reward_view,
)
from domains.merchants import service as merchants
from wapsi.db import ReadSession
from wapsi.security.signing import Keys


@dataclass(frozen=True, slots=True)
class ClickView:
    """The visit, its signed receipt, and whether that is genuine."""

    id: UUID
    clicked_at: datetime
    redirected_at: datetime | None
    landing_url: str
    offer_title: str | None
    rate_schedule_version: int
    bot: bool
    duplicate_of: UUID | None
    receipt: str
    receipt_verified: bool
    trace_id: str | None


@dataclass(frozen=True, slots=True)
class AdjustmentView:
    id: UUID
    at: datetime
    event_id: UUID
    order_amount_before_minor: int
    order_amount_after_minor: int
    commission_before_minor: int
    commission_after_minor: int
    reward_before_minor: int
    reward_after_minor: int
    network_reason: str
    transaction_id: UUID | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`attribution`: the rules that tied the sale to the click, as far as they were asked. `pricing`: the rate that
    matched, those that did not and why, and the calculation in steps; None where nobody earns anything.
    `withdrawals`: from the customer's balance since the cashback became part of it. `readings`: when another version of
    the status mapping read its events anew."""

    reward: RewardView | None
    conversion: ConversionView
    story: list[StoryLine]
    click: ClickView | None
    events: list[EventView]
    attribution: list[dict[str, Any]]
    pricing: dict[str, Any] | None
    adjustments: list[AdjustmentView]
    changes: list[StateChange]
    ledger: list[books.TransactionView]
    withdrawals: list[payouts.PayoutView]
    readings: Sequence[Reading]
    trace_ids: list[str]


async def explain_reward(session: ReadSession, keys: Keys, customer_id: UUID, reward_id: UUID) -> Explanation:
    """An own one. Raises RewardNotFound, for another customer's too."""
    reward = await session.get(RewardRow, reward_id)
    if reward is None or reward.customer_id != customer_id:
        raise RewardNotFound("There is no such cashback.", reward_id=str(reward_id))
    return await explain_conversion(session, keys, reward.conversion_id)


async def explain_conversion(session: ReadSession, keys: Keys, conversion_id: UUID) -> Explanation:
    """Any sale, for operators. Raises ConversionNotFound."""
    row = await session.get(ConversionRow, conversion_id)
    if row is None:
        raise ConversionNotFound("There is no such sale.", conversion_id=str(conversion_id))
    reward = await session.scalar(select(RewardRow).where(RewardRow.conversion_id == row.id))
    merchant = await merchants.get_merchant_by_id(session, row.merchant_id)
    click = await _click(session, keys, row.click_id)
    events = await session.scalars(
        select(EventRow).where(EventRow.conversion_id == row.id).order_by(EventRow.received_at, EventRow.id)
    )
    words = await _words(session, row.source)
    seen = [event_view(event, words) for event in events]
    adjustments = [
        _adjustment(adjustment)
        for adjustment in await session.scalars(
            select(AdjustmentRow).where(AdjustmentRow.conversion_id == row.id).order_by(AdjustmentRow.id)
        )
    ]
    ids = [row.id] if reward is None else [row.id, reward.id]
    changes = await history.of(session, *ids)
    ledger = await books.transactions_of_sale(session, row.id)
    readings = await readings_of(session, row.source, row.external_id)
    withdrawals: list[payouts.PayoutView] = []
    if reward is not None and reward.confirmed_at is not None:
        withdrawals = await payouts.payouts_since(session, reward.customer_id, row.currency, reward.confirmed_at)
    sale = conversion_view(row, reward, merchant)
    earned = None if reward is None else reward_view(reward, row, merchant)
    traces = {row.trace_id, None if click is None else click.trace_id}
    traces |= {event.trace_id for event in seen}
    traces |= {change.trace_id for change in changes} | {transaction.trace_id for transaction in ledger}
    traces |= {withdrawal.trace_id for withdrawal in withdrawals}
    return Explanation(
        reward=earned,
        conversion=sale,
        story=tell(
            sale,
            earned,
            merchant.name,
            click,
            seen,
            adjustments,
            changes,
            withdrawals,
            _owed_minor(ledger),
            readings,
            row.attribution,
        ),
        click=click,
        events=seen,
        attribution=row.attribution,
        pricing=None if reward is None else reward.pricing,
        adjustments=adjustments,
        changes=changes,
        ledger=ledger,
        withdrawals=withdrawals,
        readings=readings,
        trace_ids=sorted(trace for trace in traces if trace),
    )


async def _words(session: ReadSession, source: str) -> dict[int, dict[str, str]]:
    """By version; a source has few."""
    rows = await session.scalars(select(MappingRow).where(MappingRow.source == source))
    return {row.version: row.mapping for row in rows}


def _owed_minor(ledger: list[books.TransactionView]) -> int:
    """What the customer had withdrawn of it before it was taken back."""
    return sum(
        entry.amount_minor
        for transaction in ledger
        for entry in transaction.entries
        if transaction.kind == "conversion.reversed" and side_of_customer(entry.account) > 0
    )


async def _click(session: ReadSession, keys: Keys, click_id: UUID | None) -> ClickView | None:
    row = None if click_id is None else await find_click(session, click_id)
    if row is None:
        return None
    title, verified = None, False
    try:
        receipt = receipts.read(keys, row.receipt)
        title, verified = receipt.offer_title, receipt.click_id == row.id
    except receipts.ReceiptInvalid:
        pass  # which `receipt_verified` says
    return ClickView(
        id=row.id,
        clicked_at=row.clicked_at,
        redirected_at=row.redirected_at,
        landing_url=row.landing_url,
        offer_title=title,
        rate_schedule_version=row.rate_schedule_version,
        bot=row.bot,
        duplicate_of=row.duplicate_of,
        receipt=row.receipt,
        receipt_verified=verified,
        trace_id=row.trace_id,
    )


def _adjustment(row: AdjustmentRow) -> AdjustmentView:
    return AdjustmentView(
        id=row.id,
        at=row.at,
        event_id=row.event_id,
        order_amount_before_minor=row.order_amount_before_minor,
        order_amount_after_minor=row.order_amount_after_minor,
        commission_before_minor=row.commission_before_minor,
        commission_after_minor=row.commission_after_minor,
        reward_before_minor=row.reward_before_minor,
        reward_after_minor=row.reward_after_minor,
        network_reason=row.network_reason,
        transaction_id=row.transaction_id,
    )
