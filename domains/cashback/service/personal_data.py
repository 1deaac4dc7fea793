"""What this domain keeps about a customer: handed out, and taken off what the books need."""

from uuid import UUID

from sqlalchemy import select, text

from domains.cashback.models import ClaimRow
from domains.cashback.service import forfeitures, history
from domains.cashback.service.history import Cause
from domains.cashback.states import CLAIM_STATES, ClaimState, Entity
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.personal_data import Holder, Section

ACCOUNT_DELETED = "account_deleted"

_SECTIONS = (
    # Clicks of one group are of one moment, and their partition is found by it.
    Section(
        "clicks",
        "SELECT c.id, c.clicked_at, m.slug AS merchant, c.offer_id, c.currency, c.landing_url, c.target_url,"
        " c.rate_schedule_version, c.receipt, c.user_agent, c.bot, c.duplicate_of, c.redirected_at"
        " FROM clicks c JOIN merchants m ON m.id = c.merchant_id WHERE c.customer_id = $1"
        " AND c.clicked_at >= coalesce(uuid_extract_timestamp($2), '-infinity')"
        " AND (c.clicked_at, c.id) > (coalesce(uuid_extract_timestamp($2), '-infinity'), $2)"
        " ORDER BY c.clicked_at, c.id LIMIT $3",
    ),
    Section(
        "cashbacks",
        "SELECT r.id, m.slug AS merchant, s.click_id, s.external_id AS sale, r.state, r.amount_minor, r.currency,"
        " s.order_amount_minor, s.occurred_at AS purchased_at, s.state AS sale_state, s.network_reason, r.reason_code,"
        " r.pricing, r.expected_confirmation_at, r.confirmed_at, r.created_at, r.updated_at"
        " FROM rewards r JOIN conversions s ON s.id = r.conversion_id JOIN merchants m ON m.id = r.merchant_id"
        " WHERE r.customer_id = $1 AND r.id > $2 ORDER BY r.id LIMIT $3",
    ),
    # Not for whose cashback: a friend's is the friend's own.
    Section(
        "bonuses",
        "SELECT o.id, u.name, u.kind, o.state, o.amount_minor, o.currency, o.reason_code, o.available_at,"
        " o.confirmed_at, o.created_at, o.updated_at FROM bonuses o JOIN bonus_rules u ON u.id = o.rule_id"
        " WHERE o.customer_id = $1 AND o.id > $2 ORDER BY o.id LIMIT $3",
    ),
    Section(
        "payouts",
        "SELECT id, amount_minor, currency, state, reason_code, payout_method_id, destination, provider,"
        " provider_reference, created_at, sent_at, finished_at FROM payouts"
        " WHERE customer_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    ),
    # An entry's account is one of the customer's few; what lies on the other side of a posting is ours.
    Section(
        "ledger_entries",
        "SELECT e.id, t.posted_at, t.kind, t.description, t.id AS transaction_id, a.path AS account, e.amount_minor,"
        " e.currency FROM ledger_accounts a JOIN ledger_entries e ON e.account_id = a.id"
        " JOIN ledger_transactions t ON t.id = e.transaction_id WHERE a.customer_id = $1 AND e.id > $2"
        " ORDER BY e.id LIMIT $3",
        after=0,
    ),
    Section(
        "claims",
        "SELECT c.id, m.slug AS merchant, c.state, c.reason_code, c.click_id, c.order_id, c.order_amount_minor,"
        " c.currency, c.note, c.decision_code, c.due_at, c.resolution, c.goodwill_minor,"
        " c.created_at, c.updated_at FROM claims c"
        " JOIN merchants m ON m.id = c.merchant_id WHERE c.customer_id = $1 AND c.id > $2 ORDER BY c.id LIMIT $3",
    ),
    Section(
        "claim_messages",
        "SELECT m.id, m.claim_id, m.author, m.text, m.at FROM claims c JOIN claim_messages m ON m.claim_id = c.id"
        " WHERE c.customer_id = $1 AND m.id > $2 ORDER BY m.id LIMIT $3",
    ),
)

# What a browser said and where it was led; that there was a click, and what was promised for it, the books need.
_CLICKS = text(
    "UPDATE clicks SET user_agent = '', landing_url = '', target_url = ''"
    " WHERE customer_id = :customer_id AND (user_agent <> '' OR landing_url <> '' OR target_url <> '')"
)
# The order's number leads to a person at the merchant's; a claim's own is as unique.
_CLAIMS = text("UPDATE claims SET note = '', order_id = id::text WHERE customer_id = :customer_id")
_MESSAGES = text(
    "DELETE FROM claim_messages WHERE claim_id IN (SELECT id FROM claims WHERE customer_id = :customer_id)"
)
_PAYOUTS = text("UPDATE payouts SET destination = '' WHERE customer_id = :customer_id AND destination <> ''")


async def _erase(session: WriteSession, customer_id: UUID) -> None:
    await _close_claims(session, customer_id)
    for statement in (_CLICKS, _CLAIMS, _MESSAGES, _PAYOUTS):
        await session.execute(statement, {"customer_id": customer_id})


async def _close_claims(session: WriteSession, customer_id: UUID) -> None:
    """Nobody is left to be asked about them."""
    rows = await session.scalars(
        select(ClaimRow).where(ClaimRow.customer_id == customer_id).order_by(ClaimRow.id).with_for_update()
    )
    for row in rows:
        before = ClaimState(row.state)
        if CLAIM_STATES.is_final(before):
            continue
        row.state = CLAIM_STATES.check(before, ClaimState.DECLINED)
        row.decision_code = ACCOUNT_DELETED
        row.due_at = None
        row.updated_at = now()
        history.record(session, Entity.CLAIM, row.id, before, ClaimState.DECLINED, Cause("system", ACCOUNT_DELETED))
    await session.flush()


PERSONAL_DATA = Holder("cashback", _erase, _SECTIONS, forfeitures.settle)
