"""Goodwill stands in for cashback; where the sale comes after all, it goes back."""

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
    new = service.NewClaim(service.ClaimReason.NOT_TRACKED, click.id, "sale-1", order_minor)
    async with world.db.write() as session:
        made = await service.submit_claim(session, shopper, new)
        await service.move_claim(session, CLERK, made.id, service.ClaimState.SENT_TO_MERCHANT, "asked")
    return made.id, click.id


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


@pytest.mark.parametrize(
    ("order_minor", "from_the_click", "available"),
    [(100_000, True, 5_000), (90_000, True, 9_500), (100_000, False, 10_000)],
)
async def test_sale_under_a_number_of_the_networks_own_is_known_by_its_click_and_amount(
    world: Any, shopper: UUID, order_minor: int, from_the_click: bool, available: int
) -> None:
    claim_id, click_id = await claim(world, shopper)
    assert (await give(world, claim_id)).goodwill_minor == 5_000
    if not from_the_click:
        click_id = (await world.click(shopper)).id
    await world.report(
        conversion_id="98-765", click_id=str(click_id), status="approved", order_amount_minor=order_minor
    )
    await world.run_periodic("cashback.follow_rewards")
    assert await world.balance(shopper) == NONE | {"available": available}
    assert await is_sound(world)
