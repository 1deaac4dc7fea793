"""The rules of bonuses: who is promised how much for what. A rule only ever changes by ending."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select, text, true

from domains.cashback.errors import BonusRuleEnded, BonusRuleInvalid, BonusRuleNotFound, BonusRuleOverlaps
from domains.cashback.models import BonusRuleRow
from domains.cashback.states import BonusKind
from wapsi.clock import now
from wapsi.db import ReadSession, WriteSession
from wapsi.errors import FieldViolation
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal

# For the way from an operator's clock to ours.
PAST_TOLERANCE = timedelta(minutes=1)
MAX_AMOUNT_MINOR = 10**9
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('bonus_rules', 0))::text")


@dataclass(frozen=True, slots=True)
class NewBonusRule:
    """Whoever joins in [starts_at, ends_at) and earns a cashback of at least `min_reward_minor`, by a purchase within
    `within_days` of joining, brings about a bonus of `amount_minor`: pending for `hold_days` from the confirmation of
    that cashback on, and taken back with it, or where it becomes smaller than that. A customer
    gets at most `max_per_customer` by it, and all together at most `budget_minor`.

    `starts_at` None is at once, `ends_at` None is open.
    """

    name: str
    kind: BonusKind
    currency: str
    amount_minor: int
    min_reward_minor: int
    within_days: int
    hold_days: int
    max_per_customer: int | None = None
    budget_minor: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    terms: str = ""


@dataclass(frozen=True, slots=True)
class BonusRuleView:
    """`spent_minor` is what its bonuses come to that are pending, held or confirmed."""

    id: UUID
    name: str
    terms: str
    kind: BonusKind
    currency: str
    amount_minor: int
    min_reward_minor: int
    within_days: int
    hold_days: int
    max_per_customer: int | None
    budget_minor: int | None
    spent_minor: int
    starts_at: datetime
    ends_at: datetime | None
    created_by: str
    created_at: datetime


async def add_bonus_rule(session: WriteSession, principal: Principal | None, new: NewBonusRule) -> BonusRuleView:
    """Raises BonusRuleInvalid, and BonusRuleOverlaps where one of the kind and currency holds at the same time."""
    moment = now()
    starts_at = new.starts_at or moment
    _check(new, starts_at, moment)
    # Two that are added at once must see each other.
    await session.execute(_LOCK)
    other = await session.scalar(
        select(BonusRuleRow)
        .where(
            BonusRuleRow.kind == new.kind,
            BonusRuleRow.currency == new.currency,
            or_(BonusRuleRow.ends_at.is_(None), BonusRuleRow.ends_at > starts_at),
            true() if new.ends_at is None else BonusRuleRow.starts_at < new.ends_at,
        )
        .limit(1)
    )
    if other is not None:
        raise BonusRuleOverlaps(
            f"The rule “{other.name}” is of this kind and currency, and holds at that time. End it first, or begin"
            " after it.",
            rule_id=str(other.id),
        )
    row = BonusRuleRow(
        id=new_id(),
        name=new.name,
        terms=new.terms,
        kind=new.kind,
        currency=new.currency,
        amount_minor=new.amount_minor,
        min_reward_minor=new.min_reward_minor,
        within_days=new.within_days,
        hold_days=new.hold_days,
        max_per_customer=new.max_per_customer,
        budget_minor=new.budget_minor,
        spent_minor=0,
        starts_at=starts_at,
        ends_at=new.ends_at,
        created_by=audit.SYSTEM if principal is None else str(principal),
        created_at=moment,
    )
    session.add(row)
    await session.flush()
    await audit.record(
        session,
        principal,
        action="bonus_rule.added",
        target=f"bonus_rule:{row.id}",
        after={"kind": row.kind, "currency": row.currency, "amount_minor": row.amount_minor},
    )
    return view(row)


async def end_bonus_rule(session: WriteSession, principal: Principal, rule_id: UUID) -> BonusRuleView:
    """From now on nobody joins under it; who has joined keeps the promise. Raises BonusRuleNotFound and -Ended."""
    row = await session.get_locked(BonusRuleRow, rule_id)
    if row is None:
        raise BonusRuleNotFound("There is no such bonus rule.", rule_id=str(rule_id))
    moment = now()
    if row.ends_at is not None and row.ends_at <= moment:
        raise BonusRuleEnded(f"The rule “{row.name}” ended at {row.ends_at.isoformat()}.", rule_id=str(rule_id))
    before = None if row.ends_at is None else row.ends_at.isoformat()
    row.ends_at = max(moment, row.starts_at)
    await session.flush()
    await audit.record(
        session,
        principal,
        action="bonus_rule.ended",
        target=f"bonus_rule:{rule_id}",
        before={"ends_at": before},
        after={"ends_at": row.ends_at.isoformat()},
    )
    return view(row)


async def current_bonus_rules(session: ReadSession) -> list[BonusRuleView]:
    """What whoever joins now is promised."""
    moment = now()
    rows = await session.scalars(
        select(BonusRuleRow)
        .where(BonusRuleRow.starts_at <= moment, or_(BonusRuleRow.ends_at.is_(None), BonusRuleRow.ends_at > moment))
        .order_by(BonusRuleRow.currency, BonusRuleRow.kind)
    )
    return [view(row) for row in rows]


async def list_bonus_rules(session: ReadSession, *, limit: int, before: UUID | None = None) -> list[BonusRuleView]:
    """The newest first."""
    statement = select(BonusRuleRow).order_by(BonusRuleRow.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(BonusRuleRow.id < before)
    return [view(row) for row in await session.scalars(statement)]


def _check(new: NewBonusRule, starts_at: datetime, moment: datetime) -> None:
    violations = []
    for name in ("starts_at", "ends_at"):
        value = getattr(new, name)
        if value is not None and value.tzinfo is None:
            violations.append(FieldViolation(name, "must name its UTC offset"))
    if not violations and starts_at < moment - PAST_TOLERANCE:
        violations.append(FieldViolation("starts_at", "lies in the past: who joined then was promised nothing"))
    if not violations and new.ends_at is not None and new.ends_at <= starts_at:
        violations.append(FieldViolation("ends_at", "must be after the start"))
    if not 0 < new.amount_minor <= MAX_AMOUNT_MINOR:
        violations.append(FieldViolation("amount_minor", f"must be 1 to {MAX_AMOUNT_MINOR}"))
    if new.budget_minor is not None and new.budget_minor < new.amount_minor:
        violations.append(FieldViolation("budget_minor", "does not cover a single bonus"))
    if violations:
        first = violations[0]
        raise BonusRuleInvalid(f"This rule cannot be added: {first.field} {first.description}.", violations=violations)


def view(row: BonusRuleRow) -> BonusRuleView:
    return BonusRuleView(
        id=row.id,
        name=row.name,
        terms=row.terms,
        kind=BonusKind(row.kind),
        currency=row.currency,
        amount_minor=row.amount_minor,
        min_reward_minor=row.min_reward_minor,
        within_days=row.within_days,
        hold_days=row.hold_days,
        max_per_customer=row.max_per_customer,
        budget_minor=row.budget_minor,
        spent_minor=row.spent_minor,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        created_by=row.created_by,
        created_at=row.created_at,
    )
