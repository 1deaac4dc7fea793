"""The verifier finds what a superuser did to the books, and names the row."""

from typing import Any

import httpx2
import pytest
import structlog.testing
from sqlalchemy import text

from domains.cashback import service
from wapsi.security.permissions import OperatorRole

# As an intruder would: triggers off, then the change, then on again so that nothing else shows.
OFF = "ALTER TABLE {} DISABLE TRIGGER USER"
ON = "ALTER TABLE {} ENABLE TRIGGER USER"


@pytest.fixture
def database_name(own_database: str) -> str:
    """These tests take the schema's own guards away."""
    return own_database


@pytest.fixture
async def books(world: Any) -> Any:
    """A settled sale, a pending one, a reversed one, and a payout that was paid."""
    shopper = await world.customer()
    await world.earn(shopper, 50_000, "sale-1")
    await world.report(conversion_id="sale-1", status="paid", order_amount_minor=None)
    await world.earn(shopper, 4_000, "sale-2")
    await world.report(conversion_id="sale-2", status="reversed")
    click = await world.click(shopper)
    await world.report(conversion_id="sale-3", click_id=str(click.id))
    await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    await world.run_jobs("cashback.send_payout")
    assert await world.violations() == []
    return world


async def tamper(world: Any, table: str, statement: str, *arguments: Any) -> None:
    await world.sql(OFF.format(table))
    await world.sql(statement, *arguments)
    await world.sql(ON.format(table))


async def found(world: Any) -> dict[str, set[str]]:
    """{invariant: subjects}"""
    result: dict[str, set[str]] = {}
    for violation in await world.violations():
        result.setdefault(violation.invariant, set()).add(violation.subject)
    return result


async def one(world: Any, query: str) -> Any:
    return (await world.sql(query))[0][0]


LEDGER = ("conversions", "rewards", "ledger_accounts", "ledger_balances", "ledger_transactions", "ledger_entries")
READ = text(f"SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname IN {LEDGER}")


async def test_each_sale_is_checked_by_its_own_rows_whatever_was_known_of_the_tables(world: Any) -> None:
    """Of a table that is analysed while it is empty the planner believes that reading all of it costs nothing."""
    shopper = await world.customer()
    await world.sql(f"ANALYZE {', '.join(LEDGER)}")

    async def rows_read(first: int, upto: int) -> int:
        for number in range(first, upto):
            click = await world.click(shopper)
            await world.report(conversion_id=f"sale-{number}", click_id=str(click.id))
        async with world.db.read() as session:
            assert await service.verify_ledger(session) == []
            return int(await session.scalar(READ))

    few = await rows_read(0, 15)
    # Each with all others' rows it would be sixteen times as many.
    assert await rows_read(15, 60) < 5 * few


async def test_changed_amount(books: Any) -> None:
    entry = await one(books, "SELECT max(id) FROM ledger_entries")
    transaction = await one(books, f"SELECT transaction_id FROM ledger_entries WHERE id = {entry}")
    await tamper(
        books, "ledger_entries", "UPDATE ledger_entries SET amount_minor = amount_minor + 1 WHERE id = $1", entry
    )
    violations = await found(books)
    assert f"ledger_transaction {transaction}" in violations["I1"]
    assert "currency PKR" in violations["I2"]


async def test_both_sides_changed_alike(books: Any) -> None:
    """Still balanced; but the sale says another commission."""
    transaction = await one(
        books, "SELECT id FROM ledger_transactions WHERE kind = 'conversion.pending' ORDER BY id DESC LIMIT 1"
    )
    sale = await one(books, "SELECT id FROM conversions WHERE external_id = 'sale-3'")
    await tamper(
        books,
        "ledger_entries",
        "UPDATE ledger_entries SET amount_minor = amount_minor * 2 WHERE transaction_id = $1"
        " AND abs(amount_minor) = 10000",
        transaction,
    )
    assert await found(books) == {"I3": {f"conversion {sale}"}}


async def test_removed_entries(books: Any) -> None:
    transaction = await one(books, "SELECT id FROM ledger_transactions WHERE kind = 'conversion.settled'")
    await tamper(books, "ledger_entries", "DELETE FROM ledger_entries WHERE transaction_id = $1", transaction)
    assert (await found(books))["I1"] == {f"ledger_transaction {transaction}"}


async def test_stored_balance_that_was_raised(books: Any) -> None:
    await books.sql("UPDATE ledger_balances SET balance_minor = balance_minor + 1000000")
    subjects = (await found(books))["I3"]
    assert len(subjects) == 2
    assert all(subject.startswith("ledger_account liabilities:customer:") for subject in subjects)


async def test_overdraft_in_the_entries(books: Any) -> None:
    """Balanced, and the stored balance made to fit: the customer had less than was taken at the time."""
    await tamper(
        books,
        "ledger_entries",
        "UPDATE ledger_entries e SET amount_minor = e.amount_minor * 4 FROM ledger_transactions t"
        " WHERE t.id = e.transaction_id AND t.kind = 'payout.requested'",
    )
    violations = await found(books)
    assert any(subject.endswith(":available PKR") for subject in violations["I4"])
    assert any(subject.startswith("payout ") for subject in violations["I11"])


async def test_second_resolution_and_second_reversal(books: Any) -> None:
    for column, kind, invariant in (
        ("resolves_id", "reward.confirmed", "I5"),
        ("reverses_id", "conversion.reversed", "I6"),
    ):
        target = await one(
            books, f"SELECT {column} FROM ledger_transactions WHERE kind = '{kind}' AND {column} IS NOT NULL LIMIT 1"
        )
        await books.sql("ALTER TABLE ledger_transactions DROP CONSTRAINT IF EXISTS uq_ledger_transactions_resolves_id")
        await books.sql(
            f"INSERT INTO ledger_transactions (kind, source, external_id, description, {column})"
            f" VALUES ('x', 'x', '{kind}', '', $1)",
            target,
        )
        assert f"ledger_transaction {target}" in (await found(books))[invariant]


async def test_more_taken_back_than_given(books: Any) -> None:
    sale = await one(books, "SELECT id FROM conversions WHERE external_id = 'sale-2'")
    await tamper(
        books,
        "ledger_entries",
        "UPDATE ledger_entries e SET amount_minor = e.amount_minor * 2 FROM ledger_transactions t"
        " WHERE t.id = e.transaction_id AND t.kind = 'conversion.reversed'",
    )
    assert f"conversion {sale}" in (await found(books))["I6"]


async def test_cause_that_was_posted_twice(books: Any) -> None:
    await books.sql("ALTER TABLE ledger_transactions DROP CONSTRAINT uq_ledger_transactions_source_external_id")
    await books.sql(
        "INSERT INTO ledger_transactions (kind, source, external_id, description)"
        " SELECT kind, source, external_id, description FROM ledger_transactions WHERE kind = 'payout.paid'"
    )
    payout = await one(books, "SELECT id FROM payouts")
    assert (await found(books))["I7"] == {f"cause payout {payout}:paid"}


async def test_guard_that_was_switched_off(books: Any) -> None:
    await books.sql(OFF.format("ledger_entries"))
    await books.sql("GRANT UPDATE ON ledger_transactions TO wapsi_app")
    assert (await found(books))["I8"] == {"table ledger_entries", "table ledger_transactions"}


async def test_money_that_became_fractional(books: Any) -> None:
    await books.sql("ALTER TABLE payouts ALTER COLUMN amount_minor TYPE numeric")
    assert (await found(books))["I10"] == {"column payouts.amount_minor"}


async def test_payout_that_the_provider_did_not_make(books: Any) -> None:
    payout = await one(books, "SELECT id FROM payouts")
    await tamper(books, "sandbox_payouts", "DELETE FROM sandbox_payouts")
    assert (await found(books))["I11"] == {f"payout {payout}"}


async def test_payment_that_we_know_nothing_of(books: Any) -> None:
    await books.sql(
        "INSERT INTO sandbox_payouts (key, amount_minor, currency, status)"
        " VALUES ('00000000-0000-7000-8000-000000000001', 5, 'PKR', 'paid')"
    )
    assert (await found(books))["I11"] == {"payout 00000000-0000-7000-8000-000000000001"}


async def test_payout_that_is_said_to_have_failed(books: Any) -> None:
    payout = await one(books, "SELECT id FROM payouts")
    await books.sql("UPDATE payouts SET state = 'failed'")
    assert (await found(books))["I11"] == {f"payout {payout}"}


async def test_violation_is_logged_by_name(books: Any) -> None:
    await books.sql("UPDATE ledger_balances SET balance_minor = balance_minor + 1 WHERE balance_minor > 6000")
    with structlog.testing.capture_logs() as logs:
        async with books.db.read() as session:
            violations = await service.verify_ledger(session)
        service.report(violations)
    assert [(log["event"], log["subject"]) for log in logs] == [("ledger_violation", violations[0].subject)]


async def test_job_checks_the_books(books: Any) -> None:
    await books.run_periodic("cashback.verify_ledger")
    rows = await books.sql("SELECT state FROM jobs WHERE kind = 'cashback.verify_ledger'")
    assert [row["state"] for row in rows] == ["done"]


async def test_what_the_job_found_is_told_without_looking_again(
    books: Any, api: httpx2.AsyncClient, operator: Any
) -> None:
    finance = await operator(OperatorRole.FINANCE)

    async def told() -> Any:
        answer = await api.get("/v1/admin/ledger/verification", headers=finance)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert await told() == {"started_at": None, "finished_at": None, "sound": None, "violations": []}
    await books.run_periodic("cashback.verify_ledger")
    sound = await told()
    assert (sound["sound"], sound["violations"]) == (True, [])
    assert sound["started_at"] <= sound["finished_at"]

    await books.sql("UPDATE ledger_balances SET balance_minor = balance_minor + 1 WHERE balance_minor > 6000")
    assert await told() == sound
    await books.run_periodic("cashback.verify_ledger")
    broken = await told()
    assert broken["sound"] is False
    assert [violation["invariant"] for violation in broken["violations"]] == ["I3"]
    assert broken["started_at"] > sound["finished_at"]


async def test_empty_books_are_sound(world: Any) -> None:
    async with world.db.read() as session:
        assert await service.verify_ledger(session) == []
