"""Bonuses as customers and operators see them, and why each is what it is. Who a friend is stays the friend's own."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from domains.cashback.errors import BonusNotFound
from domains.cashback.models import BonusRow, BonusRuleRow
from domains.cashback.service import books, history
from domains.cashback.service.bonus_causes import (
    BUDGET_SPENT,
    CAUSE_REVERSED,
    LIMIT_REACHED,
    NOT_ACTIVE,
    SHARED_ACCOUNT,
)
from domains.cashback.service.bonus_rules import BonusRuleView, view
from domains.cashback.service.history import StateChange
from domains.cashback.service.story import StoryLine
from domains.cashback.states import BonusKind, BonusState
from wapsi.db import ReadSession
from wapsi.money import Money, format_money

_B = BonusState
_REASONS = {
    LIMIT_REACHED: "you have had as many bonuses as this promotion gives to one customer",
    BUDGET_SPENT: "what this promotion had to give is spent",
    SHARED_ACCOUNT: "you and your friend are paid to the same account",
    NOT_ACTIVE: "the account is not active",
    CAUSE_REVERSED: "the cashback that it was given for was taken back, or has become too small for it",
}


@dataclass(frozen=True, slots=True)
class BonusView:
    """`reward_id` is the cashback that it was given for, where that is the customer's own. `newcomer_id`, and that of
    another's cashback, are for operators only."""

    id: UUID
    customer_id: UUID
    newcomer_id: UUID
    reward_id: UUID
    rule_id: UUID
    name: str
    kind: BonusKind
    state: BonusState
    amount_minor: int
    currency: str
    reason_code: str
    available_at: datetime
    confirmed_at: datetime | None
    created_at: datetime

    @property
    def own_reward_id(self) -> UUID | None:
        return self.reward_id if self.newcomer_id == self.customer_id else None


@dataclass(frozen=True, slots=True)
class BonusExplanation:
    bonus: BonusView
    rule: BonusRuleView
    story: list[StoryLine]
    ledger: list[books.TransactionView]


async def list_bonuses(
    session: ReadSession,
    *,
    limit: int,
    customer_id: UUID | None = None,
    state: BonusState | None = None,
    before: UUID | None = None,
) -> list[BonusView]:
    """The newest first; of one customer, or of all."""
    statement = (
        select(BonusRow, BonusRuleRow)
        .join(BonusRuleRow, BonusRuleRow.id == BonusRow.rule_id)
        .order_by(BonusRow.id.desc())
        .limit(limit)
    )
    if customer_id is not None:
        statement = statement.where(BonusRow.customer_id == customer_id)
    if state is not None:
        statement = statement.where(BonusRow.state == state)
    if before is not None:
        statement = statement.where(BonusRow.id < before)
    return [_view(row.BonusRow, row.BonusRuleRow) for row in await session.execute(statement)]


async def explain_bonus(session: ReadSession, bonus_id: UUID, customer_id: UUID | None = None) -> BonusExplanation:
    """Of this customer, or of any. Raises BonusNotFound, for another customer's too."""
    row = await session.get(BonusRow, bonus_id)
    if row is None or customer_id not in (None, row.customer_id):
        raise BonusNotFound("There is no such bonus.", bonus_id=str(bonus_id))
    rule = await session.get(BonusRuleRow, row.rule_id)
    assert rule is not None
    changes = await history.of(session, row.id)
    return BonusExplanation(
        bonus=_view(row, rule),
        rule=view(rule),
        story=[StoryLine(change.at, _sentence(change, row, rule)) for change in changes],
        ledger=await books.transactions_of_bonus(session, row.id),
    )


def _sentence(change: StateChange, row: BonusRow, rule: BonusRuleRow) -> str:
    amount = format_money(Money(row.amount_minor, row.currency))
    reason = _REASONS.get(change.reason_code, change.reason_code.replace("_", " "))
    sentences = {
        _B.PENDING: f"It becomes available on {row.available_at:%-d %B %Y}, unless the cashback behind it is taken back"
        " before.",
        _B.HELD: f"It is held for a check: {reason}.",
        _B.CONFIRMED: f"{amount} can be withdrawn.",
        _B.DECLINED: f"It was declined: {reason}.",
        _B.REVERSED: f"{amount} was taken back: {reason}.",
    }
    sentence = sentences[_B(change.to_state)]
    if change.from_state is not None:
        return sentence
    least = format_money(Money(rule.min_reward_minor, rule.currency))
    who = {
        BonusKind.SIGN_UP: "you earned a first cashback",
        BonusKind.REFERRED: "you came by an invitation and earned a first cashback",
        BonusKind.REFERRER: "a friend whom you invited earned a first cashback",
    }[BonusKind(rule.kind)]
    return f"The bonus “{rule.name}” of {amount}: {who} of at least {least}. {sentence}"


def _view(row: BonusRow, rule: BonusRuleRow) -> BonusView:
    return BonusView(
        id=row.id,
        customer_id=row.customer_id,
        newcomer_id=row.newcomer_id,
        reward_id=row.reward_id,
        rule_id=row.rule_id,
        name=rule.name,
        kind=BonusKind(rule.kind),
        state=BonusState(row.state),
        amount_minor=row.amount_minor,
        currency=row.currency,
        reason_code=row.reason_code,
        available_at=row.available_at,
        confirmed_at=row.confirmed_at,
        created_at=row.created_at,
    )
