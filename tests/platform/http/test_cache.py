"""The cache of public reads, in front of a small application whose data is in a real database."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from uvicorn.server import ServerState

from tests.databases import SQL
from wapsi.db.versions import Versions
from wapsi.http import cache
from wapsi.http.cache import CACHED, ReadCache, cached_routes
from wapsi.http.etags import answer_with_etag
from wapsi.http.protocol import GuardedProtocol
from wapsi.runtime import Runtime

Get = Callable[..., Awaitable[httpx2.Response]]
PUBLISH = (
    "INSERT INTO affiliate_networks (id, slug, name, kind, secret_current)"
    " VALUES (uuidv7(), $1, 'n', 'in_house', '\\x00')"
)


class Counts:
    """How often each outcome was counted, and what was answered from memory."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.answers: list[tuple[str, int]] = []

    def count(self, outcome: str) -> None:
        self.outcomes.append(outcome)

    def record(self, _scope: Any, route: str, status: int, _started_s: float) -> None:
        self.answers.append((route, status))


class Shop:
    """An application that counts how often it is asked, and how slowly it answers."""

    def __init__(self, runtime: Runtime) -> None:
        self.asked = 0
        self.delay_s = 0.0
        self.status = 200
        # Its own telemetry would measure under the same names.
        self.app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
        self.versions = Versions(runtime.db.reads, {"networks": "SELECT count(*) FROM affiliate_networks"})
        self.counts = Counts()

        @self.app.get("/shown/{name}", openapi_extra=CACHED)
        async def shown(name: str, request: Request) -> Response:
            self.asked += 1
            rows = await runtime.db.reads.fetch("SELECT count(*) FROM affiliate_networks")
            await asyncio.sleep(self.delay_s)
            if self.status != 200:
                return Response(status_code=self.status)
            body = f'{{"name":"{name}","networks":{rows[0][0]},"x":"{request.headers.get("x-request-id")}"}}'
            return answer_with_etag(request, body.encode(), public=True)

        @self.app.get("/mine/{name}")
        async def mine(request: Request) -> Response:
            self.asked += 1
            return answer_with_etag(request, b"{}", public=True)

        self.cache = self.with_limit(1_000_000)

    def with_limit(self, limit_bytes: int) -> ReadCache:
        return ReadCache(
            self.app,
            routes=cached_routes(self.app),
            versions=self.versions,
            hot_reads=self.counts,
            limit_bytes=limit_bytes,
        )


@pytest.fixture
def shop(runtime: Runtime) -> Shop:
    return Shop(runtime)


@pytest.fixture
async def get(shop: Shop) -> AsyncIterator[Get]:
    async with _client(shop.cache) as client:
        yield client.get


def _client(app: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://wapsi.test")


async def test_a_second_reader_is_answered_from_memory(shop: Shop, get: Get) -> None:
    first = await get("/shown/a")
    second = await get("/shown/a")
    assert shop.asked == 1
    assert (first.content, first.headers["etag"]) == (second.content, second.headers["etag"])
    assert second.headers["content-type"] == "application/json"
    assert second.headers["cache-control"].startswith("public, max-age=0, s-maxage=1")
    assert shop.counts.outcomes == ["miss", "hit"]
    assert shop.counts.answers == [("/shown/{name}", 200)]


async def test_on_a_socket_of_ours_it_is_the_same_answer(shop: Shop, get: Get) -> None:
    config = uvicorn.Config(shop.cache, http=GuardedProtocol, ws="none", log_config=None, date_header=False)
    config.load()
    state = ServerState()
    listening = await asyncio.get_running_loop().create_server(
        lambda: GuardedProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    first = await get("/shown/a")
    port = listening.sockets[0].getsockname()[1]
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        second = await client.get("/shown/a", headers={"X-Request-ID": "mine"})
        unchanged = await client.get("/shown/a", headers={"If-None-Match": first.headers["etag"]})
        other = await client.get("/shown/b")
    listening.close()
    assert shop.counts.outcomes == ["miss", "hit", "hit", "miss"]
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers == {**first.headers, "x-request-id": "mine"}
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == first.headers["etag"]
    assert re.fullmatch("[0-9a-f]{32}", unchanged.headers["x-request-id"])
    assert other.status_code == 200


async def test_each_path_and_query_has_an_answer_of_its_own(shop: Shop, get: Get) -> None:
    for path in ("/shown/a", "/shown/b", "/shown/a?page=2"):
        await get(path)
    assert shop.asked == 3


async def test_each_answer_has_a_request_id_of_its_own(get: Get) -> None:
    first = await get("/shown/a", headers={"X-Request-ID": "mine-1"})
    second = await get("/shown/a", headers={"X-Request-ID": "mine-2"})
    third = await get("/shown/a")
    assert second.headers["x-request-id"] == "mine-2"
    assert len(third.headers["x-request-id"]) == 32
    assert first.content == third.content


async def test_an_answer_that_the_caller_has_is_not_sent_again(shop: Shop, get: Get) -> None:
    etag = (await get("/shown/a")).headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        again = await get("/shown/a", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert "content-length" not in again.headers
    assert (await get("/shown/a", headers={"If-None-Match": '"other"'})).status_code == 200
    assert shop.asked == 1


async def test_who_asks_first_and_has_the_answer_already_gets_a_304_and_fills_the_cache(shop: Shop, get: Get) -> None:
    etag = (await get("/shown/a")).headers["etag"]
    shop.cache._entries.clear()
    assert (await get("/shown/a", headers={"If-None-Match": etag})).status_code == 304
    assert (await get("/shown/a")).status_code == 200
    assert shop.asked == 2


async def test_an_origin_gets_what_the_browser_of_that_origin_needs(shop: Shop) -> None:
    """The answer to one origin is not another's, and origins that mean nothing to us share one answer."""
    allowed = ["https://a.example", "https://b.example"]
    front = ReadCache(
        CORSMiddleware(shop.app, allow_origins=allowed),
        routes=cached_routes(shop.app),
        versions=shop.versions,
        hot_reads=shop.counts,
        limit_bytes=1_000_000,
        origins=allowed,
    )
    async with _client(front) as client:
        for _ in range(2):
            for origin in (*allowed, "https://c.example", "https://d.example"):
                answer = await client.get("/shown/a", headers={"Origin": origin})
                shown = answer.headers.get("access-control-allow-origin")
                assert shown == (origin if origin in allowed else None)
                assert answer.headers["vary"] == "Origin"
    assert shop.asked == 3


async def test_many_readers_of_a_cold_page_cost_one(shop: Shop, get: Get) -> None:
    shop.delay_s = 0.05
    answers = await asyncio.gather(*(get("/shown/a") for _ in range(50)))
    assert shop.asked == 1
    assert {answer.content for answer in answers} == {answers[0].content}
    assert sorted(shop.counts.outcomes) == ["coalesced"] * 49 + ["miss"]


async def test_what_has_been_published_is_read_at_once(shop: Shop, get: Get, admin_sql: SQL) -> None:
    """Where nothing polls, each read asks for the version."""
    assert (await get("/shown/a")).json()["networks"] == 0
    await admin_sql(PUBLISH, "first")
    assert (await get("/shown/a")).json()["networks"] == 1


async def test_after_a_publication_the_old_answer_is_shown_for_less_than_a_second(
    shop: Shop, get: Get, admin_sql: SQL
) -> None:
    async with shop.versions.polling():
        assert (await get("/shown/a")).json()["networks"] == 0
        await admin_sql(PUBLISH, "first")
        loop = asyncio.get_running_loop()
        published_s = loop.time()
        asked_s = loop.time()
        while (await get("/shown/a")).json()["networks"] == 0:  # a reader who asks again
            assert asked_s - published_s < 1.0, "the old answer to one who asked a second after the publication"
            await asyncio.sleep(0.01)
            asked_s = loop.time()


async def test_an_outdated_answer_is_served_while_one_request_computes_the_new_one(
    shop: Shop, get: Get, admin_sql: SQL
) -> None:
    async with shop.versions.polling():
        await get("/shown/a")
        await admin_sql(PUBLISH, "first")
        await _until(lambda: shop.versions.generation == 2)
        shop.delay_s = 0.05
        old = await asyncio.gather(*(get("/shown/a") for _ in range(20)))
        assert {answer.json()["networks"] for answer in old} == {0}
        assert shop.counts.outcomes.count("stale") == 20
        await _until(lambda: shop.asked == 2)
        await asyncio.sleep(0.1)
        assert (await get("/shown/a")).json()["networks"] == 1
        assert shop.asked == 2


async def test_a_page_nobody_read_for_long_after_a_publication_is_computed_anew(
    shop: Shop, get: Get, admin_sql: SQL
) -> None:
    async with shop.versions.polling():
        await get("/shown/a")
        await admin_sql(PUBLISH, "first")
        await _until(lambda: shop.versions.generation == 2)
        await asyncio.sleep(cache.STALE_S + 0.05)
        assert (await get("/shown/a")).json()["networks"] == 1


async def test_few_of_many_outdated_answers_are_computed_anew_at_once(shop: Shop, get: Get, admin_sql: SQL) -> None:
    """A page that is not in memory would wait behind all of them. Whoever reads the others again sees to those."""
    names = [f"/shown/{number}" for number in range(12)]
    async with shop.versions.polling():
        for name in names:
            await get(name)
        await admin_sql(PUBLISH, "first")
        await _until(lambda: shop.versions.generation == 2)
        shop.delay_s = 0.05
        await asyncio.gather(*map(get, names))
        assert shop.counts.outcomes.count("stale") == 12
        await asyncio.sleep(0.01)
        assert shop.asked == 12 + cache.REFRESHES_AT_ONCE
        shop.delay_s = 0
        while {(await get(name)).json()["networks"] for name in names} != {1}:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)


async def test_what_was_made_together_does_not_grow_old_together(
    shop: Shop, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MAX_AGE_S", 1.0)
    for number in range(40):
        await get(f"/shown/{number}")
    limits_s = [entry.old_at_s - entry.made_s for entry in shop.cache._entries.values()]
    assert all(0.75 <= limit_s <= 1 for limit_s in limits_s)
    assert max(limits_s) - min(limits_s) > 0.1


async def test_errors_are_not_kept_and_each_reader_asks_for_itself(shop: Shop, get: Get) -> None:
    shop.status, shop.delay_s = 404, 0.02
    answers = await asyncio.gather(*(get("/shown/a") for _ in range(3)))
    assert {answer.status_code for answer in answers} == {404}
    shop.status = 200
    assert (await get("/shown/a")).status_code == 200


async def test_an_answer_from_before_is_better_than_an_error(shop: Shop, get: Get, admin_sql: SQL) -> None:
    await get("/shown/a")
    await admin_sql(PUBLISH, "first")
    shop.status = 503
    assert (await get("/shown/a")).json()["networks"] == 0
    assert shop.counts.outcomes[-1] == "stale_on_error"
    assert (await get("/shown/b")).status_code == 503


async def test_answers_of_other_routes_and_methods_pass_by(shop: Shop, get: Get) -> None:
    await get("/mine/a")
    await get("/mine/a")
    assert shop.asked == 2
    async with _client(shop.cache) as client:
        assert (await client.post("/shown/a")).status_code == 405


async def test_memory_is_bounded_and_what_was_read_last_stays(shop: Shop) -> None:
    entry_bytes = cache.OVERHEAD_BYTES + 100
    async with _client(shop.with_limit(3 * entry_bytes)) as client:
        for name in ("a", "b", "c", "a", "d", "a"):
            await client.get(f"/shown/{name}")
        assert shop.asked == 4
        await client.get("/shown/b")
        assert shop.asked == 5, "b was the one that had been read longest ago"


async def test_an_answer_larger_than_the_cache_is_only_passed_on(shop: Shop) -> None:
    small = shop.with_limit(10)
    async with _client(small) as client:
        assert (await client.get("/shown/a")).status_code == 200
        assert (await client.get("/shown/a")).status_code == 200
    assert (shop.asked, small.size_bytes) == (2, 0)


async def _until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110  # other tasks' doing, which tells nobody
            await asyncio.sleep(0.01)
