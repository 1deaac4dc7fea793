"""Events that come at the same time are written together, and each is still answered for itself."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from domains.cashback import service
from domains.cashback.errors import InsufficientBalance, PostedAlready, ResolvedAlready
from domains.cashback.service import ledger
from domains.cashback.service.intake import Intake
from wapsi.db import Database
from wapsi.security.principal import Principal, PrincipalKind


def report(event_id: str | None = None, *, principal: Principal | None = None, **fields: Any) -> service.Report:
    body = {
        "conversion_id": "sale-1",
        "merchant": "daraz",
        "status": "pending",
        "order_amount_minor": 100_000,
        "commission_minor": 10_000,
        "currency": "PKR",
        "occurred_at": datetime.now(UTC),
    } | fields
    raw = orjson.dumps(body)
    event = service.parse_event(raw)
    return service.Report(event_id or uuid4().hex, service.Door.FILE, raw, "network:impact", event, principal=principal)


async def take(world: Any, *reports: service.Report) -> list[Any]:
    """As one group."""
    async with world.db.write() as session:
        source = await service.source_of(session, "impact")
        return list(
            await service.ingest_many(await session.driver(), world.runtime.keys, [(source, each) for each in reports])
        )


def outcomes(results: list[Any]) -> list[str]:
    return [str(result.outcome) for result in results]


@pytest.fixture
async def shopper(world: Any) -> UUID:
    found: UUID = await world.customer()
    return found


@pytest.fixture
async def click_id(world: Any, shopper: UUID) -> str:
    return str((await world.click(shopper)).id)


async def test_whole_life_of_a_sale_fits_into_one_group(world: Any, shopper: UUID, click_id: str) -> None:
    begin = datetime.now(UTC)
    told = [
        ("pending", 100_000),
        ("pending", 60_000),
        ("approved", 60_000),
        ("approved", 80_000),
        ("reversed", 80_000),
    ]
    results = await take(
        world,
        *(
            report(
                click_id=click_id, status=word, order_amount_minor=amount, occurred_at=begin + timedelta(seconds=turn)
            )
            for turn, (word, amount) in enumerate(told)
        ),
    )
    assert outcomes(results) == ["applied"] * 5
    assert len({result.conversion_id for result in results}) == 1
    rows = await world.sql("SELECT kind FROM ledger_transactions ORDER BY id")
    assert [row["kind"] for row in rows] == [
        "conversion.pending",
        "conversion.amended",
        "reward.confirmed",
        "conversion.amended",
        "conversion.reversed",
    ]
    assert await world.balance(shopper) == {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}
    assert await world.violations() == []


async def test_refused_member_leaves_its_inbox_row_only_and_its_neighbours_alone(
    world: Any, shopper: UUID, click_id: str
) -> None:
    results = await take(
        world,
        report("e-1", conversion_id="sale-1", click_id=click_id),
        report("e-2", conversion_id="sale-2", currency="USD"),
        report("e-3", conversion_id="sale-3", status="no such word"),
        report("e-4", conversion_id="sale-4", merchant="nobody"),
        report("e-5", conversion_id="sale-5", click_id=click_id, status="approved"),
    )
    assert outcomes(results) == ["applied", "refused", "unknown_status", "refused", "applied"]
    assert [result.reason for result in results[1:4]] == ["CURRENCY_MISMATCH", "UNKNOWN_STATUS", "MERCHANT_UNKNOWN"]
    rows = await world.sql("SELECT external_id FROM conversions ORDER BY id")
    assert [row["external_id"] for row in rows] == ["sale-1", "sale-5"]
    assert len(await world.sql("SELECT 1 FROM conversion_events")) == 5
    assert await world.balance(shopper) == {"pending": 5_000, "available": 5_000, "in_flight": 0, "owed": 0}
    assert await world.violations() == []


async def test_producer_that_may_not_report_a_merchant_leaves_nothing_and_its_neighbours_alone(
    world: Any, click_id: str
) -> None:
    foreign = await world.merchant("foreign", network="impact")
    principal = Principal(PrincipalKind.PRODUCER, uuid4(), frozenset(), merchant_ids=frozenset({world.merchant_id}))
    results = await take(
        world,
        report("e-1", principal=principal, click_id=click_id),
        report("e-2", principal=principal, conversion_id="sale-2", merchant=foreign.slug),
        report("e-2", principal=principal, conversion_id="sale-2", merchant=foreign.slug),
    )
    assert results[0].outcome == "applied"
    assert all(isinstance(result, service.MerchantNotReportable) for result in results[1:])
    rows = await world.sql("SELECT external_event_id FROM conversion_events")
    assert [row["external_event_id"] for row in rows] == ["e-1"]


async def test_event_that_comes_twice_in_a_group_is_answered_like_the_first(world: Any, click_id: str) -> None:
    results = await take(world, *(report("e-1", click_id=click_id) for _ in range(3)))
    assert [result.repeated for result in results] == [False, True, True]
    assert len({(result.event_id, result.conversion_id, result.outcome) for result in results}) == 1
    assert len(await world.sql("SELECT 1 FROM ledger_transactions")) == 1


async def test_event_that_is_refused_after_it_was_worked_out_leaves_the_sale_as_it_was(
    world: Any, click_id: str
) -> None:
    """New amounts, and a click whose receipt is not genuine: the amounts do not stay."""
    await take(world, report(order_amount_minor=100_000))
    other = await world.click(await world.customer())
    await world.sql("UPDATE clicks SET receipt = (SELECT receipt FROM clicks WHERE id = $1) WHERE id != $1", other.id)
    [result] = await take(world, report(click_id=click_id, order_amount_minor=1, commission_minor=1))
    assert (result.outcome, result.reason) == ("refused", "RECEIPT_INVALID")
    rows = await world.sql("SELECT order_amount_minor, commission_minor, state FROM conversions")
    assert [tuple(row) for row in rows] == [(100_000, 10_000, "unattributed")]
    assert await world.sql("SELECT 1 FROM conversion_adjustments") == []


async def test_number_of_statements_does_not_depend_on_the_number_of_events(world: Any, shopper: UUID) -> None:
    clicks = [str((await world.click(shopper)).id) for _ in range(20)]
    counts = []
    for turn, word in enumerate(("pending", "approved", "paid")):
        for size in (1, 19):
            first = 0 if size == 1 else 1
            reports = [
                report(
                    conversion_id=f"sale-{number}",
                    click_id=clicks[number],
                    status=word,
                    occurred_at=datetime.now(UTC) + timedelta(seconds=turn),
                )
                for number in range(first, first + size)
            ]
            queries: list[str] = []
            async with world.db.write() as session:
                source = await service.source_of(session, "impact")
                driver = await session.driver()
                with driver.query_logger(lambda record, queries=queries: queries.append(record.query)):
                    await service.ingest_many(driver, world.runtime.keys, [(source, each) for each in reports])
            counts.append(len(queries))
    # The first event of a source makes its mapping.
    assert counts[1] <= counts[0]
    assert counts[2] == counts[3]
    assert counts[4] == counts[5]
    assert max(counts) <= 12
    assert await world.violations() == []


async def test_what_breaks_a_group_fails_by_itself(world: Any, click_id: str) -> None:
    """A text that no database takes, and that no door lets in."""
    intake = service.intake_of(world.runtime)
    async with world.db.read() as session:
        source = await service.source_of(session, "impact")
    reports = [report("e-1", click_id=click_id), report("\ud800"), report("e-3", conversion_id="sale-3")]
    results = await asyncio.gather(*(intake.submit((source, each)) for each in reports), return_exceptions=True)
    assert isinstance(results[1], UnicodeEncodeError)
    assert outcomes([results[0], results[2]]) == ["applied", "applied"]


async def test_processes_that_take_the_same_events_at_once_have_one_effect(world: Any, click_id: str) -> None:
    """And never wait for each other in a circle, whatever the order."""
    async with world.db.read() as session:
        source = await service.source_of(session, "impact")
    clicks = [str((await world.click(await world.customer())).id) for _ in range(6)]
    moment = datetime.now(UTC)
    reports = [
        report(
            f"e-{number}-{word}",
            conversion_id=f"sale-{number}",
            click_id=clicks[number],
            status=word,
            occurred_at=moment,
        )
        for number in range(6)
        for word in ("pending", "approved")
    ]
    intakes = [Intake(world.db, world.runtime.keys) for _ in range(4)]
    for turn in range(3):
        await asyncio.gather(
            *(
                intake.submit((source, each))
                for position, intake in enumerate(intakes)
                for each in (reports if (position + turn) % 2 else reversed(reports))
            )
        )
    assert len(await world.sql("SELECT 1 FROM conversion_events")) == len(reports)
    rows = await world.sql("SELECT state FROM conversions")
    assert [row["state"] for row in rows] == ["approved"] * 6
    assert await world.violations() == []


def posting(external_id: str, entries: list[ledger.Entry], **changes: Any) -> ledger.Posting:
    return ledger.Posting("test", "test", external_id, "A test", "PKR", entries, **changes)


async def test_postings_of_a_group_are_guarded_one_by_one(world: Any, db: Database, shopper: UUID) -> None:
    pending, available = ledger.customer_pending(shopper), ledger.customer_available(shopper)
    expense = ledger.cashback("daraz")
    earlier = posting("earlier", ledger.transfer(expense, pending, 100))
    async with db.write() as session:
        await ledger.post(session, earlier)
    group = [
        posting("1", ledger.transfer(expense, available, 50)),
        posting("2", ledger.transfer(available, "liabilities:payouts:in_flight", 40)),
        posting("3", ledger.transfer(available, "liabilities:payouts:in_flight", 40)),
        posting("earlier", ledger.transfer(expense, available, 1_000)),
        posting("4", ledger.transfer(pending, available, 60), resolves_id=earlier.id),
        posting("5", ledger.transfer(pending, available, 40), resolves_id=earlier.id),
        posting("6", ledger.transfer(available, "liabilities:payouts:in_flight", 70)),
        posting("6", ledger.transfer(expense, available, 5)),
    ]
    async with db.write() as session:
        faults = await ledger.post_many(await session.driver(), group)
    assert [type(fault) for fault in faults] == [
        type(None),
        type(None),
        InsufficientBalance,
        PostedAlready,
        type(None),
        ResolvedAlready,
        type(None),
        PostedAlready,
    ]
    rows = await world.sql(
        "SELECT a.path, b.balance_minor FROM ledger_balances b JOIN ledger_accounts a ON a.id = b.account_id"
    )
    assert {row["path"]: row["balance_minor"] for row in rows} == {pending: 40, available: 0}
    kept = await world.sql("SELECT external_id FROM ledger_transactions WHERE source = 'test' ORDER BY 1")
    assert [row["external_id"] for row in kept] == ["1", "2", "4", "6", "earlier"]


async def test_database_refuses_entries_of_a_posting_that_is_not_there(db: Database, admin_sql: Any) -> None:
    async with db.write() as session:
        await ledger.post(session, posting("1", ledger.transfer("assets:bank:pkr", "income:x", 1)))
    with pytest.raises(asyncpg.PostgresError, match="there is no ledger transaction"):
        await admin_sql(
            "INSERT INTO ledger_entries (transaction_id, account_id, amount_minor, currency)"
            " SELECT uuidv7(), account_id, amount_minor, currency FROM ledger_entries WHERE false"
            " UNION ALL SELECT '00000000-0000-7000-8000-000000000001'::uuid, account_id, amount_minor, currency"
            " FROM ledger_entries"
        )
