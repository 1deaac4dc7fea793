"""Favourites: what a shopper keeps, and what is shown of it when it is gone."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from domains.customers import service as customers
from domains.customers.service import FavouriteKind, FavouriteLimit, favourites
from domains.merchants import service as merchants

Headers = dict[str, str]
MERCHANTS, OFFERS = "/v1/me/favourites/merchants", "/v1/me/favourites/offers"


@pytest.fixture
async def offer(world: Any) -> UUID:
    (row,) = await world.sql(
        "INSERT INTO offers (id, merchant_id, offer_id, source_time, content_hash, catalogue_version, last_seen_at,"
        " kind, title, link, price_minor, currency, availability) VALUES (uuidv7(), $1, 'sku-1', now(), '\\x00', 1,"
        " now(), 'product', 'Red shoes', 'https://daraz.example/shoes', 450000, 'PKR', 'in_stock') RETURNING id",
        world.merchant_id,
    )
    offer_id: UUID = row["id"]
    return offer_id


async def listed(api: httpx2.AsyncClient, headers: Headers, **query: Any) -> list[dict[str, Any]]:
    answer = await api.get("/v1/me/favourites", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_a_favourite_is_kept_once_and_listed_with_what_it_is(
    api: httpx2.AsyncClient, world: Any, offer: UUID, shopper_headers: Headers, stranger_headers: Headers
) -> None:
    for path in (f"{MERCHANTS}/daraz", f"{OFFERS}/{offer}", f"{OFFERS}/{offer}"):
        answer = await api.put(path, headers=shopper_headers)
        assert (answer.status_code, answer.content) == (204, b""), answer.text
    newest, oldest = await listed(api, shopper_headers)
    assert newest == {
        "kind": "offer",
        "id": str(offer),
        "added_at": newest["added_at"],
        "available": True,
        "merchant": "daraz",
        "merchant_name": "Daraz",
        "title": "Red shoes",
        "price_minor": 450_000,
        "currency": "PKR",
    }
    assert (oldest["kind"], oldest["id"], oldest["merchant"]) == ("merchant", str(world.merchant_id), "daraz")
    assert oldest["title"] is None
    assert [one["kind"] for one in await listed(api, shopper_headers, kind="merchant")] == ["merchant"]
    assert await listed(api, stranger_headers) == []


async def test_a_favourite_is_removed_once_and_for_its_owner_alone(
    api: httpx2.AsyncClient, offer: UUID, shopper_headers: Headers, stranger_headers: Headers
) -> None:
    for path in (f"{MERCHANTS}/daraz", f"{OFFERS}/{offer}"):
        await api.put(path, headers=shopper_headers)
        assert (await api.delete(path, headers=stranger_headers)).status_code == 204
    assert len(await listed(api, shopper_headers)) == 2
    for path in (f"{MERCHANTS}/daraz", f"{OFFERS}/{offer}", f"{OFFERS}/{uuid4()}"):
        assert (await api.delete(path, headers=shopper_headers)).status_code == 204
        assert (await api.delete(path, headers=shopper_headers)).status_code == 204
    assert await listed(api, shopper_headers) == []


async def test_what_is_gone_is_listed_as_gone(
    api: httpx2.AsyncClient, world: Any, offer: UUID, shopper_headers: Headers
) -> None:
    for path in (f"{MERCHANTS}/daraz", f"{OFFERS}/{offer}"):
        await api.put(path, headers=shopper_headers)
    await world.sql("UPDATE offers SET status = 'withdrawn'")
    assert [(one["available"], one["title"]) for one in await listed(api, shopper_headers)] == [
        (False, None),
        (True, None),
    ]
    async with world.db.write() as session:
        await merchants.move_merchant(session, None, "daraz", merchants.MerchantStatus.PAUSED)
        await merchants.move_merchant(session, None, "daraz", merchants.MerchantStatus.ARCHIVED)
    assert [(one["available"], one["merchant"]) for one in await listed(api, shopper_headers)] == [(False, None)] * 2
    assert (await api.delete(f"{MERCHANTS}/daraz", headers=shopper_headers)).status_code == 204


async def test_what_nobody_sees_cannot_be_kept(
    api: httpx2.AsyncClient, world: Any, offer: UUID, shopper_headers: Headers
) -> None:
    await world.sql("INSERT INTO merchants (slug, name, currency) VALUES ('draft', 'Draft', 'PKR')")
    await world.sql("UPDATE offers SET status = 'withdrawn'")
    for path, reason in (
        (f"{MERCHANTS}/draft", "MERCHANT_NOT_FOUND"),
        (f"{MERCHANTS}/nobody", "MERCHANT_NOT_FOUND"),
        (f"{OFFERS}/{offer}", "OFFER_NOT_FOUND"),
        (f"{OFFERS}/{uuid4()}", "OFFER_NOT_FOUND"),
    ):
        answer = await api.put(path, headers=shopper_headers)
        assert (answer.status_code, answer.json()["reason"]) == (404, reason), path
    assert (await api.put(f"{OFFERS}/sku-1", headers=shopper_headers)).status_code == 422
    assert (await api.put(f"{MERCHANTS}/daraz")).status_code == 401
    assert await listed(api, shopper_headers) == []


async def test_a_long_list_is_paged(
    api: httpx2.AsyncClient, world: Any, shopper_headers: Headers, shopper_id: UUID
) -> None:
    await world.sql(
        "INSERT INTO favourites (customer_id, kind, thing_id) SELECT $1, 'offer', uuidv7() FROM generate_series(1, 25)",
        shopper_id,
    )
    ids: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        query = {"limit": 10} | ({} if cursor is None else {"cursor": cursor})
        page = (await api.get("/v1/me/favourites", params=query, headers=shopper_headers)).json()
        ids += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert len(ids) == len(set(ids)) == 25
    foreign = await api.get("/v1/me/payouts", params={"limit": 1}, headers=shopper_headers)
    assert foreign.status_code == 200
    wrong = await api.get("/v1/me/favourites", params={"cursor": "bm9uZQ"}, headers=shopper_headers)
    assert (wrong.status_code, wrong.json()["reason"]) == (422, "CURSOR_INVALID")


async def test_there_is_a_limit_that_requests_at_once_do_not_pass(
    world: Any, shopper_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(favourites, "MAX_FAVOURITES", 5)

    async def keep(thing_id: UUID) -> None:
        async with world.db.write() as session:
            await customers.add_favourite(session, shopper_id, FavouriteKind.OFFER, thing_id)

    ids = [uuid4() for _ in range(9)]
    results = await asyncio.gather(*map(keep, ids), return_exceptions=True)
    assert sum(result is None for result in results) == 5
    assert sum(isinstance(result, FavouriteLimit) for result in results) == 4
    kept = [row["thing_id"] for row in await world.sql("SELECT thing_id FROM favourites")]
    assert len(kept) == 5
    await keep(kept[0])
