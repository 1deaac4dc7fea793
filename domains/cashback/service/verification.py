"""Checks the ledger's invariants over everything that is stored, and names what breaks them."""

from dataclasses import dataclass

import structlog
from opentelemetry import metrics
from sqlalchemy import text

from wapsi.db import ReadSession

log = structlog.get_logger(__name__)
_violations = metrics.get_meter(__name__).create_gauge("wapsi.ledger.violations", unit="{violation}")

# Enough to see what kind of damage it is.
LIMIT_PER_CHECK = 100


@dataclass(frozen=True, slots=True)
class Violation:
    """`invariant` is I1 … I11; `subject` names the broken row, such as "ledger_transaction <id>"."""

    invariant: str
    subject: str
    message: str


# Each selects the subject and the message of what breaks the invariant. Sums of bigint are numeric, and so exact.
_CHECKS: tuple[tuple[str, str], ...] = (
    (
        "I1",
        "SELECT 'ledger_transaction ' || t.id, 'its entries in ' || coalesce(e.currency, 'any currency') || ' sum to '"
        " || coalesce(sum(e.amount_minor), 0) || ' over ' || count(e.id) || ' entries'"
        " FROM ledger_transactions t LEFT JOIN ledger_entries e ON e.transaction_id = t.id GROUP BY t.id, e.currency"
        " HAVING count(e.id) = 0 OR sum(e.amount_minor) <> 0",
    ),
    (
        "I1",
        "SELECT 'ledger_entry ' || e.id, 'its account ' || e.account_id || ' does not exist in ' || e.currency"
        " FROM ledger_entries e LEFT JOIN ledger_accounts a ON a.id = e.account_id AND a.currency = e.currency"
        " WHERE a.id IS NULL",
    ),
    (
        "I2",
        "SELECT 'currency ' || currency, 'all entries sum to ' || sum(amount_minor) FROM ledger_entries"
        " GROUP BY currency HAVING sum(amount_minor) <> 0",
    ),
    (
        "I3",
        "SELECT 'ledger_account ' || a.path || ' ' || a.currency, 'stores ' || coalesce(b.balance_minor::text,"
        " 'nothing') || ', its entries sum to ' || coalesce(s.balance, 0) FROM ledger_accounts a"
        " LEFT JOIN ledger_balances b ON b.account_id = a.id LEFT JOIN LATERAL (SELECT sum(CASE a.normal_side"
        " WHEN 'debit' THEN e.amount_minor ELSE -e.amount_minor END) AS balance FROM ledger_entries e"
        " WHERE e.account_id = a.id) s ON true"
        " WHERE a.customer_id IS NOT NULL AND b.balance_minor IS DISTINCT FROM coalesce(s.balance, 0)",
    ),
    (
        # A sale is booked with its own amounts: nothing once it is declined, and all of it before.
        "I3",
        "WITH booked AS (SELECT split_part(t.external_id, ':', 1)::uuid AS conversion_id,"
        " -coalesce(sum(e.amount_minor) FILTER (WHERE a.path LIKE 'income:commission:%'"
        " OR a.path LIKE 'liabilities:unattributed:%'), 0) AS commission_minor,"
        " coalesce(sum(e.amount_minor) FILTER (WHERE a.path LIKE 'expenses:cashback:%'), 0) AS reward_minor"
        " FROM ledger_transactions t JOIN ledger_entries e ON e.transaction_id = t.id"
        " JOIN ledger_accounts a ON a.id = e.account_id WHERE t.source = 'conversion' GROUP BY 1)"
        " SELECT 'conversion ' || c.id, 'is ' || c.state || ' with commission ' || c.commission_minor || ' and reward '"
        " || coalesce(r.amount_minor, 0) || ', but the ledger holds ' || coalesce(b.commission_minor, 0) || ' and '"
        " || coalesce(b.reward_minor, 0) FROM conversions c LEFT JOIN rewards r ON r.conversion_id = c.id"
        " LEFT JOIN booked b ON b.conversion_id = c.id WHERE coalesce(b.commission_minor, 0)"
        " <> CASE c.state WHEN 'declined' THEN 0 ELSE c.commission_minor END OR coalesce(b.reward_minor, 0)"
        " <> CASE WHEN c.state IN ('declined', 'unattributed') THEN 0 ELSE coalesce(r.amount_minor, 0) END",
    ),
    (
        "I4",
        "SELECT 'ledger_account ' || a.path || ' ' || a.currency, 'is below zero: ' || b.balance_minor"
        " FROM ledger_balances b JOIN ledger_accounts a ON a.id = b.account_id WHERE b.balance_minor < 0",
    ),
    (
        "I4",
        "SELECT 'ledger_account ' || a.path || ' ' || a.currency, 'its entries fall below zero at entry ' || min(r.id)"
        " FROM (SELECT e.id, e.account_id, sum(e.amount_minor) OVER (PARTITION BY e.account_id ORDER BY e.id)"
        " AS running FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id"
        " WHERE a.customer_id IS NOT NULL) r JOIN ledger_accounts a ON a.id = r.account_id"
        " WHERE CASE a.normal_side WHEN 'debit' THEN r.running ELSE -r.running END < 0 GROUP BY a.path, a.currency",
    ),
    (
        "I5",
        "SELECT 'ledger_transaction ' || resolves_id, 'is resolved ' || count(*) || ' times' FROM ledger_transactions"
        " WHERE resolves_id IS NOT NULL GROUP BY resolves_id HAVING count(*) > 1",
    ),
    (
        "I5",
        "SELECT 'ledger_transaction ' || t.id, 'resolves a posting that was not pending: ' || p.kind"
        " FROM ledger_transactions t JOIN ledger_transactions p ON p.id = t.resolves_id"
        " WHERE p.kind NOT IN ('conversion.pending', 'conversion.unattributed', 'conversion.attributed')",
    ),
    (
        "I6",
        "SELECT 'ledger_transaction ' || reverses_id, 'is reversed ' || count(*) || ' times' FROM ledger_transactions"
        " WHERE reverses_id IS NOT NULL GROUP BY reverses_id HAVING count(*) > 1",
    ),
    (
        # Over all postings about one sale, nothing is taken back that was not given.
        "I6",
        "SELECT 'conversion ' || split_part(t.external_id, ':', 1), 'more was reversed than posted on ' || a.path"
        " FROM ledger_transactions t JOIN ledger_entries e ON e.transaction_id = t.id"
        " JOIN ledger_accounts a ON a.id = e.account_id WHERE t.source = 'conversion'"
        " AND (a.path LIKE 'income:%' OR a.path LIKE 'expenses:%' OR a.path LIKE 'liabilities:unattributed:%')"
        " GROUP BY split_part(t.external_id, ':', 1), a.path, a.normal_side"
        " HAVING CASE a.normal_side WHEN 'debit' THEN sum(e.amount_minor) ELSE -sum(e.amount_minor) END < 0",
    ),
    (
        "I7",
        "SELECT 'cause ' || source || ' ' || external_id, 'is posted ' || count(*) || ' times'"
        " FROM ledger_transactions GROUP BY source, external_id HAVING count(*) > 1",
    ),
    (
        "I8",
        "SELECT 'table ' || wanted.name, 'its append-only trigger is missing or switched off' FROM unnest(ARRAY["
        "'ledger_accounts', 'ledger_transactions', 'ledger_entries']) AS wanted (name) WHERE NOT EXISTS ("
        "SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass(wanted.name) AND t.tgenabled = 'O'"
        " AND t.tgname = wanted.name || '_append_only')",
    ),
    (
        "I8",
        "SELECT 'table ' || wanted.name, 'the application may ' || privilege || ' it' FROM unnest(ARRAY["
        "'ledger_accounts', 'ledger_transactions', 'ledger_entries']) AS wanted (name),"
        " unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS privilege"
        " WHERE has_table_privilege(wanted.name, privilege)",
    ),
    (
        "I10",
        "SELECT 'column ' || table_name || '.' || column_name, 'is ' || data_type FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND column_name LIKE '%\\_minor' AND data_type <> 'bigint'"
        " AND table_name IN ('ledger_entries', 'ledger_balances', 'conversions', 'rewards', 'payouts', 'claims',"
        " 'conversion_adjustments', 'sandbox_payouts')",
    ),
    (
        "I11",
        "WITH booked AS (SELECT split_part(t.external_id, ':', 1)::uuid AS payout_id, e.currency,"
        " sum(e.amount_minor) FILTER (WHERE t.kind = 'payout.paid') AS paid_minor, -sum(e.amount_minor) AS open_minor"
        " FROM ledger_transactions t JOIN ledger_entries e ON e.transaction_id = t.id"
        " JOIN ledger_accounts a ON a.id = e.account_id AND a.path = 'liabilities:payouts:in_flight'"
        " WHERE t.source = 'payout' GROUP BY 1, 2)"
        " SELECT 'payout ' || coalesce(p.id, b.payout_id), 'is ' || coalesce(p.state, 'missing') || ', but the ledger"
        " has paid ' || coalesce(b.paid_minor, 0) || ' and holds ' || coalesce(b.open_minor, 0)"
        " FROM payouts p FULL JOIN booked b ON b.payout_id = p.id AND b.currency = p.currency WHERE p.id IS NULL"
        " OR coalesce(b.paid_minor, 0) <> CASE p.state WHEN 'succeeded' THEN p.amount_minor ELSE 0 END"
        " OR coalesce(b.open_minor, 0) <> CASE WHEN p.state IN ('succeeded', 'failed', 'cancelled') THEN 0"
        " ELSE p.amount_minor END",
    ),
    (
        "I11",
        "SELECT 'payout ' || p.id, 'succeeded here; its provider says '"
        " || coalesce(s.status || ' ' || s.amount_minor || ' ' || s.currency, 'nothing')"
        " FROM payouts p LEFT JOIN sandbox_payouts s ON s.key = p.id WHERE p.provider = 'sandbox'"
        " AND p.state = 'succeeded' AND (s.status, s.amount_minor, s.currency)"
        " IS DISTINCT FROM ('paid', p.amount_minor, p.currency::text)",
    ),
    (
        "I11",
        "SELECT 'payout ' || s.key, 'its provider has paid ' || s.amount_minor || ' ' || s.currency || '; here it is '"
        " || coalesce(p.state, 'missing') FROM sandbox_payouts s LEFT JOIN payouts p ON p.id = s.key"
        " WHERE s.status = 'paid' AND coalesce(p.state, '') NOT IN ('succeeded', 'processing', 'unknown')",
    ),
)


async def verify_ledger(session: ReadSession) -> list[Violation]:
    """All violations, at most LIMIT_PER_CHECK a check; empty when the books are right. Reads every entry."""
    found = []
    for invariant, statement in _CHECKS:
        # Only the constants above are put together here.
        limited = f"SELECT * FROM ({_escaped(statement)}) AS broken (subject, message) LIMIT :limit"  # noqa: S608
        rows = await session.execute(text(limited), {"limit": LIMIT_PER_CHECK})
        found += [Violation(invariant, row.subject, row.message) for row in rows]
    return found


def _escaped(statement: str) -> str:
    """A colon in a literal is no parameter, but a cast is a cast."""
    return statement.replace("::", "\0").replace(":", "\\:").replace("\0", "::")


async def verify_and_report(session: ReadSession) -> list[Violation]:
    """The same, and an error in the log and a number in the metrics for each invariant that does not hold."""
    violations = await verify_ledger(session)
    for invariant in sorted({name for name, _ in _CHECKS}):
        broken = [violation for violation in violations if violation.invariant == invariant]
        _violations.set(len(broken), {"invariant": invariant})
        for violation in broken:
            log.error("ledger_violation", invariant=invariant, subject=violation.subject, message=violation.message)
    return violations
