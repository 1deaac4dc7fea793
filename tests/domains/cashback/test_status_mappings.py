"""Another reading of a network's words: proposed, its difference shown, applied to what came before, and told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from domains.cashback import service
from domains.cashback.service import replays
from domains.cashback.service.mappings import DEFAULT_MAPPING
from wapsi.queue import outbox
from wapsi.queue.jobs import run_job
from wapsi.security.permissions import OperatorRole

PROPOSALS = "/v1/admin/mapping-proposals"


class Desk:
    """An operator of finance at the mappings of one source. `words` are changed or added, None drops one."""

    def __init__(self, api: httpx2.AsyncClient, world: Any, headers: dict[str, str]) -> None:
        self.api = api
        self.world = world
        self.headers = headers

    async def post(self, path: str, body: Any = None) -> httpx2.Response:
        return await self.api.post(path, json=body, headers=self.headers | {"Idempotency-Key": uuid4().hex})

    async def get(self, path: str) -> Any:
        answer = await self.api.get(path, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def propose(self, source: str = "impact", **words: str | None) -> str:
        mapping = {word: state for word, state in (DEFAULT_MAPPING | words).items() if state is not None}
        made = await self.post(PROPOSALS, {"source": source, "words": mapping})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    async def preview(self, proposal_id: str) -> Any:
        asked = await self.post(f"{PROPOSALS}/{proposal_id}:preview")
        assert (asked.status_code, asked.json()["state"]) == (202, "previewing"), asked.text
        assert await self.world.run_jobs(service.PREVIEW_MAPPING) == 1
        return await self.get(f"{PROPOSALS}/{proposal_id}")

    async def apply(self, proposal_id: str) -> Any:
        """With the second look for what came late."""
        asked = await self.post(f"{PROPOSALS}/{proposal_id}:apply")
        assert (asked.status_code, asked.json()["state"]) == (202, "applying"), asked.text
        assert await self.world.run_jobs(service.REPLAY_MAPPING) == 1
        return await self.look_again(proposal_id)

    async def look_again(self, proposal_id: str) -> Any:
        await self.world.sql(
            "UPDATE jobs SET due_at = now() WHERE kind = $1 AND state = 'ready'", "cashback.replay_mapping"
        )
        await self.world.sql("UPDATE mapping_proposals SET activated_at = activated_at - interval '5 min'")
        assert await self.world.run_jobs(service.REPLAY_MAPPING) == 1
        return await self.get(f"{PROPOSALS}/{proposal_id}")

    async def sales(self, proposal_id: str, query: str = "") -> list[Any]:
        found: list[Any] = (await self.get(f"{PROPOSALS}/{proposal_id}/sales{query}"))["items"]
        return found


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


async def states(world: Any) -> dict[str, tuple[str, str | None]]:
    """{sale: (state, its cashback's)}"""
    rows = await world.sql(
        "SELECT c.external_id, c.state, r.state AS reward FROM conversions c LEFT JOIN rewards r"
        " ON r.conversion_id = c.id ORDER BY 1"
    )
    return {row["external_id"]: (row["state"], row["reward"]) for row in rows}


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


async def test_replay_goes_on_where_it_was_broken_off(
    world: Any, desk: Desk, shopper: UUID, click_id: str, monkeypatch: pytest.MonkeyPatch, at: Callable[[int], datetime]
) -> None:
    """In windows: what was done stays done, nothing is done twice."""
    monkeypatch.setattr(replays, "WINDOW", 2)
    monkeypatch.setattr(replays, "SALES_AT_ONCE", 2)
    for number in range(5):
        await world.report(conversion_id=f"sale-{number}", click_id=click_id, status="odd", occurred_at=at(0))
    proposal_id = await desk.propose(odd="approved")
    shown = await desk.preview(proposal_id)
    assert shown["difference"]["sales"] == 5
    await desk.post(f"{PROPOSALS}/{proposal_id}:apply")
    decide, calls = replays._decide, 0

    async def breaks_at_the_second(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("the machine is gone")
        await decide(*args)

    monkeypatch.setattr(replays, "_decide", breaks_at_the_second)
    await world.run_jobs(service.REPLAY_MAPPING)
    assert len(await states(world)) == 2
    monkeypatch.setattr(replays, "_decide", decide)
    await world.sql("UPDATE jobs SET due_at = now() WHERE state = 'ready'")
    await world.run_jobs(service.REPLAY_MAPPING)
    assert len(await states(world)) == 5
    assert (await desk.look_again(proposal_id))["state"] == "applied"
    assert await world.balance(shopper) == {"pending": 0, "available": 25_000, "in_flight": 0, "owed": 0}
    assert len(await world.sql("SELECT 1 FROM ledger_transactions")) == 10
    assert await world.violations() == []


async def test_job_that_fails_for_good_stops_and_an_operator_goes_on(
    world: Any, desk: Desk, click_id: str, monkeypatch: pytest.MonkeyPatch, at: Callable[[int], datetime]
) -> None:
    await world.report(click_id=click_id, status="odd", occurred_at=at(0))
    proposal_id = await desk.propose(odd="pending")
    await desk.preview(proposal_id)
    await desk.post(f"{PROPOSALS}/{proposal_id}:apply")
    decide = replays._decide

    async def fails(*args: Any) -> None:
        raise ValueError("no good")

    monkeypatch.setattr(replays, "_decide", fails)
    for _ in range(5):
        await world.sql("UPDATE jobs SET due_at = now() WHERE state = 'ready'")
        await world.run_jobs(service.REPLAY_MAPPING)
    stopped = await desk.get(f"{PROPOSALS}/{proposal_id}")
    assert (stopped["state"], stopped["error"]) == ("stopped", "ValueError: no good")
    assert (await desk.post(f"{PROPOSALS}/{proposal_id}:discard")).json()["reason"] == "ILLEGAL_STATE_CHANGE"
    assert (await desk.post(f"{PROPOSALS}/{proposal_id}:preview")).json()["reason"] == "ILLEGAL_STATE_CHANGE"
    monkeypatch.setattr(replays, "_decide", decide)
    assert (await desk.apply(proposal_id))["state"] == "applied"
    assert await states(world) == {"sale-1": ("pending", "pending")}


async def test_two_versions_never_count_at_once(
    world: Any, desk: Desk, click_id: str, at: Callable[[int], datetime]
) -> None:
    await world.report(click_id=click_id, status="odd", occurred_at=at(0))
    first, second, third = (
        await desk.propose(odd="pending"),
        await desk.propose(odd="approved"),
        await desk.propose(odd="declined"),
    )
    unseen = await desk.post(f"{PROPOSALS}/{first}:apply")
    assert (unseen.status_code, unseen.json()["reason"]) == (409, "ILLEGAL_STATE_CHANGE")
    for proposal_id in (first, second):
        await desk.preview(proposal_id)
    assert (await desk.post(f"{PROPOSALS}/{first}:apply")).status_code == 202
    late = await desk.post(f"{PROPOSALS}/{second}:apply")
    assert (late.status_code, late.json()["reason"]) == (409, "MAPPING_REPLACED")
    assert (await desk.post(f"{PROPOSALS}/{first}:apply")).json()["reason"] == "ILLEGAL_STATE_CHANGE"
    shown = await desk.preview(third)
    assert shown["base_version"] == 2
    under_way = await desk.post(f"{PROPOSALS}/{third}:apply")
    assert (under_way.status_code, under_way.json()["reason"]) == (409, "MAPPING_REPLAY_UNDER_WAY")
    assert (await desk.post(f"{PROPOSALS}/{second}:discard")).json()["state"] == "discarded"
    versions = (await desk.get("/v1/admin/status-mappings?source=impact"))["items"]
    assert [(each["version"], each["active"]) for each in versions] == [(2, True), (1, False)]
    assert versions[0]["created_by"].startswith("operator:")


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


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"source": "impact", "words": DEFAULT_MAPPING}, 422, "MAPPING_UNCHANGED"),
        ({"source": "impact", "words": {"Odd": "pending", " odd": "approved"}}, 422, "MAPPING_AMBIGUOUS"),
        ({"source": "nobody", "words": {"odd": "pending"}}, 404, "NETWORK_NOT_FOUND"),
        ({"source": "direct:nobody", "words": {"odd": "pending"}}, 404, "MERCHANT_NOT_FOUND"),
        ({"source": "impact", "words": {"odd": "unattributed"}}, 422, "REQUEST_INVALID"),
        ({"source": "impact", "words": {}}, 422, "REQUEST_INVALID"),
    ],
)
async def test_mapping_that_is_none_is_refused(desk: Desk, body: Any, status: int, reason: str) -> None:
    answer = await desk.post(PROPOSALS, body)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert (await desk.get(PROPOSALS))["items"] == []


async def test_unknown_proposal_is_not_found(desk: Desk) -> None:
    for path in ("", "/sales"):
        answer = await desk.api.get(f"{PROPOSALS}/{uuid4()}{path}", headers=desk.headers)
        assert (answer.status_code, answer.json()["reason"]) == (404, "MAPPING_PROPOSAL_NOT_FOUND")
    for move in ("preview", "apply", "discard"):
        assert (await desk.post(f"{PROPOSALS}/{uuid4()}:{move}")).json()["reason"] == "MAPPING_PROPOSAL_NOT_FOUND"


async def test_job_of_a_proposal_that_was_decided_otherwise_does_nothing(world: Any, desk: Desk) -> None:
    proposal_id = await desk.propose(odd="pending")
    async with world.db.write() as session:
        for kind in (service.PREVIEW_MAPPING, service.REPLAY_MAPPING):
            job_id = await outbox.enqueue(session, kind, {"proposal_id": proposal_id})
            assert job_id is not None
    for row in await world.sql("SELECT id FROM jobs WHERE kind LIKE 'cashback.%_mapping'"):
        await run_job(world.runtime, row["id"])
    assert (await desk.get(f"{PROPOSALS}/{proposal_id}"))["state"] == "proposed"


async def test_lists_go_on_page_by_page(world: Any, desk: Desk, click_id: str, at: Callable[[int], datetime]) -> None:
    for number in range(3):
        await world.report(conversion_id=f"sale-{number}", click_id=click_id, status="odd", occurred_at=at(0))
    ids = [await desk.propose(odd=state) for state in ("pending", "approved")]
    page = await desk.get(f"{PROPOSALS}?source=impact&limit=1")
    assert [each["id"] for each in page["items"]] == [ids[1]]
    page = await desk.get(f"{PROPOSALS}?source=impact&limit=1&cursor={page['next_cursor']}")
    assert ([each["id"] for each in page["items"]], page["next_cursor"]) == ([ids[0]], None)
    await desk.preview(ids[0])
    page = await desk.get(f"{PROPOSALS}/{ids[0]}/sales?limit=2")
    assert [each["external_id"] for each in page["items"]] == ["sale-0", "sale-1"]
    page = await desk.get(f"{PROPOSALS}/{ids[0]}/sales?limit=2&cursor={page['next_cursor']}")
    assert ([each["external_id"] for each in page["items"]], page["next_cursor"]) == (["sale-2"], None)


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
    assert told["changes"][-1]["actor"].startswith("operator:")
