"""Approving a claim books what it grants: by the sale, where the network has reported it, or else as goodwill of ours.

Goodwill that is large, or not the first for its visit, takes two operators, as large payouts do: the first one's word
is an approval, the second books.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from domains.cashback.config import get_cashback_settings
from domains.cashback.errors import (
    ClaimSaleNotFound,
    ClaimSaleUndecided,
    ClaimSettlementInvalid,
    GoodwillDiffers,
    GoodwillNotOwed,
    SaleAttributed,
    SecondPersonNeeded,
)
from domains.cashback.models import ClaimApprovalRow, ClaimRow, ConversionRow, RewardRow
from domains.cashback.service import history, ledger, loading, pricing, receipts
from domains.cashback.service.attributing import attribute
from domains.cashback.service.claims import ClaimView, find_claim, locked, move, view
from domains.cashback.service.clicks import find_click
from domains.cashback.service.history import Cause
from domains.cashback.service.ledger import Posting, locked_balances, transfer
from domains.cashback.service.order_numbers import plain, spellings
from domains.cashback.service.postings import Sale
from domains.cashback.states import (
    CLAIM_STATES,
    ClaimReason,
    ClaimResolution,
    ClaimState,
    ConversionState,
    Entity,
    RewardState,
)
from domains.customers import service as customers
from domains.merchants import service as merchants
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.ids import new_id
from wapsi.money import Money, format_money
from wapsi.security import audit
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal
from wapsi.security.signing import Keys

SOURCE = "claim"
APPROVALS_NEEDED = 2
# Many small gifts to one customer are one large one.
COUNTED_TOGETHER = timedelta(hours=24)
# The newest, among which the one of a claim is looked for.
OWN_SALES = 1000
_S = ClaimState
_R = RewardState
_EARNED = (_R.PENDING, _R.CONFIRMED, _R.HELD)


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a claim is to be settled. By default the sale is looked for by the order's number, and goodwill is what the
    receipt of the click promises for the order, less what its sale has earned."""

    resolution: ClaimResolution
    conversion_id: UUID | None = None
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimApproval:
    operator_id: UUID
    amount_minor: int
    reason_code: str
    at: datetime


async def approve_claim(
    session: WriteSession, keys: Keys, principal: Principal, claim_id: UUID, settlement: Settlement, reason_code: str
) -> ClaimView:
    """Settles a claim that was sent to the merchant. Goodwill that is large, or not the visit's
    first, waits for the word of a second operator.

    Raises ClaimNotFound, IllegalMove, ClaimSettlementInvalid; by a sale ClaimSaleNotFound, ClaimSaleUndecided and what
    attributing raises; by goodwill GoodwillNotOwed, GoodwillDiffers and SecondPersonNeeded.
    """
    by_sale = settlement.resolution is ClaimResolution.SALE
    if (settlement.amount_minor if by_sale else settlement.conversion_id) is not None:
        raise ClaimSettlementInvalid("A sale pays what it pays: name an amount with goodwill only, and a sale without.")
    row, sale = await _locked(session, claim_id, settlement if by_sale else None)
    before = {"state": row.state, "reason_code": row.decision_code}
    if by_sale:
        assert sale is not None
        await _settle_by_sale(session, keys, principal, row, sale, reason_code)
        row.resolution, row.conversion_id = ClaimResolution.SALE, sale.conversion.id
        booked = True
    else:
        booked = await _settle_by_goodwill(session, keys, principal, row, settlement.amount_minor, reason_code)
    cause = Cause(str(principal), reason_code)
    if booked:
        await move(session, row, _S.APPROVED, cause)
    else:
        history.record(session, Entity.CLAIM, row.id, row.state, row.state, cause)
    await session.flush()
    after = {
        "state": row.state,
        "reason_code": reason_code,
        "resolution": settlement.resolution,
        "conversion_id": None if row.conversion_id is None else str(row.conversion_id),
        "goodwill_minor": row.goodwill_minor,
    }
    action = "claim.approved" if booked else "claim.goodwill_approved"
    await audit.record(session, principal, action=action, target=f"claim:{claim_id}", before=before, after=after)
    return view(row, await merchants.get_merchant_by_id(session, row.merchant_id))


async def _locked(session: WriteSession, claim_id: UUID, by_sale: Settlement | None) -> tuple[ClaimRow, Sale | None]:
    """The sale, then the customer's balances, then the claim: the order in which events and deletions lock them."""
    seen = await find_claim(session, claim_id)
    CLAIM_STATES.check(_S(seen.state), _S.APPROVED)
    sale = None
    if by_sale is not None:
        conversion_id = by_sale.conversion_id or await find_sale(session, seen)
        sale = None if conversion_id is None else await loading.load_sale(session, conversion_id)
        if sale is None or sale.conversion.merchant_id != seen.merchant_id:
            raise ClaimSaleNotFound(
                "No sale of the merchant has the order's number. Name the sale by its id, or give goodwill.",
                order_id=seen.order_id,
            )
    await locked_balances(await session.driver(), [seen.customer_id])
    row = await locked(session, claim_id)
    CLAIM_STATES.check(_S(row.state), _S.APPROVED)
    return row, sale


async def find_sale(session: ReadSession, claim: ClaimRow) -> UUID | None:
    """The merchant's sale with the order's number, whichever way the merchant reports, and however it is spelled: as
    the customer spells it before another way, and an own one before one that no click explains. Another's is told of
    only where it has the very number."""
    merchant = await merchants.get_merchant_by_id(session, claim.merchant_id)
    # It may have come through the network that the merchant had before.
    sources = [f"direct:{merchant.slug}", *(network.slug for network in await merchants.list_networks(session))]
    rows = await session.execute(
        select(ConversionRow.id, ConversionRow.external_id, ConversionRow.customer_id).where(
            ConversionRow.source.in_(sources),
            ConversionRow.external_id.in_(spellings(claim.order_id)),
            ConversionRow.merchant_id == claim.merchant_id,
        )
    )
    found = []
    for row in rows:
        is_anothers = row.customer_id not in (None, claim.customer_id)
        is_spelled_anew = row.external_id != claim.order_id
        if not (is_anothers and is_spelled_anew):
            found.append((is_anothers, is_spelled_anew, row.customer_id is None, row.id))
    own = await session.execute(
        select(ConversionRow.id, ConversionRow.external_id)
        .join(RewardRow, RewardRow.conversion_id == ConversionRow.id)
        .where(RewardRow.customer_id == claim.customer_id, RewardRow.merchant_id == claim.merchant_id)
        .order_by(RewardRow.id.desc())
        .limit(OWN_SALES)
    )
    found += [(False, True, False, row.id) for row in own if plain(row.external_id) == plain(claim.order_id)]
    return min(found)[-1] if found else None


async def _settle_by_sale(
    session: WriteSession, keys: Keys, principal: Principal, claim: ClaimRow, sale: Sale, reason_code: str
) -> None:
    """Gives a sale that no click explains to the claim's. Of one that is the customer's already nothing is to be
    booked, but it must be what the claim asks for."""
    if sale.conversion.state == ConversionState.UNATTRIBUTED:
        await attribute(session, keys, principal, sale, claim.click_id, reason_code)
        return
    reward = sale.reward
    if reward is not None and reward.customer_id != claim.customer_id:
        raise SaleAttributed("The sale was attributed to the click of another customer.")
    if reward is None or reward.state not in _EARNED:
        raise ClaimSaleUndecided(
            "The sale was declined: decline the claim, or give goodwill.", state=sale.conversion.state
        )
    if claim.reason_code == ClaimReason.LATE and reward.state != _R.CONFIRMED:
        raise ClaimSaleUndecided(
            "The cashback of the sale is not confirmed yet: approve the sale first.", state=sale.conversion.state
        )


async def _settle_by_goodwill(
    session: WriteSession, keys: Keys, principal: Principal, claim: ClaimRow, named_minor: int | None, reason_code: str
) -> bool:
    """Whether it was given. The claim and the customer's balances are locked."""
    approvals = await approvals_of(session, claim)
    if approvals:
        amount_minor = approvals[0].amount_minor
        if named_minor not in (None, amount_minor):
            words = format_money(Money(amount_minor, claim.currency))
            raise GoodwillDiffers(f"Another operator has approved {words}: approve the same, or move the claim back.")
    else:
        amount_minor = named_minor or await owed_minor(session, keys, claim)
        if amount_minor <= 0:
            raise GoodwillNotOwed("What was promised for the order is there already. Name an amount to give more.")
    if approvals or await _is_second(session, claim) or await _is_much(session, claim, amount_minor):
        await _add_approval(session, principal, claim, amount_minor, reason_code)
        if len(await approvals_of(session, claim)) < APPROVALS_NEEDED:
            return False
    merchant = await merchants.get_merchant_by_id(session, claim.merchant_id)
    balances = await locked_balances(await session.driver(), [claim.customer_id])
    # As with cashback that is confirmed, what the customer owes us is kept back.
    debt = ledger.customer_debt(claim.customer_id)
    kept_minor = min(amount_minor, balances.get((debt, claim.currency), 0))
    entries = transfer(ledger.GOODWILL, ledger.customer_available(claim.customer_id), amount_minor - kept_minor)
    entries += transfer(ledger.GOODWILL, debt, kept_minor)
    await ledger.post(
        session,
        Posting(
            kind="claim.goodwill",
            source=SOURCE,
            external_id=f"{claim.id}:goodwill",
            description=f"Goodwill for an order at {merchant.slug}",
            currency=claim.currency,
            entries=entries,
        ),
    )
    claim.resolution, claim.goodwill_minor = ClaimResolution.GOODWILL, amount_minor
    return True


async def owed_minor(session: ReadSession, keys: Keys, claim: ClaimRow) -> int:
    """What the receipt promises for the order that the customer tells of, less what its sale has earned. Raises
    GoodwillNotOwed where the receipt does not tell."""
    click = await find_click(session, claim.click_id)
    try:
        if click is None:
            raise receipts.ReceiptInvalid("the click is no longer stored")
        receipt = receipts.read(keys, click.receipt)
        promised = pricing.price(
            receipt,
            order_amount_minor=claim.order_amount_minor,
            currency=claim.currency,
            rate_category="",
            customer_type="unknown",
        )
    except (receipts.ReceiptInvalid, pricing.CurrencyMismatch) as error:
        raise GoodwillNotOwed(f"The receipt does not tell what was promised ({error}): name an amount.") from None
    earned = await session.scalar(
        select(func.coalesce(func.sum(RewardRow.amount_minor), 0))
        .join(ConversionRow, ConversionRow.id == RewardRow.conversion_id)
        .where(
            ConversionRow.id == await find_sale(session, claim),
            RewardRow.customer_id == claim.customer_id,
            RewardRow.currency == claim.currency,
            RewardRow.state.in_(_EARNED),
        )
    )
    return promised.amount_minor - int(earned or 0)


async def _is_second(session: WriteSession, claim: ClaimRow) -> bool:
    """Whether there was goodwill for the visit already: one order may have been claimed under two numbers."""
    given = select(ClaimRow.id).where(
        ClaimRow.customer_id == claim.customer_id,
        ClaimRow.click_id == claim.click_id,
        ClaimRow.id != claim.id,
        ClaimRow.goodwill_minor.is_not(None),
    )
    return await session.scalar(given.limit(1)) is not None


async def _is_much(session: WriteSession, claim: ClaimRow, amount_minor: int) -> bool:
    limit = get_cashback_settings().goodwill_approval_minor.get(claim.currency, 0)
    given = await session.scalar(
        select(func.coalesce(func.sum(ClaimRow.goodwill_minor), 0)).where(
            ClaimRow.customer_id == claim.customer_id,
            ClaimRow.currency == claim.currency,
            ClaimRow.state == _S.APPROVED,
            ClaimRow.updated_at > now() - COUNTED_TOGETHER,
        )
    )
    return amount_minor + int(given or 0) >= limit


async def _add_approval(
    session: WriteSession, principal: Principal, claim: ClaimRow, amount_minor: int, reason_code: str
) -> None:
    added = await session.scalar(
        insert(ClaimApprovalRow)
        .values(
            id=new_id(),
            claim_id=claim.id,
            round=claim.approval_round,
            operator_id=principal.id,
            amount_minor=amount_minor,
            reason_code=reason_code,
            at=now(),
        )
        .on_conflict_do_nothing(constraint="uq_claim_approvals_claim_id_round_operator_id")
        .returning(ClaimApprovalRow.id)
    )
    if added is None:
        raise SecondPersonNeeded(
            "You have approved this already. Another operator who may decide on claims must approve it too.",
            claim_id=str(claim.id),
        )


async def approvals_of(session: ReadSession, claim: ClaimRow) -> Sequence[ClaimApproval]:
    """Those that count, the oldest first: since the claim was last moved, by operators who may still decide on it."""
    rows = (
        await session.scalars(
            select(ClaimApprovalRow)
            .where(ClaimApprovalRow.claim_id == claim.id, ClaimApprovalRow.round == claim.approval_round)
            .order_by(ClaimApprovalRow.id)
        )
    ).all()
    may = await customers.operators_who_may(session, Permission.CLAIMS_DECIDE, {row.operator_id for row in rows})
    return [
        ClaimApproval(row.operator_id, row.amount_minor, row.reason_code, row.at)
        for row in rows
        if row.operator_id in may
    ]
