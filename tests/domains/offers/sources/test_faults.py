"""What goes wrong while a feed is fetched is said in words and changes nothing."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from domains.merchants import service as merchants
from domains.offers.service import source_fetch, upload
from tests.domains.offers.sources.shop import Desk, FeedServer, row


async def test_a_failure_is_told_in_words_and_changes_nothing(desk: Desk, server: FeedServer) -> None:
    await desk.put(url=server.url, every_s=3600)
    await desk.run()
    server.status = 503
    waits = []
    with capture_logs() as logs:
        for failures in range(1, 5):
            source = await desk.when_due()
            assert (source["last_outcome"], source["last_reason"]) == ("failed", "FETCH_STATUS_REFUSED")
            assert "503" in source["last_message"]
            assert source["failures"] == failures
            [due] = await desk.sql(
                "SELECT extract(epoch FROM next_fetch_at - last_fetched_at)::float8 AS s FROM feed_sources"
            )
            waits.append(round(due["s"]))
    assert waits == [900, 1800, 3600, 3600], "sooner than usual at first, never hammering"
    assert [line["reason"] for line in logs if line["event"] == "feed_fetch_failed"] == ["FETCH_STATUS_REFUSED"] * 4
    assert len(await desk.syncs()) == 1
    assert len(await desk.offers()) == 2
    server.status = 200
    source = await desk.when_due()
    assert (source["last_outcome"], source["last_reason"], source["failures"]) == ("unchanged", "", 0)


async def test_an_empty_file_is_a_failure(desk: Desk, server: FeedServer) -> None:
    server.body = ""
    await desk.put(url=server.url)
    await desk.run()
    source = await desk.source()
    assert (source["last_outcome"], source["last_reason"]) == ("failed", "FETCH_EMPTY")
    assert await desk.syncs() == []


async def test_a_file_has_the_limit_of_an_upload(desk: Desk, server: FeedServer) -> None:
    limited = desk.runtime.settings.model_copy(update={"feed_upload_limit_bytes": 2000})
    object.__setattr__(desk.runtime, "settings", limited)
    server.body = row("1") * 100
    await desk.put(url=server.url)
    await desk.run()
    assert (await desk.source())["last_reason"] == "FETCH_TOO_LARGE"
    assert await desk.sql("SELECT 1 FROM sync_uploads") == []


async def test_an_attempt_that_dies_leaves_nothing_and_the_next_makes_one_sync(
    desk: Desk, server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = upload.start_upload

    async def dies(*args: Any) -> Any:
        await real(*args)
        raise RuntimeError("the worker fell over")

    monkeypatch.setattr(upload, "start_upload", dies)
    await desk.put(url=server.url)
    await desk.run()
    assert await desk.syncs() == []
    assert (await desk.source())["last_outcome"] is None
    monkeypatch.setattr(upload, "start_upload", real)
    await desk.sql("UPDATE jobs SET due_at = now() WHERE state = 'ready'")
    await desk.drain()
    assert len(await desk.syncs()) == 1
    assert (await desk.source())["last_outcome"] == "synced"


async def test_a_fetch_that_is_given_up_is_tried_again_later(
    desk: Desk, server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*args: Any) -> Any:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(upload, "start_upload", dies)
    await desk.put(url=server.url)
    await desk.run()
    for _ in range(source_fetch.FETCH_ATTEMPTS - 1):
        await desk.sql("UPDATE jobs SET due_at = now() WHERE state = 'ready'")
        await desk.drain()
    source = await desk.source()
    assert (source["last_outcome"], source["last_reason"], source["failures"]) == ("failed", "FETCH_GIVEN_UP", 1)
    assert source["next_fetch_at"] is not None


async def test_a_source_that_changes_while_it_is_fetched_gets_no_file_of_the_old_one(
    desk: Desk, server: FeedServer
) -> None:
    server.hold = asyncio.Event()
    await desk.put(url=server.url)
    running = asyncio.ensure_future(desk.run())
    await asyncio.wait_for(server.asked.wait(), 5)
    await desk.put(url=server.url + "&page=2")
    server.hold.set()
    await running
    assert ["&page=2" in request for request in server.requests] == [False, True], "the new one is due at once"
    [sync] = await desk.syncs()
    assert (await desk.source())["last_sync_id"] == str(sync["id"])
    jobs = await desk.sql("SELECT id FROM jobs WHERE queue = 'fetch' ORDER BY created_at")
    assert sync["request_id"] == f"fetch-{jobs[1]['id']}"


async def test_a_source_that_is_removed_while_it_is_fetched_comes_to_nothing(desk: Desk, server: FeedServer) -> None:
    server.hold = asyncio.Event()
    await desk.put(url=server.url)
    running = asyncio.ensure_future(desk.run())
    await asyncio.wait_for(server.asked.wait(), 5)
    assert (await desk.call("DELETE")).status_code == 204
    server.hold.set()
    await running
    assert await desk.syncs() == []
    assert [job["state"] for job in await desk.sql("SELECT state FROM jobs WHERE queue = 'fetch'")] == ["done"]


async def test_an_archived_merchants_source_is_switched_off(desk: Desk, server: FeedServer) -> None:
    await desk.put(url=server.url)
    async with desk.runtime.db.write() as session:
        for status in (merchants.MerchantStatus.PAUSED, merchants.MerchantStatus.ARCHIVED):
            await merchants.move_merchant(session, None, "shop", status)
    await desk.run()
    source = await desk.source()
    assert (source["last_reason"], source["enabled"], source["next_fetch_at"]) == ("MERCHANT_NOT_SYNCABLE", False, None)
    refused = await desk.call("PUT", json={"url": server.url})
    assert (refused.status_code, refused.json()["reason"]) == (409, "MERCHANT_NOT_SYNCABLE")


async def test_a_url_of_another_secret_key_is_asked_for_again(desk: Desk, server: FeedServer) -> None:
    await desk.put(url=server.url)
    await desk.sql("UPDATE feed_sources SET sealed_url = 'another key wrote this'")
    await desk.run()
    source = await desk.source()
    assert (source["last_outcome"], source["last_reason"]) == ("failed", "URL_UNREADABLE")
    assert (await desk.call("PUT", json={"url": server.shown})).json()["reason"] == "FEED_SOURCE_INVALID"
    assert (await desk.put(late_after_s=3600))["url"] is None
    await desk.put(url=server.url)
    await desk.run()
    assert (await desk.source())["last_outcome"] == "synced"
