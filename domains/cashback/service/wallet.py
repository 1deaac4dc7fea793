"""What customers look at most: their balances, their cashbacks and every change of either.

Straight from the primary, one statement each: what was booked a moment ago is there.
"""

from uuid import UUID

from domains.cashback.service.books import Balance, Bucket, StatementLine
from domains.cashback.service.views import RewardView
from domains.cashback.states import RewardState
from domains.merchants.service import ClawbackTerms, ConfirmationTerms
from wapsi.db import Reads

_BALANCES = (
    "SELECT a.currency,"
    " coalesce(sum(b.balance_minor) FILTER (WHERE a.path LIKE '%:pending'), 0)::bigint AS pending_minor,"
    " coalesce(sum(b.balance_minor) FILTER (WHERE a.path LIKE '%:available'), 0)::bigint AS available_minor,"
    " coalesce(sum(b.balance_minor) FILTER (WHERE a.path LIKE 'assets:%'), 0)::bigint AS owed_minor,"
    " (SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM rewards r WHERE r.customer_id = $1"
    "  AND r.currency = a.currency AND r.state = 'held')"
    " + (SELECT coalesce(sum(o.amount_minor), 0)::bigint FROM bonuses o WHERE o.customer_id = $1"
    "  AND o.currency = a.currency AND o.state = 'held') AS held_minor,"
    " (SELECT coalesce(sum(p.amount_minor), 0)::bigint FROM payouts p WHERE p.customer_id = $1"
    "  AND p.currency = a.currency AND p.state IN ('requested', 'held', 'processing', 'unknown')) AS in_flight_minor,"
    " (SELECT coalesce(sum(p.amount_minor), 0)::bigint FROM payouts p WHERE p.customer_id = $1"
    "  AND p.currency = a.currency AND p.state = 'succeeded') AS paid_out_minor"
    " FROM ledger_accounts a JOIN ledger_balances b ON b.account_id = a.id"
    " WHERE a.customer_id = $1 GROUP BY a.currency ORDER BY a.currency"
)
_STATEMENT = (
    "SELECT e.id, t.posted_at AS at, t.kind, t.description, t.id AS transaction_id, e.currency,"
    " CASE WHEN a.path LIKE 'assets:%' THEN 'owed' WHEN a.path LIKE '%:pending' THEN 'pending'"
    " ELSE 'available' END AS bucket,"
    " CASE a.normal_side WHEN 'debit' THEN e.amount_minor ELSE -e.amount_minor END AS amount_minor"
    " FROM ledger_accounts a JOIN ledger_entries e ON e.account_id = a.id"
    " JOIN ledger_transactions t ON t.id = e.transaction_id"
    " WHERE a.customer_id = $1 AND ($2::bigint IS NULL OR e.id < $2) ORDER BY e.id DESC LIMIT $3"
)
_REWARDS = (
    "SELECT r.id, r.conversion_id, r.customer_id, m.slug AS merchant, m.name AS merchant_name, r.state,"
    " r.amount_minor, r.currency, c.order_amount_minor, r.rate_schedule_version, c.occurred_at AS purchased_at,"
    " r.expected_confirmation_at, r.confirmation, r.clawback, r.waived_minor, r.confirmed_at,"
    " (r.enquired_at IS NOT NULL AND r.state = 'pending') AS overdue, r.reason_code, c.network_reason, r.created_at"
    " FROM rewards r JOIN conversions c ON c.id = r.conversion_id JOIN merchants m ON m.id = r.merchant_id"
    " WHERE r.customer_id = $1 AND ($2::text IS NULL OR r.state = $2) AND ($3::uuid IS NULL OR r.id < $3)"
    " ORDER BY r.id DESC LIMIT $4"
)


async def balances(reads: Reads, customer_id: UUID) -> list[Balance]:
    """One for each currency that the customer ever earned in."""
    return [Balance(**row) for row in await reads.fetch_current(_BALANCES, customer_id)]


async def statement(reads: Reads, customer_id: UUID, *, limit: int, before: int | None = None) -> list[StatementLine]:
    """The newest first; `before` is the id of the last line seen."""
    rows = await reads.fetch_current(_STATEMENT, customer_id, before, limit)
    return [StatementLine(**{**row, "bucket": Bucket(row["bucket"])}) for row in rows]


async def list_rewards(
    reads: Reads, customer_id: UUID, *, limit: int, state: RewardState | None = None, before: UUID | None = None
) -> list[RewardView]:
    """A customer's, the newest first; `before` is the id of the last one seen."""
    rows = await reads.fetch_current(_REWARDS, customer_id, state, before, limit)
    return [
        RewardView(
            **{
                **row,
                "state": RewardState(row["state"]),
                "confirmation": ConfirmationTerms(row["confirmation"]),
                "clawback": ClawbackTerms(row["clawback"]),
            }
        )
        for row in rows
    ]
