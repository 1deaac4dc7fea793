"""Sales: whatever order and however often their events come, one net effect."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest

from domains.cashback import service
from domains.merchants import service as merchants

NONE = {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}


async def books(world: Any) -> dict[str, int]:
    async with world.db.read() as session:
        return {account.path: account.balance_minor for account in await service.list_accounts(session, limit=200)}


async def sale(world: Any, external_id: str = "sale-1") -> service.ConversionView:
    async with world.db.read() as session:
        return (await service.find_conversion(session, "impact", external_id))[0]


@pytest.fixture
async def shopper(world: Any) -> Any:
    return await world.customer()


@pytest.fixture
async def click_id(world: Any, shopper: Any) -> str:
    return str((await world.click(shopper)).id)


async def test_pending_sale_books_commission_and_pending_cashback(world: Any, shopper: Any, click_id: str) -> None:
    result = await world.report(click_id=click_id)
    assert (result.outcome, result.reason, result.repeated) == ("applied", "", False)
    assert await books(world) == {
        "assets:receivable:impact": 10_000,
        "income:commission:daraz": 10_000,
        "expenses:cashback:daraz": 5_000,
        f"liabilities:customer:{shopper}:pending": 5_000,
    }
    assert await world.balance(shopper) == NONE | {"pending": 5_000}
    assert await world.violations() == []


async def test_approval_makes_cashback_available_and_settlement_brings_the_commission(
    world: Any, shopper: Any, click_id: str
) -> None:
    await world.report(click_id=click_id)
    await world.report(status="Approved ")
    assert await world.balance(shopper) == NONE | {"available": 5_000}
    await world.report(status="paid")
    held = await books(world)
    assert (held["assets:bank:pkr"], held["assets:receivable:impact"]) == (10_000, 0)
    assert (await sale(world)).state == "settled"
    assert await world.violations() == []


async def test_decline_takes_all_of_it_back(world: Any, shopper: Any, click_id: str) -> None:
    await world.report(click_id=click_id)
    await world.report(status="rejected", reason="returned")
    assert set((await books(world)).values()) == {0}
    reward = (await service.list_rewards(world.db.reads, shopper, limit=1))[0]
    assert (reward.state, reward.reason_code, reward.network_reason) == ("declined", "merchant_declined", "returned")
    assert await world.violations() == []


async def test_commission_junctions_closed_means_paid_soon_and_not_reversed(
    world: Any, shopper: Any, click_id: str
) -> None:
    await world.report(click_id=click_id, status="new")
    await world.report(status="closed")
    assert (await sale(world)).state == "approved"
    assert await world.balance(shopper) == NONE | {"available": 5_000}


async def test_event_comes_twice_and_is_answered_alike(world: Any, shopper: Any, click_id: str) -> None:
    first = await world.report("event-1", click_id=click_id)
    second = await world.report("event-1", click_id=click_id)
    assert second.repeated
    assert (second.event_id, second.outcome, second.conversion_id) == (
        first.event_id,
        first.outcome,
        first.conversion_id,
    )
    assert await world.balance(shopper) == NONE | {"pending": 5_000}


async def test_same_event_twenty_times_at_once_has_one_effect(world: Any, shopper: Any, click_id: str) -> None:
    results = await asyncio.gather(*(world.report("event-1", click_id=click_id) for _ in range(20)))
    assert [result.repeated for result in results].count(False) == 1
    assert await world.balance(shopper) == NONE | {"pending": 5_000}
    assert await world.violations() == []


async def test_same_sale_in_twenty_events_at_once_has_one_effect(world: Any, shopper: Any, click_id: str) -> None:
    moment = datetime.now(UTC)
    words = ["pending", "approved"] * 10
    results = await asyncio.gather(
        *(world.report(click_id=click_id, status=word, occurred_at=moment) for word in words)
    )
    assert {result.outcome for result in results} <= {"applied", "ignored"}
    assert (await sale(world)).state == "approved"
    assert await world.balance(shopper) == NONE | {"available": 5_000}
    assert await world.violations() == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_events_in_any_order_have_one_net_effect(
    world: Any, shopper: Any, click_id: str, order: tuple[int, ...]
) -> None:
    start = datetime.now(UTC) - timedelta(minutes=10)
    told = [
        {"status": word, "occurred_at": start + timedelta(minutes=minute)}
        for minute, word in enumerate(["pending", "approved", "reversed"])
    ]
    for position in order:
        await world.report(click_id=click_id, **told[position])
    assert (await sale(world)).state == "declined"
    assert await world.balance(shopper) == NONE
    assert set((await books(world)).values()) <= {0}
    assert await world.violations() == []


async def test_reversal_first_books_nothing_and_the_sale_stays_declined(
    world: Any, shopper: Any, click_id: str
) -> None:
    moment = datetime.now(UTC)
    await world.report(click_id=click_id, status="reversed", occurred_at=moment)
    late = await world.report(click_id=click_id, status="pending", occurred_at=moment - timedelta(days=1))
    assert (late.outcome, late.reason) == ("ignored", "OLDER_EVENT")
    assert await books(world) == {}


async def test_a_sale_never_goes_back(world: Any, shopper: Any, click_id: str) -> None:
    await world.report(click_id=click_id, status="approved")
    back = await world.report(status="pending")
    assert (back.outcome, back.reason) == ("ignored", "ILLEGAL_STATE_CHANGE")
    await world.report(status="paid")
    reversed_ = await world.report(status="reversed")
    assert (reversed_.outcome, reversed_.reason) == ("ignored", "ILLEGAL_STATE_CHANGE")
    amended = await world.report(status="paid", order_amount_minor=1)
    assert (amended.outcome, amended.reason) == ("ignored", "ILLEGAL_STATE_CHANGE")
    assert await world.balance(shopper) == NONE | {"available": 5_000}


async def test_word_that_no_mapping_knows_is_kept_and_changes_nothing(world: Any, shopper: Any, click_id: str) -> None:
    result = await world.report(click_id=click_id, status="under review")
    assert (result.outcome, result.reason) == ("unknown_status", "UNKNOWN_STATUS")
    assert await books(world) == {}
    async with world.db.read() as session:
        seen = await service.list_events(session, limit=10, outcome=service.EventOutcome.UNKNOWN_STATUS)
    assert [event.raw_status for event in seen] == ["under review"]


async def test_amendment_books_the_difference(world: Any, shopper: Any, click_id: str) -> None:
    await world.report(click_id=click_id)
    await world.report(order_amount_minor=60_000, commission_minor=6_000, reason="one item came back")
    assert await world.balance(shopper) == NONE | {"pending": 3_000}
    assert (await books(world))["income:commission:daraz"] == 6_000
    rows = await world.sql("SELECT reward_before_minor, reward_after_minor FROM conversion_adjustments")
    assert [tuple(row) for row in rows] == [(5_000, 3_000)]
    await world.report(status="approved", order_amount_minor=80_000)
    assert await world.balance(shopper) == NONE | {"available": 4_000}
    assert await world.violations() == []


async def test_amendment_after_confirmation_moves_what_is_available(world: Any, shopper: Any, click_id: str) -> None:
    await world.report(click_id=click_id, status="approved")
    await world.report(status="approved", order_amount_minor=50_000)
    assert await world.balance(shopper) == NONE | {"available": 2_500}
    await world.report(status="approved", order_amount_minor=200_000)
    assert await world.balance(shopper) == NONE | {"available": 10_000}
    assert await world.violations() == []


async def test_amendment_below_what_was_withdrawn_becomes_a_debt(world: Any, shopper: Any, click_id: str) -> None:
    await world.report(click_id=click_id, status="approved", order_amount_minor=400_000)
    await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    await world.report(status="approved", order_amount_minor=100_000)
    assert await world.balance(shopper) == NONE | {"in_flight": 20_000, "owed": 15_000}
    assert await world.violations() == []


async def test_clawback_after_payout_is_owed_and_kept_back_from_the_next_cashback(
    world: Any, shopper: Any, click_id: str
) -> None:
    await world.report(click_id=click_id, status="approved", order_amount_minor=400_000)
    await world.withdraw(shopper, await world.payout_method(shopper), 15_000)
    await world.report(status="reversed")
    assert await world.balance(shopper) == NONE | {"in_flight": 15_000, "owed": 15_000}
    await world.earn(shopper, 16_000)
    assert await world.balance(shopper) == NONE | {"in_flight": 15_000, "available": 1_000}
    assert await world.violations() == []


async def test_sale_in_another_currency_is_stored_and_refused_by_name(world: Any, shopper: Any, click_id: str) -> None:
    result = await world.report(click_id=click_id, currency="USD")
    assert (result.outcome, result.reason, result.conversion_id) == ("refused", "CURRENCY_MISMATCH", None)
    assert await books(world) == {}
    assert len(await world.sql("SELECT 1 FROM conversion_events")) == 1


async def test_sale_without_click_is_unattributed(world: Any) -> None:
    await world.report()
    assert (await sale(world)).state == "unattributed"
    assert await books(world) == {"assets:receivable:impact": 10_000, "liabilities:unattributed:impact": 10_000}
    await world.report(commission_minor=8_000)
    assert (await books(world))["liabilities:unattributed:impact"] == 8_000
    assert await world.violations() == []


async def test_unattributed_sale_that_is_declined_leaves_nothing(world: Any) -> None:
    await world.report()
    await world.report(status="declined")
    assert set((await books(world)).values()) == {0}
    assert await world.violations() == []


async def test_unattributed_sale_is_attributed_when_the_click_is_named_later(
    world: Any, shopper: Any, click_id: str
) -> None:
    await world.report()
    result = await world.report(click_id=click_id, status="approved")
    assert result.outcome == "applied"
    assert await world.balance(shopper) == NONE | {"available": 5_000}
    held = await books(world)
    assert (held["liabilities:unattributed:impact"], held["income:commission:daraz"]) == (0, 10_000)
    assert await world.violations() == []
    await world.report(status="reversed")
    assert set((await books(world)).values()) == {0}
    assert await world.violations() == []


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"click_id": str(uuid4())}, "click_known"),
        ({"click_id": "not a click"}, "click_known"),
        ({"occurred_at": datetime.now(UTC) - timedelta(days=2)}, "within_click_window"),
    ],
)
async def test_sale_that_its_click_does_not_explain_is_unattributed(
    world: Any, shopper: Any, click_id: str, fields: dict[str, Any], rule: str
) -> None:
    await world.report(**({"click_id": click_id} | fields))
    rows = await world.sql("SELECT state, attribution FROM conversions")
    assert rows[0]["state"] == "unattributed"
    assert [entry["rule"] for entry in orjson.loads(rows[0]["attribution"]) if not entry["matched"]] == [rule]


async def test_click_at_another_merchant_explains_nothing(world: Any, shopper: Any) -> None:
    await world.merchant("bagallery", network="impact")
    other = await world.click(shopper, "bagallery")
    await world.report(click_id=str(other.id))
    assert (await sale(world)).state == "unattributed"


async def test_network_may_not_report_for_merchants_of_others(world: Any) -> None:
    await world.merchant("direct-shop")
    result = await world.report(merchant="direct-shop")
    assert (result.outcome, result.reason) == ("refused", "MERCHANT_NOT_OF_NETWORK")
    result = await world.report(merchant="nobody")
    assert (result.outcome, result.reason) == ("refused", "MERCHANT_UNKNOWN")


async def test_direct_merchant_reports_without_a_network(world: Any, shopper: Any) -> None:
    await world.merchant("direct-shop")
    click = await world.click(shopper, "direct-shop")
    result = await world.report(network="", merchant="direct-shop", click_id=str(click.id))
    assert result.outcome == "applied"
    assert (await books(world))["assets:receivable:direct-shop"] == 10_000


async def test_rate_of_the_click_is_paid_even_when_rates_have_changed_since(
    world: Any, shopper: Any, click_id: str
) -> None:
    lower = merchants.Rate("", merchants.CustomerType.UNKNOWN, merchants.RateKind.PERCENT, 1, None, "PKR")
    async with world.db.write() as session:
        published = await merchants.publish_rates(session, None, "daraz", merchants.NewSchedule((lower,)))
    assert published.version == 2
    await world.report(click_id=click_id)
    assert await world.balance(shopper) == NONE | {"pending": 5_000}


@pytest.mark.parametrize(
    ("fields", "reward_minor"),
    [
        ({"customer_type": "new"}, 8_000),
        ({"customer_type": "existing"}, 5_000),
        ({"rate_category": "phones"}, 2_000),
        ({"rate_category": "phones", "customer_type": "new"}, 2_000),
        ({"order_amount_minor": 9_000_000}, 100_000),
        ({"order_amount_minor": 119}, 5),
        ({"order_amount_minor": 0}, 0),
    ],
)
async def test_cashback_is_priced_by_the_promised_rates(
    world: Any, shopper: Any, click_id: str, fields: dict[str, Any], reward_minor: int
) -> None:
    await world.report(click_id=click_id, **fields)
    assert await world.balance(shopper) == NONE | {"pending": reward_minor}
    assert await world.violations() == []


async def test_sale_worth_nothing_goes_all_the_way_without_a_posting(world: Any, click_id: str) -> None:
    for word in ("pending", "approved", "paid"):
        await world.report(click_id=click_id, status=word, order_amount_minor=0, commission_minor=0)
    assert (await sale(world)).state == "settled"
    assert await books(world) == {}
    assert await world.violations() == []


async def test_forged_receipt_pays_nothing(world: Any, shopper: Any, click_id: str) -> None:
    other = await world.click(await world.customer())
    await world.sql("UPDATE clicks SET receipt = (SELECT receipt FROM clicks WHERE id = $1) WHERE id != $1", other.id)
    result = await world.report(click_id=click_id)
    assert (result.outcome, result.reason) == ("refused", "RECEIPT_INVALID")
    assert await books(world) == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"order_amount_minor": 10.5},
        {"order_amount_minor": -1},
        {"order_amount_minor": 10**18},
        {"commission_minor": "100"},
        {"currency": "rupees"},
        {"currency": None},
        {"status": ""},
        {"conversion_id": "x" * 201},
        {"conversion_id": "a\0b"},
        {"occurred_at": "yesterday"},
        {"occurred_at": "2026-01-01T00:00:00"},
        {"occurred_at": "2999-01-01T00:00:00Z"},
    ],
    ids=str,
)
async def test_event_that_cannot_be_read_is_stored_and_refused(world: Any, fields: dict[str, Any]) -> None:
    result = await world.report(**fields)
    assert (result.outcome, result.reason) == ("refused", "EVENT_MALFORMED")
    assert await books(world) == {}


async def test_open_sale_stays_with_its_network_when_the_merchant_changes_to_another(
    world: Any, shopper: Any, click_id: str
) -> None:
    await world.report(click_id=click_id)
    async with world.db.write() as session:
        await merchants.create_network(session, None, world.runtime.keys, slug="awin", name="Awin")
        await merchants.update_merchant(session, None, "daraz", merchants.MerchantChanges(network="awin"))
    assert (await world.report(status="approved")).outcome == "applied"
    assert await world.balance(shopper) == NONE | {"available": 5_000}
    refused = await world.report(conversion_id="sale-2")
    assert (refused.outcome, refused.reason) == ("refused", "MERCHANT_NOT_OF_NETWORK"), "a new sale through the old one"
    assert await world.violations() == []


@pytest.mark.parametrize("said", ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z"])
async def test_time_before_there_were_shops_to_click_at_is_no_time(world: Any, said: str) -> None:
    # One that the database can store and nobody read back would make the sale unreadable for ever.
    first = await world.report(occurred_at=said)
    assert (await world.report(status="approved")).outcome == "applied"
    assert first.reason == "EVENT_MALFORMED"
