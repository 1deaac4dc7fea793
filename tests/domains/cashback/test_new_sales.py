"""Sales that are new and pending are taken in without a transaction around them, and are as safe as all others."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from domains.cashback import service
from domains.cashback.service import ledger, receipts
from domains.cashback.service.drafts import Draft
from domains.cashback.service.intake import Intake
from domains.cashback.service.mappings import default_mapping
from domains.cashback.service.new_sales import Answer, Item, NewSales
from domains.cashback.service.writing import REFUSED, Written, write_at_once
from wapsi.db.transactions import Statements
from wapsi.ids import new_id


def report(event_id: str | None = None, **fields: Any) -> service.Report:
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
    return service.Report(event_id or uuid4().hex, service.Door.FILE, raw, "network:impact", service.parse_event(raw))


@pytest.fixture
async def shopper(world: Any) -> UUID:
    found: UUID = await world.customer()
    return found


@pytest.fixture
async def click_id(world: Any, shopper: UUID) -> str:
    return str((await world.click(shopper)).id)


@pytest.fixture
async def source(world: Any) -> service.Source:
    """That has its mapping: before, nothing of it is new enough."""
    async with world.db.write() as session:
        found = await service.source_of(session, "impact")
        await service.ingest(session, world.runtime.keys, found, report("first", conversion_id="first"))
    return found


READ = "SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname = ANY($1)"


class Taking:
    """One group. `queries` are the statements that it took."""

    def __init__(self, world: Any, source: service.Source) -> None:
        self._world = world
        self._source = source
        self.sales = NewSales(world.runtime.keys)
        self.queries: list[str] = []

    async def __call__(self, *reports: service.Report) -> list[Answer | None]:
        self.queries.clear()
        items: list[Item] = [(self._source, each) for each in reports]
        async with Statements(self._world.db).write() as driver:
            with driver.query_logger(self._note):
                answers = await self.sales.take(driver, items)
                # The driver tells of a statement in the next turn of the loop.
                await asyncio.sleep(0)
        return answers

    def _note(self, record: Any) -> None:
        # The driver itself asks about the types of a statement, once a connection.
        if "typeinfo_tree" not in record.query and "current_setting('jit')" not in record.query:
            self.queries.append(record.query)


@pytest.fixture
def take(world: Any, source: service.Source) -> Taking:
    return Taking(world, source)


async def test_two_statements_write_a_whole_group(world: Any, take: Taking, shopper: UUID, click_id: str) -> None:
    answers = await take(
        report("e-1", click_id=click_id),
        report("e-2", conversion_id="sale-2"),
        report("e-3", conversion_id="sale-3", currency="USD"),
        report("e-4", conversion_id="sale-4", status="no such word"),
    )
    assert [answer.outcome for answer in answers if isinstance(answer, service.EventResult)] == [
        "applied",
        "applied",
        "refused",
        "unknown_status",
    ]
    assert len(take.queries) == 2
    rows = await world.sql("SELECT external_id, state FROM conversions WHERE external_id <> 'first' ORDER BY id")
    assert [tuple(row) for row in rows] == [("sale-1", "pending"), ("sale-2", "unattributed")]
    assert len(await world.sql("SELECT 1 FROM conversion_events WHERE external_event_id LIKE 'e-%'")) == 4
    assert (await world.balance(shopper))["pending"] == 5_000
    assert await world.violations() == []


HOT = (
    *("conversion_events", "conversions", "rewards", "state_changes"),
    *("ledger_accounts", "ledger_balances", "ledger_transactions", "ledger_entries"),
)


@pytest.mark.parametrize("statuses", [("pending",), ("pending", "approved")], ids=["new sales", "and their approval"])
async def test_plans_from_when_tables_were_empty_do_not_read_all_of_them(
    world: Any, shopper: UUID, statuses: Sequence[str]
) -> None:
    """Those of foreign keys too. Of a table that is analysed while it is empty the planner knows that it is."""
    async with world.db.write() as session:
        source = await service.source_of(session, "impact")
        await default_mapping(await session.driver(), "impact")
    clicks = [str((await world.click(shopper)).id) for _ in range(60)]
    await world.sql(f"ANALYZE {', '.join(HOT)}")
    sales = NewSales(world.runtime.keys)

    async def read(driver: asyncpg.Connection, first: int, count: int) -> int:
        """How many rows a group of so many sales makes the database read."""
        before = await driver.fetchval(READ, HOT)
        for status in statuses:
            items: list[Item] = [
                (source, report(conversion_id=f"sale-{number}", click_id=clicks[number], status=status))
                for number in range(first, first + count)
            ]
            answers = await sales.take(driver, items)
            if answers[0] is None:
                await service.ingest_many(driver, world.runtime.keys, items)
        return int(await driver.fetchval(READ, HOT)) - int(before)

    # A session that has no plans yet. In a transaction only so that what it reads can be told from what others do.
    driver = await asyncpg.connect(world.runtime.settings.database_url.replace("+asyncpg", ""))
    try:
        await driver.execute("BEGIN")
        at_first = max([await read(driver, number, 1) for number in range(10)])
        await read(driver, 10, 45)
        await world.sql(
            "WITH made AS (INSERT INTO ledger_accounts (path, currency, normal_side)"
            " SELECT n::text, 'PKR', 'debit' FROM generate_series(1, 100) AS n RETURNING id)"
            " INSERT INTO ledger_balances (account_id) SELECT id FROM made"
        )
        assert await read(driver, 55, 1) <= at_first
    finally:
        await driver.close()
        # The tests behind this one are not about such plans.
        await world.sql(f"SELECT pg_clear_relation_stats('public', name) FROM unnest(ARRAY{[*HOT]}) AS name")


async def test_what_is_not_new_or_not_only_pending_is_left_to_a_transaction(
    world: Any, take: Taking, click_id: str
) -> None:
    answers = await take(
        report("e-1", conversion_id="first"),
        report("e-2", conversion_id="sale-2", status="approved"),
        report("e-3", conversion_id="sale-3"),
        report("e-4", conversion_id="sale-3", commission_minor=1),
        report("e-5", conversion_id="sale-5"),
        report("e-5", conversion_id="sale-5"),
    )
    assert answers == [None] * 6
    assert len(await world.sql("SELECT 1 FROM conversion_events")) == 1


async def test_event_that_came_before_is_answered_as_then(take: Taking, click_id: str) -> None:
    [first] = await take(report("e-1", click_id=click_id))
    [again] = await take(report("e-1", click_id=click_id))
    assert isinstance(first, service.EventResult)
    assert isinstance(again, service.EventResult)
    assert (again.event_id, again.conversion_id, again.outcome) == (first.event_id, first.conversion_id, "applied")
    assert (first.repeated, again.repeated) == (False, True)
    assert len(take.queries) == 1


async def test_words_that_do_not_mean_pending_are_no_longer_tried(take: Taking) -> None:
    assert await take(report(status="approved")) == [None]
    assert len(take.queries) == 1
    assert await take(report(status="approved")) == [None]
    assert take.queries == []


@pytest.mark.parametrize("other", [{"event_id": "e-1"}, {"event_id": "e-9"}], ids=["the event", "the sale"])
async def test_what_another_took_in_between_has_one_effect(
    world: Any, source: service.Source, click_id: str, other: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After this one has looked and before it writes; its neighbours are taken in all the same."""
    moment = datetime.now(UTC)
    mine = [report("e-1", click_id=click_id, occurred_at=moment), report("e-2", conversion_id="sale-2")]
    look, came = NewSales._look, []

    async def look_late(*arguments: Any) -> Any:
        found = await look(*arguments)
        if not came:
            came.append(True)
            async with world.db.write() as session:
                theirs = report(**other, click_id=click_id, occurred_at=moment)
                await service.ingest(session, world.runtime.keys, source, theirs)
        return found

    monkeypatch.setattr(NewSales, "_look", look_late)
    intake = Intake(world.db, world.runtime.keys)
    results = await asyncio.gather(*(intake.submit((source, each)) for each in mine))
    assert came
    if other["event_id"] == "e-1":
        assert (results[0].outcome, results[0].repeated) == ("applied", True)
    else:
        assert (results[0].outcome, results[0].reason) == ("ignored", "NOTHING_NEW")
    assert (results[1].outcome, results[1].repeated) == ("applied", False)
    rows = await world.sql("SELECT external_id FROM conversions WHERE external_id <> 'first' ORDER BY external_id")
    assert [row["external_id"] for row in rows] == ["sale-1", "sale-2"]
    assert await world.violations() == []


@pytest.mark.parametrize(
    ("cause", "amount_minor", "state"),
    [
        pytest.param("1", 100, asyncpg.UniqueViolationError.sqlstate, id="posted already"),
        pytest.param("3", -1, REFUSED, id="takes something from a customer"),
    ],
)
async def test_refused_posting_leaves_nothing_of_its_group(
    world: Any, take: Taking, shopper: UUID, cause: str, amount_minor: int, state: str
) -> None:
    def posting(cause: str, amount_minor: int) -> ledger.Posting:
        entries = ledger.transfer(ledger.cashback("daraz"), ledger.customer_pending(shopper), amount_minor)
        return ledger.Posting("test", "test", cause, "A test", "PKR", entries)

    async with world.db.write() as session:
        await ledger.post(session, posting("1", 100))
    draft = Draft({}, set(), None)
    draft.post(posting("2", 100))
    draft.post(posting(cause, amount_minor))
    async with Statements(world.db).write() as driver:
        with pytest.raises(asyncpg.PostgresError) as error:
            await write_at_once(driver, Written(drafts=[draft]), [1], [shopper])
    assert error.value.sqlstate == state
    rows = await world.sql("SELECT external_id FROM ledger_transactions WHERE source = 'test'")
    assert [row["external_id"] for row in rows] == ["1"]
    assert (await world.balance(shopper))["pending"] == 100


async def test_receipt_is_believed_by_its_mac_and_else_by_its_signature(world: Any, shopper: UUID) -> None:
    keys = world.runtime.keys
    click = await world.click(shopper)
    [row] = await world.sql("SELECT receipt, receipt_mac FROM clicks")
    head, payload, _ = row["receipt"].split(".")
    assert receipts.read(keys, row["receipt"]).click_id == click.id
    unsigned = f"{head}.{payload}.AAAA"
    for mac in (None, row["receipt_mac"], b""):
        with pytest.raises(receipts.ReceiptInvalid):
            receipts.read(keys, unsigned, mac)
    assert receipts.read(keys, unsigned, receipts.mac(keys, unsigned)).customer_id == shopper
    assert receipts.read(keys, row["receipt"], b"of another secret").click_id == click.id


async def test_receipt_says_the_same_by_its_mac_as_by_its_signature(world: Any, shopper: UUID) -> None:
    """Also where a text in it looks like the claim that its terms begin with."""
    keys = world.runtime.keys
    for title in ("Shoes", 'A, "iss":"x"', ',"iss":'):
        offer_id = new_id()
        await world.click(shopper)
        rows = await world.sql("SELECT receipt FROM clicks ORDER BY id DESC LIMIT 1")
        promised = replace(receipts.read(keys, rows[0]["receipt"]), offer_id=offer_id, offer_title=title)
        token = receipts.sign(keys, "http://wapsi.test", promised)
        assert receipts.read(keys, token) == promised
        assert receipts.read(keys, token, receipts.mac(keys, token)) == promised
