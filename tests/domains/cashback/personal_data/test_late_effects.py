"""What comes after a deletion, or at the same time."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx2

from domains.cashback import service
from domains.cashback.errors import CustomerNotActive, InsufficientBalance, PayoutUnderWay
from domains.cashback.service.payouts import PayoutView
from domains.customers import service as customers
from domains.customers.service import CustomerNotFound
from tests.domains.cashback.personal_data.leaving import (
    BROWSER,
    NOTHING,
    Headers,
    booked,
    delete,
    leave,
)
from wapsi.runtime import Runtime


async def test_pending_cashback_is_forfeited_when_it_is_decided(world: Any) -> None:
    customer_id = await world.customer()
    click = await world.click(customer_id)
    await world.report(conversion_id="sale-1", click_id=str(click.id))
    await delete(world, customer_id)
    assert (await world.balance(customer_id))["pending"] == 5_000
    await world.run_periodic("cashback.empty_accounts")
    assert await booked(world, "income:forfeited") == 0

    await world.report(conversion_id="sale-1", status="approved")
    assert (await world.balance(customer_id))["available"] == 5_000
    await world.run_periodic("cashback.empty_accounts")
    await world.run_periodic("cashback.empty_accounts")
    assert (await world.balance(customer_id), await booked(world, "income:forfeited")) == (NOTHING, 5_000)
    assert await world.violations() == []


async def test_a_return_after_the_customer_left_is_a_loss_and_no_debt(world: Any) -> None:
    customer_id, staying = await world.customer(), await world.customer()
    await world.earn(customer_id, 50_000, "sale-1")
    await world.earn(staying, 30_000)
    await delete(world, customer_id)
    await world.report(conversion_id="sale-1", status="reversed")
    assert (await world.balance(customer_id))["owed"] == 50_000
    await world.run_periodic("cashback.empty_accounts")
    assert await world.balance(customer_id) == NOTHING
    assert (await booked(world, "income:forfeited"), await booked(world, "expenses:bad_debt")) == (50_000, 50_000)
    assert (await world.balance(staying))["available"] == 30_000
    assert await world.violations() == []
    async with world.db.read() as session:
        assert [line for line in await service.reconcile(session) if line.difference_minor] == []


async def test_a_withdrawal_and_a_deletion_at_once_and_one_of_them_happens(world: Any) -> None:
    outcomes = set()
    for _ in range(12):
        customer_id = await world.customer()
        await world.earn(customer_id, 50_000)
        method = await world.payout_method(customer_id)
        withdrawn, deleted = await asyncio.gather(
            world.withdraw(customer_id, method, 50_000), delete(world, customer_id), return_exceptions=True
        )
        if isinstance(withdrawn, PayoutView):
            assert isinstance(deleted, PayoutUnderWay), deleted
            assert (await world.balance(customer_id))["in_flight"] == 50_000
        else:
            assert isinstance(withdrawn, InsufficientBalance | CustomerNotActive | customers.PayoutMethodNotFound)
            assert deleted is None
            assert await world.balance(customer_id) == NOTHING
        outcomes.add(deleted is None)
    assert outcomes
    assert await world.violations() == []


async def test_a_sale_and_a_deletion_at_once_do_not_wait_for_each_other_for_ever(world: Any) -> None:
    for _ in range(8):
        customer_id = await world.customer()
        click = await world.click(customer_id)
        sale = uuid4().hex
        await world.report(conversion_id=sale, click_id=str(click.id))
        reported, deleted = await asyncio.gather(
            world.report(conversion_id=sale, status="approved"), delete(world, customer_id), return_exceptions=True
        )
        assert (reported.outcome, deleted) == ("applied", None)
    await world.run_periodic("cashback.empty_accounts")
    assert await booked(world, "income:forfeited") == 8 * 5_000
    assert await world.violations() == []


async def test_two_deletions_at_once_and_one_finds_nobody(world: Any) -> None:
    customer_id = await world.customer()
    await world.earn(customer_id, 50_000)
    results = await asyncio.gather(*(delete(world, customer_id) for _ in range(5)), return_exceptions=True)
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, CustomerNotFound) for result in results) == 4
    assert await booked(world, "income:forfeited") == 50_000


async def test_what_was_under_way_is_removed_a_while_later(world: Any) -> None:
    customer_id, staying = await world.customer(), await world.customer()
    click, kept = await world.click(customer_id), await world.click(staying)
    await delete(world, customer_id)
    await world.sql("UPDATE clicks SET user_agent = $2, target_url = 'x' WHERE id = $1", click.id, BROWSER)
    assert await world.run_jobs(customers.ERASE_AGAIN) == 0
    await world.sql("UPDATE jobs SET due_at = now() WHERE kind = $1", customers.ERASE_AGAIN)
    assert await world.run_jobs(customers.ERASE_AGAIN) == 1
    rows = {row["id"]: tuple(row)[1:] for row in await world.sql("SELECT id, user_agent, target_url FROM clicks")}
    assert rows[click.id] == ("", "")
    assert rows[kept.id][0] == "Mozilla/5.0"
    assert rows[kept.id][1].startswith("https://")


async def test_nobody_is_erased_by_a_job_about_an_account_that_stays(world: Any, runtime: Runtime) -> None:
    customer_id = await world.customer()
    async with runtime.db.write() as session:
        await customers.erase_again(session, runtime.personal_data, customer_id)
    (row,) = await world.sql("SELECT status, display_name FROM customers")
    assert tuple(row) == ("active", "Asma")


async def test_the_short_link_of_a_customer_who_left_leads_nowhere(
    api: httpx2.AsyncClient, world: Any, shopper_headers: Headers, shopper_id: UUID
) -> None:
    click = await world.click(shopper_id)
    path = httpx2.URL(click.url).path
    assert (await api.get(path)).status_code == 302
    assert (await leave(api, shopper_headers)).status_code == 204
    answer = await api.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (404, "CLICK_NOT_FOUND")
