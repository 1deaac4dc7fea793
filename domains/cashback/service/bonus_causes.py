"""What a confirmed cashback brings about by the rules, and what keeps it from that."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text

from domains.cashback.models import BonusRow, BonusRuleRow
from domains.cashback.states import BONUSES_BOOKED, BonusKind, BonusState
from domains.customers import service as customers
from wapsi.db import ReadSession, WriteSession

_B = BonusState
EARNED = "first_cashback_confirmed"
LIMIT_REACHED = "limit_reached"
BUDGET_SPENT = "budget_spent"
SHARED_ACCOUNT = "shared_payout_account"
NOT_ACTIVE = "account_not_active"
CAUSE_REVERSED = "cause_reversed"

_EARNED = text(
    "SELECT r.id, r.customer_id, r.amount_minor, r.currency, c.occurred_at AS purchased_at FROM rewards r"
    " JOIN conversions c ON c.id = r.conversion_id WHERE r.id = ANY(:ids) AND r.state = 'confirmed' ORDER BY r.id"
)
_IN_PLACE = text(
    f"SELECT DISTINCT r.id FROM bonuses b JOIN rewards r ON r.customer_id = b.newcomer_id AND r.currency = b.currency"  # noqa: S608
    f" WHERE b.reward_id = ANY(:ids) AND b.reason_code = '{CAUSE_REVERSED}' AND b.state IN ('declined', 'reversed')"
    f" AND r.state = 'confirmed'"
)


@dataclass(frozen=True, slots=True)
class Earned:
    """A confirmed cashback."""

    id: UUID
    customer_id: UUID
    amount_minor: int
    currency: str
    purchased_at: datetime


async def earned_by(session: ReadSession, reward_ids: Collection[UUID]) -> list[Earned]:
    """Those of them that are confirmed."""
    return [Earned(**row) for row in (await session.execute(_EARNED, {"ids": list(reward_ids)})).mappings()]


async def in_place_of(session: ReadSession, reward_ids: Collection[UUID]) -> list[UUID]:
    """Of those whose cashback brought about bonuses that went with it, what else they have earned."""
    if not reward_ids:
        return []
    return list(await session.scalars(_IN_PLACE, {"ids": list(reward_ids)}))


def beneficiary(rule: BonusRuleRow, one: Earned, standing: Mapping[UUID, customers.Standing]) -> UUID | None:
    """Who gets something by this rule for this cashback."""
    newcomer = standing[one.customer_id]
    joined_in_time = rule.starts_at <= newcomer.joined_at and (
        rule.ends_at is None or newcomer.joined_at < rule.ends_at
    )
    soon_enough = one.purchased_at <= newcomer.joined_at + timedelta(days=rule.within_days)
    large_enough = one.currency == rule.currency and one.amount_minor >= rule.min_reward_minor
    if not (joined_in_time and soon_enough and large_enough):
        return None
    if rule.kind == BonusKind.SIGN_UP:
        found: UUID | None = one.customer_id
    elif newcomer.referred_by is None:
        return None
    else:
        found = newcomer.referred_by if rule.kind == BonusKind.REFERRER else one.customer_id
    # Whoever has left is owed nothing.
    return None if found is None or standing[found].status is customers.CustomerStatus.DELETED else found


class Given:
    """What rules have given already to those whom it is about."""

    def __init__(self, rows: Sequence[BonusRow], counts: dict[tuple[UUID, UUID], int]) -> None:
        # What ended because its cause was taken back leaves the next cashback the first one again.
        self._settled = {
            (row.rule_id, row.customer_id, row.newcomer_id)
            for row in rows
            # Operators may give that reason too, also for releasing one.
            if row.state in BONUSES_BOOKED or row.reason_code != CAUSE_REVERSED
        }
        self._causes = {(row.rule_id, row.customer_id, row.reward_id) for row in rows}
        self._counts = counts

    @classmethod
    async def load(
        cls,
        session: WriteSession,
        rules: Sequence[BonusRuleRow],
        earned: Sequence[Earned],
        referrers: Sequence[UUID],
    ) -> "Given":
        newcomers = {one.customer_id for one in earned}
        rows = await session.scalars(select(BonusRow).where(BonusRow.newcomer_id.in_(newcomers)))
        counts = await session.execute(
            text(
                "SELECT rule_id, customer_id, count(*) AS bonuses FROM bonuses WHERE customer_id = ANY(:customers)"
                " AND rule_id = ANY(:rules) AND state IN ('pending', 'held', 'confirmed') GROUP BY 1, 2"
            ),
            {"customers": [*newcomers, *referrers], "rules": [rule.id for rule in rules]},
        )
        return cls(rows.all(), {(row.rule_id, row.customer_id): row.bonuses for row in counts})

    def is_first(self, rule: BonusRuleRow, customer_id: UUID, one: Earned) -> bool:
        return (rule.id, customer_id, one.customer_id) not in self._settled and (
            rule.id,
            customer_id,
            one.id,
        ) not in self._causes

    def allows(
        self, rule: BonusRuleRow, customer_id: UUID, status: customers.CustomerStatus, *, suspect: bool
    ) -> tuple[BonusState, str]:
        """Its first state, and why."""
        if rule.max_per_customer is not None and self._counts.get((rule.id, customer_id), 0) >= rule.max_per_customer:
            return _B.DECLINED, LIMIT_REACHED
        if rule.budget_minor is not None and rule.spent_minor + rule.amount_minor > rule.budget_minor:
            return _B.DECLINED, BUDGET_SPENT
        if suspect and rule.kind != BonusKind.SIGN_UP:
            return _B.HELD, SHARED_ACCOUNT
        if status is not customers.CustomerStatus.ACTIVE:
            return _B.HELD, NOT_ACTIVE
        return _B.PENDING, EARNED

    def note(self, row: BonusRow) -> None:
        self._settled.add((row.rule_id, row.customer_id, row.newcomer_id))
        self._causes.add((row.rule_id, row.customer_id, row.reward_id))
        if row.state in BONUSES_BOOKED:
            key = (row.rule_id, row.customer_id)
            self._counts[key] = self._counts.get(key, 0) + 1
