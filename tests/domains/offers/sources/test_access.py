"""Who may see and set a feed source, what is refused, and that keys in URLs are seen nowhere."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.domains.offers.sources.shop import KEY_IN_PATH, SECRET, Desk, FeedServer, sources_of
from wapsi.security.permissions import OperatorRole


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
