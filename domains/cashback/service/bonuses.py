"""Bonuses: given when somebody new has earned a first cashback, and taken back when that is."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Select, and_, or_, select

from domains.cashback.errors import BonusNotFound
from domains.cashback.models import BonusRow, BonusRuleRow, RewardRow
from domains.cashback.service import ledger
from domains.cashback.service.bonus_causes import CAUSE_REVERSED, Earned, Given, beneficiary, earned_by
from domains.cashback.service.bonus_postings import post_confirmed, post_declined, post_pending, post_reversed
from domains.cashback.service.drafts import Draft
from domains.cashback.service.history import Cause
from domains.cashback.service.writing import Written, write
from domains.cashback.states import BONUS_STATES, BONUSES_BOOKED, BonusState, Entity, RewardState
from domains.customers import service as customers
from wapsi.clock import now
from wapsi.db import WriteSession
from wapsi.ids import new_id
from wapsi.security import audit
from wapsi.security.principal import Principal
from wapsi.telemetry.setup import current_trace_id

_B = BonusState
WAITED = "waiting_time_over"

AT_ONCE = 500


async def award(session: WriteSession, reward_ids: Collection[UUID]) -> int:
    """Gives what these cashbacks bring about, each once; returns how many bonuses there are now that were not before.

    Rules are locked, so that neither their budget nor anybody's limit is overrun.
    """
    if not reward_ids:
        return 0
    earned = await earned_by(session, reward_ids)
    rules = await _rules_of(session, earned)
    if not rules:
        return 0
    driver = await session.driver()
    standing = await customers.standing_of(driver, {one.customer_id for one in earned})
    invited = {(their.referred_by, who) for who, their in standing.items() if their.referred_by is not None}
    standing |= await customers.standing_of(driver, {referrer for referrer, _ in invited})
    shared = await customers.sharing_an_account(driver, invited)
    given = await Given.load(session, rules, earned, [referrer for referrer, _ in invited])
    made: list[tuple[BonusRow, BonusRuleRow]] = []
    for one in earned:
        for rule in rules:
            customer_id = beneficiary(rule, one, standing)
            if customer_id is None or not given.is_first(rule, customer_id, one):
                continue
            suspect = (standing[one.customer_id].referred_by, one.customer_id) in shared
            state, reason = given.allows(rule, customer_id, standing[customer_id].status, suspect=suspect)
            row = _bonus(rule, customer_id, one, state, reason)
            given.note(row)
            if state in BONUSES_BOOKED:
                rule.spent_minor += rule.amount_minor
            made.append((row, rule))
    await _write_new(session, made)
    return len(made)


async def _rules_of(session: WriteSession, earned: Sequence[Earned]) -> list[BonusRuleRow]:
    """Locked, in one order."""
    if not earned:
        return []
    statement = select(BonusRuleRow).where(BonusRuleRow.currency.in_({one.currency for one in earned}))
    return list(await session.scalars(statement.order_by(BonusRuleRow.id).with_for_update()))


def _bonus(rule: BonusRuleRow, customer_id: UUID, one: Earned, state: BonusState, reason: str) -> BonusRow:
    moment = now()
    return BonusRow(
        id=new_id(),
        rule_id=rule.id,
        customer_id=customer_id,
        newcomer_id=one.customer_id,
        reward_id=one.id,
        state=state,
        amount_minor=rule.amount_minor,
        currency=rule.currency,
        reason_code=reason,
        available_at=moment + timedelta(days=rule.hold_days),
        created_at=moment,
        updated_at=moment,
    )


async def _write_new(session: WriteSession, made: Sequence[tuple[BonusRow, BonusRuleRow]]) -> None:
    if not made:
        return
    draft = await _draft(session, [row for row, _ in made])
    for row, rule in made:
        if row.state in BONUSES_BOOKED:
            post_pending(draft, row, rule.name)
        draft.record(Entity.BONUS, row.id, None, row.state, Cause(audit.SYSTEM, row.reason_code))
    await write(await session.driver(), Written(drafts=[draft]))
    session.add_all([row for row, _ in made])
    await session.flush()


async def take_back(session: WriteSession, reward_ids: Collection[UUID]) -> int:
    """Bonuses whose cause was declined or taken back go with it, and confirmed ones also where it has become smaller
    than the rule asks; returns how many. One that still waits is looked at when its time is over."""
    if not reward_ids:
        return 0
    shrunken = and_(
        BonusRow.state == _B.CONFIRMED,
        RewardRow.state == RewardState.CONFIRMED,
        RewardRow.amount_minor < BonusRuleRow.min_reward_minor,
    )
    gone = await _cause_gone(
        session,
        select(BonusRow.id)
        .join(RewardRow, RewardRow.id == BonusRow.reward_id)
        .join(BonusRuleRow, BonusRuleRow.id == BonusRow.rule_id)
        .where(
            BonusRow.reward_id.in_(reward_ids),
            BonusRow.state.in_(BONUSES_BOOKED),
            or_(RewardRow.state.in_([RewardState.DECLINED, RewardState.REVERSED]), shrunken),
        ),
    )
    return len(gone)


async def take_back_shrunken(session: WriteSession, *, limit: int = AT_ONCE) -> list[UUID]:
    """Bonuses that have waited for long enough, and whose cause has become too small meanwhile; returns the causes."""
    due = (BonusRow.state == _B.PENDING, BonusRow.available_at <= now(), RewardRow.state == RewardState.CONFIRMED)
    return await _cause_gone(
        session,
        select(BonusRow.id)
        .join(RewardRow, RewardRow.id == BonusRow.reward_id)
        .join(BonusRuleRow, BonusRuleRow.id == BonusRow.rule_id)
        .where(*due, RewardRow.amount_minor < BonusRuleRow.min_reward_minor)
        .order_by(BonusRow.available_at, BonusRow.id)
        .limit(limit),
    )


async def _cause_gone(session: WriteSession, ids: Select[UUID]) -> list[UUID]:
    # What an operator has ended meanwhile is not ended again.
    rows = [(row, rule) for row, rule in await _locked(session, ids) if row.state in BONUSES_BOOKED]
    if rows:
        draft = await _draft(session, [row for row, _ in rows])
        for row, rule in rows:
            _end(draft, row, rule, Cause(audit.SYSTEM, CAUSE_REVERSED))
        await write(await session.driver(), Written(drafts=[draft]))
    await session.flush()
    return [row.reward_id for row, _ in rows]


async def mature(session: WriteSession, *, limit: int = AT_ONCE) -> int:
    """What has waited for long enough becomes available, where its cause still stands; returns how many did."""
    rows = (
        await session.scalars(
            select(BonusRow)
            .join(RewardRow, RewardRow.id == BonusRow.reward_id)
            .join(BonusRuleRow, BonusRuleRow.id == BonusRow.rule_id)
            .where(
                BonusRow.state == _B.PENDING,
                BonusRow.available_at <= now(),
                RewardRow.state == RewardState.CONFIRMED,
                RewardRow.amount_minor >= BonusRuleRow.min_reward_minor,
            )
            .order_by(BonusRow.available_at, BonusRow.id)
            .limit(limit)
            .with_for_update(of=BonusRow, skip_locked=True)
        )
    ).all()
    if rows:
        draft = await _draft(session, rows)
        for row in rows:
            post_confirmed(draft, row)
            row.confirmed_at = now()
            _move(draft, row, _B.CONFIRMED, Cause(audit.SYSTEM, WAITED))
        await write(await session.driver(), Written(drafts=[draft]))
    await session.flush()
    return len(rows)


async def release_bonus(session: WriteSession, principal: Principal, bonus_id: UUID, reason_code: str) -> None:
    """A held bonus waits like the others again. Raises BonusNotFound and IllegalMove."""
    row = await session.get_locked(BonusRow, bonus_id)
    if row is None:
        raise _not_found(bonus_id)
    before = row.state
    BONUS_STATES.check(_B(before), _B.PENDING)
    draft = Draft({}, (), current_trace_id())
    _move(draft, row, _B.PENDING, Cause(str(principal), reason_code))
    await write(await session.driver(), Written(drafts=[draft]))
    await session.flush()
    await _audit(session, principal, "bonus.released", row, before)


async def decline_bonus(session: WriteSession, principal: Principal, bonus_id: UUID, reason_code: str) -> None:
    """Held or still pending. Raises BonusNotFound and IllegalMove."""
    found = await _locked(session, select(BonusRow.id).where(BonusRow.id == bonus_id))
    if not found:
        raise _not_found(bonus_id)
    [(row, rule)] = found
    before = row.state
    BONUS_STATES.check(_B(before), _B.DECLINED)
    draft = await _draft(session, [row])
    _end(draft, row, rule, Cause(str(principal), reason_code))
    await write(await session.driver(), Written(drafts=[draft]))
    await session.flush()
    await _audit(session, principal, "bonus.declined", row, before)


def _end(draft: Draft, row: BonusRow, rule: BonusRuleRow, cause: Cause) -> None:
    """Takes back what is booked; the budget has it again."""
    if row.state == _B.CONFIRMED:
        post_reversed(draft, row)
        target = _B.REVERSED
    else:
        post_declined(draft, row)
        target = _B.DECLINED
    rule.spent_minor -= row.amount_minor
    _move(draft, row, target, cause)


def _move(draft: Draft, row: BonusRow, target: BonusState, cause: Cause) -> None:
    """Raises IllegalMove."""
    before = _B(row.state)
    row.state = BONUS_STATES.check(before, target)
    row.reason_code = cause.reason_code
    row.updated_at = now()
    draft.record(Entity.BONUS, row.id, before, target, cause)


async def _locked(session: WriteSession, ids: Select[UUID]) -> list[tuple[BonusRow, BonusRuleRow]]:
    """With their rules, which are locked first, as giving locks them."""
    found = (await session.scalars(ids)).all()
    if not found:
        return []
    rule_ids = select(BonusRow.rule_id).where(BonusRow.id.in_(found))
    rules = await session.scalars(
        select(BonusRuleRow).where(BonusRuleRow.id.in_(rule_ids)).order_by(BonusRuleRow.id).with_for_update()
    )
    by_id = {rule.id: rule for rule in rules}
    rows = await session.scalars(
        select(BonusRow)
        .where(BonusRow.id.in_(found))
        .order_by(BonusRow.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return [(row, by_id[row.rule_id]) for row in rows]


async def _draft(session: WriteSession, rows: Sequence[BonusRow]) -> Draft:
    """With the locked balances of those whom the bonuses are for."""
    whose = {row.customer_id for row in rows}
    return Draft(await ledger.locked_balances(await session.driver(), whose), whose, current_trace_id())


def _not_found(bonus_id: UUID) -> BonusNotFound:
    return BonusNotFound("There is no such bonus.", bonus_id=str(bonus_id))


async def _audit(session: WriteSession, principal: Principal, action: str, row: BonusRow, before: str) -> None:
    await audit.record(
        session,
        principal,
        action=action,
        target=f"bonus:{row.id}",
        before={"state": before},
        after={"state": row.state, "reason_code": row.reason_code},
    )
