"""Syncs that are held, discarded, given up, or meet each other."""

import asyncio
from typing import Any

import pytest

from tests.domains.offers.pushed import HOUR, NOON, Item, active
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb


async def test_a_shrinking_feed_waits_for_an_operator(
    shop: Any, item: Item, admin_sql: Any, api: Any, operator_token: str
) -> None:
    await shop.sync([item(str(n)) for n in range(30)])
    small = [item(str(n), at=NOON + HOUR) for n in range(5)]
    sync = await shop.sync(small)
    assert (sync.state, sync.reason) == (pb.SYNC_STATE_QUARANTINED, "SHRINK_GUARD")
    assert "25 of 30" in sync.message
    assert len(await active(admin_sql)) == 30

    headers = {"Authorization": f"Bearer {operator_token}"}
    answer = await api.post(f"/v1/syncs/{sync.sync_id}:approve", headers=headers)
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    await shop.drain()
    assert len(await active(admin_sql)) == 5
    answer = await api.post(f"/v1/syncs/{sync.sync_id}:approve", headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (409, "ILLEGAL_STATE_CHANGE")


async def test_a_discarded_sync_leaves_the_feed_before_it(
    shop: Any, item: Item, admin_sql: Any, api: Any, operator_token: str
) -> None:
    await shop.sync([item(str(n)) for n in range(30)])
    sync = await shop.sync([item("0", at=NOON + HOUR)])
    headers = {"Authorization": f"Bearer {operator_token}"}
    answer = await api.post(f"/v1/syncs/{sync.sync_id}:discard", headers=headers)
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    await shop.drain()
    assert len(await active(admin_sql)) == 30


async def test_an_attempt_that_dies_leaves_nothing_and_the_next_completes(
    shop: Any, item: Item, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is lost after the offers are copied and before the commit."""
    from domains.offers.service import publish

    async def die(self: publish.Publication, **_: Any) -> None:
        raise ConnectionResetError("the plug was pulled")

    sync = await shop.start()
    items = [item(str(n)) for n in range(10)]
    await shop.push(sync.sync_id, 0, items)
    await shop.finish(sync.sync_id, items)
    with monkeypatch.context() as patched:
        patched.setattr(publish.Publication, "finish", die)
        await shop.drain()
    assert await active(admin_sql) == {}
    assert (await shop.get(sync.sync_id)).state == pb.SYNC_STATE_PROCESSING
    await admin_sql("UPDATE jobs SET due_at = now() WHERE state = 'ready'")
    await shop.drain()
    assert len(await active(admin_sql)) == 10


async def test_a_sync_whose_processing_is_given_up_is_failed_in_words(
    shop: Any, item: Item, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from domains.offers.service import publish

    async def die(self: publish.Publication, **_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(publish.Publication, "finish", die)
    sync = await shop.start()
    await shop.push(sync.sync_id, 0, [item("a")])
    await shop.finish(sync.sync_id, [item("a")])
    for _ in range(5):
        await shop.drain()
        await admin_sql("UPDATE jobs SET due_at = now() WHERE state = 'ready'")
    sync = await shop.get(sync.sync_id)
    assert (sync.state, sync.reason) == (pb.SYNC_STATE_FAILED, "PROCESSING_FAILED")
    assert "Nothing was published" in sync.message


async def test_syncs_of_one_merchant_at_once_are_serialised(
    shop: Any, item: Item, admin_sql: Any, runtime: Any
) -> None:
    from wapsi.queue.jobs import run_job

    for number in range(4):
        sync = await shop.start()
        items = [item(str(n), at=NOON + number * HOUR, price_minor=1000 + number) for n in range(50)]
        await shop.push(sync.sync_id, 0, items)
        await shop.finish(sync.sync_id, items)
    jobs = await admin_sql("SELECT id FROM jobs WHERE kind = 'offers.process_sync'")
    await asyncio.gather(*(run_job(runtime, row["id"]) for row in jobs))
    states = await admin_sql("SELECT state FROM syncs")
    assert {row["state"] for row in states} == {"succeeded"}
    assert set((await active(admin_sql)).values()) == {1003}
