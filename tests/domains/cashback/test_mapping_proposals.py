"""A mapping that is proposed: what is none, one at a time, and jobs that break off."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from domains.cashback import service
from domains.cashback.service import replays
from domains.cashback.service.mappings import DEFAULT_MAPPING
from tests.domains.cashback.mapping_desk import PROPOSALS, Desk, states
from wapsi.queue import outbox
from wapsi.queue.jobs import run_job
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
