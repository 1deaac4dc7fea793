"""What leaves the domain about sales and rewards: plain frozen values, never rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from domains.cashback.errors import ConversionNotFound, RewardNotFound
from domains.cashback.models import ConversionRow, EventRow, RewardRow
from domains.cashback.service.mappings import mapped
from domains.cashback.states import ConversionState, Door, EventOutcome, RewardState
from domains.merchants import service as merchants
from wapsi.db import ReadSession


@dataclass(frozen=True, slots=True)
class RewardView:
    """`network_reason` is the merchant's own word on a decision; `overdue` says that it owes one.

    `confirmation` and `clawback` are the terms of the receipt; `waived_minor` was taken back, and left to the
    customer who had withdrawn it.
    """

    id: UUID
    conversion_id: UUID
    customer_id: UUID
    merchant: str
    merchant_name: str
    state: RewardState
    amount_minor: int
    currency: str
    order_amount_minor: int
    rate_schedule_version: int
    purchased_at: datetime
    expected_confirmation_at: datetime
    confirmation: merchants.ConfirmationTerms
    clawback: merchants.ClawbackTerms
    waived_minor: int
    confirmed_at: datetime | None
    overdue: bool
    reason_code: str
    network_reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ConversionView:
    """`source` is the network's slug, or direct:<merchant>; `network_state` what it last said."""

    id: UUID
    source: str
    external_id: str
    merchant: str
    click_id: UUID | None
    customer_id: UUID | None
    state: ConversionState
    network_state: ConversionState
    raw_status: str
    mapping_version: int | None
    order_amount_minor: int
    commission_minor: int
    reward_id: UUID | None
    reward_minor: int
    reward_state: RewardState | None
    currency: str
    rate_category: str
    line_items: list[dict[str, Any]]
    customer_type: str
    occurred_at: datetime
    reason_code: str
    network_reason: str
    trace_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class EventView:
    """An event of the inbox. `outcome` ignored, unknown_status and refused come with a `reason` and a `message`.

    `read_as` is what `mapping_version` makes of the word, None where it does not know it, or was not asked.
    """

    id: UUID
    source: str
    external_event_id: str
    door: Door
    raw_status: str
    mapping_version: int | None
    fields: dict[str, Any]
    received_at: datetime
    outcome: EventOutcome | None
    reason: str
    message: str
    conversion_id: UUID | None
    actor: str
    trace_id: str | None
    read_as: ConversionState | None = None


async def merchants_of(session: ReadSession, ids: Iterable[UUID]) -> dict[UUID, merchants.MerchantRef]:
    """A page names few merchants."""
    return {id_: await merchants.get_merchant_by_id(session, id_) for id_ in set(ids)}


def reward_view(row: RewardRow, conversion: ConversionRow, merchant: merchants.MerchantRef) -> RewardView:
    return RewardView(
        id=row.id,
        conversion_id=conversion.id,
        customer_id=row.customer_id,
        merchant=merchant.slug,
        merchant_name=merchant.name,
        state=RewardState(row.state),
        amount_minor=row.amount_minor,
        currency=row.currency,
        order_amount_minor=conversion.order_amount_minor,
        rate_schedule_version=row.rate_schedule_version,
        purchased_at=conversion.occurred_at,
        expected_confirmation_at=row.expected_confirmation_at,
        confirmation=merchants.ConfirmationTerms(row.confirmation),
        clawback=merchants.ClawbackTerms(row.clawback),
        waived_minor=row.waived_minor,
        confirmed_at=row.confirmed_at,
        overdue=row.enquired_at is not None and row.state == RewardState.PENDING,
        reason_code=row.reason_code,
        network_reason=conversion.network_reason,
        created_at=row.created_at,
    )


def conversion_view(row: ConversionRow, reward: RewardRow | None, merchant: merchants.MerchantRef) -> ConversionView:
    return ConversionView(
        id=row.id,
        source=row.source,
        external_id=row.external_id,
        merchant=merchant.slug,
        click_id=row.click_id,
        customer_id=row.customer_id,
        state=ConversionState(row.state),
        network_state=ConversionState(row.network_state),
        raw_status=row.raw_status,
        mapping_version=row.mapping_version,
        order_amount_minor=row.order_amount_minor,
        commission_minor=row.commission_minor,
        reward_id=None if reward is None else reward.id,
        reward_minor=0 if reward is None else reward.amount_minor,
        reward_state=None if reward is None else RewardState(reward.state),
        currency=row.currency,
        rate_category=row.rate_category,
        line_items=row.line_items,
        customer_type=row.customer_type,
        occurred_at=row.occurred_at,
        reason_code=row.reason_code,
        network_reason=row.network_reason,
        trace_id=row.trace_id,
        created_at=row.created_at,
    )


def event_view(row: EventRow, words: Mapping[int, dict[str, str]] | None = None) -> EventView:
    """`words`: of its source's mappings, by version."""
    known = (words or {}).get(row.mapping_version or 0, {})
    return EventView(
        id=row.id,
        source=row.source,
        external_event_id=row.external_event_id,
        door=Door(row.door),
        raw_status=row.raw_status,
        mapping_version=row.mapping_version,
        fields=row.fields,
        received_at=row.received_at,
        outcome=None if row.outcome is None else EventOutcome(row.outcome),
        reason=row.error or "",
        message=row.message or "",
        conversion_id=row.conversion_id,
        actor=row.actor,
        trace_id=row.trace_id,
        # The word of a correction is not asked for.
        read_as=None if row.fields.get("amounts") == "change" else mapped(known, row.raw_status),
    )


async def get_reward(session: ReadSession, reward_id: UUID, customer_id: UUID | None = None) -> RewardView:
    """Of this customer, or of any. Raises RewardNotFound."""
    reward = await session.get(RewardRow, reward_id)
    if reward is None or customer_id not in (None, reward.customer_id):
        raise RewardNotFound("There is no such cashback.", reward_id=str(reward_id))
    conversion = await session.get(ConversionRow, reward.conversion_id)
    assert conversion is not None
    return reward_view(reward, conversion, await merchants.get_merchant_by_id(session, reward.merchant_id))


async def list_conversions(
    session: ReadSession,
    *,
    limit: int,
    state: ConversionState | None = None,
    source: str | None = None,
    merchant: str | None = None,
    before: UUID | None = None,
) -> list[ConversionView]:
    """The newest first. Raises MerchantNotFound."""
    statement = (
        select(ConversionRow, RewardRow)
        .outerjoin(RewardRow, RewardRow.conversion_id == ConversionRow.id)
        .order_by(ConversionRow.id.desc())
        .limit(limit)
    )
    if state is not None:
        statement = statement.where(ConversionRow.state == state)
    if source is not None:
        statement = statement.where(ConversionRow.source == source)
    if merchant is not None:
        statement = statement.where(ConversionRow.merchant_id == (await merchants.get_merchant(session, merchant)).id)
    if before is not None:
        statement = statement.where(ConversionRow.id < before)
    rows = (await session.execute(statement)).all()
    refs = await merchants_of(session, (row.ConversionRow.merchant_id for row in rows))
    return [conversion_view(row.ConversionRow, row.RewardRow, refs[row.ConversionRow.merchant_id]) for row in rows]


async def find_conversion(session: ReadSession, source: str, external_id: str) -> tuple[ConversionView, UUID]:
    """By the network's own id; with the merchant's id. Raises ConversionNotFound."""
    row = await session.scalar(
        select(ConversionRow).where(ConversionRow.source == source, ConversionRow.external_id == external_id)
    )
    if row is None:
        raise ConversionNotFound("There is no such sale.", source=source)
    reward = await session.scalar(select(RewardRow).where(RewardRow.conversion_id == row.id))
    merchant = await merchants.get_merchant_by_id(session, row.merchant_id)
    return conversion_view(row, reward, merchant), row.merchant_id


async def list_events(
    session: ReadSession, *, limit: int, outcome: EventOutcome | None = None, before: UUID | None = None
) -> list[EventView]:
    """The inbox, the newest first."""
    statement = select(EventRow).order_by(EventRow.id.desc()).limit(limit)
    if outcome is not None:
        statement = statement.where(EventRow.outcome == outcome)
    if before is not None:
        statement = statement.where(EventRow.id < before)
    return [event_view(row) for row in await session.scalars(statement)]
