"""What a campaign promised at the click is what is paid, whatever became of the campaign since."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from domains.cashback import service
from domains.cashback.service import receipts
from domains.merchants import service as merchants
from tests.domains.cashback.conftest import MERCHANT
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal, PrincipalKind

OPERATOR = Principal(PrincipalKind.OPERATOR, UUID(int=1), frozenset(Permission))


async def campaign(world: Any, **changes: Any) -> merchants.Boost:
    """3 % more for a day, by default on everything."""
    fields: dict[str, Any] = {"ends_at": datetime.now(UTC) + timedelta(days=1), "added_bps": 300}
    async with world.db.write() as session:
        return await merchants.add_boost(session, OPERATOR, MERCHANT, merchants.NewBoost("Eid", **(fields | changes)))


async def end(world: Any, boost: merchants.Boost) -> None:
    async with world.db.write() as session:
        await merchants.end_boost(session, OPERATOR, MERCHANT, boost.id)


async def earned(world: Any, shopper: UUID, click: service.Click, **fields: Any) -> int:
    before = (await world.balance(shopper))["pending"]
    result = await world.report(click_id=str(click.id), **fields)
    assert result.outcome == "applied", result
    return int((await world.balance(shopper))["pending"]) - before


async def test_click_during_a_campaign_earns_by_it_even_after_its_end(world: Any) -> None:
    shopper = await world.customer()
    before = await world.click(shopper)
    boost = await campaign(world)
    during = await world.click(shopper)
    await end(world, boost)
    after = await world.click(shopper)
    assert [
        await earned(world, shopper, click, conversion_id=f"sale-{number}")
        for number, click in enumerate((before, during, after))
    ] == [5_000, 8_000, 5_000]
    assert await world.violations() == []


async def test_receipt_names_the_campaign_and_the_calculation_tells_of_it(world: Any) -> None:
    await campaign(world)
    shopper = await world.customer()
    click = await world.click(shopper)
    receipt = receipts.read(world.runtime.keys, click.receipt)
    assert {(raised.rate_category, str(raised.customer_type), raised.added_bps) for raised in receipt.raised} == {
        ("", "unknown", 300),
        ("", "new", 300),
        ("phones", "unknown", 300),
    }
    assert receipt.schedule.rate_for("phones", "unknown").percent_bps == 500
    await world.report(click_id=str(click.id))
    rows = await world.sql("SELECT pricing FROM rewards")
    assert "The campaign “Eid” had raised the rate by 3.00 %." in orjson.loads(rows[0]["pricing"])["steps"]


async def test_campaign_of_a_category_leaves_the_others(world: Any) -> None:
    await campaign(world, rate_category="shoes")
    shopper = await world.customer()
    click = await world.click(shopper)
    shoes = await earned(world, shopper, click, conversion_id="shoes", rate_category="shoes")
    toys = await earned(world, shopper, click, conversion_id="toys", rate_category="toys")
    assert (shoes, toys) == (8_000, 5_000)


async def test_campaign_for_newcomers_is_promised_to_those_who_joined_since(world: Any) -> None:
    early = await world.customer()
    await campaign(world, joined_from=datetime.now(UTC))
    late = await world.customer()
    for shopper, expected in ((early, 5_000), (late, 8_000), (early, 5_000)):
        click = await world.click(shopper)
        assert await earned(world, shopper, click, conversion_id=str(click.id)) == expected


async def test_raised_cap_holds_for_the_clicks_of_the_campaign(world: Any) -> None:
    await campaign(world, raised_cap_minor=300_000)
    shopper = await world.customer()
    click = await world.click(shopper)
    # 8 % of PKR 50,000 is 4,000: more than the cap of 1,000, and than the raised one of 3,000.
    assert await earned(world, shopper, click, order_amount_minor=5_000_000) == 300_000


async def test_campaign_that_is_yet_to_come_is_announced_and_not_promised(world: Any, api: Any) -> None:
    start = datetime.now(UTC) + timedelta(hours=1)
    await campaign(world, starts_at=start)
    shopper = await world.customer()
    assert await earned(world, shopper, await world.click(shopper)) == 5_000
    told = (await api.get(f"/v1/merchants/{MERCHANT}/rates")).json()["boosts"]
    assert [(boost["name"], boost["added_bps"]) for boost in told] == [("Eid", 300)]


@pytest.mark.parametrize(("kind", "word"), [("unknown", True), ("new", False)])
async def test_price_is_provisional_until_the_shop_says_what_kind_of_customer_it_was(
    world: Any, kind: str, word: bool
) -> None:
    shopper = await world.customer()
    await world.report(click_id=str((await world.click(shopper)).id), customer_type=kind)
    rows = await world.sql("SELECT pricing FROM rewards")
    pricing = orjson.loads(rows[0]["pricing"])
    assert pricing.get("provisional_up_to_minor") == (8_000 if word else None)
    assert any("it becomes up to PKR 80.00" in step for step in pricing["steps"]) == word


async def test_uplift_comes_with_the_word_even_after_the_confirmation(world: Any) -> None:
    shopper = await world.customer()
    await world.report(click_id=str((await world.click(shopper)).id), status="approved")
    assert (await world.balance(shopper))["available"] == 5_000
    await world.report(status="approved", customer_type="new")
    assert (await world.balance(shopper))["available"] == 8_000
    await world.report(status="paid", customer_type="unknown")
    assert (await world.balance(shopper))["available"] == 8_000
    assert await world.violations() == []
