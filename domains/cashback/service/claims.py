"""Claims: a customer says that cashback is missing or wrong, with a reason; operators move them on, with one too.

Approving one books what it grants, which is in claim_approvals.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import exists, func, select, text
from sqlalchemy.dialects.postgresql import insert

from domains.cashback.config import get_cashback_settings
from domains.cashback.errors import (
    ClaimEnded,
    ClaimExists,
    ClaimMessagesFull,
    ClaimNotFound,
    ClaimQuestionMissing,
    CustomerNotActive,
)
from domains.cashback.models import ClaimMessageRow, ClaimRow, StateChangeRow
from domains.cashback.service import history
from domains.cashback.service.claim_story import SALE_UNCLEAR, sentence
from domains.cashback.service.clicks import find_click
from domains.cashback.service.history import Cause
from domains.cashback.service.links import unknown_click
from domains.cashback.service.order_numbers import plain
from domains.cashback.service.views import merchants_of
from domains.cashback.states import CLAIM_STATES, ClaimAuthor, ClaimReason, ClaimResolution, ClaimState, Entity
from domains.customers import service as customers
from domains.merchants import service as merchants
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.errors import FieldViolation
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal

_S = ClaimState
MAX_MESSAGES = 50
_LOCK = text(r"SELECT pg_advisory_xact_lock(hashtextextended('claims of ' || :customer, 0))\:\:text")
# Why a claim expires, by whose answer it waited for.
EXPIRED_FOR = {_S.INFO_REQUIRED: "no_answer", _S.SENT_TO_MERCHANT: "merchant_silent"}


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
    """`decision_code` is the reason of the last move, `status` says in words how the claim stands.

    `due_at`: it expires then, unless whoever is asked has answered. An approved one has its `resolution`: the sale
    `conversion_id`, or `goodwill_minor` of ours.
    """

    id: UUID
    customer_id: UUID
    merchant: str
    merchant_id: UUID
    state: ClaimState
    reason_code: str
    click_id: UUID
    order_id: str
    order_amount_minor: int
    currency: str
    note: str
    decision_code: str
    status: str
    due_at: datetime | None
    resolution: ClaimResolution | None
    conversion_id: UUID | None
    goodwill_minor: int | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimMessage:
    id: UUID
    author: ClaimAuthor
    text: str
    at: datetime


async def submit_claim(session: WriteSession, customer_id: UUID, new: NewClaim) -> ClaimView:
    """Raises CustomerNotActive, ClickNotFound (another's too), and ClaimExists: one claim an order."""
    customer = await customers.get_customer(session, customer_id)
    if customer.status != customers.CustomerStatus.ACTIVE:
        raise CustomerNotActive("This account is not active.")
    click = await find_click(session, new.click_id)
    if click is None or click.customer_id != customer_id:
        raise unknown_click()
    await _check_new(session, customer_id, click.merchant_id, new.order_id)
    row = await session.scalar(
        insert(ClaimRow)
        .values(
            id=new_id(),
            customer_id=customer_id,
            merchant_id=click.merchant_id,
            state=_S.SUBMITTED,
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
        raise _exists(new.order_id)
    # Without the note, which is the customer's own and may have to go; what is written here stays for ever.
    cause = Cause(f"customer:{customer_id}", new.reason)
    history.record(session, Entity.CLAIM, row.id, None, _S.SUBMITTED, cause)
    await session.flush()
    return view(row, await merchants.get_merchant_by_id(session, row.merchant_id))


async def _check_new(session: WriteSession, customer_id: UUID, merchant_id: UUID, order_id: str) -> None:
    """One order spelled in two ways is one. Raises ClaimExists."""
    # Two that are made at once must see each other.
    await session.execute(_LOCK, {"customer": str(customer_id)})
    known = await session.scalars(
        select(ClaimRow.order_id).where(ClaimRow.customer_id == customer_id, ClaimRow.merchant_id == merchant_id)
    )
    for other in known:
        if plain(other) == plain(order_id):
            raise _exists(other)


def _exists(order_id: str) -> ClaimExists:
    return ClaimExists("You have a claim about this order already.", order_id=order_id)


async def move_claim(
    session: WriteSession,
    principal: Principal,
    claim_id: UUID,
    target: ClaimState,
    decision_code: str,
    message: str = "",
) -> ClaimView:
    """Every move but the approval. `message` goes to the customer, and must say what is asked for where something is.

    Raises ClaimNotFound, IllegalMove, ClaimQuestionMissing and ClaimMessagesFull.
    """
    assert target is not _S.APPROVED, "which books: see claim_approvals"
    row = await locked(session, claim_id)
    before = _S(row.state)
    if target is _S.INFO_REQUIRED and not message.strip():
        raise ClaimQuestionMissing(
            "Say what the customer is asked for.", violations=[FieldViolation("message", "is needed to ask")]
        )
    await move(session, row, target, Cause(str(principal), decision_code))
    if message.strip():
        await _write(session, row, ClaimAuthor.OPERATOR, str(principal), message)
    await session.flush()
    await audit.record(
        session,
        principal,
        action=f"claim.{target}",
        target=f"claim:{claim_id}",
        before={"state": before},
        after={"state": target, "reason_code": decision_code},
    )
    return view(row, await merchants.get_merchant_by_id(session, row.merchant_id))


async def move(session: WriteSession, row: ClaimRow, target: ClaimState, cause: Cause) -> None:
    """And tells the customer, where it is theirs to answer, or has ended. Raises IllegalMove."""
    before = _S(row.state)
    row.state = CLAIM_STATES.check(before, target)
    row.decision_code = cause.reason_code
    row.updated_at = now()
    row.approval_round += 1
    settings = get_cashback_settings()
    days = {_S.INFO_REQUIRED: settings.claim_answer_days, _S.SENT_TO_MERCHANT: settings.claim_merchant_days}.get(target)
    row.due_at = None if days is None else row.updated_at + timedelta(days=days)
    history.record(session, Entity.CLAIM, row.id, before, target, cause)
    if target is _S.INFO_REQUIRED:
        await customers.tell_soon(session, row.customer_id, customers.Template.CLAIM_ASKED)
    elif CLAIM_STATES.is_final(target):
        await customers.tell_soon(session, row.customer_id, customers.Template.CLAIM_ENDED)


async def answer_claim(session: WriteSession, customer_id: UUID, claim_id: UUID, text: str) -> ClaimMessage:
    """What a customer writes about an own claim. One that waited for it does not expire any more.

    Raises ClaimNotFound (for another's too), ClaimEnded and ClaimMessagesFull.
    """
    row = await locked(session, claim_id, customer_id)
    if CLAIM_STATES.is_final(_S(row.state)):
        raise ClaimEnded(f"This claim is {row.state}; nothing can be added to it.")
    message = await _write(session, row, ClaimAuthor.CUSTOMER, f"customer:{customer_id}", text)
    if row.state == _S.INFO_REQUIRED:
        row.due_at = None
        row.updated_at = now()
    await session.flush()
    return message


async def expire_claims(session: WriteSession, *, limit: int = 500) -> int:
    """Ends those that waited too long, at most `limit`; returns how many."""
    rows = await session.scalars(
        select(ClaimRow)
        .where(ClaimRow.due_at < now(), ClaimRow.state.in_(list(EXPIRED_FOR)))
        .order_by(ClaimRow.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    expired = rows.all()
    for row in expired:
        await move(session, row, _S.EXPIRED, Cause("system", EXPIRED_FOR[_S(row.state)]))
    await session.flush()
    return len(expired)


async def list_claims(
    session: ReadSession,
    *,
    limit: int,
    customer_id: UUID | None = None,
    state: ClaimState | None = None,
    sale_unclear: bool = False,
    before: UUID | None = None,
) -> list[ClaimView]:
    """The newest first; `before` is the id of the last one seen. `sale_unclear`: given goodwill, and a sale came that
    may be for the order."""
    statement = select(ClaimRow).order_by(ClaimRow.id.desc()).limit(limit)
    if customer_id is not None:
        statement = statement.where(ClaimRow.customer_id == customer_id)
    if state is not None:
        statement = statement.where(ClaimRow.state == state)
    if sale_unclear:
        noted = exists().where(
            StateChangeRow.entity == Entity.CLAIM,
            StateChangeRow.entity_id == ClaimRow.id,
            StateChangeRow.reason_code == SALE_UNCLEAR,
        )
        statement = statement.where(
            ClaimRow.state == _S.APPROVED, ClaimRow.resolution == ClaimResolution.GOODWILL, noted
        )
    if before is not None:
        statement = statement.where(ClaimRow.id < before)
    rows = (await session.scalars(statement)).all()
    refs = await merchants_of(session, (row.merchant_id for row in rows))
    return [view(row, refs[row.merchant_id]) for row in rows]


async def get_claim(session: ReadSession, claim_id: UUID, customer_id: UUID | None = None) -> ClaimView:
    """Of this customer, or of any. Raises ClaimNotFound."""
    row = await find_claim(session, claim_id)
    if customer_id not in (None, row.customer_id):
        raise _not_found(claim_id)
    return view(row, await merchants.get_merchant_by_id(session, row.merchant_id))


async def find_claim(session: ReadSession, claim_id: UUID) -> ClaimRow:
    """Raises ClaimNotFound."""
    row = await session.get(ClaimRow, claim_id)
    if row is None:
        raise _not_found(claim_id)
    return row


async def claim_messages(session: ReadSession, claim_id: UUID) -> list[ClaimMessage]:
    """The oldest first; there are at most MAX_MESSAGES."""
    return _messages(
        await session.scalars(
            select(ClaimMessageRow)
            .where(ClaimMessageRow.claim_id == claim_id)
            .order_by(ClaimMessageRow.id)
            .limit(MAX_MESSAGES)
        )
    )


def _messages(rows: Iterable[ClaimMessageRow]) -> list[ClaimMessage]:
    return [ClaimMessage(row.id, ClaimAuthor(row.author), row.text, row.at) for row in rows]


async def locked(session: WriteSession, claim_id: UUID, customer_id: UUID | None = None) -> ClaimRow:
    """Raises ClaimNotFound."""
    row = await session.get_locked(ClaimRow, claim_id)
    if row is None or customer_id not in (None, row.customer_id):
        raise _not_found(claim_id)
    return row


async def _write(session: WriteSession, row: ClaimRow, author: ClaimAuthor, actor: str, text: str) -> ClaimMessage:
    """The claim is locked, which lets its messages through one by one."""
    count = await session.scalar(
        select(func.count()).select_from(ClaimMessageRow).where(ClaimMessageRow.claim_id == row.id)
    )
    if (count or 0) >= MAX_MESSAGES:
        raise ClaimMessagesFull(f"A claim takes {MAX_MESSAGES} messages. Decide on it, or answer by what is there.")
    message = ClaimMessageRow(id=new_id(), claim_id=row.id, author=author, actor=actor, text=text, at=now())
    session.add(message)
    return _messages([message])[0]


def _not_found(claim_id: UUID) -> ClaimNotFound:
    return ClaimNotFound("There is no such claim.", claim_id=str(claim_id))


def view(row: ClaimRow, merchant: merchants.MerchantRef) -> ClaimView:
    state = _S(row.state)
    resolution = None if row.resolution is None else ClaimResolution(row.resolution)
    return ClaimView(
        id=row.id,
        customer_id=row.customer_id,
        merchant=merchant.slug,
        merchant_id=merchant.id,
        state=state,
        reason_code=row.reason_code,
        click_id=row.click_id,
        order_id=row.order_id,
        order_amount_minor=row.order_amount_minor,
        currency=row.currency,
        note=row.note,
        decision_code=row.decision_code,
        status=sentence(row, merchant.name),
        due_at=row.due_at,
        resolution=resolution,
        conversion_id=row.conversion_id,
        goodwill_minor=row.goodwill_minor,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
