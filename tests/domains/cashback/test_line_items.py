"""Sales with lines: each earns by its own category, and one that comes back takes only its own cashback along."""

from typing import Any
from uuid import UUID

import orjson
import pytest

from domains.cashback import service
from domains.merchants import service as merchants

# 5 % by default, 2 % of phones.
PHONE = {"sku": "A-1", "category": "phones", "quantity": 1, "amount_minor": 60_000}
SHOES = {"sku": "B-1", "category": "shoes", "quantity": 2, "amount_minor": 40_000}


async def pricing_of(world: Any) -> dict[str, Any]:
    rows = await world.sql("SELECT pricing FROM rewards")
    found: dict[str, Any] = orjson.loads(rows[0]["pricing"])
    return found


@pytest.mark.parametrize("by_group", [False, True])
async def test_lines_are_kept_and_priced_by_their_categories(world: Any, by_group: bool) -> None:
    shopper = await world.customer()
    click_id = str((await world.click(shopper)).id)
    await world.report(click_id=click_id, line_items=[PHONE, SHOES], by_group=by_group)
    assert (await world.balance(shopper))["pending"] == 1_200 + 2_000
    assert [part["reward_minor"] for part in (await pricing_of(world))["parts"]] == [1_200, 2_000]
    async with world.db.read() as session:
        sale, _ = await service.find_conversion(session, "impact", "sale-1")
    assert sale.line_items == [PHONE, SHOES]
    assert await world.violations() == []


async def test_line_that_comes_back_takes_its_own_cashback(world: Any) -> None:
    shopper = await world.customer()
    await world.report(click_id=str((await world.click(shopper)).id), line_items=[PHONE, SHOES])
    returned = await world.report(
        order_amount_minor=60_000, commission_minor=6_000, line_items=[PHONE], reason="the shoes came back"
    )
    assert returned.outcome == "applied"
    assert (await world.balance(shopper))["pending"] == 1_200
    # After it was confirmed as well.
    await world.report(status="approved", order_amount_minor=None, commission_minor=None)
    half = PHONE | {"amount_minor": 30_000}
    await world.report(status="approved", order_amount_minor=None, commission_minor=3_000, line_items=[half])
    assert (await world.balance(shopper))["available"] == 600
    rows = await world.sql("SELECT reward_before_minor, reward_after_minor FROM conversion_adjustments ORDER BY id")
    assert [tuple(row) for row in rows] == [(3_200, 1_200), (1_200, 600)]
    assert await world.violations() == []


async def test_event_without_lines_leaves_them_as_they_were(world: Any) -> None:
    shopper = await world.customer()
    await world.report(click_id=str((await world.click(shopper)).id), line_items=[PHONE, SHOES])
    repeated = await world.report()
    assert repeated.reason == "NOTHING_NEW"
    # A new amount alone is shared among the lines that are known.
    await world.report(order_amount_minor=50_000, commission_minor=5_000)
    assert (await world.balance(shopper))["pending"] == 600 + 1_000
    assert await world.violations() == []


async def test_lines_say_what_the_order_cost_where_the_event_does_not(world: Any) -> None:
    shopper = await world.customer()
    click_id = str((await world.click(shopper)).id)
    await world.report(click_id=click_id, order_amount_minor=None, line_items=[PHONE, SHOES])
    rows = await world.sql("SELECT order_amount_minor FROM conversions")
    assert rows[0]["order_amount_minor"] == 100_000


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([PHONE | {"amount_minor": -1}], "line_items.0.amount_minor"),
        ([PHONE | {"amount_minor": 1.5}], "line_items.0.amount_minor"),
        ([PHONE | {"sku": "a\0b"}], "line_items.0.sku"),
        ([PHONE, {"sku": "A-2"}], "line_items.1.category"),
        ([PHONE] * 201, "line_items"),
    ],
)
async def test_lines_that_cannot_be_read_refuse_the_event(world: Any, lines: Any, fault: str) -> None:
    result = await world.report(line_items=lines)
    assert (result.outcome, result.reason) == ("refused", "EVENT_MALFORMED")
    assert fault in result.message
    assert await world.sql("SELECT id FROM conversions") == []


async def test_lines_need_the_currency_of_their_amounts() -> None:
    fields = {"conversion_id": "1", "status": "new", "occurred_at": "2026-11-01T10:00:00Z", "line_items": [PHONE]}
    with pytest.raises(service.Malformed, match="currency"):
        service.check_event(fields)


async def test_later_known_kind_of_customer_lifts_each_line(world: Any) -> None:
    """8 % for new customers; of phones there is no such rate."""
    shopper = await world.customer()
    await world.report(click_id=str((await world.click(shopper)).id), line_items=[PHONE, SHOES])
    await world.report(status="approved", customer_type="new")
    assert (await world.balance(shopper))["available"] == 1_200 + 3_200
    assert await world.violations() == []


FIXED = merchants.Rate("", merchants.CustomerType.UNKNOWN, merchants.RateKind.FIXED, None, 25_000, "PKR", None)


async def fixed_sale(world: Any, **fields: Any) -> UUID:
    """Of a customer, who returns it, at a merchant that gives PKR 250 a sale."""
    shopper: UUID = await world.customer()
    async with world.db.write() as session:
        await merchants.publish_rates(session, None, "daraz", merchants.NewSchedule((FIXED,)))
    await world.report(click_id=str((await world.click(shopper)).id), **fields)
    assert (await world.balance(shopper))["pending"] == 25_000
    return shopper


@pytest.mark.parametrize("lines", [None, [PHONE, SHOES]])
async def test_fixed_amount_is_not_for_a_sale_of_which_nothing_is_left(world: Any, lines: Any) -> None:
    shopper = await fixed_sale(world, line_items=lines)
    gone = None if lines is None else []
    await world.report(order_amount_minor=0, commission_minor=0, line_items=gone)
    assert await world.balance(shopper) == {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}
    # Neither when something else is said of it later.
    await world.report(order_amount_minor=0, commission_minor=0, line_items=gone, customer_type="new")
    await world.report(order_amount_minor=0, commission_minor=0, line_items=gone, status="approved")
    assert await world.balance(shopper) == {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}
    assert await world.violations() == []


async def test_fixed_amount_is_for_a_sale_that_costs_nothing(world: Any) -> None:
    shopper = await fixed_sale(world, order_amount_minor=0, commission_minor=0)
    await world.report(order_amount_minor=0, commission_minor=4_000, status="approved")
    assert (await world.balance(shopper))["available"] == 25_000
