"""Withdrawals: asked for, held, cancelled, and the balance that guards them. Sending them is in payout_sending."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from domains.cashback.config import get_cashback_settings
from domains.cashback.errors import (
    CurrencyNotPaidOut,
    CustomerNotActive,
    PayoutNotFound,
    PayoutTooSmall,
)
from domains.cashback.models import PayoutRow
from domains.cashback.service import history, ledger
from domains.cashback.service.history import Cause
from domains.cashback.service.ledger import Posting, transfer
from domains.cashback.service.providers import DEFAULT_PROVIDER
from domains.cashback.states import PAYOUT_STATES, Entity, PayoutState
from domains.customers import service as customers
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.money import Money, format_money
from wapsi.queue import outbox
from wapsi.security import audit
from wapsi.security.principal import Principal
from wapsi.state import IllegalMove
from wapsi.telemetry.setup import current_trace_id

SEND_PAYOUT = "cashback.send_payout"
SOURCE = "payout"
_P = PayoutState


@dataclass(frozen=True, slots=True)
class PayoutView:
    """`destination` is masked. `reason_code` says why it is where it is."""

    id: UUID
    customer_id: UUID
    amount_minor: int
    currency: str
    state: PayoutState
    reason_code: str
    payout_method_id: UUID
    destination: str
    provider_reference: str | None
    created_at: datetime
    sent_at: datetime | None
    finished_at: datetime | None
    trace_id: str | None


async def request_payout(
    session: WriteSession, customer_id: UUID, *, amount_minor: int, currency: str, payout_method_id: UUID
) -> PayoutView:
    """Takes the amount out of the balance and queues the payout. Of simultaneous requests for the same money one wins.

    Raises CustomerNotActive, CurrencyNotPaidOut, PayoutTooSmall, InsufficientBalance and PayoutMethodNotFound.
    """
    customer = await customers.get_customer(session, customer_id)
    if customer.status != customers.CustomerStatus.ACTIVE:
        raise CustomerNotActive("This account is not active.")
    minimum = get_cashback_settings().payout_minimum_minor.get(currency)
    if minimum is None:
        raise CurrencyNotPaidOut(f"Nothing is paid out in {currency}.", currency=currency)
    if amount_minor < minimum:
        words = format_money(Money(minimum, currency))
        raise PayoutTooSmall(f"The least that can be withdrawn is {words}.", minimum_minor=minimum, currency=currency)
    method = await customers.get_payout_method(session, customer_id, payout_method_id)
    row = PayoutRow(
        id=new_id(),
        customer_id=customer_id,
        payout_method_id=method.id,
        destination=method.masked,
        amount_minor=amount_minor,
        currency=currency,
        state=_P.REQUESTED,
        reason_code="requested",
        provider=DEFAULT_PROVIDER,
        trace_id=current_trace_id(),
        created_at=now(),
    )
    await ledger.post(session, _posting(row, "requested", "Withdrawal", taken=True))
    session.add(row)
    history.record(session, Entity.PAYOUT, row.id, None, _P.REQUESTED, Cause(f"customer:{customer_id}", "requested"))
    await session.flush()
    await outbox.enqueue(session, SEND_PAYOUT, {"payout_id": str(row.id)})
    return view(row)


async def cancel_payout(session: WriteSession, customer_id: UUID, payout_id: UUID) -> PayoutView:
    """While it is only requested; the money is back at once. Raises PayoutNotFound and IllegalMove."""
    row = await session.get_locked(PayoutRow, payout_id)
    if row is None or row.customer_id != customer_id:
        raise _not_found(payout_id)
    if row.state != _P.REQUESTED:
        raise IllegalMove(
            f"A payout that is {row.state} cannot be cancelled.", noun="payout", current=row.state, target=_P.CANCELLED
        )
    await give_back(session, row)
    move_payout(session, row, _P.CANCELLED, Cause(f"customer:{customer_id}", "cancelled_by_customer"))
    await session.flush()
    return view(row)


async def give_back(session: WriteSession, row: PayoutRow) -> None:
    await ledger.post(session, _posting(row, "returned", "Withdrawal returned", taken=False))


async def post_paid(session: WriteSession, row: PayoutRow) -> None:
    await ledger.post(
        session,
        Posting(
            kind="payout.paid",
            source=SOURCE,
            external_id=f"{row.id}:paid",
            description="Withdrawal paid",
            currency=row.currency,
            entries=transfer(ledger.PAYOUTS_IN_FLIGHT, ledger.bank(row.currency), row.amount_minor),
        ),
    )


def _posting(row: PayoutRow, step: str, description: str, *, taken: bool) -> Posting:
    available = ledger.customer_available(row.customer_id)
    return Posting(
        kind=f"payout.{step}",
        source=SOURCE,
        external_id=f"{row.id}:{step}",
        description=description,
        currency=row.currency,
        entries=transfer(available, ledger.PAYOUTS_IN_FLIGHT, row.amount_minor if taken else -row.amount_minor),
    )


def move_payout(session: WriteSession, row: PayoutRow, target: PayoutState, cause: Cause) -> None:
    """Raises IllegalMove."""
    before = _P(row.state)
    row.state = PAYOUT_STATES.check(before, target)
    row.reason_code = cause.reason_code
    row.updated_at = now()
    if PAYOUT_STATES.is_final(target):
        row.finished_at = row.updated_at
    history.record(session, Entity.PAYOUT, row.id, before, target, cause)


async def hold_payout(session: WriteSession, principal: Principal, payout_id: UUID, reason_code: str) -> PayoutView:
    """Keeps a payout from being sent. Raises PayoutNotFound and IllegalMove."""
    row = await _decided(session, principal, payout_id, _P.HELD, reason_code)
    return view(row)


async def release_payout(session: WriteSession, principal: Principal, payout_id: UUID, reason_code: str) -> PayoutView:
    """Raises PayoutNotFound and IllegalMove."""
    row = await _decided(session, principal, payout_id, _P.REQUESTED, reason_code)
    await outbox.enqueue(session, SEND_PAYOUT, {"payout_id": str(row.id)})
    return view(row)


async def _decided(
    session: WriteSession, principal: Principal, payout_id: UUID, target: PayoutState, reason_code: str
) -> PayoutRow:
    row = await session.get_locked(PayoutRow, payout_id)
    if row is None:
        raise _not_found(payout_id)
    before = row.state
    move_payout(session, row, target, Cause(str(principal), reason_code))
    await session.flush()
    await audit.record(
        session,
        principal,
        action=f"payout.{target}",
        target=f"payout:{payout_id}",
        before={"state": before},
        after={"state": target, "reason_code": reason_code},
    )
    return row


async def list_payouts(
    session: ReadSession,
    *,
    limit: int,
    customer_id: UUID | None = None,
    state: PayoutState | None = None,
    before: UUID | None = None,
) -> list[PayoutView]:
    """The newest first; `before` is the id of the last one seen."""
    statement = select(PayoutRow).order_by(PayoutRow.id.desc()).limit(limit)
    if customer_id is not None:
        statement = statement.where(PayoutRow.customer_id == customer_id)
    if state is not None:
        statement = statement.where(PayoutRow.state == state)
    if before is not None:
        statement = statement.where(PayoutRow.id < before)
    return [view(row) for row in await session.scalars(statement)]


async def payouts_since(
    session: ReadSession, customer_id: UUID, currency: str, since: datetime, *, limit: int = 20
) -> list[PayoutView]:
    """What a customer has withdrawn since a moment, the oldest first."""
    rows = await session.scalars(
        select(PayoutRow)
        .where(PayoutRow.customer_id == customer_id, PayoutRow.currency == currency, PayoutRow.created_at >= since)
        .order_by(PayoutRow.id)
        .limit(limit)
    )
    return [view(row) for row in rows]


def _not_found(payout_id: UUID) -> PayoutNotFound:
    return PayoutNotFound("There is no such payout.", payout_id=str(payout_id))


def view(row: PayoutRow) -> PayoutView:
    return PayoutView(
        id=row.id,
        customer_id=row.customer_id,
        amount_minor=row.amount_minor,
        currency=row.currency,
        state=_P(row.state),
        reason_code=row.reason_code,
        payout_method_id=row.payout_method_id,
        destination=row.destination,
        provider_reference=row.provider_reference,
        created_at=row.created_at,
        sent_at=row.sent_at,
        finished_at=row.finished_at,
        trace_id=row.trace_id,
    )
