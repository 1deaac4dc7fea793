"""The door of networks that sign nothing: whoever knows the address speaks for the network, and for no other."""

import time
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx2
import orjson
import pytest
from structlog.testing import capture_logs

from domains.cashback.service import sign_postback
from domains.merchants import service as merchants
from wapsi.security.permissions import OperatorRole

ADMIN_PATH = "/v1/admin/networks/impact/adapter"
SETTINGS = {"kind": "admitad", "merchants": {"77": "daraz"}}
SALE = {
    "admitad_id": "sale-9",
    "offer_id": "77",
    "payment_status": "pending",
    "order_sum": "1000.00",
    "payment_sum": "100.00",
    "currency": "PKR",
}


class Door:
    """The admin's side of it, and the network's."""

    def __init__(self, api: httpx2.AsyncClient, admin: dict[str, str]) -> None:
        self.api = api
        self.admin = admin

    async def set(self, **settings: Any) -> None:
        answer = await self.api.put(ADMIN_PATH, json=SETTINGS | settings, headers=self.admin)
        assert answer.status_code == 200, answer.text

    async def rotate(self, **fields: Any) -> str:
        """The path of the new address."""
        headers = self.admin | {"Idempotency-Key": uuid4().hex}
        answer = await self.api.post(f"{ADMIN_PATH}:rotate-address", json=fields, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        address: str = answer.json()["secret"]
        return "/v1" + address.partition("/v1")[2]


@pytest.fixture
async def door(api: httpx2.AsyncClient, world: Any, operator: Any) -> Door:
    door = Door(api, await operator(OperatorRole.ADMIN))
    await door.set()
    return door


async def stored(world: Any) -> int:
    return len(await world.sql("SELECT 1 FROM conversion_events"))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_sale_is_taken_from_a_query_and_from_a_form_and_once(world: Any, door: Door, method: str) -> None:
    path = await door.rotate()
    form = {} if method == "GET" else {"data": SALE}
    url = f"{path}?{urlencode(SALE)}" if method == "GET" else path
    answers = [await door.api.request(method, url, **form) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    [first] = answers[0].json()["events"]
    assert (first["outcome"], first["repeated"]) == ("applied", False)
    assert [answer.json()["events"][0]["repeated"] for answer in answers[1:]] == [True, True]
    [row] = await world.sql("SELECT source, door, actor, raw FROM conversion_events")
    assert tuple(row) == ("impact", "postback", "network:impact", urlencode(SALE).encode())
    [sale] = await world.sql("SELECT external_id, order_amount_minor FROM conversions")
    assert tuple(sale) == ("sale-9", 100_000)


async def test_wrong_addresses_are_told_alike(world: Any, door: Door) -> None:
    path = await door.rotate()
    async with world.db.write() as session:
        await merchants.create_network(session, None, world.runtime.keys, slug="cj", name="CJ")
    token = path.rpartition("/")[2]
    wrong = [f"/v1/postbacks/{network}/{token}" for network in ("cj", "nobody")]
    wrong += [f"{path}x", path[:-1], "/v1/postbacks/impact/é", f"/v1/postbacks/impact/{'A' * 43}"]
    answers = [await door.api.get(f"{one}?{urlencode(SALE)}") for one in wrong]
    assert {(answer.status_code, answer.json()["reason"]) for answer in answers} == {(404, "POSTBACK_ADDRESS_UNKNOWN")}
    assert await stored(world) == 0


async def test_network_without_an_address_has_none(world: Any, door: Door) -> None:
    assert (await door.api.get("/v1/postbacks/impact/None")).status_code == 404


async def test_address_before_is_good_until_the_overlap_ends(world: Any, door: Door) -> None:
    old = await door.rotate()
    new = await door.rotate(overlap_hours=1)
    assert [(await door.api.get(f"{path}?{urlencode(SALE)}")).status_code for path in (old, new)] == [200, 200]
    await world.sql("UPDATE network_adapters SET token_previous_until = now() - interval '1 second'")
    assert [(await door.api.get(f"{path}?{urlencode(SALE)}")).status_code for path in (old, new)] == [404, 200]


async def test_address_that_leaked_is_shut_at_once(world: Any, door: Door) -> None:
    leaked = await door.rotate()
    await door.rotate(overlap_hours=0)
    assert (await door.api.get(leaked)).status_code == 404


async def test_closed_door_opens_to_nobody(world: Any, door: Door) -> None:
    path = await door.rotate()
    answer = await door.api.post(f"{ADMIN_PATH}:close-address", headers=door.admin)
    assert (answer.status_code, answer.json()["has_address"]) == (200, False)
    assert (await door.api.get(f"{path}?{urlencode(SALE)}")).status_code == 404
    assert (await door.api.post(f"{ADMIN_PATH}:close-address", headers=door.admin)).status_code == 200


async def test_address_needs_to_know_how_messages_are_read(world: Any, door: Door) -> None:
    async with world.db.write() as session:
        await merchants.create_network(session, None, world.runtime.keys, slug="cj", name="CJ")
    answer = await door.api.post("/v1/admin/networks/cj/adapter:rotate-address", headers=door.admin)
    assert (answer.status_code, answer.json()["reason"]) == (409, "ADAPTER_MISSING")


@pytest.mark.parametrize(
    ("allowed", "status"), [(["127.0.0.0/8"], 200), (["203.0.113.0/24"], 404), (["203.0.113.0/24", "127.0.0.1"], 200)]
)
async def test_only_the_networks_own_servers_get_in(world: Any, door: Door, allowed: list[str], status: int) -> None:
    await door.set(allowed_addresses=allowed)
    path = await door.rotate()
    assert (await door.api.get(f"{path}?{urlencode(SALE)}")).status_code == status


async def test_token_is_stored_as_a_hash_and_told_by_nothing(world: Any, door: Door) -> None:
    with capture_logs() as logs:
        path = await door.rotate()
        await door.api.get(f"{path}?{urlencode(SALE)}")
        await door.api.get(f"{path}x")
    token = path.rpartition("/")[2]
    assert len(token) == 43
    assert any(line["event"] == "http_request" and line["route"].endswith("{token}") for line in logs)
    assert any(line["event"] == "postback_address_refused" for line in logs)
    assert token not in str(logs)
    for table in ("network_adapters", "audit_log", "idempotent_answers", "conversion_events"):
        rows = await world.sql(f"SELECT to_jsonb(t)::text AS row FROM {table} AS t")
        assert rows
        assert not any(token in row["row"] for row in rows)


async def test_what_cannot_be_read_is_kept_and_is_read_anew_once_the_adapter_is_mended(world: Any, door: Door) -> None:
    path = await door.rotate()
    sale = {name: value for name, value in SALE.items() if name != "currency"}
    bad = (await door.api.get(f"{path}?{urlencode(sale)}")).json()["events"][0]
    assert (bad["outcome"], bad["reason"]) == ("refused", "EVENT_MALFORMED")
    assert (await door.api.get(f"{path}?{urlencode(sale)}")).json()["events"][0] == bad | {"repeated": True}
    await door.set(currency="PKR")
    assert (await door.api.get(f"{path}?{urlencode(sale)}")).json()["events"][0]["outcome"] == "applied"
    assert await stored(world) == 2


async def test_signed_door_reads_the_networks_own_shape_too(world: Any, door: Door) -> None:
    await door.set(kind="cj")
    record = {
        "commissionId": "1",
        "original": True,
        "originalActionId": "a-1",
        "actionStatus": "new",
        "advertiserId": "77",
        "pubCurrency": "PKR",
        "saleAmountPubCurrency": "100.00",
        "pubCommissionAmountPubCurrency": "10.00",
    }
    change = {"commissionId": "2", "original": False, "saleAmountPubCurrency": "-40.00"}
    change = record | change | {"pubCommissionAmountPubCurrency": "-4.00"}
    body = orjson.dumps([change, record, {"odd": []}])
    for repeated in (False, True):
        headers = sign_postback(world.secret, uuid4().hex, int(time.time()), body)
        answer = await door.api.post("/v1/postbacks/impact", content=body, headers=headers)
        events = answer.json()["events"]
        assert [event["outcome"] for event in events] == ["applied", "applied", "refused"]
        assert {event["repeated"] for event in events} == {repeated}
    [sale] = await world.sql("SELECT state, order_amount_minor, commission_minor FROM conversions")
    assert tuple(sale) == ("unattributed", 6_000, 600)
    assert await world.violations() == []


async def test_message_of_too_many_events_is_refused_as_one(world: Any, door: Door) -> None:
    await door.set(kind="impact")
    path = await door.rotate()
    [answer] = (await door.api.post(path, json=[{"Id": str(number)} for number in range(1001)])).json()["events"]
    assert (answer["outcome"], answer["reason"]) == ("refused", "EVENT_MALFORMED")
    assert "1001" in answer["message"]
