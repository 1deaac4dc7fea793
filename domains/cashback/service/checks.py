"""The ledger's invariants as queries: each selects the subject and the message of what breaks it.

Those that look at every row do so window by window, between two keys of one table, so that no statement takes longer
as the books grow. Sums of bigint are numeric, and so exact.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """`walks` is the table whose ids :after and :upto are; None for a query over everything, of few rows."""

    invariant: str
    walks: str | None
    statement: str


def _booked(source: str, owner: str, *, kind: str = "") -> str:
    """The entries `e`, with their accounts `a`, of the postings about a row. The range finds these by their causes.

    By OFFSET they are looked for in this order: of a join the planner may begin with the accounts, whose entries are
    all there are, and does where the tables were analysed while they were small.
    """
    return (
        "FROM ledger_transactions t CROSS JOIN LATERAL (SELECT * FROM ledger_entries"
        " WHERE transaction_id = t.id OFFSET 0) e CROSS JOIN LATERAL (SELECT * FROM ledger_accounts"
        f" WHERE id = e.account_id OFFSET 0) a WHERE t.source = '{source}'"
        f" AND t.external_id >= {owner}.id || ':{kind}' AND t.external_id < {owner}.id || ';'"
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "I1",
        "ledger_transactions",
        "SELECT 'ledger_transaction ' || t.id, 'its entries in ' || coalesce(e.currency, 'any currency') || ' sum to '"
        " || coalesce(sum(e.amount_minor), 0) || ' over ' || count(e.id) || ' entries'"
        " FROM ledger_transactions t LEFT JOIN ledger_entries e ON e.transaction_id = t.id"
        " WHERE t.id > :after AND t.id <= :upto GROUP BY t.id, e.currency"
        " HAVING count(e.id) = 0 OR sum(e.amount_minor) <> 0",
    ),
    Check(
        "I1",
        "ledger_entries",
        "SELECT 'ledger_entry ' || e.id, 'its account ' || e.account_id || ' does not exist in ' || e.currency"
        " FROM ledger_entries e LEFT JOIN ledger_accounts a ON a.id = e.account_id AND a.currency = e.currency"
        " WHERE e.id > :after AND e.id <= :upto AND a.id IS NULL",
    ),
    Check(
        "I1",
        "ledger_entries",
        "SELECT 'ledger_entry ' || e.id, 'its ledger_transaction ' || e.transaction_id || ' does not exist'"
        " FROM ledger_entries e LEFT JOIN ledger_transactions t ON t.id = e.transaction_id"
        " WHERE e.id > :after AND e.id <= :upto AND t.id IS NULL",
    ),
    Check(
        "I2",
        None,
        "SELECT 'currency ' || currency, 'all entries sum to ' || sum(amount_minor) FROM ledger_entries"
        " GROUP BY currency HAVING sum(amount_minor) <> 0",
    ),
    Check(
        "I3",
        "ledger_accounts",
        "SELECT 'ledger_account ' || a.path || ' ' || a.currency, 'stores ' || coalesce(b.balance_minor::text,"
        " 'nothing') || ', its entries sum to ' || coalesce(s.balance, 0) FROM ledger_accounts a"
        " LEFT JOIN ledger_balances b ON b.account_id = a.id LEFT JOIN LATERAL (SELECT sum(CASE a.normal_side"
        " WHEN 'debit' THEN e.amount_minor ELSE -e.amount_minor END) AS balance FROM ledger_entries e"
        " WHERE e.account_id = a.id) s ON true"
        " WHERE a.id > :after AND a.id <= :upto AND a.customer_id IS NOT NULL"
        " AND b.balance_minor IS DISTINCT FROM coalesce(s.balance, 0)",
    ),
    Check(
        # A sale is booked with its own amounts: nothing once it is declined, and all of it before. Its cashback may be
        # declined alone.
        "I3",
        "conversions",
        "SELECT 'conversion ' || c.id, 'is ' || c.state || ' with commission ' || c.commission_minor || ' and reward '"
        " || coalesce(r.amount_minor, 0) || ', but the ledger holds ' || b.commission_minor || ' and '"
        " || b.reward_minor FROM conversions c LEFT JOIN rewards r ON r.conversion_id = c.id"
        " CROSS JOIN LATERAL (SELECT -coalesce(sum(e.amount_minor) FILTER (WHERE a.path LIKE 'income:commission:%'"
        " OR a.path LIKE 'liabilities:unattributed:%'), 0) AS commission_minor,"
        " coalesce(sum(e.amount_minor) FILTER (WHERE a.path LIKE 'expenses:cashback:%'), 0) AS reward_minor"
        f" {_booked('conversion', 'c')}) b"
        " WHERE c.id > :after AND c.id <= :upto AND (b.commission_minor"
        " <> CASE c.state WHEN 'declined' THEN 0 ELSE c.commission_minor END OR b.reward_minor"
        " <> CASE WHEN c.state IN ('declined', 'unattributed') OR r.state IN ('declined', 'reversed') THEN 0"
        " ELSE coalesce(r.amount_minor, 0) END)",
    ),
    Check(
        "I3",
        "bonuses",
        "SELECT 'bonus ' || o.id, 'is ' || o.state || ' with ' || o.amount_minor || ', but the ledger holds '"
        " || b.minor FROM bonuses o CROSS JOIN LATERAL (SELECT coalesce(sum(e.amount_minor), 0) AS minor"
        f" {_booked('bonus', 'o')} AND a.path = 'expenses:bonus') b"
        " WHERE o.id > :after AND o.id <= :upto AND b.minor"
        " <> CASE WHEN o.state IN ('pending', 'held', 'confirmed') THEN o.amount_minor ELSE 0 END",
    ),
    Check(
        "I3",
        "bonus_rules",
        "SELECT 'bonus_rule ' || u.id, 'has spent ' || u.spent_minor || ', its bonuses come to ' || s.minor"
        " FROM bonus_rules u CROSS JOIN LATERAL (SELECT coalesce(sum(o.amount_minor), 0) AS minor FROM bonuses o"
        " WHERE o.rule_id = u.id AND o.state IN ('pending', 'held', 'confirmed')) s"
        " WHERE u.id > :after AND u.id <= :upto AND u.spent_minor <> s.minor",
    ),
    Check(
        # Goodwill is booked, less what was returned, as the claim says, and for no claim that does not say so.
        "I3",
        "claims",
        "SELECT 'claim ' || c.id, 'was given ' || coalesce(c.goodwill_minor, 0) || ', but the ledger holds '"
        " || b.goodwill_minor FROM claims c CROSS JOIN LATERAL ("
        "SELECT coalesce(sum(e.amount_minor), 0) AS goodwill_minor"
        f" {_booked('claim', 'c', kind='goodwill')} AND a.path = 'expenses:goodwill' AND a.currency = c.currency) b"
        " WHERE c.id > :after AND c.id <= :upto AND b.goodwill_minor <> coalesce(c.goodwill_minor, 0)",
    ),
    Check(
        "I4",
        "ledger_accounts",
        "SELECT 'ledger_account ' || a.path || ' ' || a.currency, 'is below zero: ' || b.balance_minor"
        " FROM ledger_balances b JOIN ledger_accounts a ON a.id = b.account_id"
        " WHERE a.id > :after AND a.id <= :upto AND b.balance_minor < 0",
    ),
    Check(
        "I4",
        "ledger_accounts",
        "SELECT 'ledger_account ' || a.path || ' ' || a.currency, 'its entries fall below zero at entry ' || min(r.id)"
        " FROM (SELECT e.id, e.account_id, sum(e.amount_minor) OVER (PARTITION BY e.account_id ORDER BY e.id)"
        " AS running FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id"
        " WHERE a.id > :after AND a.id <= :upto AND a.customer_id IS NOT NULL) r"
        " JOIN ledger_accounts a ON a.id = r.account_id"
        " WHERE CASE a.normal_side WHEN 'debit' THEN r.running ELSE -r.running END < 0 GROUP BY a.path, a.currency",
    ),
    Check(
        "I5",
        "ledger_transactions",
        "SELECT DISTINCT 'ledger_transaction ' || t.resolves_id, 'is resolved more than once'"
        " FROM ledger_transactions t JOIN ledger_transactions other ON other.resolves_id = t.resolves_id"
        " AND other.id <> t.id WHERE t.id > :after AND t.id <= :upto",
    ),
    Check(
        "I5",
        "ledger_transactions",
        "SELECT 'ledger_transaction ' || t.id, 'resolves a posting that was not pending: ' || p.kind"
        " FROM ledger_transactions t JOIN ledger_transactions p ON p.id = t.resolves_id"
        " WHERE t.id > :after AND t.id <= :upto AND p.kind NOT IN"
        " ('conversion.pending', 'conversion.unattributed', 'conversion.attributed', 'bonus.pending')",
    ),
    Check(
        "I6",
        "ledger_transactions",
        "SELECT DISTINCT 'ledger_transaction ' || t.reverses_id, 'is reversed more than once'"
        " FROM ledger_transactions t JOIN ledger_transactions other ON other.reverses_id = t.reverses_id"
        " AND other.id <> t.id WHERE t.id > :after AND t.id <= :upto",
    ),
    Check(
        # Over all postings about one sale, nothing is taken back that was not given.
        "I6",
        "conversions",
        "SELECT 'conversion ' || c.id, 'more was reversed than posted on ' || b.path FROM conversions c"
        " CROSS JOIN LATERAL (SELECT a.path, sum(CASE a.normal_side WHEN 'debit' THEN e.amount_minor"
        f" ELSE -e.amount_minor END) AS left_minor {_booked('conversion', 'c')}"
        " AND (a.path LIKE 'income:%' OR a.path LIKE 'expenses:%' OR a.path LIKE 'liabilities:unattributed:%')"
        " GROUP BY a.path) b WHERE c.id > :after AND c.id <= :upto AND b.left_minor < 0",
    ),
    Check(
        "I7",
        "ledger_transactions",
        "SELECT DISTINCT 'cause ' || t.source || ' ' || t.external_id, 'is posted more than once'"
        " FROM ledger_transactions t JOIN ledger_transactions other ON other.source = t.source"
        " AND other.external_id = t.external_id AND other.id <> t.id WHERE t.id > :after AND t.id <= :upto",
    ),
    Check(
        # Which no check of sales would come by.
        "I3",
        "ledger_transactions",
        "SELECT 'ledger_transaction ' || t.id, 'is about a sale that does not exist' FROM ledger_transactions t"
        " WHERE t.id > :after AND t.id <= :upto AND t.source = 'conversion' AND NOT EXISTS (SELECT FROM conversions c"
        " WHERE c.id = split_part(t.external_id, ':', 1)::uuid)",
    ),
    Check(
        "I3",
        "ledger_transactions",
        "SELECT 'ledger_transaction ' || t.id, 'is about a bonus that does not exist' FROM ledger_transactions t"
        " WHERE t.id > :after AND t.id <= :upto AND t.source = 'bonus' AND NOT EXISTS (SELECT FROM bonuses o"
        " WHERE o.id = split_part(t.external_id, ':', 1)::uuid)",
    ),
    Check(
        "I8",
        None,
        "SELECT 'table ' || wanted.name, 'its append-only trigger is missing or switched off' FROM unnest(ARRAY["
        "'ledger_accounts', 'ledger_transactions', 'ledger_entries', 'ledger_seals']) AS wanted (name)"
        " WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass(wanted.name) AND t.tgenabled = 'O'"
        " AND t.tgname = wanted.name || '_append_only')",
    ),
    Check(
        "I8",
        None,
        "SELECT 'table ' || wanted.name, 'the application may ' || privilege || ' it' FROM unnest(ARRAY["
        "'ledger_accounts', 'ledger_transactions', 'ledger_entries', 'ledger_seals']) AS wanted (name),"
        " unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS privilege"
        " WHERE has_table_privilege(wanted.name, privilege)",
    ),
    Check(
        "I10",
        None,
        "SELECT 'column ' || table_name || '.' || column_name, 'is ' || data_type FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND column_name LIKE '%\\_minor' AND data_type <> 'bigint'"
        " AND table_name IN ('ledger_entries', 'ledger_balances', 'conversions', 'rewards', 'payouts', 'claims',"
        " 'conversion_adjustments', 'sandbox_payouts', 'bonuses', 'bonus_rules', 'claim_approvals')",
    ),
    Check(
        "I11",
        None,
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
    Check(
        "I11",
        "payouts",
        "SELECT 'payout ' || p.id, 'succeeded here; its provider says '"
        " || coalesce(s.status || ' ' || s.amount_minor || ' ' || s.currency, 'nothing')"
        " FROM payouts p LEFT JOIN sandbox_payouts s ON s.key = p.id WHERE p.id > :after AND p.id <= :upto"
        " AND p.provider = 'sandbox'"
        " AND p.state = 'succeeded' AND (s.status, s.amount_minor, s.currency)"
        " IS DISTINCT FROM ('paid', p.amount_minor, p.currency::text)",
    ),
    Check(
        "I11",
        None,
        "SELECT 'payout ' || s.key, 'its provider has paid ' || s.amount_minor || ' ' || s.currency || '; here it is '"
        " || coalesce(p.state, 'missing') FROM sandbox_payouts s LEFT JOIN payouts p ON p.id = s.key"
        " WHERE s.status = 'paid' AND coalesce(p.state, '') NOT IN ('succeeded', 'processing', 'unknown')",
    ),
)
