"""The ledger holds its invariants by itself: in the database, whoever writes."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domains.cashback.errors import InsufficientBalance, PostedAlready, PostingInvalid, ResolvedAlready
from domains.cashback.service import ledger
from domains.cashback.service.ledger import Entry, Posting, transfer
from wapsi.db import Database

CASHBACK = ledger.cashback("daraz")


@pytest.fixture
async def customer_id(admin_sql: Any) -> UUID:
    rows = await admin_sql(
        "INSERT INTO customers (email, password_hash, display_name, referral_code)"
        " VALUES ('a@wapsi.example', 'none', 'Asma', 'A') RETURNING id"
    )
    found: UUID = rows[0]["id"]
    return found


def posting(entries: list[Entry], **changes: Any) -> Posting:
    fields: dict[str, Any] = {
        "kind": "test",
        "source": "test",
        "external_id": uuid4().hex,
        "description": "A test",
        "currency": "PKR",
        "entries": entries,
    }
    return Posting(**(fields | changes))


async def post(db: Database, entries: list[Entry], **changes: Any) -> UUID:
    async with db.write() as session:
        return await ledger.post(session, posting(entries, **changes))


async def balance(db: Database, account: str) -> int:
    async with db.read() as session:
        return await ledger.balance_minor(session, account, "PKR")


async def test_posting_changes_both_sides(db: Database, customer_id: UUID) -> None:
    await post(db, transfer(CASHBACK, ledger.customer_pending(customer_id), 250))
    assert await balance(db, CASHBACK) == 250
    assert await balance(db, ledger.customer_pending(customer_id)) == 250


async def test_customers_balance_is_stored_beside_its_entries(db: Database, admin_sql: Any, customer_id: UUID) -> None:
    for _ in range(3):
        await post(db, transfer(CASHBACK, ledger.customer_pending(customer_id), 100))
    rows = await admin_sql("SELECT balance_minor FROM ledger_balances")
    assert [row["balance_minor"] for row in rows] == [300]


async def test_overdraft_is_refused_and_leaves_nothing(db: Database, admin_sql: Any, customer_id: UUID) -> None:
    available = ledger.customer_available(customer_id)
    await post(db, transfer(CASHBACK, available, 100))
    before = await admin_sql("SELECT count(*) FROM ledger_entries")
    with pytest.raises(InsufficientBalance) as caught:
        await post(db, transfer(available, ledger.PAYOUTS_IN_FLIGHT, 101))
    assert caught.value.metadata["account"] == available
    assert await admin_sql("SELECT count(*) FROM ledger_entries") == before
    assert await balance(db, available) == 100


async def test_one_cause_is_posted_once(db: Database) -> None:
    entries = transfer(ledger.bank("PKR"), ledger.receivable("impact"), 10)
    await post(db, entries, external_id="once")
    with pytest.raises(PostedAlready):
        await post(db, entries, external_id="once")
    assert await balance(db, ledger.bank("PKR")) == 10


async def test_of_simultaneous_postings_for_one_cause_one_counts(db: Database) -> None:
    entries = transfer(ledger.bank("PKR"), ledger.receivable("impact"), 10)
    results = await asyncio.gather(*(post(db, entries, external_id="once") for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(result, UUID) for result in results) == 1
    assert sum(isinstance(result, PostedAlready) for result in results) == 19
    assert await balance(db, ledger.bank("PKR")) == 10


async def test_pending_posting_resolves_once(db: Database, customer_id: UUID) -> None:
    pending, available = ledger.customer_pending(customer_id), ledger.customer_available(customer_id)
    first = await post(db, transfer(CASHBACK, pending, 500))
    await post(db, transfer(pending, available, 200), resolves_id=first)
    with pytest.raises(ResolvedAlready):
        await post(db, transfer(pending, available, 200), resolves_id=first)
    assert await balance(db, available) == 200


async def test_simultaneous_spending_never_goes_below_zero(db: Database, customer_id: UUID) -> None:
    available = ledger.customer_available(customer_id)
    await post(db, transfer(CASHBACK, available, 1000))
    results = await asyncio.gather(
        *(post(db, transfer(available, ledger.PAYOUTS_IN_FLIGHT, 300)) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, UUID) for result in results) == 3
    assert await balance(db, available) == 100


async def test_transfers_in_both_directions_at_once_do_not_deadlock(db: Database, customer_id: UUID) -> None:
    pending, available = ledger.customer_pending(customer_id), ledger.customer_available(customer_id)
    await post(db, transfer(CASHBACK, available, 1000))
    await post(db, transfer(CASHBACK, pending, 1000))
    there = [post(db, transfer(pending, available, 1)) for _ in range(40)]
    back = [post(db, transfer(available, pending, 1)) for _ in range(40)]
    await asyncio.gather(*there, *back)
    assert await balance(db, available) == 1000


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="none"),
        pytest.param([Entry("assets:bank:pkr", 1)], id="one side"),
        pytest.param([Entry("assets:bank:pkr", 2), Entry("income:x", -1)], id="unbalanced"),
        pytest.param([Entry("assets:bank:pkr", 0), Entry("income:x", 0)], id="zero"),
        pytest.param([Entry("assets:bank:pkr", 1.0), Entry("income:x", -1.0)], id="floats"),  # type: ignore[arg-type]
        pytest.param([Entry("assets:bank:pkr", True), Entry("income:x", -1)], id="a bool"),
    ],
)
async def test_code_refuses_entries_that_are_no_posting(db: Database, entries: list[Entry]) -> None:
    with pytest.raises(PostingInvalid):
        await post(db, entries)


async def insert_entries(db: Database, values: str) -> None:
    """Past the code, as the application's role."""
    async with db.write() as session:
        await session.execute(
            text(
                "INSERT INTO ledger_transactions (id, kind, source, external_id, description)"
                " VALUES ('00000000-0000-7000-8000-000000000001', 't', 't', '1', '')"
            )
        )
        await session.execute(
            text(f"INSERT INTO ledger_entries (transaction_id, account_id, amount_minor, currency) VALUES {values}")
        )


TX = "'00000000-0000-7000-8000-000000000001'"
BANK = f"{TX}, (SELECT id FROM ledger_accounts WHERE path = 'assets:bank:pkr')"
INCOME = f"{TX}, (SELECT id FROM ledger_accounts WHERE path = 'income:x')"
NOWHERE = f"{TX}, 0"


@pytest.mark.parametrize(
    ("values", "sqlstate"),
    [
        pytest.param(f"({BANK}, 5, 'PKR')", "WL003", id="one side only"),
        pytest.param(f"({BANK}, 5, 'PKR'), ({INCOME}, -4, 'PKR')", "WL003", id="unbalanced"),
        pytest.param(f"({BANK}, 5, 'USD'), ({INCOME}, -5, 'PKR')", "WL003", id="two currencies"),
        pytest.param(f"({BANK}, 5, 'USD'), ({INCOME}, -5, 'USD')", "WL004", id="not the accounts' currency"),
        pytest.param(f"({BANK}, 5, 'PKR'), ({NOWHERE}, -5, 'PKR')", "WL004", id="no such account"),
        pytest.param(f"({BANK}, 0, 'PKR'), ({INCOME}, 0, 'PKR')", "23514", id="zero"),
    ],
)
async def test_database_refuses_entries_that_are_no_posting(db: Database, values: str, sqlstate: str) -> None:
    await post(db, transfer("assets:bank:pkr", "income:x", 1))
    with pytest.raises(DBAPIError) as caught:
        await insert_entries(db, values)
    assert caught.value.orig is not None
    assert caught.value.orig.__cause__.sqlstate == sqlstate  # type: ignore[union-attr]


async def test_database_refuses_entries_added_later(db: Database) -> None:
    transaction_id = await post(db, transfer("assets:bank:pkr", "income:x", 1))
    async with db.write() as session:
        with pytest.raises(DBAPIError, match="posted already"):
            await session.execute(
                text(
                    "INSERT INTO ledger_entries (transaction_id, account_id, amount_minor, currency)"
                    " SELECT transaction_id, account_id, amount_minor, currency FROM ledger_entries"
                    " WHERE transaction_id = :id"
                ),
                {"id": transaction_id},
            )


@pytest.mark.parametrize("table", ["ledger_accounts", "ledger_transactions", "ledger_entries", "state_changes"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = DEFAULT", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_application_may_not_change_the_books(db: Database, table: str, statement: str) -> None:
    await post(db, transfer("assets:bank:pkr", "income:x", 1))
    async with db.write() as session:
        with pytest.raises(DBAPIError, match="permission denied"):
            await session.execute(text(statement.format(table)))


@pytest.mark.parametrize("statement", ["UPDATE {} SET currency = 'USD'", "DELETE FROM {}"])
async def test_owner_is_stopped_by_the_trigger(db: Database, admin_sql: Any, statement: str) -> None:
    await post(db, transfer("assets:bank:pkr", "income:x", 1))
    with pytest.raises(Exception, match="append-only"):
        await admin_sql(statement.format("ledger_entries"))


async def test_balance_of_a_customer_cannot_be_stored_below_zero(db: Database, customer_id: UUID) -> None:
    await post(db, transfer(CASHBACK, ledger.customer_available(customer_id), 5))
    async with db.write() as session:
        with pytest.raises(DBAPIError, match="ck_ledger_balances_balance_minor"):
            await session.execute(text("UPDATE ledger_balances SET balance_minor = -1"))


async def test_posting_reads_no_more_of_the_ledger_when_that_has_grown(db: Database) -> None:
    """With the plans that a session has made while the ledger was empty."""
    read = text("SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname LIKE 'ledger_%'")
    entries = transfer(ledger.bank("PKR"), ledger.receivable("impact"), 10)
    async with db.write() as session:

        async def one_reads() -> int:
            before = int(await session.scalar(read))
            await ledger.post(session, posting(entries))
            return int(await session.scalar(read)) - before

        driver = await session.driver()
        at_first = max([await one_reads() for _ in range(5)])
        await ledger.post_many(driver, [posting(entries) for _ in range(1_000)])
        assert await one_reads() <= at_first
