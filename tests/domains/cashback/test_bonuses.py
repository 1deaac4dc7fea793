"""Bonuses: by rules that are data, once a cause, taken back with it, and explained."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domains.cashback import service
from domains.cashback.errors import BonusNotFound, BonusRuleEnded, BonusRuleInvalid, BonusRuleOverlaps
from domains.cashback.service.bonuses import award
from domains.customers import service as customers
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.state import IllegalMove

OPERATOR = Principal(PrincipalKind.OPERATOR, UUID(int=1), frozenset(Permission))
NONE = {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}
BONUS = 50_000


async def rule(world: Any, kind: str = "referrer", **changes: Any) -> service.BonusRuleView:
    """PKR 500 for a first cashback of PKR 10 or more."""
    fields: dict[str, Any] = {"amount_minor": BONUS, "min_reward_minor": 1_000, "within_days": 90, "hold_days": 30}
    new = service.NewBonusRule("Bring a friend", service.BonusKind(kind), "PKR", **(fields | changes))
    async with world.db.write() as session:
        return await service.add_bonus_rule(session, OPERATOR, new)


async def friend_of(world: Any, referrer: UUID, number: int = 0) -> UUID:
    async with world.db.write() as session:
        found = await customers.create_customer(
            session,
            email=f"friend-{number}-of-{referrer}@wapsi.example",
            password_hash="none",
            display_name="Bilal",
            referred_by=referrer,
        )
    assert found is not None
    return found


async def follow(world: Any) -> None:
    await world.run_periodic("cashback.follow_rewards")


async def wait_is_over(world: Any) -> None:
    await world.sql("UPDATE bonuses SET available_at = now()")
    await follow(world)


async def bonuses(world: Any, customer_id: UUID) -> list[tuple[str, str]]:
    async with world.db.read() as session:
        found = await service.list_bonuses(session, limit=100, customer_id=customer_id)
    return [(str(bonus.state), bonus.reason_code) for bonus in found]


async def decline_sale_of(world: Any, reward_id: UUID) -> None:
    rows = await world.sql("SELECT conversion_id FROM rewards WHERE id = $1", reward_id)
    async with world.db.write() as session:
        await service.decide(
            session, OPERATOR, rows[0]["conversion_id"], service.ConversionState.DECLINED, "order_returned"
        )


async def test_first_confirmed_cashback_of_a_friend_brings_a_bonus_that_waits(world: Any) -> None:
    await rule(world)
    referrer = await world.customer()
    friend = await friend_of(world, referrer)
    await world.earn(friend, 1_000)
    await follow(world)
    assert await bonuses(world, referrer) == [("pending", "first_cashback_confirmed")]
    assert await world.balance(referrer) == NONE | {"pending": BONUS}
    assert await bonuses(world, friend) == []
    await wait_is_over(world)
    assert await bonuses(world, referrer) == [("confirmed", "waiting_time_over")]
    assert await world.balance(referrer) == NONE | {"available": BONUS}
    async with world.db.read() as session:
        held = {account.path: account.balance_minor for account in await service.list_accounts(session, limit=100)}
        assert not [line for line in await service.reconcile(session) if line.difference_minor]
    assert held["expenses:bonus"] == BONUS
    assert await world.violations() == []


async def test_second_cashback_and_a_second_look_bring_nothing(world: Any) -> None:
    await rule(world)
    referrer = await world.customer()
    friend = await friend_of(world, referrer)
    rewards = [await world.earn(friend, 1_000), await world.earn(friend, 5_000)]
    await follow(world)
    await world.sql("UPDATE bonus_search SET state_change_id = 0")
    await follow(world)
    async with world.db.write() as session:
        assert await award(session, rewards) == 0
    assert len(await bonuses(world, referrer)) == 1
    assert await world.violations() == []


async def test_same_cause_given_twenty_times_at_once_is_given_once(world: Any) -> None:
    await rule(world)
    referrer = await world.customer()
    reward_id = await world.earn(await friend_of(world, referrer), 1_000)

    async def give() -> int:
        async with world.db.write() as session:
            return await award(session, [reward_id])

    assert sum(await asyncio.gather(*(give() for _ in range(20)))) == 1
    assert await world.balance(referrer) == NONE | {"pending": BONUS}
    assert await world.violations() == []


@pytest.mark.parametrize(("kind", "expected"), [("sign_up", 1), ("referred", 0)])
async def test_newcomers_own_bonus_depends_on_an_invitation_only_where_the_rule_says_so(
    world: Any, kind: str, expected: int
) -> None:
    await rule(world, kind)
    shopper = await world.customer()
    invited = await friend_of(world, shopper)
    for someone in (shopper, invited):
        await world.earn(someone, 1_000)
    await follow(world)
    assert len(await bonuses(world, shopper)) == expected
    assert len(await bonuses(world, invited)) == 1


async def test_pending_cashback_one_that_is_too_small_and_a_late_purchase_bring_nothing(world: Any) -> None:
    await rule(world)
    referrer = await world.customer()
    small, pending, late = [await friend_of(world, referrer, number) for number in range(3)]
    await world.earn(small, 999)
    await world.report(conversion_id="still-pending", click_id=str((await world.click(pending)).id))
    reward_id = await world.earn(late, 1_000)
    await world.sql(
        "UPDATE conversions SET occurred_at = now() + interval '91 days'"
        " WHERE id = (SELECT conversion_id FROM rewards WHERE id = $1)",
        reward_id,
    )
    await follow(world)
    assert await bonuses(world, referrer) == []


async def test_who_joined_before_the_rule_or_after_its_end_was_promised_nothing(world: Any) -> None:
    referrer = await world.customer()
    early = await friend_of(world, referrer, 1)
    made = await rule(world)
    during = await friend_of(world, referrer, 2)
    async with world.db.write() as session:
        await service.end_bonus_rule(session, OPERATOR, made.id)
    after = await friend_of(world, referrer, 3)
    for someone in (early, during, after):
        await world.earn(someone, 1_000)
    await follow(world)
    rows = await world.sql("SELECT newcomer_id FROM bonuses")
    assert [row["newcomer_id"] for row in rows] == [during]
    with pytest.raises(BonusRuleEnded):
        async with world.db.write() as session:
            await service.end_bonus_rule(session, OPERATOR, made.id)


async def test_bonus_goes_with_its_cause_and_the_next_cashback_is_the_first_one_again(world: Any) -> None:
    await rule(world)
    referrer = await world.customer()
    friend = await friend_of(world, referrer)
    reward_id = await world.earn(friend, 1_000)
    await follow(world)
    await decline_sale_of(world, reward_id)
    await follow(world)
    assert await bonuses(world, referrer) == [("declined", "cause_reversed")]
    assert await world.balance(referrer) == NONE
    await world.earn(friend, 1_000)
    await follow(world)
    assert [state for state, _ in await bonuses(world, referrer)] == ["pending", "declined"]
    assert await world.violations() == []


async def test_bonus_that_was_withdrawn_is_owed_when_its_cause_is_taken_back(world: Any) -> None:
    await rule(world)
    referrer = await world.customer()
    reward_id = await world.earn(await friend_of(world, referrer), 1_000)
    await follow(world)
    await wait_is_over(world)
    await world.withdraw(referrer, await world.payout_method(referrer), 40_000)
    await decline_sale_of(world, reward_id)
    await follow(world)
    assert await bonuses(world, referrer) == [("reversed", "cause_reversed")]
    assert await world.balance(referrer) == NONE | {"in_flight": 40_000, "owed": 40_000}
    assert await world.violations() == []


async def test_what_is_owed_is_kept_back_from_a_bonus(world: Any) -> None:
    await rule(world)
    referrer = await world.customer()
    gone = await world.earn(referrer, 30_000)
    await world.withdraw(referrer, await world.payout_method(referrer), 30_000)
    await decline_sale_of(world, gone)
    await world.earn(await friend_of(world, referrer), 1_000)
    await follow(world)
    await wait_is_over(world)
    assert await world.balance(referrer) == NONE | {"available": BONUS - 30_000, "in_flight": 30_000}
    assert await world.violations() == []


async def test_bonus_waits_while_its_cause_is_held(world: Any) -> None:
    await rule(world)
    referrer = await world.customer()
    reward_id = await world.earn(await friend_of(world, referrer), 1_000)
    await follow(world)
    async with world.db.write() as session:
        await service.hold(session, OPERATOR, reward_id, "odd")
    await wait_is_over(world)
    assert await world.balance(referrer) == NONE | {"pending": BONUS}
    async with world.db.write() as session:
        await service.release(session, OPERATOR, reward_id, "fine")
    await follow(world)
    assert await world.balance(referrer) == NONE | {"available": BONUS}


@pytest.mark.parametrize(
    ("changes", "reason"), [({"max_per_customer": 2}, "limit_reached"), ({"budget_minor": 120_000}, "budget_spent")]
)
async def test_limit_and_budget_are_never_overrun_and_those_too_many_are_told_why(
    world: Any, changes: dict[str, int], reason: str
) -> None:
    made = await rule(world, **changes)
    referrer = await world.customer()
    for number in range(3):
        await world.earn(await friend_of(world, referrer, number), 1_000)
    await follow(world)
    assert await bonuses(world, referrer) == [("declined", reason)] + [("pending", "first_cashback_confirmed")] * 2
    rows = await world.sql("SELECT spent_minor FROM bonus_rules WHERE id = $1", made.id)
    assert rows[0]["spent_minor"] == 2 * BONUS
    assert await world.violations() == []


async def test_friend_who_is_paid_to_the_same_account_is_looked_at_first(world: Any) -> None:
    await rule(world)
    referrer = await world.customer()
    friend = await friend_of(world, referrer)
    for someone in (referrer, friend):
        await world.payout_method(someone)
    await world.earn(friend, 1_000)
    await follow(world)
    await wait_is_over(world)
    assert await bonuses(world, referrer) == [("held", "shared_payout_account")]
    assert (await service.balances(world.db.reads, referrer))[0].held_minor == BONUS
    bonus_id = (await world.sql("SELECT id FROM bonuses"))[0]["id"]
    async with world.db.write() as session:
        await service.release_bonus(session, OPERATOR, bonus_id, "siblings")
    await follow(world)
    assert await world.balance(referrer) == NONE | {"available": BONUS}
    for move in (service.release_bonus, service.decline_bonus):
        with pytest.raises(IllegalMove):
            async with world.db.write() as session:
                await move(session, OPERATOR, bonus_id, "too_late")
    assert await world.violations() == []


async def test_declined_one_is_taken_off_the_books_and_the_budget(world: Any) -> None:
    made = await rule(world, budget_minor=BONUS)
    referrer = await world.customer()
    await world.earn(await friend_of(world, referrer), 1_000)
    await follow(world)
    bonus_id = (await world.sql("SELECT id FROM bonuses"))[0]["id"]
    async with world.db.write() as session:
        await service.decline_bonus(session, OPERATOR, bonus_id, "not_a_friend")
    assert await world.balance(referrer) == NONE
    assert (await world.sql("SELECT spent_minor FROM bonus_rules WHERE id = $1", made.id))[0]["spent_minor"] == 0
    # An operator's no is a no: the cause stands, and nothing comes of it again.
    await world.sql("UPDATE bonus_search SET state_change_id = 0")
    await follow(world)
    assert await bonuses(world, referrer) == [("declined", "not_a_friend")]
    assert await world.violations() == []


async def test_who_has_left_is_owed_nothing_and_who_is_suspended_waits(world: Any) -> None:
    await rule(world)
    left, suspended = await world.customer(), await world.customer()
    friends = [await friend_of(world, left), await friend_of(world, suspended)]
    await world.sql("UPDATE customers SET status = 'deleted', email = NULL WHERE id = $1", left)
    await world.sql("UPDATE customers SET status = 'suspended' WHERE id = $1", suspended)
    for friend in friends:
        await world.earn(friend, 1_000)
    await follow(world)
    assert await bonuses(world, left) == []
    assert await bonuses(world, suspended) == [("held", "account_not_active")]


async def test_explanation_says_for_what_and_until_when_but_never_for_whom(world: Any) -> None:
    await rule(world)
    referrer = await world.customer()
    friend = await friend_of(world, referrer)
    reward_id = await world.earn(friend, 1_000)
    await follow(world)
    await wait_is_over(world)
    bonus_id = (await world.sql("SELECT id FROM bonuses"))[0]["id"]
    async with world.db.read() as session:
        told = await service.explain_bonus(session, bonus_id, referrer)
        with pytest.raises(BonusNotFound):
            await service.explain_bonus(session, bonus_id, friend)
    assert told.story[0].text.startswith(
        "The bonus “Bring a friend” of PKR 500.00: a friend whom you invited earned a first cashback of at least"
        " PKR 10.00. It becomes available on "
    )
    assert told.story[1].text == "PKR 500.00 can be withdrawn."
    assert [posting.kind for posting in told.ledger] == ["bonus.pending", "bonus.confirmed"]
    assert told.bonus.own_reward_id is None
    assert str(friend) not in str((told.story, told.ledger))
    assert str(reward_id) not in str((told.story, told.ledger))


async def test_rules_of_a_kind_and_currency_never_overlap(world: Any) -> None:
    start = datetime.now(UTC) + timedelta(days=1)
    await rule(world, starts_at=start, ends_at=start + timedelta(days=7))
    for changes in ({}, {"starts_at": start + timedelta(days=6)}, {"ends_at": start + timedelta(days=1)}):
        with pytest.raises(BonusRuleOverlaps):
            await rule(world, **changes)
    await rule(world, starts_at=start + timedelta(days=7))
    await rule(world, "referred")

    async def add() -> bool:
        try:
            await rule(world, "sign_up")
        except BonusRuleOverlaps:
            return False
        return True

    assert sum(await asyncio.gather(*(add() for _ in range(5)))) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"starts_at": datetime(2020, 1, 1, tzinfo=UTC)}, "starts_at"),
        ({"starts_at": datetime(2100, 1, 1)}, "starts_at"),  # noqa: DTZ001
        ({"ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, "ends_at"),
        ({"amount_minor": 0}, "amount_minor"),
        ({"budget_minor": BONUS - 1}, "budget_minor"),
    ],
)
async def test_rule_that_makes_no_sense_is_refused(world: Any, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BonusRuleInvalid) as refusal:
        await rule(world, **changes)
    assert [violation.field for violation in refusal.value.violations] == [field]
    assert await world.sql("SELECT id FROM bonus_rules") == []


async def test_what_was_promised_cannot_be_changed_by_the_application(world: Any) -> None:
    made = await rule(world)
    rows = await world.sql(
        "SELECT column_name FROM information_schema.column_privileges WHERE table_name = 'bonus_rules'"
        " AND grantee = 'wapsi_app' AND privilege_type = 'UPDATE' ORDER BY 1"
    )
    assert [row["column_name"] for row in rows] == ["ends_at", "spent_minor"]
    assert made.spent_minor == 0
