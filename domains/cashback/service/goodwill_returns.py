"""Goodwill stands in for cashback that no network pays. Where the sale comes after all, it goes back.

As much of it as the sale has earned since: from the balance what is there, the rest is owed by the customer. What the
sale had earned before the goodwill was given, it was given beside.
"""

from collections.abc import Collection, Sequence
from itertools import groupby
from uuid import UUID

from sqlalchemy import select

from domains.cashback.models import ClaimRow
from domains.cashback.service import ledger
from domains.cashback.service.claim_approvals import SOURCE
from domains.cashback.service.claim_story import SALE_CAME, SALE_UNCLEAR
from domains.cashback.service.drafts import Draft
from domains.cashback.service.goodwill_matches import Candidate, candidates, match
from domains.cashback.service.history import Cause
from domains.cashback.service.ledger import Posting, locked_balances, transfer
from domains.cashback.service.writing import Written, write
from domains.cashback.states import ClaimResolution, Entity
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.security import audit
from wapsi.telemetry.setup import current_trace_id


async def return_goodwill(session: WriteSession, reward_ids: Collection[UUID]) -> int:
    """Of claims about the orders that these cashbacks are for; returns how many had some. Where it is not clear which
    order a sale is for, nothing goes back, and the claim says so to operators."""
    seen = await candidates(session, reward_ids)
    if not seen:
        return 0
    whose = {one.customer_id for one in seen}
    draft = Draft(await locked_balances(await session.driver(), whose), whose, current_trace_id())
    # Once more: nobody moves their cashback now.
    found = [one for one in await candidates(session, reward_ids) if one.customer_id in whose]
    ids = {one.claim_id for one in found}
    rows = await session.scalars(select(ClaimRow).where(ClaimRow.id.in_(ids)).order_by(ClaimRow.id).with_for_update())
    claims = {row.id: row for row in rows}
    returned = 0
    for _, of_one_sale in groupby(found, key=lambda one: one.conversion_id):
        returned += _settle(draft, claims, list(of_one_sale))
    await write(await session.driver(), Written(drafts=[draft]))
    await session.flush()
    return returned


def _settle(draft: Draft, claims: dict[UUID, ClaimRow], of_one_sale: Sequence[Candidate]) -> int:
    # Another sale may have settled one of them a moment ago.
    found = match(of_one_sale, {one.claim_id: claims[one.claim_id].conversion_id for one in of_one_sale})
    for one in found.unclear:
        if not one.is_noted:
            claim = claims[one.claim_id]
            cause = Cause(audit.SYSTEM, SALE_UNCLEAR, words=f"sale {one.conversion_id}")
            draft.record(Entity.CLAIM, claim.id, claim.state, claim.state, cause)
    if found.claim is None:
        return 0
    claim = claims[found.claim.claim_id]
    returned_minor = min(claim.goodwill_minor or 0, found.claim.earned_since_minor - found.claim.returned_minor)
    if returned_minor <= 0:
        return 0
    _return(draft, claim, found.claim, returned_minor)
    return 1


def _return(draft: Draft, claim: ClaimRow, sale: Candidate, returned_minor: int) -> None:
    """What is left of the goodwill stays given; without any the claim is settled by its sale."""
    assert claim.goodwill_minor is not None
    available = ledger.customer_available(claim.customer_id)
    covered_minor = min(returned_minor, draft.balance(claim.customer_id, available, claim.currency))
    entries = transfer(available, ledger.GOODWILL, covered_minor)
    entries += transfer(ledger.customer_debt(claim.customer_id), ledger.GOODWILL, returned_minor - covered_minor)
    # A posting is reversed once; what its sale is amended to later takes back more.
    is_first = not sale.returned_minor
    draft.post(
        Posting(
            kind="claim.goodwill_returned",
            source=SOURCE,
            external_id=f"{claim.id}:goodwill_returned" + ("" if is_first else f":{sale.returned_minor}"),
            description="Goodwill returned: the cashback of the order came after all",
            currency=claim.currency,
            entries=entries,
            reverses_id=sale.posting_id if is_first else None,
            amends_id=None if is_first else sale.posting_id,
            trace_id=draft.trace_id,
        )
    )
    claim.conversion_id = sale.conversion_id
    claim.goodwill_minor = claim.goodwill_minor - returned_minor or None
    if claim.goodwill_minor is None:
        claim.resolution = ClaimResolution.SALE
    claim.updated_at = now()
    draft.record(Entity.CLAIM, claim.id, claim.state, claim.state, Cause(audit.SYSTEM, SALE_CAME))
