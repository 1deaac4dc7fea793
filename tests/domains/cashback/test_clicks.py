"""From asking for a click to standing in the shop."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx2
import pytest

from domains.cashback.service import receipts
from wapsi.ids import new_id

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}


@pytest.fixture
def click(api: httpx2.AsyncClient, world: Any, shopper_headers: dict[str, str]) -> Any:
    async def click(**body: Any) -> httpx2.Response:
        headers = shopper_headers | BROWSER | {"Idempotency-Key": uuid4().hex}
        return await api.post("/v1/clicks", json=body or {"merchant": "daraz"}, headers=headers)

    return click


async def insert_offer(world: Any, **changes: Any) -> UUID:
    """An offer as a sync would have published it."""
    fields: dict[str, Any] = {
        "merchant_id": world.merchant_id,
        "offer_id": "sku-1",
        "status": "active",
        "source_time": datetime.now(UTC),
        "content_hash": b"",
        "catalogue_version": 1,
        "first_seen_at": datetime.now(UTC),
        "last_seen_at": datetime.now(UTC),
        "price_since": datetime.now(UTC),
        "kind": "product",
        "title": "Kettle",
        "description": "",
        "link": "https://www.daraz.example/kettle",
        "image_link": "",
        "additional_image_links": [],
        "availability": "in_stock",
        "gtins": [],
        "mpn": "",
        "brand": "",
        "item_group_id": "",
        "google_product_category": "",
        "product_types": [],
        "condition": "",
        "color": "",
        "size": "",
        "gender": "",
        "age_group": "",
        "adult": False,
        "rate_category": "phones",
        "cashback_eligible": True,
        "custom_attributes": "{}",
        "coupon_code": "",
    } | changes
    columns = ", ".join(fields)
    values = ", ".join(f"${number}" for number in range(1, len(fields) + 1))
    rows = await world.sql(f"INSERT INTO offers ({columns}) VALUES ({values}) RETURNING id", *fields.values())
    offer_id: UUID = rows[0]["id"]
    return offer_id


async def test_click_leads_to_the_shop_with_its_id(api: httpx2.AsyncClient, world: Any, click: Any) -> None:
    made = await click()
    assert made.status_code == 201, made.text
    body = made.json()
    assert body["url"].startswith("http://wapsi.test/r/")
    followed = await api.get(urlsplit(body["url"]).path)
    assert followed.status_code == 302
    query = parse_qs(urlsplit(followed.headers["location"]).query)
    assert query == {"u": ["https://daraz.example/"], "sub": [body["click_id"]]}
    assert followed.headers["cache-control"] == "no-store"
    assert followed.headers["referrer-policy"] == "no-referrer"


async def test_first_redirect_is_noted_once(api: httpx2.AsyncClient, world: Any, click: Any) -> None:
    path = urlsplit((await click()).json()["url"]).path
    await api.get(path)
    first = (await world.sql("SELECT redirected_at FROM clicks"))[0]["redirected_at"]
    assert first is not None
    await api.get(path)
    assert (await world.sql("SELECT redirected_at FROM clicks"))[0]["redirected_at"] == first


async def test_offer_is_promised_by_its_category(api: httpx2.AsyncClient, world: Any, click: Any) -> None:
    offer_id = await insert_offer(world)
    body = (await click(offer_id=str(offer_id))).json()
    promised = receipts.read(world.runtime.keys, body["receipt"])
    assert (promised.offer_id, promised.offer_title, promised.offer_category) == (offer_id, "Kettle", "phones")
    assert str(promised.click_id) == body["click_id"]
    result = await world.report(click_id=body["click_id"])
    rows = await world.sql("SELECT amount_minor FROM rewards WHERE conversion_id = $1", result.conversion_id)
    assert rows[0]["amount_minor"] == 2_000


async def test_receipt_says_all_that_was_promised(world: Any, click: Any) -> None:
    promised = receipts.read(world.runtime.keys, (await click()).json()["receipt"])
    assert (promised.merchant, promised.currency, promised.schedule.version) == ("daraz", "PKR", 1)
    assert len(promised.schedule.rates) == 3
    assert promised.expected_tracking_at - promised.clicked_at == timedelta(days=3)
    assert promised.expected_confirmation_at - promised.clicked_at == timedelta(days=48)


async def test_receipt_is_for_its_own_customer_only(
    api: httpx2.AsyncClient, click: Any, shopper_headers: dict[str, str], stranger_headers: dict[str, str]
) -> None:
    body = (await click()).json()
    path = f"/v1/clicks/{body['click_id']}/receipt"
    own = await api.get(path, headers=shopper_headers)
    assert own.json()["receipt"] == body["receipt"]
    assert (await api.get(path, headers=stranger_headers)).status_code == 404
    assert (await api.get(f"/v1/clicks/{new_id()}/receipt", headers=shopper_headers)).status_code == 404
    assert (await api.get(f"/v1/clicks/{UUID(int=2**128 - 1)}/receipt", headers=shopper_headers)).status_code == 404


async def test_tampered_receipt_does_not_verify(world: Any, click: Any) -> None:
    head, payload, signature = (await click()).json()["receipt"].split(".")
    with pytest.raises(receipts.ReceiptInvalid):
        receipts.read(world.runtime.keys, f"{head}.{payload[:-2]}AA.{signature}")
    token = world.runtime.keys.sign("at+jwt", {"iss": "http://wapsi.test", "aud": receipts.AUDIENCE})
    with pytest.raises(receipts.ReceiptInvalid):
        receipts.read(world.runtime.keys, token)


@pytest.mark.parametrize(
    "link",
    ["//evil.example", "https://evil.example/", "https://daraz.example\\@evil.example/", "javascript:alert(1)"],
)
async def test_click_elsewhere_is_refused(world: Any, click: Any, link: str) -> None:
    answer = await click(merchant="daraz", link=link)
    assert (answer.status_code, answer.json()["reason"]) == (422, "LANDING_LINK_REFUSED")
    assert await world.sql("SELECT 1 FROM clicks") == []


async def test_click_on_an_offer_may_land_elsewhere_on_the_same_site(
    api: httpx2.AsyncClient, world: Any, click: Any
) -> None:
    offer_id = await insert_offer(world)
    made = await click(offer_id=str(offer_id), link="https://m.daraz.example/kettle?color=red")
    followed = await api.get(urlsplit(made.json()["url"]).path)
    assert "m.daraz.example%2Fkettle%3Fcolor%3Dred" in followed.headers["location"]


@pytest.mark.parametrize("token", ["x", "a" * 32, "A" * 31 + "%0d", "..%2f" * 4])
async def test_unknown_token_is_404(api: httpx2.AsyncClient, world: Any, token: str) -> None:
    answer = await api.get(f"/r/{token}")
    assert answer.status_code == 404
    assert "location" not in answer.headers


async def test_old_link_still_leads_on(api: httpx2.AsyncClient, world: Any, click: Any) -> None:
    path = urlsplit((await click()).json()["url"]).path
    await world.sql("UPDATE merchants SET click_window_days = 1, status = 'paused'")
    assert (await api.get(path)).status_code == 302


async def test_paused_merchant_takes_no_clicks(world: Any, click: Any) -> None:
    await world.sql("UPDATE merchants SET status = 'paused'")
    answer = await click()
    assert (answer.status_code, answer.json()["reason"]) == (409, "MERCHANT_NOT_CLICKABLE")


@pytest.mark.parametrize(
    "body", [{"offer_id": str(UUID(int=7)), "merchant": "daraz"}, {"link": "https://daraz.example"}]
)
async def test_click_names_one_target(world: Any, click: Any, body: dict[str, str]) -> None:
    answer = await click(**body)
    assert (answer.status_code, answer.json()["reason"]) == (422, "CLICK_TARGET_INVALID")


async def test_second_click_at_once_is_marked_as_a_duplicate(world: Any, click: Any) -> None:
    first, second = (await click()).json(), (await click()).json()
    rows = await world.sql("SELECT id, duplicate_of, bot FROM clicks ORDER BY id")
    assert [(str(row["id"]), row["duplicate_of"], row["bot"]) for row in rows] == [
        (first["click_id"], None, False),
        (second["click_id"], UUID(first["click_id"]), False),
    ]


@pytest.mark.parametrize("agent", ["Googlebot/2.1", "curl/8.5", "python-requests/2", "HeadlessChrome/140", ""])
async def test_program_is_marked_as_a_bot(
    api: httpx2.AsyncClient, world: Any, shopper_headers: dict[str, str], agent: str
) -> None:
    headers = shopper_headers | {"User-Agent": agent, "Idempotency-Key": uuid4().hex}
    assert (await api.post("/v1/clicks", json={"merchant": "daraz"}, headers=headers)).status_code == 201
    assert (await world.sql("SELECT bot FROM clicks"))[0]["bot"] is True


async def test_same_key_makes_one_click(api: httpx2.AsyncClient, world: Any, shopper_headers: dict[str, str]) -> None:
    headers = shopper_headers | {"Idempotency-Key": "once"}
    first, second = [await api.post("/v1/clicks", json={"merchant": "daraz"}, headers=headers) for _ in range(2)]
    assert first.json() == second.json()
    assert len(await world.sql("SELECT 1 FROM clicks")) == 1


async def test_clicks_lie_in_the_partition_of_their_month(world: Any, click: Any) -> None:
    await click()
    rows = await world.sql("SELECT tableoid::regclass::text AS part FROM clicks")
    assert rows[0]["part"] == f"click_partitions.clicks_{datetime.now(UTC):%Y_%m}"
