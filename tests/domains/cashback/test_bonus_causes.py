"""What becomes of a bonus whose cause shrinks, goes, or is followed by another."""

from typing import Any

import pytest

from domains.cashback import service
from tests.domains.cashback.test_bonuses import (
    BONUS,
    NONE,
    OPERATOR,
    bonuses,
    decline_sale_of,
    follow,
    friend_of,
    rule,
    wait_is_over,
)


async def test_cashback_that_shrinks_below_the_least_while_the_bonus_waits_takes_it_along(world: Any) -> None:
    made = await rule(world)
    referrer = await world.customer()
    friend = await friend_of(world, referrer)
    await world.earn(friend, 1_000, sale="mostly-returned")
    await follow(world)
    result = await world.report(
        conversion_id="mostly-returned", status="approved", order_amount_minor=20, commission_minor=2
    )
    assert result.outcome == "applied"
    await wait_is_over(world)
    assert await bonuses(world, referrer) == [("declined", "cause_reversed")]
    assert await world.balance(referrer) == NONE
    assert (await world.sql("SELECT spent_minor FROM bonus_rules WHERE id = $1", made.id))[0]["spent_minor"] == 0
    # The next one that is large enough is the first one again.
    await world.earn(friend, 1_000)
    await follow(world)
    assert [state for state, _ in await bonuses(world, referrer)] == ["pending", "declined"]
    assert await world.violations() == []


async def test_release_for_a_reason_that_is_ours_too_makes_no_second_bonus_and_stops_no_other(world: Any) -> None:
    await rule(world)
    referrer, another = await world.customer(), await world.customer()
    friend = await friend_of(world, referrer)
    for someone in (referrer, friend):
        await world.payout_method(someone)
    await world.earn(friend, 1_000)
    await follow(world)
    bonus_id = (await world.sql("SELECT id FROM bonuses"))[0]["id"]
    async with world.db.write() as session:
        await service.release_bonus(session, OPERATOR, bonus_id, "cause_reversed")
    await world.earn(friend, 1_000)
    await world.earn(await friend_of(world, another), 1_000)
    await follow(world)
    assert await bonuses(world, referrer) == [("pending", "cause_reversed")]
    assert await bonuses(world, another) == [("pending", "first_cashback_confirmed")]
    assert await world.violations() == []


@pytest.mark.parametrize("shrinks", [False, True])
async def test_where_the_first_cashback_goes_the_second_brings_the_bonus(world: Any, shrinks: bool) -> None:
    made = await rule(world)
    referrer = await world.customer()
    friend = await friend_of(world, referrer)
    first = await world.earn(friend, 1_000, sale="first")
    await follow(world)
    await world.earn(friend, 1_000)
    await follow(world)
    if shrinks:
        await world.report(conversion_id="first", status="approved", order_amount_minor=20)
        await wait_is_over(world)
    else:
        await decline_sale_of(world, first)
        await follow(world)
    assert await bonuses(world, referrer) == [
        ("pending", "first_cashback_confirmed"),
        ("declined", "cause_reversed"),
    ]
    assert await world.balance(referrer) == NONE | {"pending": BONUS}
    assert (await world.sql("SELECT spent_minor FROM bonus_rules WHERE id = $1", made.id))[0]["spent_minor"] == BONUS
    assert await world.violations() == []


async def test_cashback_that_shrinks_below_the_least_takes_a_confirmed_bonus_along(world: Any) -> None:
    made = await rule(world)
    referrer = await world.customer()
    friend = await friend_of(world, referrer)
    await world.earn(friend, 1_000, sale="partly-returned")
    await follow(world)
    await wait_is_over(world)
    assert await world.balance(referrer) == NONE | {"available": BONUS}
    # The least is enough.
    await world.earn(friend, 2_000, sale="another")
    await world.report(conversion_id="another", status="approved", order_amount_minor=20_000)
    await follow(world)
    assert await world.balance(referrer) == NONE | {"available": BONUS}
    await world.withdraw(referrer, await world.payout_method(referrer), BONUS)
    await world.report(conversion_id="partly-returned", status="approved", order_amount_minor=19_980)
    for _ in range(2):
        await follow(world)
        # The other one is the first now.
        assert await bonuses(world, referrer) == [
            ("pending", "first_cashback_confirmed"),
            ("reversed", "cause_reversed"),
        ]
        assert await world.balance(referrer) == NONE | {"pending": BONUS, "in_flight": BONUS, "owed": BONUS}
    assert (await world.sql("SELECT spent_minor FROM bonus_rules WHERE id = $1", made.id))[0]["spent_minor"] == BONUS
    # What has brought one does not bring a second.
    await world.report(conversion_id="partly-returned", status="approved", order_amount_minor=20_000)
    await follow(world)
    assert len(await bonuses(world, referrer)) == 2
    assert await world.violations() == []


async def test_cashback_that_is_raised_to_the_least_brings_the_bonus(world: Any) -> None:
    await rule(world)
    referrer = await world.customer()
    friend = await friend_of(world, referrer)
    await world.earn(friend, 900, sale="provisional")
    await follow(world)
    assert await bonuses(world, referrer) == []
    await world.report(conversion_id="provisional", status="approved", order_amount_minor=20_000)
    await follow(world)
    assert await bonuses(world, referrer) == [("pending", "first_cashback_confirmed")]
    assert await world.violations() == []
