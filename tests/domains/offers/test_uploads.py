"""Feeds as files over REST: accepted at once, read by the worker, and reported on in words."""

import asyncio
from typing import Any

import pytest

JSONL = (
    '{"id": "1", "title": "Kurta", "link": "https://shop.example/1", "price": "PKR 1,299.00",'
    ' "availability": "in_stock"}\n'
    '{"id": "2", "title": "=cmd|evil", "link": "https://shop.example/2", "price": "NaN", "availability": "in_stock"}\n'
)


@pytest.fixture
def upload(api: Any, shop: Any) -> Any:
    async def upload(content: bytes | str, query: str = "", slug: str = "shop", key: str | None = "k1") -> Any:
        headers = {"Authorization": f"Bearer {shop.key}", "X-File-Name": "feed.jsonl"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return await api.post(f"/v1/merchants/{slug}/syncs{query}", content=content, headers=headers)

    return upload


@pytest.fixture
def get(api: Any, shop: Any) -> Any:
    async def get(path: str, **headers: str) -> Any:
        return await api.get(path, headers={"Authorization": f"Bearer {shop.key}"} | headers)

    return get


async def test_an_upload_is_queued_and_then_published(upload: Any, get: Any, shop: Any, api: Any) -> None:
    answer = await upload(JSONL)
    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"
    where = answer.headers["location"]
    assert where == f"/v1/syncs/{answer.json()['id']}"
    await shop.drain()
    sync = (await get(where)).json()
    assert sync["state"] == "partial"
    assert (sync["counters"]["created"], sync["counters"]["rejected"]) == (1, 1)
    assert (sync["processed"], sync["counters"]["received"]) == (2, 2)
    [offer] = (await api.get("/v1/offers")).json()["items"]
    assert (offer["offer_id"], offer["price_minor"], offer["currency"]) == ("1", 129_900, "PKR")


async def test_issues_are_paged_and_download_as_safe_csv(upload: Any, get: Any, shop: Any) -> None:
    where = (await upload(JSONL)).headers["location"]
    await shop.drain()
    page = (await get(f"{where}/issues?limit=1")).json()
    [issue] = page["items"]
    assert (issue["line"], issue["offer_id"], issue["severity"], issue["field"]) == (2, "2", "error", "price")
    assert issue["message"]
    csv = await get(f"{where}/issues", Accept="text/csv")
    assert csv.headers["content-type"].startswith("text/csv")
    assert csv.text.splitlines()[0].startswith("offset,line,offer_id")
    assert not any(cell[:1] in "=+-@" for line in csv.text.splitlines() for cell in line.split(",") if cell)


async def test_a_repeated_upload_is_the_same_sync(upload: Any, shop: Any, admin_sql: Any) -> None:
    first = await upload(JSONL)
    second = await upload(JSONL)
    assert second.status_code == 202
    assert second.json()["id"] == first.json()["id"]
    await shop.drain()
    assert len(await admin_sql("SELECT 1 FROM syncs")) == 1


async def test_a_key_stands_for_one_file(upload: Any, admin_sql: Any) -> None:
    await upload(JSONL)
    assert (await upload(JSONL)).headers["idempotency-replayed"] == "true"
    other = await upload(JSONL + " ")
    assert (other.status_code, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(await admin_sql("SELECT 1 FROM syncs")) == 1


async def test_slow_senders_do_not_hold_connections(api: Any, shop: Any, app: Any) -> None:
    """More of them than the pool has connections, and everyone else is served meanwhile."""
    released = asyncio.Event()

    async def trickle() -> Any:
        yield JSONL.encode()
        await released.wait()

    count = app.state.runtime.settings.database_pool_size + 2
    headers = {"Authorization": f"Bearer {shop.key}"}
    uploads = [
        asyncio.ensure_future(
            api.post("/v1/merchants/shop/syncs", content=trickle(), headers=headers | {"Idempotency-Key": f"slow-{n}"})
        )
        for n in range(count)
    ]
    await asyncio.sleep(0.3)
    assert (await api.get("/v1/offers")).status_code == 200
    released.set()
    assert {answer.status_code for answer in await asyncio.gather(*uploads)} == {202}


async def test_an_unreadable_file_fails_the_sync_in_words(upload: Any, get: Any, shop: Any, api: Any) -> None:
    await shop.drain()
    where = (await upload(b"<rss><channel><item><title>x</title></item></chan")).headers["location"]
    await shop.drain()
    sync = (await get(where)).json()
    assert sync["state"] == "failed"
    assert sync["reason"]
    assert "Nothing was published" in sync["message"]
    assert (await api.get("/v1/offers")).json()["items"] == []


@pytest.mark.parametrize(
    ("kwargs", "status", "reason"),
    [
        ({"content": b""}, 422, "UPLOAD_EMPTY"),
        ({"content": JSONL, "key": None}, 400, "IDEMPOTENCY_KEY_MISSING"),
        ({"content": JSONL, "query": "?map=nonsense"}, 422, "FEED_OPTIONS_INVALID"),
        ({"content": JSONL, "query": "?mode=sideways"}, 422, "REQUEST_INVALID"),
        ({"content": JSONL, "slug": "nobody"}, 404, "MERCHANT_NOT_FOUND"),
    ],
)
async def test_bad_uploads_are_refused_at_once(
    upload: Any, admin_sql: Any, kwargs: dict[str, Any], status: int, reason: str
) -> None:
    answer = await upload(**kwargs)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert await admin_sql("SELECT 1 FROM syncs") == []


async def test_an_upload_has_a_limit(api: Any, shop: Any, app: Any, admin_sql: Any) -> None:
    limited = app.state.runtime.settings.model_copy(update={"feed_upload_limit_bytes": 2_000_000})
    object.__setattr__(app.state.runtime, "settings", limited)

    async def body() -> Any:
        for _ in range(5):
            yield b"x" * 500_000

    headers = {"Authorization": f"Bearer {shop.key}", "Idempotency-Key": "k"}
    answer = await api.post("/v1/merchants/shop/syncs", content=body(), headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (413, "UPLOAD_TOO_LARGE")
    assert await admin_sql("SELECT 1 FROM sync_uploads") == []


async def test_a_column_mapping_reads_any_table(upload: Any, get: Any, shop: Any, api: Any) -> None:
    table = "code;name;url;cost\nA1;Kurta;https://shop.example/a1;1299\n"
    query = (
        "?format=csv&delimiter=;&default_availability=in_stock"
        "&map=offer_id%3Dcode&map=title%3Dname&map=link%3Durl&map=price%3Dcost"
    )
    where = (await upload(table, query)).headers["location"]
    await shop.drain()
    sync = (await get(where)).json()
    assert sync["state"] == "succeeded", sync
    [offer] = (await api.get("/v1/offers")).json()["items"]
    assert (offer["offer_id"], offer["price_minor"]) == ("A1", 129_900)


async def test_another_producers_sync_is_not_found(upload: Any, api: Any, other_shop: Any) -> None:
    where = (await upload(JSONL)).headers["location"]
    for path in (where, f"{where}/issues"):
        answer = await api.get(path, headers={"Authorization": f"Bearer {other_shop.key}"})
        assert (answer.status_code, answer.json()["reason"]) == (404, "SYNC_NOT_FOUND")
