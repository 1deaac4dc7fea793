"""Does what the books say of others agree with what was reported, settled, earned and paid out?"""

from dataclasses import dataclass

import structlog
from opentelemetry import metrics
from sqlalchemy import text

from wapsi.db import ReadSession

log = structlog.get_logger(__name__)
_differences = metrics.get_meter(__name__).create_gauge(
    "wapsi.ledger.differences", unit="{account}", description="Lines of the last reconciliation that do not agree."
)


@dataclass(frozen=True, slots=True)
class Line:
    """`booked_minor` is what the ledger holds, `reported_minor` what the other tables say it should, in minor units."""

    name: str
    currency: str
    booked_minor: int
    reported_minor: int

    @property
    def difference_minor(self) -> int:
        return self.booked_minor - self.reported_minor


# One statement, and so one moment. What is owed by networks is what they have reported and not yet settled; what is
# owed to customers is what they have earned or were given, and not yet withdrawn or given up.
_QUERY = text(r"""
WITH booked (name, currency, minor) AS (
    SELECT CASE
            WHEN a.path LIKE 'liabilities\:customer\:%\:pending' THEN 'customers, pending'
            WHEN a.customer_id IS NOT NULL THEN 'customers, available less owed'
            ELSE a.path
        END, a.currency,
        sum(CASE WHEN a.path LIKE 'assets\:receivable\:customer\:%' THEN -held.minor ELSE held.minor END)
    FROM ledger_accounts a CROSS JOIN LATERAL (
        SELECT coalesce(b.balance_minor, (
            SELECT sum(CASE a.normal_side WHEN 'debit' THEN e.amount_minor ELSE -e.amount_minor END)
            FROM ledger_entries e WHERE e.account_id = a.id), 0) AS minor
        FROM (SELECT a.id) AS this LEFT JOIN ledger_balances b ON b.account_id = this.id
    ) AS held
    WHERE a.customer_id IS NOT NULL OR a.path LIKE 'assets\:receivable\:%' OR a.path LIKE 'liabilities\:unattributed\:%'
        OR a.path = 'liabilities\:payouts\:in_flight'
    GROUP BY 1, 2
), reported (name, currency, minor) AS (
    SELECT 'assets\:receivable\:' || replace(source, 'direct\:', ''), currency, sum(commission_minor)
    FROM conversions WHERE state IN ('unattributed', 'pending', 'approved') GROUP BY 1, 2
    UNION ALL
    SELECT 'liabilities\:unattributed\:' || replace(source, 'direct\:', ''), currency, sum(commission_minor)
    FROM conversions WHERE state = 'unattributed' GROUP BY 1, 2
    UNION ALL
    SELECT 'customers, pending', currency, sum(amount_minor)
    FROM rewards WHERE state IN ('pending', 'held') GROUP BY 1, 2
    UNION ALL
    SELECT 'customers, pending', currency, sum(amount_minor)
    FROM bonuses WHERE state IN ('pending', 'held') GROUP BY 1, 2
    UNION ALL
    SELECT 'customers, available less owed', currency, sum(minor) FROM (
        SELECT currency, amount_minor AS minor FROM rewards WHERE state = 'confirmed'
        UNION ALL
        SELECT currency, waived_minor FROM rewards WHERE waived_minor > 0
        UNION ALL
        SELECT currency, amount_minor FROM bonuses WHERE state = 'confirmed'
        UNION ALL
        SELECT currency, goodwill_minor FROM claims WHERE goodwill_minor IS NOT NULL
        UNION ALL
        SELECT currency, -amount_minor FROM payouts WHERE state NOT IN ('failed', 'cancelled')
        UNION ALL
        SELECT currency, CASE bucket WHEN 'owed' THEN amount_minor ELSE -amount_minor END FROM forfeitures
    ) AS moves GROUP BY 1, 2
    UNION ALL
    SELECT 'liabilities\:payouts\:in_flight', currency, sum(amount_minor)
    FROM payouts WHERE state NOT IN ('succeeded', 'failed', 'cancelled') GROUP BY 1, 2
)
SELECT name, currency, coalesce(b.minor, 0)::bigint AS booked_minor, coalesce(r.minor, 0)::bigint AS reported_minor
FROM booked b FULL JOIN (SELECT name, currency, sum(minor) AS minor FROM reported GROUP BY 1, 2) r
    USING (name, currency)
ORDER BY name, currency
""")


async def reconcile(session: ReadSession) -> list[Line]:
    """Every receivable and liability in its currency, those that agree too."""
    return [Line(**row) for row in (await session.execute(_QUERY)).mappings()]


async def reconcile_and_report(session: ReadSession) -> list[Line]:
    """The lines that do not agree: an error in the log for each, and their number in the metrics."""
    different = [line for line in await reconcile(session) if line.difference_minor]
    _differences.set(len(different))
    for line in different:
        log.error(
            "ledger_difference",
            name=line.name,
            currency=line.currency,
            booked_minor=line.booked_minor,
            reported_minor=line.reported_minor,
        )
    return different
