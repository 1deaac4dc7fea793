"""Withdrawals: asked for, cancelled, and the balance that guards them.

Sending them is in payout_sending, holding and releasing them in payout_approvals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select

from domains.cashback.config import get_cashback_settings
from domains.cashback.errors import (
    CurrencyNotPaidOut,
    CustomerNotActive,
    PayoutNotFound,
    PayoutTooSmall,
)
from domains.cashback.models import PayoutApprovalRow, PayoutRow
from domains.cashback.service import history, ledger
from domains.cashback.service.history import Cause
from domains.cashback.service.ledger import Entry, Posting, transfer
from domains.cashback.service.providers import DEFAULT_PROVIDER
from domains.cashback.states import PAYOUT_STATES, Entity, PayoutState
from domains.customers import service as customers
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.money import Money, format_money
from wapsi.queue import outbox
from wapsi.security.permissions import Permission
from wapsi.state import IllegalMove
from wapsi.telemetry.setup import current_trace_id

SEND_PAYOUT = "cashback.send_payout"
SOURCE = "payout"
APPROVALS_NEEDED = 2
# Why a payout is held that was large from the beginning.
AWAITING_APPROVAL = "awaiting_approval"
# Many small payouts are one large one.
COUNTED_TOGETHER = timedelta(hours=24)
_P = PayoutState


@dataclass(frozen=True, slots=True)
class PayoutApproval:
    operator_id: UUID
    reason_code: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PayoutView:
    """`destination` is masked. `reason_code` says why it is where it is.

    While it is held, `approvals` are those that count, of the `approvals_needed`.
    """

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
    approvals_needed: int = 0
    approvals: tuple[PayoutApproval, ...] = ()


async def request_payout(
    session: WriteSession, customer_id: UUID, *, amount_minor: int, currency: str, payout_method_id: UUID
) -> PayoutView:
    """Takes the amount out of the balance and queues the payout, or holds it where two operators must approve it. Of
    simultaneous requests for the same money one wins.

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
    entries = transfer(ledger.customer_available(customer_id), ledger.PAYOUTS_IN_FLIGHT, amount_minor)
    await ledger.post(session, _posting(row, "requested", "Withdrawal", entries))
    # After the posting, which lets a customer's withdrawals through one by one: each counts those before it.
    large = await _leaves_much(session, row)
    session.add(row)
    history.record(session, Entity.PAYOUT, row.id, None, _P.REQUESTED, Cause(f"customer:{customer_id}", "requested"))
    if large:
        move_payout(session, row, _P.HELD, Cause("system", AWAITING_APPROVAL))
    await session.flush()
    await customers.tell_soon(session, customer_id, customers.Template.PAYOUT_REQUESTED)
    if not large:
        await outbox.enqueue(session, SEND_PAYOUT, {"payout_id": str(row.id)})
    return view(row)


async def _leaves_much(session: WriteSession, row: PayoutRow) -> bool:
    """Whether it makes, with what else leaves within a day without anyone having looked at it, a large amount."""
    limit = get_cashback_settings().payout_approval_minor.get(row.currency, 0)
    if row.amount_minor >= limit:
        return True
    unseen = await session.scalar(
        select(func.coalesce(func.sum(PayoutRow.amount_minor), 0)).where(
            PayoutRow.customer_id == row.customer_id,
            PayoutRow.currency == row.currency,
            PayoutRow.created_at > now() - COUNTED_TOGETHER,
            PayoutRow.approval_round == 0,
            PayoutRow.state.not_in([_P.FAILED, _P.CANCELLED]),
        )
    )
    return row.amount_minor + int(unseen or 0) >= limit


async def cancel_payout(session: WriteSession, customer_id: UUID, payout_id: UUID) -> PayoutView:
    """While it is only requested, or waits for its approval; the money is back at once.

    Raises PayoutNotFound and IllegalMove: what an operator holds stays where it is.
    """
    row = await session.get_locked(PayoutRow, payout_id)
    if row is None or row.customer_id != customer_id:
        raise not_found(payout_id)
    waits = row.state == _P.HELD and row.reason_code == AWAITING_APPROVAL
    if row.state != _P.REQUESTED and not waits:
        raise IllegalMove(
            f"A payout that is {row.state} cannot be cancelled.", noun="payout", current=row.state, target=_P.CANCELLED
        )
    await give_back(session, row)
    move_payout(session, row, _P.CANCELLED, Cause(f"customer:{customer_id}", "cancelled_by_customer"))
    await session.flush()
    return view(row)


async def give_back(session: WriteSession, row: PayoutRow) -> None:
    """Makes it available again; what the customer has come to owe us meanwhile is kept back from it."""
    debt = ledger.customer_debt(row.customer_id)
    balances = await ledger.locked_balances(await session.driver(), [row.customer_id])
    kept_minor = min(row.amount_minor, balances.get((debt, row.currency), 0))
    available = ledger.customer_available(row.customer_id)
    entries = transfer(ledger.PAYOUTS_IN_FLIGHT, available, row.amount_minor - kept_minor)
    entries += transfer(ledger.PAYOUTS_IN_FLIGHT, debt, kept_minor)
    await ledger.post(session, _posting(row, "returned", "Withdrawal returned", entries))


async def post_paid(session: WriteSession, row: PayoutRow) -> None:
    entries = transfer(ledger.PAYOUTS_IN_FLIGHT, ledger.bank(row.currency), row.amount_minor)
    await ledger.post(session, _posting(row, "paid", "Withdrawal paid", entries))


def _posting(row: PayoutRow, step: str, description: str, entries: list[Entry]) -> Posting:
    return Posting(
        kind=f"payout.{step}",
        source=SOURCE,
        external_id=f"{row.id}:{step}",
        description=description,
        currency=row.currency,
        entries=entries,
    )


def move_payout(session: WriteSession, row: PayoutRow, target: PayoutState, cause: Cause) -> None:
    """Raises IllegalMove."""
    before = _P(row.state)
    row.state = PAYOUT_STATES.check(before, target)
    row.reason_code = cause.reason_code
    row.updated_at = now()
    if target is _P.HELD:
        row.approval_round = (row.approval_round or 0) + 1
    if PAYOUT_STATES.is_final(target):
        row.finished_at = row.updated_at
    history.record(session, Entity.PAYOUT, row.id, before, target, cause)


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
    rows = (await session.scalars(statement)).all()
    approvals = await approvals_of(session, rows)
    return [view(row, approvals.get(row.id, ())) for row in rows]


async def get_payout(session: ReadSession, payout_id: UUID) -> PayoutView:
    """Raises PayoutNotFound."""
    row = await session.get(PayoutRow, payout_id)
    if row is None:
        raise not_found(payout_id)
    return view(row, (await approvals_of(session, [row])).get(row.id, ()))


async def approvals_of(session: ReadSession, rows: Sequence[PayoutRow]) -> dict[UUID, tuple[PayoutApproval, ...]]:
    """Those that count, the oldest first: of the present round, by operators who may still decide on payouts."""
    rounds = {row.id: row.approval_round for row in rows if row.state == _P.HELD}
    if not rounds:
        return {}
    found = await session.scalars(
        select(PayoutApprovalRow).where(PayoutApprovalRow.payout_id.in_(rounds)).order_by(PayoutApprovalRow.id)
    )
    present = [approval for approval in found if approval.round == rounds[approval.payout_id]]
    may = await customers.operators_who_may(
        session, Permission.PAYOUTS_DECIDE, {approval.operator_id for approval in present}
    )
    counting: dict[UUID, tuple[PayoutApproval, ...]] = {}
    for row in present:
        if row.operator_id in may:
            approval = PayoutApproval(row.operator_id, row.reason_code, row.at)
            counting[row.payout_id] = (*counting.get(row.payout_id, ()), approval)
    return counting


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


def not_found(payout_id: UUID) -> PayoutNotFound:
    return PayoutNotFound("There is no such payout.", payout_id=str(payout_id))


def view(row: PayoutRow, approvals: tuple[PayoutApproval, ...] = ()) -> PayoutView:
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
        approvals_needed=APPROVALS_NEEDED if row.state == _P.HELD else 0,
        approvals=approvals,
    )
