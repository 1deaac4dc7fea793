"""Goodwill stands in for cashback; where the sale comes after all, it goes back."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domains.cashback import service
from tests.domains.cashback.test_claim_approvals import GOODWILL, NONE, clerk, entries, is_sound

CLERK = clerk()


@pytest.fixture
async def shopper(world: Any) -> UUID:
    found: UUID = await world.customer()
    return found


async def claim(world: Any, shopper: UUID, order_minor: int = 100_000) -> tuple[UUID, UUID]:
    """About the order sale-1, sent to the merchant; and its click."""
    click = await world.click(shopper)
    return await claim_by(world, shopper, click.id, "sale-1", order_minor), click.id


async def claim_by(world: Any, shopper: UUID, click_id: UUID, order_id: str, order_minor: int = 100_000) -> UUID:
    new = service.NewClaim(service.ClaimReason.NOT_TRACKED, click_id, order_id, order_minor)
    async with world.db.write() as session:
        made = await service.submit_claim(session, shopper, new)
        await service.move_claim(session, CLERK, made.id, service.ClaimState.SENT_TO_MERCHANT, "asked")
    return made.id


async def give(world: Any, claim_id: UUID, amount_minor: int | None = None) -> service.ClaimView:
    settlement = service.Settlement(GOODWILL, amount_minor=amount_minor)
    async with world.db.write() as session:
        return await service.approve_claim(session, world.runtime.keys, CLERK, claim_id, settlement, "merchant_agreed")


@pytest.mark.parametrize("attributed", [False, True])
async def test_sale_that_comes_after_goodwill_is_not_paid_twice(world: Any, shopper: UUID, attributed: bool) -> None:
    claim_id, click_id = await claim(world, shopper)
    if attributed:
        sale = await world.report(status="approved")
    await give(world, claim_id, 7_000)
    if attributed:
        async with world.db.write() as session:
            await service.attribute_sale(
                session, world.runtime.keys, CLERK, sale.conversion_id, click_id, "asked_the_merchant"
            )
    else:
        await world.report(click_id=str(click_id), status="pending")
        await world.run_periodic("cashback.follow_rewards")
        # As long as the merchant has not approved it, the goodwill is all there is.
        assert await world.balance(shopper) == NONE | {"available": 7_000, "pending": 5_000}
        await world.report(click_id=str(click_id), status="approved")
    for _ in range(2):
        await world.run_periodic("cashback.follow_rewards")
        assert await world.balance(shopper) == NONE | {"available": 7_000}
    assert await entries(world, "claim.goodwill_returned") == {
        "expenses:goodwill": -5_000,
        "liabilities:customer::available": 5_000,
    }
    async with world.db.read() as session:
        told = await service.claim_details(session, shopper, claim_id)
    assert (told.claim.resolution, told.claim.goodwill_minor) == ("goodwill", 2_000)
    assert told.story[-1].text == "The sale came after all: its cashback takes the place of what we gave."
    assert await is_sound(world)


async def test_goodwill_that_was_withdrawn_is_owed_when_its_sale_comes(world: Any, shopper: UUID) -> None:
    claim_id, click_id = await claim(world, shopper)
    await give(world, claim_id, 1_000)
    await world.report(click_id=str(click_id), status="approved")
    await world.earn(shopper, 10_000)
    await world.withdraw(shopper, await world.payout_method(shopper), 16_000)
    await world.run_periodic("cashback.follow_rewards")
    assert await world.balance(shopper) == NONE | {"in_flight": 16_000, "owed": 1_000}
    async with world.db.read() as session:
        found = await service.claim_details(session, shopper, claim_id)
    assert (found.claim.resolution, found.claim.goodwill_minor) == ("sale", None)
    assert found.claim.status.endswith("the sale was found, and its cashback is among yours.")
    assert await is_sound(world)


async def test_goodwill_beside_what_the_sale_had_earned_stays(world: Any, shopper: UUID) -> None:
    claim_id, click_id = await claim(world, shopper, 160_000)
    await world.report(click_id=str(click_id), status="pending")
    assert (await give(world, claim_id)).goodwill_minor == 3_000
    await world.report(status="approved")
    await world.run_periodic("cashback.follow_rewards")
    assert await world.balance(shopper) == NONE | {"available": 8_000}
    assert await is_sound(world)


async def test_what_the_sale_is_amended_to_later_goes_back_too(world: Any, shopper: UUID) -> None:
    claim_id, click_id = await claim(world, shopper)
    await give(world, claim_id)
    for order_minor, left_minor in ((60_000, 2_000), (70_000, 1_500), (50_000, 1_500), (160_000, 0)):
        await world.report(click_id=str(click_id), status="approved", order_amount_minor=order_minor)
        for _ in range(2):
            await world.run_periodic("cashback.follow_rewards")
            assert await world.balance(shopper) == NONE | {"available": order_minor // 20 + left_minor}
    assert await is_sound(world)
    async with world.db.read() as session:
        told = await service.claim_details(session, shopper, claim_id)
        assert told.claim.conversion_id is not None
        sale = await service.explain_conversion(session, world.runtime.keys, told.claim.conversion_id)
    assert (told.claim.resolution, told.claim.goodwill_minor) == ("sale", None)
    # An amendment is told once.
    assert sum("was confirmed" in line.text for line in sale.story) == 1


async def test_goodwill_for_too_low_an_amount_goes_back_when_the_network_corrects_it(world: Any, shopper: UUID) -> None:
    claim_id, click_id = await claim(world, shopper, 160_000)
    await world.report(click_id=str(click_id), status="approved")
    assert (await give(world, claim_id)).goodwill_minor == 3_000
    await world.report(status="approved", order_amount_minor=160_000)
    await world.run_periodic("cashback.follow_rewards")
    assert await world.balance(shopper) == NONE | {"available": 8_000}
    assert await is_sound(world)


async def own_number(
    world: Any, number: str, click_id: UUID, occurred_at: datetime, order_minor: int = 100_000
) -> UUID:
    """A sale under a number of the network's own, approved."""
    result = await world.report(
        conversion_id=number,
        click_id=str(click_id),
        status="approved",
        order_amount_minor=order_minor,
        occurred_at=occurred_at,
    )
    assert result.outcome == "applied", result
    found: UUID = result.conversion_id
    return found


async def unclear(world: Any) -> list[tuple[UUID, str]]:
    """[(claim, what it was not clear about)], as operators are told it, of the claims that they are shown."""
    async with world.db.read() as session:
        shown = await service.list_claims(session, limit=10, sale_unclear=True)
        cases = [await service.claim_case(session, world.runtime.keys, claim.id) for claim in shown]
    return [
        (case.claim.id, change.detail["words"])
        for case in cases
        for change in case.changes
        if change.reason_code == "sale_unclear"
    ]


@pytest.mark.parametrize(
    ("order_minor", "from_the_click", "before_the_claim", "available", "is_unclear"),
    [
        (100_000, True, True, 5_000, False),
        (90_000, True, True, 9_500, True),
        (100_000, True, False, 10_000, True),
        (100_000, False, True, 10_000, False),
    ],
)
async def test_sale_under_a_number_of_the_networks_own_is_known_by_its_click_amount_and_day(
    world: Any,
    shopper: UUID,
    order_minor: int,
    from_the_click: bool,
    before_the_claim: bool,
    available: int,
    is_unclear: bool,
) -> None:
    click, another = await world.click(shopper), await world.click(shopper)
    purchased_at = datetime.now(UTC)
    claim_id = await claim_by(world, shopper, click.id, "sale-1")
    assert (await give(world, claim_id)).goodwill_minor == 5_000
    sale_id = await own_number(
        world,
        "98-765",
        click.id if from_the_click else another.id,
        purchased_at if before_the_claim else datetime.now(UTC),
        order_minor,
    )
    for _ in range(2):
        await world.run_periodic("cashback.follow_rewards")
    assert await world.balance(shopper) == NONE | {"available": available}
    assert await unclear(world) == ([(claim_id, f"sale {sale_id}")] if is_unclear else [])
    assert await is_sound(world)


async def test_one_of_two_sales_that_look_alike_takes_no_goodwill(world: Any, shopper: UUID) -> None:
    click = await world.click(shopper)
    purchased_at = datetime.now(UTC)
    # The first one has come before the second, which the customer misses.
    await own_number(world, "98-765", click.id, purchased_at)
    claim_id = await claim_by(world, shopper, click.id, "second")
    await give(world, claim_id)
    second = await own_number(world, "98-766", click.id, purchased_at)
    await world.run_periodic("cashback.follow_rewards")
    assert await world.balance(shopper) == NONE | {"available": 15_000}
    assert await unclear(world) == [(claim_id, f"sale {second}")]
    async with world.db.read() as session:
        told = await service.claim_details(session, shopper, claim_id)
    assert told.story[-1].text == "A sale of the same visit came: it may be this order's, or another one's."


async def test_sale_of_another_claims_order_settles_that_one_and_no_other(world: Any, shopper: UUID) -> None:
    click = await world.click(shopper)
    purchased_at = datetime.now(UTC)
    missed, _ = [await claim_by(world, shopper, click.id, order) for order in ("missed", "another")]
    await give(world, missed)
    # Spelled by the network in its own way.
    await own_number(world, "#0Another", click.id, purchased_at)
    await world.run_periodic("cashback.follow_rewards")
    assert await world.balance(shopper) == NONE | {"available": 10_000}
    assert await unclear(world) == []
    await own_number(world, " 0MISSED", click.id, purchased_at)
    await world.run_periodic("cashback.follow_rewards")
    assert await world.balance(shopper) == NONE | {"available": 10_000}
    assert await is_sound(world)
