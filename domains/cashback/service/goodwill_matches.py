"""Which claim a sale is for that comes after goodwill was given. One sale settles one claim, or none."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from domains.cashback.service.claim_story import SALE_UNCLEAR
from domains.cashback.service.order_numbers import plain
from wapsi.db import ReadSession

# Each with all claims of its customer at its merchant: what is another's is none of this one's.
_CANDIDATES = text(
    r"SELECT s.id AS conversion_id, s.external_id, s.occurred_at, s.click_id AS sale_click_id,"
    r" s.order_amount_minor AS sale_minor, c.id AS claim_id, c.customer_id, c.order_id, c.click_id,"
    r" c.order_amount_minor AS claimed_minor, c.created_at AS claimed_at, c.conversion_id AS settled_by,"
    r" t.id AS posting_id, coalesce(r.created_at > t.posted_at, false) AS came_after,"
    # What it had earned by then is what it earns less the amendments since.
    r" CASE WHEN r.created_at > t.posted_at THEN r.amount_minor ELSE (SELECT coalesce(sum(a.reward_after_minor"
    r" - a.reward_before_minor), 0) FROM conversion_adjustments a WHERE a.conversion_id = s.id AND a.at > t.posted_at)"
    r" END\:\:bigint AS earned_since_minor,"
    r" (SELECT coalesce(-sum(e.amount_minor), 0) FROM ledger_transactions b JOIN ledger_entries e"
    r" ON e.transaction_id = b.id JOIN ledger_accounts a ON a.id = e.account_id AND a.path = 'expenses:goodwill'"
    r" WHERE b.source = 'claim' AND b.external_id >= c.id || '\:goodwill_returned'"
    r" AND b.external_id < c.id || '\:goodwill_returned;')\:\:bigint AS returned_minor,"
    r" EXISTS (SELECT FROM conversions o WHERE o.click_id = s.click_id AND o.id <> s.id"
    r" AND o.order_amount_minor = s.order_amount_minor) AS has_twin,"
    r" EXISTS (SELECT FROM state_changes h WHERE h.entity = 'claim' AND h.entity_id = c.id"
    r" AND h.reason_code = :unclear AND h.detail ->> 'words' = 'sale ' || s.id) AS is_noted"
    r" FROM rewards r JOIN conversions s ON s.id = r.conversion_id"
    r" JOIN claims c ON c.customer_id = r.customer_id AND c.merchant_id = s.merchant_id AND c.currency = r.currency"
    r" LEFT JOIN ledger_transactions t ON t.source = 'claim' AND t.external_id = c.id || '\:goodwill'"
    r" WHERE r.id = ANY(:ids) AND r.state = 'confirmed' AND r.amount_minor > 0"
    r" AND EXISTS (SELECT FROM claims g WHERE g.customer_id = r.customer_id AND g.merchant_id = s.merchant_id"
    r" AND g.currency = r.currency AND g.goodwill_minor IS NOT NULL) ORDER BY s.id, c.id"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A confirmed sale, and a claim of its customer at its merchant. `posting_id` is of the claim's goodwill, where it
    was given any; `came_after`: the sale was not known then. `has_twin`: another sale of the click has its amount."""

    conversion_id: UUID
    external_id: str
    occurred_at: datetime
    sale_click_id: UUID
    sale_minor: int
    claim_id: UUID
    customer_id: UUID
    order_id: str
    click_id: UUID
    claimed_minor: int
    claimed_at: datetime
    settled_by: UUID | None
    posting_id: UUID | None
    came_after: bool
    earned_since_minor: int
    returned_minor: int
    has_twin: bool
    is_noted: bool


@dataclass(frozen=True, slots=True)
class Match:
    """The claim with goodwill that a sale is for, or those that it may be for."""

    claim: Candidate | None = None
    unclear: Sequence[Candidate] = ()


async def candidates(session: ReadSession, reward_ids: Collection[UUID]) -> Sequence[Candidate]:
    """Sale by sale, of the confirmed ones among these cashbacks whose customers were given goodwill there."""
    if not reward_ids:
        return ()
    rows = await session.execute(_CANDIDATES, {"ids": list(reward_ids), "unclear": SALE_UNCLEAR})
    return [Candidate(**row) for row in rows.mappings()]


def match(of_one_sale: Sequence[Candidate], settled_by: Mapping[UUID, UUID | None]) -> Match:
    """By the claim that it has settled, then by the order's number. Many networks name a sale by a number of their own:
    then its click, its amount and its day must leave one order only, and what they leave open is for operators."""
    settled = [one for one in of_one_sale if settled_by[one.claim_id] == one.conversion_id]
    if settled:
        return _only(settled)
    spelled = [one for one in of_one_sale if one.order_id == one.external_id]
    numbered = spelled or [one for one in of_one_sale if plain(one.order_id) == plain(one.external_id)]
    if numbered:
        # One that has its sale already was about that.
        return _only([one for one in numbered if settled_by[one.claim_id] is None])
    possible = [
        one
        for one in of_one_sale
        if one.posting_id is not None
        and one.came_after
        and settled_by[one.claim_id] is None
        and one.click_id == one.sale_click_id
    ]
    if len(possible) == 1:
        [one] = possible
        if one.claimed_minor == one.sale_minor and one.occurred_at <= one.claimed_at and not one.has_twin:
            return Match(one)
    return Match(unclear=possible)


def _only(found: Sequence[Candidate]) -> Match:
    given = [one for one in found if one.posting_id is not None]
    return Match(given[0]) if len(found) == 1 and given else Match(unclear=given if len(found) > 1 else ())
