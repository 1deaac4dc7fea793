"""Feeds fetched by URL: on time, each at most once at a time, into syncs like any other."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from domains.offers.service import source_fetch
from tests.domains.offers.sources.shop import SECRET, Desk, FeedServer, row, sources_of


async def test_a_source_is_fetched_and_becomes_a_sync(desk: Desk, server: FeedServer) -> None:
    source = await desk.put(url=server.url, every_s=3600, late_after_s=86_400)
    assert (source["last_outcome"], source["failures"]) == (None, 0)
    await desk.run()
    assert await desk.offers() == {"1": 129_900, "2": 129_900}
    [request] = server.requests
    assert f"?token={SECRET} HTTP" in request
    [sync] = await desk.syncs()
    assert (sync["mode"], sync["state"], sync["created"]) == ("full", "succeeded", 2)
    assert sync["created_by"].startswith("system:")
    source = await desk.source()
    assert (source["last_outcome"], source["last_reason"]) == ("synced", "")
    assert source["last_sync_id"] == str(sync["id"])
    assert str(sync["id"]) in source["last_message"]


async def test_it_is_fetched_again_when_it_is_due_and_not_before(desk: Desk, server: FeedServer) -> None:
    await desk.put(url=server.url, every_s=3600)
    await desk.run()
    await desk.run()
    assert len(server.requests) == 1
    [due] = await desk.sql("SELECT next_fetch_at - now() AS wait FROM feed_sources")
    assert timedelta(minutes=59) < due["wait"] <= timedelta(hours=1)
    server.body = row("2", "PKR 999.00") + row("3")
    source = await desk.when_due()
    assert len(server.requests) == 2
    assert source["last_outcome"] == "synced"
    assert len(await desk.syncs()) == 2


async def test_a_full_feed_withdraws_and_an_incremental_one_does_not(desk: Desk, server: FeedServer) -> None:
    server.body = "".join(row(str(number)) for number in range(10))
    await desk.put(url=server.url)
    await desk.run()
    server.body = server.body.replace(row("9"), "")
    await desk.when_due()
    assert set(await desk.offers()) == {str(number) for number in range(9)}
    await desk.put(url=server.url, mode="incremental")
    server.body = row("0", "PKR 1.00")
    await desk.when_due()
    assert (await desk.offers())["0"] == 100
    assert len(await desk.offers()) == 9


@pytest.mark.parametrize("etags", [True, False])
async def test_an_unchanged_file_is_no_sync_and_keeps_its_offers_alive(
    desk: Desk, server: FeedServer, etags: bool
) -> None:
    server.etags = etags
    await desk.put(url=server.url)
    await desk.run()
    await desk.sql("UPDATE catalogues SET last_full_seen_at = now() - interval '20 days'")
    source = await desk.when_due()
    assert (source["last_outcome"], source["failures"]) == ("unchanged", 0)
    assert ("If-None-Match" in server.requests[1]) == etags
    assert len(await desk.syncs()) == 1
    [seen] = await desk.sql("SELECT last_full_seen_at > now() - interval '1 minute' AS now FROM catalogues")
    assert seen["now"]
    assert source["confirmed_at"] is not None


async def test_an_incremental_file_confirms_nothing_it_has_not_named(desk: Desk, server: FeedServer) -> None:
    await desk.put(url=server.url, mode="incremental")
    await desk.run()
    source = await desk.when_due()
    assert source["last_outcome"] == "unchanged"
    assert source["confirmed_at"] is not None, "the feed is there, and on time"
    [seen] = await desk.sql("SELECT last_full_seen_at FROM catalogues")
    assert seen["last_full_seen_at"] is None


async def test_an_unchanged_file_that_was_not_published_confirms_nothing(desk: Desk, server: FeedServer) -> None:
    server.body = "".join(row(str(number)) for number in range(60))
    await desk.put(url=server.url)
    await desk.run()
    server.body = row("0")
    await desk.when_due()
    assert [sync["state"] for sync in await desk.syncs()] == ["succeeded", "quarantined"]
    await desk.sql("UPDATE catalogues SET last_full_seen_at = now() - interval '20 days'")
    source = await desk.when_due()
    assert source["last_outcome"] == "unchanged"
    assert "which is quarantined" in source["last_message"]
    assert len(await desk.syncs()) == 2
    assert source["confirmed_at"] is None
    [seen] = await desk.sql("SELECT last_full_seen_at < now() - interval '19 days' AS old FROM catalogues")
    assert seen["old"]


async def test_an_unchanged_file_that_another_has_replaced_confirms_nothing(
    desk: Desk, server: FeedServer, shop: Any, item: Any
) -> None:
    await desk.put(url=server.url)
    await desk.run()
    await shop.sync([item("1"), item("2"), item("3")])
    await desk.sql("UPDATE catalogues SET last_full_seen_at = now() - interval '20 days'")
    source = await desk.when_due()
    assert "another one has replaced" in source["last_message"]
    assert source["confirmed_at"] is None
    [seen] = await desk.sql("SELECT last_full_seen_at < now() - interval '19 days' AS old FROM catalogues")
    assert seen["old"]


async def test_an_unreadable_file_is_not_made_a_sync_again_and_again(desk: Desk, server: FeedServer) -> None:
    server.body = "<html>Sorry</html>"
    await desk.put(url=server.url)
    await desk.run()
    source = await desk.when_due()
    [sync] = await desk.syncs()
    assert (sync["state"], sync["reason"]) == ("failed", "FEED_IS_WEB_PAGE")
    assert "which is failed" in source["last_message"]


async def test_a_file_that_failed_by_our_fault_is(desk: Desk, server: FeedServer) -> None:
    await desk.put(url=server.url)
    await desk.run()
    await desk.sql("UPDATE syncs SET state = 'failed', reason = 'PROCESSING_FAILED'")
    source = await desk.when_due()
    assert "If-None-Match" not in server.requests[1]
    assert source["last_outcome"] == "synced"
    assert len(await desk.syncs()) == 2


async def test_what_is_set_anew_is_read_anew(desk: Desk, server: FeedServer) -> None:
    await desk.put(url=server.url)
    await desk.run()
    await desk.put(url=server.shown, late_after_s=86_400)
    await desk.run()
    assert len(await desk.syncs()) == 1, "the watch has changed, and nothing that the file is read by"
    await desk.put(url=server.shown, options={"default_currency": "USD"})
    await desk.run()
    assert len(await desk.syncs()) == 2


async def test_options_say_how_the_file_is_read(desk: Desk, server: FeedServer) -> None:
    server.body = "code;name;url;cost\nA1;Kurta;https://shop.example/a1;1299\n"
    columns = ["offer_id=code", "title=name", "link=url", "price=cost"]
    options = {"format": "csv", "delimiter": ";", "default_availability": "in_stock", "map": columns}
    source = await desk.put(url=server.url, options=options)
    assert source["options"] == options
    await desk.run()
    assert await desk.offers() == {"A1": 129_900}


async def test_slow_shops_cannot_take_all_workers(desk: Desk, server: FeedServer) -> None:
    await sources_of(desk, server, 5)
    waiting = "SELECT count(*)::int AS n FROM jobs WHERE queue = 'fetch' AND state = 'ready'"

    async def enqueue_due(at_once: int) -> int:
        async with desk.runtime.db.write() as session:
            return await source_fetch.enqueue_due(session, at_once=at_once)

    assert sum(await asyncio.gather(*(enqueue_due(2) for _ in range(4)))) == 2
    assert [found["n"] for found in await desk.sql(waiting)] == [2]
    assert await enqueue_due(3) == 1
    await desk.drain()
    assert len(server.requests) == 5, "each that ends makes room for the next"


async def test_a_merchant_is_not_fetched_twice_at_once(desk: Desk, server: FeedServer) -> None:
    await desk.put(url=server.url)
    for _ in range(2):
        answer = await desk.call("POST", f"{desk.path}:fetch")
        assert answer.status_code == 202
        async with desk.runtime.db.write() as session:
            assert await source_fetch.enqueue_due(session, at_once=10) == 0
    await desk.drain()
    assert len(await desk.sql("SELECT 1 FROM jobs WHERE queue = 'fetch' AND attempt = 1")) == len(server.requests)
    assert len(await desk.syncs()) == 1


async def test_fetching_now_and_by_force(desk: Desk, server: FeedServer) -> None:
    await desk.put(url=server.url)
    await desk.run()
    await desk.call("POST", f"{desk.path}:fetch")
    await desk.drain()
    assert (await desk.source())["last_outcome"] == "unchanged"
    await desk.call("POST", f"{desk.path}:fetch?force=true")
    await desk.drain()
    assert "If-None-Match" not in server.requests[2]
    assert (await desk.source())["last_outcome"] == "synced"
    assert len(await desk.syncs()) == 2


@pytest.mark.parametrize("body", [{"late_after_s": 3600}, {"url": "URL", "enabled": False}])
async def test_what_is_not_to_be_fetched_is_not(desk: Desk, server: FeedServer, body: dict[str, Any]) -> None:
    if "url" in body:
        body = body | {"url": server.url}
    source = await desk.put(**body)
    assert source["next_fetch_at"] is None
    answer = await desk.call("POST", f"{desk.path}:fetch")
    assert (answer.status_code, answer.json()["reason"]) == (409, "FEED_SOURCE_IDLE")
    await desk.run()
    assert server.requests == []
