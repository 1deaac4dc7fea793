"""Goodwill stands in for cashback that no network pays. Where the sale comes after all, it goes back.

As much of it as the sale has earned: from the balance what is there, the rest is owed by the customer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, text

from domains.cashback.models import ClaimRow
from domains.cashback.service import ledger
from domains.cashback.service.claim_approvals import SOURCE
from domains.cashback.service.claim_story import SALE_CAME
from domains.cashback.service.drafts import Draft
from domains.cashback.service.history import Cause
from domains.cashback.service.ledger import Posting, locked_balances, transfer
from domains.cashback.service.writing import Written, write
from domains.cashback.states import ClaimResolution, Entity
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.security import audit
from wapsi.telemetry.setup import current_trace_id

# Many networks name a sale by a number of their own: then its click and its amount tell which order it is.
# What the sale had earned before goodwill was given, it was given beside.
_PAID_TWICE = text(
    r"SELECT c.id AS claim_id, c.customer_id, s.id AS conversion_id, r.amount_minor AS earned_minor,"
    r" t.id AS posting_id FROM rewards r JOIN conversions s ON s.id = r.conversion_id"
    r" JOIN claims c ON c.customer_id = r.customer_id AND c.merchant_id = s.merchant_id AND c.currency = r.currency"
    r" AND (c.order_id = s.external_id"
    r"  OR c.click_id = s.click_id AND c.order_amount_minor = s.order_amount_minor)"
    r" JOIN ledger_transactions t ON t.source = 'claim' AND t.external_id = c.id || '\:goodwill'"
    r" WHERE r.id = ANY(:ids) AND r.state = 'confirmed' AND r.amount_minor > 0 AND c.resolution = 'goodwill'"
    r" AND c.conversion_id IS NULL AND r.created_at > c.updated_at ORDER BY c.id"
)


@dataclass(frozen=True, slots=True)
class _PaidTwice:
    claim_id: UUID
    customer_id: UUID
    conversion_id: UUID
    earned_minor: int
    posting_id: UUID


async def return_goodwill(session: WriteSession, reward_ids: Collection[UUID]) -> int:
    """Of claims about the orders that these cashbacks are for; returns how many had some."""
    seen = await _paid_twice(session, reward_ids)
    if not seen:
        return 0
    whose = {one.customer_id for one in seen}
    draft = Draft(await locked_balances(await session.driver(), whose), whose, current_trace_id())
    # Once more: nobody moves their cashback now.
    found = {one.claim_id: one for one in await _paid_twice(session, reward_ids) if one.customer_id in whose}
    rows = await session.scalars(select(ClaimRow).where(ClaimRow.id.in_(found)).order_by(ClaimRow.id).with_for_update())
    claims = rows.all()
    for claim in claims:
        _return(draft, claim, found[claim.id])
    await write(await session.driver(), Written(drafts=[draft]))
    await session.flush()
    return len(claims)


async def _paid_twice(session: ReadSession, reward_ids: Collection[UUID]) -> Sequence[_PaidTwice]:
    if not reward_ids:
        return ()
    rows = await session.execute(_PAID_TWICE, {"ids": list(reward_ids)})
    return [_PaidTwice(**row) for row in rows.mappings()]


def _return(draft: Draft, claim: ClaimRow, sale: _PaidTwice) -> None:
    """What is left of the goodwill stays given; without any the claim is settled by its sale."""
    assert claim.goodwill_minor is not None
    returned_minor = min(claim.goodwill_minor, sale.earned_minor)
    available = ledger.customer_available(claim.customer_id)
    covered_minor = min(returned_minor, draft.balance(claim.customer_id, available, claim.currency))
    entries = transfer(available, ledger.GOODWILL, covered_minor)
    entries += transfer(ledger.customer_debt(claim.customer_id), ledger.GOODWILL, returned_minor - covered_minor)
    draft.post(
        Posting(
            kind="claim.goodwill_returned",
            source=SOURCE,
            external_id=f"{claim.id}:goodwill_returned",
            description="Goodwill returned: the cashback of the order came after all",
            currency=claim.currency,
            entries=entries,
            reverses_id=sale.posting_id,
            trace_id=draft.trace_id,
        )
    )
    claim.conversion_id = sale.conversion_id
    claim.goodwill_minor = claim.goodwill_minor - returned_minor or None
    if claim.goodwill_minor is None:
        claim.resolution = ClaimResolution.SALE
    claim.updated_at = now()
    draft.record(Entity.CLAIM, claim.id, claim.state, claim.state, Cause(audit.SYSTEM, SALE_CAME))
