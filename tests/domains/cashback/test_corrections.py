"""Changes that come as rows of their own are added to the sale, once each, in whatever order they come."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from domains.cashback.service import EventResult, explain_conversion


@pytest.fixture
def change(world: Any) -> Any:
    async def change(order: int, commission: int, **fields: Any) -> EventResult:
        amounts = {"order_amount_minor": order, "commission_minor": commission, "amounts": "change"}
        result: EventResult = await world.report(status="whatever", **amounts, **fields)
        return result

    return change


def in_minutes(minutes: int) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


async def sale(world: Any) -> tuple[str, int, int]:
    [row] = await world.sql("SELECT state, order_amount_minor, commission_minor FROM conversions")
    return tuple(row)  # type: ignore[return-value]  # three columns


async def test_changes_add_up(world: Any, change: Any) -> None:
    customer = await world.customer()
    click = await world.click(customer)
    await world.report(click_id=str(click.id))
    assert (await change(-20_000, -2_000)).outcome == "applied"
    assert (await change(-30_000, -3_000)).outcome == "applied"
    assert await sale(world) == ("pending", 50_000, 5_000)
    assert (await world.balance(customer))["pending"] == 2_500
    assert await world.violations() == []
    async with world.db.read() as session:
        [row] = await world.sql("SELECT id FROM conversions")
        told = await explain_conversion(session, world.runtime.keys, row["id"])
    assert [line.text for line in told.story].count("impact reported a change of the sale.") == 2


async def test_change_that_is_older_than_the_last_word_still_counts(world: Any, change: Any) -> None:
    customer = await world.customer()
    click = await world.click(customer)
    await world.report(click_id=str(click.id))
    await world.report(status="approved", occurred_at=in_minutes(30))
    assert (await change(-40_000, -4_000, occurred_at=in_minutes(-30))).outcome == "applied"
    assert await sale(world) == ("approved", 60_000, 6_000)
    assert (await world.balance(customer))["available"] == 3_000
    [row] = await world.sql("SELECT raw_status, network_state FROM conversions")
    assert tuple(row) == ("approved", "approved")


async def test_change_that_leaves_nothing_declines_the_sale(world: Any, change: Any) -> None:
    customer = await world.customer()
    click = await world.click(customer)
    await world.report(click_id=str(click.id), status="approved")
    assert (await change(-100_000, -10_000)).outcome == "applied"
    assert (await sale(world))[0] == "declined"
    assert await world.balance(customer) == {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}
    assert await world.violations() == []


async def test_change_of_more_than_there_is_is_refused(world: Any, change: Any) -> None:
    await world.report()
    result = await change(-100_001, 0)
    assert (result.outcome, result.reason) == ("refused", "CHANGE_TOO_LARGE")
    assert await sale(world) == ("unattributed", 100_000, 10_000)


async def test_unattributed_sale_is_changed_too(world: Any, change: Any) -> None:
    await world.report(status="approved")
    assert (await change(-1_000, -100)).outcome == "applied"
    assert await sale(world) == ("unattributed", 99_000, 9_900)
    assert await world.violations() == []


async def test_change_of_a_line_takes_that_lines_cashback(world: Any, change: Any) -> None:
    customer = await world.customer()
    click = await world.click(customer)
    phone = {"sku": "p", "category": "phones", "quantity": 1, "amount_minor": 60_000}
    shoes = {"sku": "s", "category": "", "quantity": 1, "amount_minor": 40_000}
    await world.report(click_id=str(click.id), line_items=[phone, shoes], amounts="first")
    assert (await world.balance(customer))["pending"] == 1_200 + 2_000
    await change(-40_000, -4_000, line_items=[shoes | {"amount_minor": -40_000}])
    assert (await world.balance(customer))["pending"] == 1_200
    [row] = await world.sql("SELECT line_items::text AS lines FROM conversions")
    assert orjson.loads(row["lines"]) == [phone, shoes | {"quantity": 0, "amount_minor": 0}]
    # A line that the sale does not have: what was taken off is shared among those that it has.
    await change(-30_000, -3_000, line_items=[shoes | {"sku": "x", "amount_minor": -30_000}])
    assert (await world.balance(customer))["pending"] == 600
    assert await world.violations() == []


async def test_first_amounts_do_not_undo_a_change(world: Any, change: Any) -> None:
    await world.report(amounts="first")
    await change(-20_000, -2_000)
    moved = await world.report(amounts="first", status="approved", occurred_at=in_minutes(30))
    assert moved.outcome == "applied"
    assert await sale(world) == ("unattributed", 80_000, 8_000)


async def test_change_that_was_let_in_for_another_merchant_is_not_for_this_one(world: Any, change: Any) -> None:
    await world.merchant("khaadi", network="impact")
    click = await world.click(await world.customer(), "khaadi")
    early = await change(500_000, 50_000, merchant="", click_id=str(click.id), event_id="early")
    assert early.reason == "SALE_NOT_KNOWN_YET"
    await world.report(amounts="first")
    await world.run_periodic("cashback.retry_changes")
    again = await world.sql("SELECT error FROM conversion_events WHERE external_event_id = 'early:again'")
    assert again[0]["error"] == "MERCHANT_MISMATCH"
    assert await sale(world) == ("unattributed", 100_000, 10_000)


async def test_waiting_change_that_is_no_event_any_more_does_not_keep_the_others_waiting(
    world: Any, change: Any
) -> None:
    await change(-10_000, -1_000, event_id="odd")
    await change(-20_000, -2_000, event_id="early")
    await world.sql(
        "UPDATE conversion_events SET fields = jsonb_set(fields, '{occurred_at}', '\"1970-01-01T00:00:00Z\"')"
        " WHERE external_event_id = 'odd'"
    )
    await world.report(amounts="first")
    await world.run_periodic("cashback.retry_changes")
    assert await sale(world) == ("unattributed", 80_000, 8_000)
    again = await world.sql("SELECT outcome, error FROM conversion_events WHERE external_event_id = 'odd:again'")
    assert [tuple(row) for row in again] == [("refused", "EVENT_MALFORMED")]


async def test_change_before_its_sale_waits_and_is_added_when_the_sale_is_there(world: Any, change: Any) -> None:
    early = await change(-20_000, -2_000, event_id="early")
    assert (early.outcome, early.reason) == ("refused", "SALE_NOT_KNOWN_YET")
    await world.run_periodic("cashback.retry_changes")
    assert await world.sql("SELECT 1 FROM conversions") == []
    await world.report(amounts="first")
    for _ in range(2):
        await world.run_periodic("cashback.retry_changes")
    assert await sale(world) == ("unattributed", 80_000, 8_000)
    names = await world.sql("SELECT external_event_id FROM conversion_events WHERE raw_status = 'whatever' ORDER BY id")
    assert [row[0] for row in names] == ["early", "early:again"]
    # The network tells it once more: it is known.
    assert (await change(-20_000, -2_000, event_id="early")).repeated
    assert await world.violations() == []
