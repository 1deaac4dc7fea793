"""All there is about one claim: its story and messages for the customer, and for operators what they decide by."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.cashback.errors import GoodwillNotOwed
from domains.cashback.models import ConversionRow
from domains.cashback.service import history
from domains.cashback.service.claim_approvals import (
    APPROVALS_NEEDED,
    ClaimApproval,
    approvals_of,
    find_sale,
    owed_minor,
)
from domains.cashback.service.claim_story import tell_claim
from domains.cashback.service.claims import ClaimMessage, ClaimView, claim_messages, find_claim, get_claim
from domains.cashback.service.history import StateChange
from domains.cashback.service.story import StoryLine
from domains.cashback.service.views import ConversionView, find_conversion
from domains.merchants import service as merchants
from wapsi.db import ReadSession
from wapsi.security.signing import Keys


@dataclass(frozen=True, slots=True)
class ClaimDetails:
    claim: ClaimView
    story: list[StoryLine]
    messages: list[ClaimMessage]


@dataclass(frozen=True, slots=True)
class ClaimCase:
    """`sale` has the order's number, or is the one that the claim was settled by. `owed_minor` is what goodwill would
    be by default, None where the receipt does not tell. `approvals` are those that count, of the `approvals_needed`
    for goodwill that is large."""

    claim: ClaimView
    story: list[StoryLine]
    messages: list[ClaimMessage]
    changes: list[StateChange]
    sale: ConversionView | None
    owed_minor: int | None
    approvals_needed: int
    approvals: Sequence[ClaimApproval]


async def claim_details(session: ReadSession, customer_id: UUID, claim_id: UUID) -> ClaimDetails:
    """An own one. Raises ClaimNotFound."""
    claim = await get_claim(session, claim_id, customer_id)
    changes = await history.of(session, claim_id)
    return ClaimDetails(claim, await _story(session, claim, changes), await claim_messages(session, claim_id))


async def claim_case(session: ReadSession, keys: Keys, claim_id: UUID) -> ClaimCase:
    """Any, for operators. Raises ClaimNotFound."""
    claim = await get_claim(session, claim_id)
    row = await find_claim(session, claim_id)
    changes = await history.of(session, claim_id)
    sale_id = row.conversion_id or await find_sale(session, row)
    sale = None
    if sale_id is not None:
        found = await session.get(ConversionRow, sale_id)
        assert found is not None
        sale, _ = await find_conversion(session, found.source, found.external_id)
    try:
        owed = max(0, await owed_minor(session, keys, row))
    except GoodwillNotOwed:
        owed = None
    return ClaimCase(
        claim=claim,
        story=await _story(session, claim, changes),
        messages=await claim_messages(session, claim_id),
        changes=changes,
        sale=sale,
        owed_minor=owed,
        approvals_needed=APPROVALS_NEEDED,
        approvals=await approvals_of(session, row),
    )


async def _story(session: ReadSession, claim: ClaimView, changes: Sequence[StateChange]) -> list[StoryLine]:
    merchant = await merchants.get_merchant_by_id(session, claim.merchant_id)
    return tell_claim(changes, merchant.name)
