"""Feeds fetched by URL: on time, into syncs like any other; what goes wrong is said and changes nothing."""

import asyncio
import contextlib
import hashlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.metrics import CallbackOptions
from structlog.testing import capture_logs

from domains.merchants import service as merchants
from domains.offers.service import source_fetch, source_watch, sources, upload
from wapsi.config import Settings
from wapsi.fetch import Fetcher, FetchLimits
from wapsi.queue import outbox
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime
from wapsi.security.permissions import OperatorRole

SECRET = "s3cr3t-feed-token"
KEY_IN_PATH = "k3y-in-the-path"
INCREMENTAL = pb.SYNC_MODE_INCREMENTAL


def row(offer_id: str, price: str = "PKR 1,299.00") -> str:
    return (
        f'{{"id": "{offer_id}", "title": "Kurta {offer_id}", "link": "https://shop.example/{offer_id}",'
        f' "price": "{price}", "availability": "in_stock"}}\n'
    )


@dataclass
class FeedServer:
    """A shop's web server with one file, which it gives with an ETag unless told otherwise."""

    port: int = 0
    body: str = row("1") + row("2")
    status: int = 200
    etags: bool = True
    requests: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/apikey/{KEY_IN_PATH}/feed.jsonl?token={SECRET}"

    @property
    def shown(self) -> str:
        return f"http://127.0.0.1:{self.port}/apikey/***/feed.jsonl?***"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(request)
            self.asked.set()
            if self.hold is not None:
                await self.hold.wait()
            etag = f'"{hashlib.sha256(self.body.encode()).hexdigest()}"'
            known = self.etags and f"if-none-match: {etag}" in request.lower()
            status = 304 if known and self.status == 200 else self.status
            body = "" if known else self.body
            lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body.encode())}"]
            lines += [f"ETag: {etag}"] if self.etags else []
            writer.write("\r\n".join([*lines, "", body]).encode())
            await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[FeedServer]:
    server = FeedServer()
    listening = await asyncio.start_server(server.answer, "127.0.0.1")
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    if server.hold is not None:
        server.hold.set()
    listening.close()


@pytest.fixture
def loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    def make_fetcher(settings: Settings) -> Fetcher:
        limits = FetchLimits(size_bytes=settings.feed_upload_limit_bytes)
        return Fetcher(limits, allow_http=True, trusted_networks=[ipaddress.ip_network("127.0.0.0/8")])

    monkeypatch.setattr(sources, "make_fetcher", make_fetcher)


@dataclass
class Desk:
    """An operator's desk: the feed source of the merchant `shop`, and the clock's hands."""

    api: Any
    token: str
    runtime: Runtime
    drain: Callable[[], Awaitable[int]]
    sql: Any
    path: str = "/v1/admin/merchants/shop/feed-source"

    async def call(self, method: str, path: str | None = None, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self.api.request(method, path or self.path, headers=headers, **options)

    async def put(self, **body: Any) -> Any:
        answer = await self.call("PUT", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def source(self) -> Any:
        answer = await self.call("GET")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def run(self, kind: str = "offers.schedule_fetches") -> None:
        """As the scheduler would, and then everything that follows."""
        async with self.runtime.db.write() as session:
            await outbox.enqueue(session, kind, {})
        await self.drain()

    async def when_due(self) -> Any:
        """The next fetch, on its schedule; returns the source after it."""
        await self.sql("UPDATE feed_sources SET next_fetch_at = now()")
        await self.run()
        return await self.source()

    async def offers(self) -> dict[str, int]:
        items = (await self.api.get("/v1/offers")).json()["items"]
        return {item["offer_id"]: item["price_minor"] for item in items}

    async def syncs(self) -> list[Any]:
        return list(await self.sql("SELECT * FROM syncs ORDER BY id"))


@pytest.fixture
async def desk(
    api: Any, runtime: Runtime, shop: Any, operator_token: str, admin_sql: Any, loopback_is_public: None
) -> Desk:
    return Desk(api, operator_token, runtime, shop.drain, admin_sql)


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


# What goes wrong


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


# How many at once


async def sources_of(desk: Desk, server: FeedServer, count: int) -> None:
    """As many merchants more, each with a source that is due."""
    for number in range(count):
        async with desk.runtime.db.write() as session:
            new = merchants.NewMerchant(slug=f"shop-{number}", name=f"Shop {number}", currency="PKR")
            await merchants.create_merchant(session, None, new)
        answer = await desk.call("PUT", f"/v1/admin/merchants/shop-{number}/feed-source", json={"url": server.url})
        assert answer.status_code == 200, answer.text


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


# Secrets, permissions, and what is refused


async def test_what_may_be_a_key_in_a_url_is_seen_nowhere(
    desk: Desk, server: FeedServer, spans: Any, caplog: pytest.LogCaptureFixture
) -> None:
    spans.clear()
    with capture_logs() as logs, caplog.at_level("DEBUG"):
        put = await desk.call("PUT", json={"url": server.url})
        await desk.run()
        server.status = 302
        await desk.when_due()
        answers = [put, await desk.call("GET"), await desk.call("GET", "/v1/admin/feed-sources")]
    assert put.json()["url"] == server.shown
    tables = [
        await desk.sql(f"SELECT t::text FROM {table} t") for table in ("feed_sources", "audit_log", "syncs", "jobs")
    ]
    everywhere = " ".join(
        [
            *(answer.text for answer in answers),
            *(span.to_json() for span in spans.get_finished_spans()),
            str(logs),
            caplog.text,
            str(tables),
        ]
    )
    assert "apikey/***" in everywhere
    assert SECRET not in everywhere
    assert KEY_IN_PATH not in everywhere
    [sync] = await desk.syncs()
    assert sync["source"] == server.shown.removesuffix("?***")


async def test_the_shown_url_stands_for_the_stored_one(desk: Desk, server: FeedServer) -> None:
    await desk.put(url=server.url)
    await desk.put(url=server.shown, every_s=600)
    await desk.run()
    assert f"token={SECRET}" in server.requests[0]
    answer = await desk.call("PUT", json={"url": server.shown.replace("feed", "other")})
    assert (answer.status_code, answer.json()["reason"]) == (422, "FEED_SOURCE_INVALID")


async def test_changes_are_audited_without_secrets(desk: Desk, server: FeedServer) -> None:
    await desk.put(url=server.url)
    await desk.put(url=server.url.replace(SECRET, "another"), every_s=600)
    await desk.put(url=server.shown, every_s=600)
    await desk.call("POST", f"{desk.path}:fetch")
    await desk.call("DELETE")
    entries = await desk.sql(
        "SELECT actor, action, target, before, after FROM audit_log WHERE action LIKE 'feed_source%' ORDER BY id"
    )
    assert [entry["action"].removeprefix("feed_source.") for entry in entries] == [
        "created",
        "updated",
        "fetched",
        "removed",
    ]
    assert all(entry["actor"].startswith("operator:") and entry["target"] == "merchant:shop" for entry in entries)
    assert '"every_s": 600' in entries[1]["after"]
    assert f'"url": "{server.shown}"' in entries[1]["after"], "it has changed, in what is hidden of it"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "FEED_SOURCE_INVALID"),
        ({"url": "https://feeds.example/f", "every_s": 3600, "late_after_s": 3600}, "FEED_SOURCE_INVALID"),
        ({"url": "http://feeds.example/f"}, "FEED_SOURCE_INVALID"),
        ({"url": f"https://user:{SECRET}@feeds.example/f"}, "FEED_SOURCE_INVALID"),
        ({"url": "https://127.0.0.1/f"}, "FEED_SOURCE_INVALID"),
        ({"url": "https://[64:ff9b::a9fe:a9fe]/f"}, "FEED_SOURCE_INVALID"),
        ({"url": "https://2852039166/latest"}, "FEED_SOURCE_INVALID"),
        ({"url": "https://feeds.example:6379/f"}, "FEED_SOURCE_INVALID"),
        ({"url": "https://feeds.example/?t=***"}, "FEED_SOURCE_INVALID"),
        ({"url": "nonsense"}, "FEED_SOURCE_INVALID"),
        ({"url": "https://feeds.example/\u0000"}, "JSON_INVALID"),
        ({"url": "https://feeds.example/f", "options": {"map": ["nonsense"]}}, "FEED_OPTIONS_INVALID"),
        ({"url": "https://feeds.example/f", "options": {"sha256": "x"}}, "REQUEST_INVALID"),
        ({"url": "https://feeds.example/f", "every_s": 299}, "REQUEST_INVALID"),
        ({"url": "https://feeds.example/f", "mode": "rollback"}, "REQUEST_INVALID"),
        ({"url": "https://feeds.example/f", "interval": 60}, "REQUEST_INVALID"),
        ({"late_after_s": 10}, "REQUEST_INVALID"),
        ({"url": 5}, "REQUEST_INVALID"),
    ],
)
async def test_bad_sources_are_refused_at_once(
    api: Any, shop: Any, operator_token: str, admin_sql: Any, body: dict[str, Any], reason: str
) -> None:
    headers = {"Authorization": f"Bearer {operator_token}"}
    answer = await api.put("/v1/admin/merchants/shop/feed-source", headers=headers, json=body)
    assert (answer.status_code, answer.json()["reason"]) == (422, reason), answer.text
    assert SECRET not in answer.text
    assert await admin_sql("SELECT 1 FROM feed_sources") == []


async def test_unknown_merchants_and_sources_are_not_found(desk: Desk) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", ":fetch")):
        answer = await desk.call(method, f"{desk.path}{path}")
        assert (answer.status_code, answer.json()["reason"]) == (404, "FEED_SOURCE_NOT_FOUND")
    nobody = "/v1/admin/merchants/nobody/feed-source"
    for method, options in (("GET", {}), ("DELETE", {}), ("PUT", {"json": {"late_after_s": 3600}})):
        answer = await desk.call(method, nobody, **options)
        assert (answer.status_code, answer.json()["reason"]) == (404, "MERCHANT_NOT_FOUND")


ROUTES = [
    ("PUT", "/v1/admin/merchants/shop/feed-source", {OperatorRole.CATALOGUE, OperatorRole.ADMIN}),
    ("POST", "/v1/admin/merchants/shop/feed-source:fetch", {OperatorRole.CATALOGUE, OperatorRole.ADMIN}),
    ("DELETE", "/v1/admin/merchants/shop/feed-source", {OperatorRole.CATALOGUE, OperatorRole.ADMIN}),
    ("GET", "/v1/admin/merchants/shop/feed-source", set(OperatorRole)),
    ("GET", "/v1/admin/feed-sources", set(OperatorRole)),
]


@pytest.mark.parametrize(("method", "path", "allowed"), ROUTES)
async def test_who_may(api: Any, operator: Any, shop: Any, method: str, path: str, allowed: set[OperatorRole]) -> None:
    options = {"json": {"late_after_s": 3600}} if method == "PUT" else {}
    assert (await api.request(method, path, **options)).status_code == 401
    producer = {"Authorization": f"Bearer {shop.key}"}
    assert (await api.request(method, path, headers=producer, **options)).status_code == 403
    for role in OperatorRole:
        headers = {"Authorization": (await operator(role))["Authorization"]}
        status = (await api.request(method, path, headers=headers, **options)).status_code
        assert (status != 403) == (role in allowed), role


async def test_sources_are_paged(desk: Desk, server: FeedServer) -> None:
    await sources_of(desk, server, 3)
    await desk.put(late_after_s=3600)
    seen: list[str] = []
    cursor = ""
    for _ in range(2):
        page = (await desk.call("GET", f"/v1/admin/feed-sources?limit=2{cursor}")).json()
        seen += [source["merchant"] for source in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(seen) == ["shop", "shop-0", "shop-1", "shop-2"]
    assert page["next_cursor"] is None
    wrong = await desk.call("GET", "/v1/admin/feed-sources?cursor=nonsense")
    assert (wrong.status_code, wrong.json()["reason"]) == (422, "CURSOR_INVALID")


# Late feeds


async def minutes_later(desk: Desk, minutes: int) -> None:
    """Moves what was into the past, and lets the watch look."""
    past = f"- interval '{minutes} minutes'"
    await desk.sql(f"UPDATE feed_sources SET watched_since = watched_since {past}, confirmed_at = confirmed_at {past}")
    await desk.sql(
        f"UPDATE catalogues SET published_at = published_at {past}, last_full_seen_at = last_full_seen_at {past}"
    )
    await desk.sql(f"UPDATE syncs SET finished_at = finished_at {past}")
    await desk.run("offers.watch_feeds")


async def late_merchants(desk: Desk, late: bool = True) -> list[str]:
    page = (await desk.call("GET", f"/v1/admin/feed-sources?late={str(late).lower()}")).json()
    return [source["merchant"] for source in page["items"]]


async def test_a_pushed_feed_that_does_not_come_is_late_once(desk: Desk, shop: Any, item: Any) -> None:
    await desk.put(late_after_s=3600)
    await minutes_later(desk, 59)
    assert await late_merchants(desk) == []
    with capture_logs() as logs:
        await minutes_later(desk, 2)
        late_since = (await desk.source())["late_since"]
        await minutes_later(desk, 60)
    [alert] = [line for line in logs if line["event"] == "feed_late"]
    assert (alert["log_level"], alert["merchant"], alert["late_after_s"]) == ("error", "shop", 3600)
    assert late_since is not None
    assert [observation.value for observation in source_watch.late_count.observe(CallbackOptions())] == [1]
    assert (await desk.source())["late_since"] == late_since
    assert (await late_merchants(desk), await late_merchants(desk, late=False)) == (["shop"], [])

    with capture_logs() as logs:
        await shop.sync([item("1")])
        await desk.run("offers.watch_feeds")
    assert [line["merchant"] for line in logs if line["event"] == "feed_on_time"] == ["shop"]
    assert (await desk.source())["late_since"] is None
    assert await late_merchants(desk) == []


async def test_a_pushed_feed_that_changes_nothing_has_come(desk: Desk, shop: Any, item: Any) -> None:
    await desk.put(late_after_s=3600)
    for _ in range(3):
        await shop.sync([item("1")], mode=INCREMENTAL)
        await minutes_later(desk, 59)
        assert await late_merchants(desk) == []
    await minutes_later(desk, 2)
    assert await late_merchants(desk) == ["shop"]


async def test_the_number_of_late_feeds_is_told_by_who_counted_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other workers stay silent, instead of repeating what they counted long ago."""
    clock_s = 1000.0
    monkeypatch.setattr(source_watch, "time", SimpleNamespace(monotonic=lambda: clock_s))
    source_watch.late_count.take(7)

    def observed() -> list[float]:
        return [observation.value for observation in source_watch.late_count.observe(CallbackOptions())]

    assert observed() == [7]
    clock_s += 119
    assert observed() == [7]
    clock_s += 2
    assert observed() == []


@pytest.mark.parametrize("mode", ["full", "incremental"])
async def test_a_fetched_feed_that_does_not_change_is_on_time(desk: Desk, server: FeedServer, mode: str) -> None:
    await desk.put(url=server.url, mode=mode, every_s=3600, late_after_s=7200)
    await desk.run()
    for _ in range(3):
        await minutes_later(desk, 100)
        assert (await desk.when_due())["last_outcome"] == "unchanged"
    assert await late_merchants(desk) == []
    server.status = 500
    await desk.when_due()
    with capture_logs() as logs:
        await minutes_later(desk, 121)
    [alert] = [line for line in logs if line["event"] == "feed_late"]
    assert (alert["last_reason"], alert["failures"]) == ("FETCH_STATUS_REFUSED", 1), "it says why"
    server.status = 200
    await desk.when_due()
    await minutes_later(desk, 0)
    assert await late_merchants(desk) == []


async def test_a_feed_that_cannot_be_published_is_late_though_it_comes(desk: Desk, server: FeedServer) -> None:
    server.body = "<html>Sorry</html>"
    await desk.put(url=server.url, every_s=3600, late_after_s=7200)
    await desk.run()
    await desk.when_due()
    await minutes_later(desk, 121)
    assert await late_merchants(desk) == ["shop"]


async def test_who_owes_no_feed_is_not_late(desk: Desk, server: FeedServer) -> None:
    await desk.put(late_after_s=3600)
    await minutes_later(desk, 61)
    assert await late_merchants(desk) == ["shop"]
    for body in ({"late_after_s": 3600, "enabled": False}, {"url": server.url, "every_s": 300, "late_after_s": None}):
        await desk.put(**body)
        await minutes_later(desk, 0)
        assert await late_merchants(desk) == []
    await desk.put(late_after_s=3600)
    async with desk.runtime.db.write() as session:
        await merchants.move_merchant(session, None, "shop", merchants.MerchantStatus.PAUSED)
    await minutes_later(desk, 100)
    assert await late_merchants(desk) == []


async def test_a_source_switched_on_again_has_its_time_anew(desk: Desk) -> None:
    await desk.put(late_after_s=3600, enabled=False)
    await minutes_later(desk, 1000)
    await desk.put(late_after_s=3600)
    await minutes_later(desk, 59)
    assert await late_merchants(desk) == []
    await minutes_later(desk, 2)
    assert await late_merchants(desk) == ["shop"]
