"""Another reading of a network's words: its difference shown, applied to what came before, and told."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

from domains.cashback import service
from domains.cashback.service import replays
from tests.domains.cashback.mapping_desk import PROPOSALS, Desk, states
from wapsi.security.permissions import OperatorRole


@pytest.fixture
async def desk(api: httpx2.AsyncClient, world: Any, operator: Any) -> Desk:
    return Desk(api, world, await operator(OperatorRole.FINANCE))


@pytest.fixture
def at() -> Callable[[int], datetime]:
    """So many minutes after the test began."""
    begin = datetime.now(UTC)
    return lambda minutes: begin + timedelta(minutes=minutes)


@pytest.fixture
async def shopper(world: Any) -> UUID:
    found: UUID = await world.customer()
    return found


@pytest.fixture
async def click_id(world: Any, shopper: UUID) -> str:
    return str((await world.click(shopper)).id)


async def everything(world: Any) -> list[Any]:
    """What a preview may not touch."""
    tables = ("conversions", "rewards", "ledger_entries", "ledger_balances", "state_changes", "conversion_events")
    return [await world.sql(f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables]


async def test_word_that_no_mapping_knew_is_previewed_and_then_handled(
    world: Any, desk: Desk, shopper: UUID, click_id: str, at: Callable[[int], datetime]
) -> None:
    await world.report("e-1", click_id=click_id, status="Under Review", occurred_at=at(0))
    assert (await desk.get("/v1/admin/unknown-words"))["items"][0] | {"first_at": 0, "last_at": 0} == {
        "source": "impact",
        "word": "Under Review",
        "events": 1,
        "first_at": 0,
        "last_at": 0,
    }
    proposal_id = await desk.propose(**{"under review": "pending"})
    before = await everything(world)
    shown = await desk.preview(proposal_id)
    assert await everything(world) == before
    assert shown["state"] == "previewed"
    assert shown["changes"] == [{"word": "under review", "before": None, "after": "pending"}]
    assert shown["difference"] == {
        "events": 1,
        "sales": 1,
        "waiting": 0,
        "unchanged": 0,
        "moves": [{"state_before": None, "state_after": "pending", "sales": 1}],
        "sums": [{"currency": "PKR", "commission_change_minor": 10_000, "cashback_change_minor": 5_000}],
        "refused": [],
    }
    applied = await desk.apply(proposal_id)
    assert (applied["state"], applied["version"]) == ("applied", 2)
    assert applied["difference"] == shown["difference"]
    assert await states(world) == {"sale-1": ("pending", "pending")}
    assert (await world.balance(shopper))["pending"] == 5_000
    [event] = await world.sql("SELECT outcome, mapping_version, error, conversion_id FROM conversion_events")
    assert (event["outcome"], event["mapping_version"], event["error"]) == ("applied", 2, None)
    assert event["conversion_id"] is not None
    assert (await desk.get("/v1/admin/unknown-words"))["items"] == []
    assert await world.violations() == []


async def test_another_meaning_moves_sales_on_and_refuses_what_is_not_possible_any_more(
    world: Any, desk: Desk, shopper: UUID, click_id: str, at: Callable[[int], datetime]
) -> None:
    """ "extended" comes to mean approved; "locked", which had approved a sale, comes to mean pending; and "rejected",
    by which cashback was declined, comes to mean approved: a network's word for something else."""
    for number, word in enumerate(("extended", "locked", "rejected", "pending")):
        await world.report(conversion_id=f"sale-{number}", click_id=click_id, status="pending", occurred_at=at(0))
        await world.report(conversion_id=f"sale-{number}", click_id=click_id, status=word, occurred_at=at(1))
    assert (await states(world))["sale-0"] == ("pending", "pending")
    proposal_id = await desk.propose(extended="approved", locked="pending", rejected="approved")
    shown = await desk.preview(proposal_id)
    assert shown["difference"]["moves"] == [{"state_before": "pending", "state_after": "approved", "sales": 1}]
    assert shown["difference"]["sums"] == [
        {"currency": "PKR", "commission_change_minor": 0, "cashback_change_minor": 0}
    ]
    assert sorted(shown["difference"]["refused"], key=lambda line: line["state"]) == [
        {"reason": "ILLEGAL_STATE_CHANGE", "state": "approved", "sales": 1},
        {"reason": "ILLEGAL_STATE_CHANGE", "state": "declined", "sales": 1},
    ]
    refused = await desk.sales(proposal_id, "?outcome=refused")
    assert [(sale["external_id"], sale["message"]) for sale in refused] == [
        ("sale-1", "A sale that is approved does not become pending."),
        ("sale-2", "A sale that is declined does not become approved."),
    ]
    assert (await desk.apply(proposal_id))["difference"] == shown["difference"]
    assert await states(world) == {
        "sale-0": ("approved", "confirmed"),
        "sale-1": ("approved", "confirmed"),
        "sale-2": ("declined", "declined"),
        "sale-3": ("pending", "pending"),
    }
    assert await world.balance(shopper) == {"pending": 5_000, "available": 10_000, "in_flight": 0, "owed": 0}
    assert await world.violations() == []


async def test_word_that_means_declined_takes_confirmed_cashback_back(
    world: Any, desk: Desk, shopper: UUID, click_id: str, at: Callable[[int], datetime]
) -> None:
    await world.report(click_id=click_id, status="closed", occurred_at=at(0))
    proposal_id = await desk.propose(closed="declined")
    shown = await desk.preview(proposal_id)
    assert shown["difference"]["sums"] == [
        {"currency": "PKR", "commission_change_minor": -10_000, "cashback_change_minor": -5_000}
    ]
    await desk.apply(proposal_id)
    assert await states(world) == {"sale-1": ("declined", "reversed")}
    assert (await world.balance(shopper))["available"] == 0
    assert await world.violations() == []


async def test_what_was_said_since_is_not_undone(
    world: Any, desk: Desk, shopper: UUID, click_id: str, at: Callable[[int], datetime]
) -> None:
    """An event that a later one has replaced, and one after which an operator has decided, stay as they are; so do
    amounts that were amended since."""
    for number in range(3):
        await world.report(conversion_id=f"sale-{number}", click_id=click_id, status="extended", occurred_at=at(0))
    await world.report(conversion_id="sale-0", status="pending", order_amount_minor=60_000, occurred_at=at(0))
    [decided] = await world.sql("SELECT id FROM conversions WHERE external_id = 'sale-1'")
    answer = await desk.post(f"/v1/admin/conversions/{decided['id']}:approve")
    assert answer.status_code == 200, answer.text
    # Said at the same moment as the first event: only the order of arrival tells which amount counts.
    await world.report(conversion_id="sale-2", status="extended", order_amount_minor=80_000, occurred_at=at(0))
    proposal_id = await desk.propose(extended="declined")
    shown = await desk.preview(proposal_id)
    assert shown["difference"]["refused"] == [{"reason": "OPERATOR_DECIDED", "state": "approved", "sales": 1}]
    assert shown["difference"]["unchanged"] == 1
    await desk.apply(proposal_id)
    assert await states(world) == {
        "sale-0": ("pending", "pending"),
        "sale-1": ("approved", "confirmed"),
        "sale-2": ("declined", "declined"),
    }
    rows = await world.sql("SELECT order_amount_minor FROM conversions ORDER BY external_id")
    assert [row["order_amount_minor"] for row in rows] == [60_000, 100_000, 80_000]
    assert await world.violations() == []


async def test_amounts_of_a_word_that_was_unknown_do_not_replace_later_ones(
    world: Any, desk: Desk, click_id: str, at: Callable[[int], datetime]
) -> None:
    """Of the same moment by the network's clock; the later one is read anew, too."""
    await world.report(click_id=click_id, status="odd", order_amount_minor=10_000, occurred_at=at(0))
    await world.report(click_id=click_id, status="extended", order_amount_minor=70_000, occurred_at=at(0))
    proposal_id = await desk.propose(odd="pending", extended="approved")
    await desk.preview(proposal_id)
    await desk.apply(proposal_id)
    assert await states(world) == {"sale-1": ("approved", "confirmed")}
    rows = await world.sql("SELECT order_amount_minor FROM conversions")
    assert [row["order_amount_minor"] for row in rows] == [70_000]
    assert await world.violations() == []


async def test_correction_in_between_neither_hinders_nor_is_undone(
    world: Any, desk: Desk, shopper: UUID, click_id: str, at: Callable[[int], datetime]
) -> None:
    await world.report(click_id=click_id, status="extended", occurred_at=at(0))
    await world.report(
        status="extended",
        amounts="change",
        order_amount_minor=-40_000,
        commission_minor=-4_000,
        occurred_at=at(1),
    )
    assert (await world.balance(shopper))["pending"] == 3_000
    proposal_id = await desk.propose(extended="approved")
    await desk.preview(proposal_id)
    await desk.apply(proposal_id)
    assert await world.balance(shopper) == {"pending": 0, "available": 3_000, "in_flight": 0, "owed": 0}
    assert await world.violations() == []


async def test_correction_after_a_word_that_was_unknown_stays(
    world: Any, desk: Desk, shopper: UUID, click_id: str, at: Callable[[int], datetime]
) -> None:
    await world.report(click_id=click_id, status="pending", occurred_at=at(0))
    assert (await world.report(status="odd", occurred_at=at(1))).outcome == "unknown_status"
    less = {"amounts": "change", "order_amount_minor": -40_000, "commission_minor": -4_000}
    await world.report(status="odd", **less, occurred_at=at(2))
    proposal_id = await desk.propose(odd="approved")
    await desk.preview(proposal_id)
    await desk.apply(proposal_id)
    assert await states(world) == {"sale-1": ("approved", "confirmed")}
    assert await world.balance(shopper) == {"pending": 0, "available": 3_000, "in_flight": 0, "owed": 0}
    assert await world.violations() == []


async def test_events_that_come_while_old_ones_are_read_anew_are_each_taken_once(
    world: Any, desk: Desk, shopper: UUID, click_id: str, at: Callable[[int], datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same customer, about the same sales, in the other order: nobody waits for the other in a circle."""
    monkeypatch.setattr(replays, "SALES_AT_ONCE", 3)
    for number in range(12):
        word = "odd" if number % 2 else "extended"
        await world.report(conversion_id=f"sale-{number:02}", click_id=click_id, status=word, occurred_at=at(0))
    proposal_id = await desk.propose(odd="pending", extended="approved")
    await desk.preview(proposal_id)
    assert (await desk.post(f"{PROPOSALS}/{proposal_id}:apply")).status_code == 202
    coming = [
        world.report(conversion_id=f"sale-{number:02}", click_id=click_id, status="approved", occurred_at=at(1))
        for number in reversed(range(12))
    ]
    await asyncio.gather(world.run_jobs(service.REPLAY_MAPPING), *coming)
    # What gave way to the other is tried again.
    await world.sql("UPDATE jobs SET due_at = now() WHERE state = 'ready'")
    await world.run_jobs(service.REPLAY_MAPPING)
    assert set((await states(world)).values()) == {("approved", "confirmed")}
    assert await world.balance(shopper) == {"pending": 0, "available": 60_000, "in_flight": 0, "owed": 0}
    assert len(await world.sql("SELECT 1 FROM ledger_transactions")) == 24
    assert await world.violations() == []


async def test_events_of_a_sale_are_read_in_the_order_in_which_they_were_said(
    world: Any, desk: Desk, shopper: UUID, click_id: str, at: Callable[[int], datetime]
) -> None:
    """They came the other way round; none had made a sale."""
    await world.report(click_id=click_id, status="final", order_amount_minor=40_000, occurred_at=at(5))
    await world.report(click_id=click_id, status="seen", order_amount_minor=100_000, occurred_at=at(1))
    proposal_id = await desk.propose(seen="pending", final="approved")
    shown = await desk.preview(proposal_id)
    assert shown["difference"]["moves"] == [{"state_before": None, "state_after": "approved", "sales": 1}]
    await desk.apply(proposal_id)
    assert (await world.balance(shopper))["available"] == 2_000
    assert len(await world.sql("SELECT 1 FROM conversion_adjustments")) == 1
    assert await world.violations() == []


async def test_what_came_since_the_preview_is_read_anew_too_and_what_comes_after_it_by_the_new_version(
    world: Any, desk: Desk, click_id: str, at: Callable[[int], datetime]
) -> None:
    await world.report(conversion_id="sale-1", click_id=click_id, status="odd", occurred_at=at(0))
    proposal_id = await desk.propose(odd="pending")
    await desk.preview(proposal_id)
    await world.report(conversion_id="sale-2", click_id=click_id, status="odd", occurred_at=at(0))
    asked = await desk.post(f"{PROPOSALS}/{proposal_id}:apply")
    assert asked.status_code == 202, asked.text
    assert (await world.report(conversion_id="sale-3", click_id=click_id, status="odd")).outcome == "applied"
    assert await world.run_jobs(service.REPLAY_MAPPING) == 1
    assert set(await states(world)) == {"sale-1", "sale-2", "sale-3"}
    # Written by a process that had read the mapping before it changed, and committed only now.
    await world.sql(
        "INSERT INTO conversion_events (source, external_event_id, door, raw, fields, raw_status, mapping_version,"
        " outcome, actor) SELECT source, 'late', door, raw, fields || '{\"conversion_id\": \"sale-4\"}', raw_status, 1,"
        " 'unknown_status', actor FROM conversion_events WHERE conversion_id IS NOT NULL LIMIT 1"
    )
    applied = await desk.look_again(proposal_id)
    assert applied["state"] == "applied"
    assert set(await states(world)) == {"sale-1", "sale-2", "sale-3", "sale-4"}
    assert applied["difference"]["sales"] == 3, "the third was never read by the version before"
    versions = await world.sql("SELECT DISTINCT mapping_version FROM conversion_events")
    assert [row["mapping_version"] for row in versions] == [2]
    assert await world.violations() == []


async def test_word_that_is_dropped_undoes_nothing(
    world: Any, desk: Desk, click_id: str, at: Callable[[int], datetime]
) -> None:
    await world.report(click_id=click_id, status="closed", occurred_at=at(0))
    proposal_id = await desk.propose(closed=None)
    shown = await desk.preview(proposal_id)
    assert shown["changes"] == [{"word": "closed", "before": "approved", "after": None}]
    assert shown["difference"]["events"] == 0
    await desk.apply(proposal_id)
    assert await states(world) == {"sale-1": ("approved", "confirmed")}
    assert (await world.report(status="closed", conversion_id="sale-2")).outcome == "unknown_status"


async def test_the_story_tells_that_a_word_was_read_anew(
    world: Any, desk: Desk, click_id: str, at: Callable[[int], datetime]
) -> None:
    first = await world.report(click_id=click_id, status="extended", occurred_at=at(0))
    proposal_id = await desk.propose(extended="approved")
    await desk.preview(proposal_id)
    await desk.apply(proposal_id)
    told = await desk.get(f"/v1/admin/conversions/{first.conversion_id}")
    texts = [line["text"] for line in told["story"]]
    assert texts[1] == "impact reported the sale as “extended”, which was read anew later."
    assert texts[3:] == [
        "Version 2 of the status mapping of impact took effect, which reads “extended” as approved.",
        "PKR 50.00 cashback was confirmed and can be withdrawn (merchant approved).",
    ]
    assert told["conversion"]["mapping_version"] == 2
    [reading] = told["readings"]
    assert (reading["version"], reading["words"], reading["outcome"]) == (2, {"extended": "approved"}, "changed")
    assert reading["event_ids"] == [told["events"][0]["id"]]
    assert told["events"][0]["read_as"] == "approved"
    assert told["changes"][-1]["actor"].startswith("operator:")
