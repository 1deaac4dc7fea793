"""Whatever comes from a network: events, or in words why there are none; and each is kept, whoever signed it."""

import asyncio
import io
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from domains.cashback import service
from domains.cashback.service.adapters import (
    KINDS,
    AdaptedEvent,
    AdapterSettings,
    Postback,
    adapt,
    mapping_of,
)
from domains.cashback.service.event_files import FileUnreadable, Format, read_events
from domains.cashback.states import EventOutcome
from tests.domains.cashback.conftest import SQL, World
from tests.fuzz import postbacks
from tests.fuzz.effort import a_round, rounds
from tests.fuzz.postbacks import NETWORK
from wapsi.runtime import Runtime

# Examples a round, and the share of the long run's time.
ADAPTED, SIGNED, STORED = 150, 150, 60
ADAPTED_SHARE, SIGNED_SHARE, STORED_SHARE, UNSIGNED_SHARE = 0.03, 0.12, 0.1, 0.04
CALL_LIMIT_S = 20.0
PLAIN = AdapterSettings(
    merchants={"77": "daraz"}, currency="PKR", mapping={"fields": {"conversion_id": "id", "status": "s"}}
)


@pytest.fixture
async def world(runtime: Runtime, admin_sql: SQL) -> World:
    """The network and its merchant."""
    world = World(runtime, admin_sql)
    await world.begin()
    return world


def check_adapted(events: Sequence[AdaptedEvent], raw: bytes) -> None:
    """Each is an event or has a fault in words, and can be kept by its name."""
    assert events
    for one in events:
        assert (one.event is None) == bool(one.fault), one
        assert 0 < len(one.external_event_id) <= 400
        assert "\0" not in one.external_event_id
        one.external_event_id.encode()
        if one.event is None:
            assert raw == b"" or len(raw) < 8 or raw.decode("utf-8", "replace") not in one.fault


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_makes_events_of_anything_or_says_why_not(kind: str, tell: Callable[[str], None]) -> None:
    made: Counter[bool] = Counter()

    @a_round(ADAPTED)
    @given(postbacks.postbacks(kind), postbacks.SETTINGS)
    def check(postback: Postback, chosen: AdapterSettings) -> None:
        events = adapt(kind, postback, chosen)
        check_adapted(events, postback.raw)
        assert adapt(kind, postback, chosen) == events, "the same words are another event"
        made.update(one.event is not None for one in events)

    for _ in rounds(ADAPTED_SHARE):
        check()
    tell(f"postbacks, adapter of {kind}: {made.total()} cases, {made[True]} events")
    assert made[True]
    assert made[False]


@pytest.mark.parametrize("name", postbacks.CORPUS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_found_in_adapters_stays_mended(kind: str, name: str) -> None:
    for postback in postbacks.as_postbacks(postbacks.CORPUS[name]):
        check_adapted(adapt(kind, postback, PLAIN), postback.raw)


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_rows_of_files_are_events_or_say_why_not(format: Format, tell: Callable[[str], None]) -> None:
    good = {"id": "sale-1", "s": "new", "total": "100"}
    rows = postbacks.rows(good).map(postbacks.row_text(format))
    lines = postbacks.one_of(rows, rows, rows, postbacks.events())
    usual = (b"id,s,total\n", b"id,s,total\n", b"\xef\xbb\xbfid,s,total\r\n")
    header = st.sampled_from((*usual, b"", b"id,id\n", b"\xff\n"))
    files = st.builds(lambda first, rest: first + b"\n".join(rest), header, st.lists(lines, max_size=4))
    mapping = mapping_of(
        {
            "fields": {"conversion_id": "id", "status": "s", "order_amount": "total"},
            "constants": {"currency": "PKR"},
            "amounts": "minor",
        }
    )
    seen: Counter[str] = Counter()

    @a_round(ADAPTED)
    @given(files, postbacks.SETTINGS)
    def check(file: bytes, chosen: AdapterSettings) -> None:
        last = 0
        try:
            for row in read_events(io.BytesIO(file), format, mapping, chosen, datetime(2026, 3, 1, tzinfo=UTC)):
                check_adapted([row.adapted], row.adapted.raw)
                assert row.line > last, "two rows of a report cannot have one line"
                last = row.line
                seen["event" if row.adapted.event is not None else "fault"] += 1
        except FileUnreadable:
            seen["unreadable"] += 1

    for _ in rounds(ADAPTED_SHARE):
        check()
    tell(f"postbacks, {format} files: {seen.total()} rows, {seen['event']} events")
    assert seen["fault"]
    assert seen["event"]


class Door:
    """POST /v1/postbacks/{network}, signed by the network's own secret."""

    def __init__(self, api: httpx2.AsyncClient, world: World) -> None:
        self._api = api
        self._world = world
        self.outcomes: Counter[str] = Counter()

    async def __call__(self, raw: bytes) -> None:
        """Raises AssertionError for anything but an outcome."""
        headers = service.sign_postback(self._world.secret, uuid4().hex, int(time.time()), raw)
        answer = await self._api.post(f"/v1/postbacks/{NETWORK}", content=raw, headers=headers)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["outcome"] in set(EventOutcome)
        assert (told["outcome"] != EventOutcome.REFUSED) or (told["reason"] and told["message"])
        kept = await self._world.sql("SELECT raw FROM conversion_events WHERE id = $1", told["event_id"])
        assert [row["raw"] for row in kept] == [raw]
        self.outcomes[told["outcome"]] += 1


async def whole_books(world: World, logs: Sequence[Any]) -> None:
    """Nothing broke on the way, also where a second try hid it, and the books balance."""
    assert [line for line in logs if line["event"] in ("group_of_events_broken", "request_failed")] == []
    assert await world.violations() == []


@pytest.mark.timeout(24 * 3600)
async def test_whatever_is_signed_is_kept_and_has_an_outcome(
    api: httpx2.AsyncClient, world: World, tell: Callable[[str], None]
) -> None:
    door = Door(api, world)
    loop = asyncio.get_running_loop()

    @a_round(SIGNED)
    @given(postbacks.events())
    def check(raw: bytes) -> None:
        asyncio.run_coroutine_threadsafe(door(raw), loop).result(CALL_LIMIT_S)

    with capture_logs() as logs:
        for raw in postbacks.CORPUS.values():
            await door(raw)
        for _ in rounds(SIGNED_SHARE):
            await asyncio.to_thread(check)
    await whole_books(world, logs)
    tell(f"postbacks, signed: {door.outcomes.total()} cases, {dict(sorted(door.outcomes.items()))}")
    assert set(door.outcomes) == set(EventOutcome)


@pytest.mark.timeout(24 * 3600)
async def test_whatever_an_adapter_makes_can_be_kept(world: World, tell: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    outcomes: Counter[str] = Counter()
    async with world.db.read() as session:
        source = await service.source_of(session, NETWORK)

    async def keep(events: Sequence[AdaptedEvent]) -> None:
        items = [
            (
                source,
                service.Report(one.external_event_id, service.Door.POSTBACK, one.raw, "test", one.event, one.fault),
            )
            for one in events
        ]
        for result in await service.intake_of(world.runtime).submit_all(items):
            assert isinstance(result, service.EventResult), result
            outcomes[result.outcome] += 1

    def fuzz(kind: str) -> None:
        @a_round(STORED)
        @given(postbacks.postbacks(kind), postbacks.SETTINGS)
        def check(postback: Postback, chosen: AdapterSettings) -> None:
            events = adapt(kind, postback, chosen)
            asyncio.run_coroutine_threadsafe(keep(events), loop).result(CALL_LIMIT_S)

        check()

    with capture_logs() as logs:
        for _ in rounds(STORED_SHARE):
            for kind in KINDS:
                await asyncio.to_thread(fuzz, kind)
        for kind in KINDS:
            for raw in postbacks.CORPUS.values():
                for postback in postbacks.as_postbacks(raw):
                    await keep(adapt(kind, postback, PLAIN))
    await whole_books(world, logs)
    tell(f"postbacks, adapted and kept: {outcomes.total()} cases, {dict(sorted(outcomes.items()))}")
    assert outcomes.total() > len(KINDS)


_HEADERS = st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=60)


@pytest.mark.timeout(24 * 3600)
async def test_nothing_unsigned_gets_in_whatever_its_headers(
    api: httpx2.AsyncClient, world: World, tell: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    answers: Counter[int] = Counter()
    moment = str(int(time.time()))

    async def send(network: str, headers: dict[str, str], raw: bytes) -> None:
        answer = await api.post(f"/v1/postbacks/{network}", content=raw, headers=headers)
        assert answer.status_code in (401, 404, 422), answer.text
        assert answer.json()["reason"]
        answers[answer.status_code] += 1

    headers = st.fixed_dictionaries(
        {},
        optional={
            "webhook-id": st.one_of(st.just("msg_1"), _HEADERS),
            "webhook-timestamp": st.one_of(st.just(moment), st.sampled_from(("9" * 40, "-1", "0", "1e9")), _HEADERS),
            "webhook-signature": st.one_of(_HEADERS, _HEADERS.map("v1,{}".format), st.just("v1,AAAA " * 50)),
        },
    )

    @a_round(SIGNED)
    @given(st.sampled_from((NETWORK, NETWORK, "none", "%00", "a%2Fb", "é")), headers, st.binary(max_size=50))
    def check(network: str, headers: dict[str, str], raw: bytes) -> None:
        asyncio.run_coroutine_threadsafe(send(network, headers, raw), loop).result(CALL_LIMIT_S)

    for _ in rounds(UNSIGNED_SHARE):
        await asyncio.to_thread(check)
    tell(f"postbacks, unsigned: {answers.total()} cases")
    assert await world.sql("SELECT 1 FROM conversion_events") == []
    assert answers[401]
