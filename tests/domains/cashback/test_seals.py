"""Seals tell what somebody with all rights to the database did to the books, row by row."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from domains.cashback import service
from domains.cashback.service import ledger, seals
from wapsi.config import Settings
from wapsi.security.signing import Keys

OFF = "ALTER TABLE {} DISABLE TRIGGER USER"
ON = "ALTER TABLE {} ENABLE TRIGGER USER"


@pytest.fixture
def database_name(own_database: str) -> str:
    """These tests take the schema's own guards away."""
    return own_database


async def seal(world: Any, keys: Any) -> int:
    """As soon as it can be done: a transaction of another database of this server, another test's, holds it up too."""
    async with asyncio.timeout(20):
        while not (made := await service.seal_entries(world.db, keys)):  # noqa: ASYNC110  # others end it
            await asyncio.sleep(0.05)
    return int(made)


@pytest.fixture
async def sealed(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three seals over the entries of four sales."""
    monkeypatch.setattr(seals, "ENTRIES_A_SEAL", 6)
    shopper = await world.customer()
    for number in range(4):
        click = await world.click(shopper)
        await world.report(conversion_id=f"sale-{number}", click_id=str(click.id))
    assert await seal(world, world.runtime.keys) == 3
    assert await broken(world) == []
    return world


async def broken(world: Any) -> list[tuple[str, str]]:
    found, _ = await service.verify_seals(world.db, world.runtime.keys)
    return [(violation.subject, violation.message) for violation in found]


async def tamper(world: Any, table: str, statement: str, *arguments: Any) -> None:
    await world.sql(OFF.format(table))
    await world.sql(statement, *arguments)
    await world.sql(ON.format(table))


async def entry(world: Any, position: int) -> int:
    rows = await world.sql("SELECT id FROM ledger_entries ORDER BY id OFFSET $1 LIMIT 1", position)
    return int(rows[0]["id"])


async def test_changed_entry_is_named(sealed: Any) -> None:
    changed = await entry(sealed, 7)
    await tamper(sealed, "ledger_entries", "UPDATE ledger_entries SET amount_minor = 7 WHERE id = $1", changed)
    [(subject, message)] = await broken(sealed)
    assert subject == f"ledger_entry {changed}"
    assert "was changed after seal 2" in message


async def test_deleted_entry_is_named(sealed: Any) -> None:
    deleted = await entry(sealed, 3)
    await tamper(sealed, "ledger_entries", "DELETE FROM ledger_entries WHERE id = $1", deleted)
    assert await broken(sealed) == [(f"ledger_entry {deleted}", "it was deleted after seal 1")]


async def test_posting_that_vanished_altogether_is_named_by_its_entries(sealed: Any) -> None:
    gone = [await entry(sealed, position) for position in range(4, 8)]
    await sealed.sql("ALTER TABLE conversions DROP CONSTRAINT fk_conversions_posting_id_ledger_transactions")
    for table, column in (("ledger_entries", "transaction_id"), ("ledger_transactions", "id")):
        await tamper(
            sealed,
            table,
            f"DELETE FROM {table} WHERE {column} = (SELECT posting_id FROM conversions WHERE external_id = 'sale-1')",
        )
    assert [subject for subject, _ in await broken(sealed)] == [f"ledger_entry {id_}" for id_ in gone]


async def test_inserted_entry_is_named(sealed: Any) -> None:
    deleted = await entry(sealed, 3)
    await tamper(
        sealed,
        "ledger_entries",
        "WITH gone AS (DELETE FROM ledger_entries WHERE id = $1 RETURNING *)"
        " INSERT INTO ledger_entries (id, transaction_id, account_id, amount_minor, currency) OVERRIDING SYSTEM VALUE"
        " SELECT -5, transaction_id, account_id, amount_minor, currency FROM gone",
        deleted,
    )
    # An id below all others lies in no seal; the one that is gone is missed.
    assert (f"ledger_entry {deleted}", "it was deleted after seal 1") in await broken(sealed)


async def test_row_that_was_put_between_others_is_named(sealed: Any) -> None:
    await sealed.sql("SELECT setval(pg_get_serial_sequence('ledger_entries', 'id'), 1000)")
    click = await sealed.click(await sealed.customer())
    await sealed.report(conversion_id="sale-9", click_id=str(click.id))
    await seal(sealed, sealed.runtime.keys)
    assert await broken(sealed) == []
    await tamper(
        sealed,
        "ledger_entries",
        "INSERT INTO ledger_entries (id, transaction_id, account_id, amount_minor, currency) OVERRIDING SYSTEM VALUE"
        " SELECT 500, transaction_id, account_id, amount_minor, currency FROM ledger_entries ORDER BY id DESC LIMIT 1",
    )
    [(subject, message)] = await broken(sealed)
    assert subject == "ledger_entry 500"
    assert "was inserted after seal" in message


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_transactions SET description = 'Nothing to see' WHERE id = $1",
        "UPDATE ledger_transactions SET posted_at = posted_at - interval '1 day' WHERE id = $1",
        "UPDATE ledger_transactions SET external_id = 'another cause' WHERE id = $1",
    ],
)
async def test_changed_posting_is_named_by_its_entries(sealed: Any, statement: str) -> None:
    posting = (await sealed.sql("SELECT posting_id FROM conversions WHERE external_id = 'sale-0'"))[0][0]
    await tamper(sealed, "ledger_transactions", statement, posting)
    found = await broken(sealed)
    assert len(found) == 4
    assert all(f"ledger_transaction {posting}" in message for _, message in found)


async def test_account_that_was_given_to_another_is_named(sealed: Any) -> None:
    other = await sealed.customer()
    await tamper(
        sealed, "ledger_accounts", "UPDATE ledger_accounts SET customer_id = $1 WHERE customer_id IS NOT NULL", other
    )
    assert len(await broken(sealed)) == 4


async def test_seal_cannot_be_made_to_fit_without_the_secret(sealed: Any, settings: Settings) -> None:
    """The intruder changes a row and seals anew, with all that is in the database."""
    await tamper(
        sealed, "ledger_entries", "UPDATE ledger_entries SET amount_minor = 7 WHERE id = $1", await entry(sealed, 7)
    )
    await tamper(sealed, "ledger_seals", "DELETE FROM ledger_seals WHERE number >= 2")
    forger = Keys(settings.model_copy(update={"secret_key": type(settings.secret_key)("x" * 40)}))
    assert await seal(sealed, forger) == 2
    assert [subject for subject, _ in await broken(sealed)] == ["ledger_seal 2", "ledger_seal 3"]


async def test_missing_seal_is_named(sealed: Any) -> None:
    await tamper(sealed, "ledger_seals", "DELETE FROM ledger_seals WHERE number = 2")
    subjects = [subject for subject, _ in await broken(sealed)]
    assert subjects[0] == "ledger_seal 2"


async def test_nothing_is_sealed_below_which_somebody_may_still_commit(world: Any) -> None:
    async with world.db.write() as session:
        await ledger.post(session, _posting("the accounts are there"))
    assert await seal(world, world.runtime.keys) == 1
    async with world.db.write() as session:
        await ledger.post(session, _posting("late"))
        async with world.db.write() as other:
            await ledger.post(other, _posting("early"))
        assert await service.seal_entries(world.db, world.runtime.keys) == 0
    assert await seal(world, world.runtime.keys) == 1
    rows = await world.sql("SELECT cardinality(entry_ids) AS entries FROM ledger_seals")
    assert [row["entries"] for row in rows] == [2, 4]
    assert await broken(world) == []


async def test_of_two_sealers_at_once_each_entry_is_sealed_once(sealed: Any) -> None:
    click = await sealed.click(await sealed.customer())
    await sealed.report(conversion_id="sale-9", click_id=str(click.id))
    await asyncio.gather(*(service.seal_entries(sealed.db, sealed.runtime.keys) for _ in range(5)))
    assert await broken(sealed) == []
    rows = await sealed.sql("SELECT count(*), count(DISTINCT id) FROM ledger_seals, unnest(entry_ids) AS id")
    assert tuple(rows[0]) == (20, 20)


async def test_daily_check_looks_at_what_is_new_and_comes_by_the_rest_in_time(sealed: Any) -> None:
    await sealed.run_periodic("cashback.verify_ledger")
    rows = await sealed.sql("SELECT verified_to FROM ledger_checks")
    assert [row["verified_to"] for row in rows] == [3]
    await tamper(
        sealed, "ledger_entries", "UPDATE ledger_entries SET amount_minor = 7 WHERE id = $1", await entry(sealed, 7)
    )
    found: list[service.Violation] = []
    for _ in range(3):
        found += await service.verify_new_seals(sealed.db, sealed.runtime.keys)
    assert {violation.subject for violation in found} == {f"ledger_entry {await entry(sealed, 7)}"}


async def test_job_seals_and_application_may_not_change_seals(sealed: Any) -> None:
    await sealed.report("another", conversion_id="sale-7")
    async with asyncio.timeout(20):
        newest = 3
        while newest == 3:  # others' transactions hold it up: see `seal`
            await sealed.run_periodic("cashback.seal_ledger")
            newest = (await sealed.sql("SELECT max(number) FROM ledger_seals"))[0][0]
    assert newest == 4
    for statement in ("UPDATE ledger_seals SET number = 9", "DELETE FROM ledger_seals"):
        with pytest.raises(Exception, match="permission denied"):
            async with sealed.db.write() as session:
                await session.execute(text(statement))


def _posting(external_id: str) -> ledger.Posting:
    return ledger.Posting(
        kind="test",
        source="test",
        external_id=external_id,
        description="A test",
        currency="PKR",
        entries=ledger.transfer("assets:bank:pkr", "income:x", 5),
    )
