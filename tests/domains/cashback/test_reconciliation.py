"""What networks owe us and what we owe customers, from the ledger and from everything else."""

from typing import Any

import pytest
import structlog.testing

from domains.cashback import service


async def lines(world: Any) -> dict[str, tuple[int, int]]:
    """{name: (booked, reported)}"""
    async with world.db.read() as session:
        return {line.name: (line.booked_minor, line.reported_minor) for line in await service.reconcile(session)}


@pytest.fixture
async def busy(world: Any) -> Any:
    """Of every kind: settled, approved, pending, unattributed, taken back after a withdrawal, held, in flight."""
    shopper = await world.customer()
    await world.earn(shopper, 50_000, "sale-1")
    await world.report(conversion_id="sale-1", status="paid", order_amount_minor=None)
    await world.earn(shopper, 40_000, "sale-2")
    await world.withdraw(shopper, await world.payout_method(shopper), 80_000)
    await world.report(conversion_id="sale-2", status="reversed")
    click = await world.click(shopper)
    await world.report(conversion_id="sale-3", click_id=str(click.id))
    await world.report(conversion_id="sale-4")
    return world


async def test_busy_books_agree(busy: Any) -> None:
    found = await lines(busy)
    assert found["assets:receivable:impact"] == (20_000, 20_000)
    assert found["liabilities:unattributed:impact"] == (10_000, 10_000)
    assert found["customers, pending"] == (5_000, 5_000)
    assert found["customers, available less owed"] == (-30_000, -30_000)
    assert found["liabilities:payouts:in_flight"] == (80_000, 80_000)
    assert all(booked == reported for booked, reported in found.values())


async def test_sale_that_says_another_commission_is_a_difference_with_its_network(busy: Any) -> None:
    await busy.sql("UPDATE conversions SET commission_minor = 7 WHERE external_id = 'sale-3'")
    assert (await lines(busy))["assets:receivable:impact"] == (20_000, 10_007)
    with structlog.testing.capture_logs() as logs:
        await busy.run_periodic("cashback.reconcile")
    assert [(log["event"], log["name"]) for log in logs if log["log_level"] == "error"] == [
        ("ledger_difference", "assets:receivable:impact")
    ]


async def test_raised_reward_is_a_difference_with_customers(busy: Any) -> None:
    await busy.sql("UPDATE rewards SET amount_minor = amount_minor + 1 WHERE state = 'pending'")
    assert (await lines(busy))["customers, pending"] == (5_000, 5_001)


async def test_empty_books_agree(world: Any) -> None:
    assert await lines(world) == {}
