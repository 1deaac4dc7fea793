"""How a network's messages are read: set and tried by operators, with what is wrong said field by field."""

from datetime import UTC, datetime
from typing import Any

import httpx2
import orjson
import pytest

from wapsi.security.permissions import OperatorRole

PATH = "/v1/admin/networks/impact/adapter"
ADMITAD = {"kind": "admitad", "merchants": {"77": "daraz"}, "time_zone": "Europe/Moscow"}
QUERY = "admitad_id=9&offer_id=77&payment_status=approved&order_sum=100.00&payment_sum=7.5&currency=PKR"
GENERIC = {
    "kind": "generic",
    "currency": "PKR",
    "mapping": {"fields": {"conversion_id": "order.id", "status": "state", "order_amount": "total"}},
}


@pytest.fixture
async def admin(operator: Any) -> dict[str, str]:
    headers: dict[str, str] = await operator(OperatorRole.ADMIN)
    return headers


@pytest.fixture
def put(api: httpx2.AsyncClient, world: Any, admin: dict[str, str]) -> Any:
    async def put(settings: dict[str, Any], status: int = 200) -> dict[str, Any]:
        answer = await api.put(PATH, json=settings, headers=admin)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return put


@pytest.fixture
def tried(api: httpx2.AsyncClient, world: Any, admin: dict[str, str]) -> Any:
    async def tried(**fields: Any) -> list[dict[str, Any]]:
        answer = await api.post(f"{PATH}:try", json=fields, headers=admin)
        assert answer.status_code == 200, answer.text
        assert await world.sql("SELECT 1 FROM conversion_events") == []
        events: list[dict[str, Any]] = answer.json()["events"]
        return events

    return tried


async def test_network_speaks_our_own_language_until_it_is_said(
    api: httpx2.AsyncClient, world: Any, admin: dict[str, str]
) -> None:
    answer = await api.get(PATH, headers=admin)
    assert (answer.json()["kind"], answer.json()["version"], answer.json()["has_address"]) == ("standard", 0, False)
    assert (await api.get("/v1/admin/networks/nobody/adapter", headers=admin)).status_code == 404


async def test_what_is_set_is_shown_and_counts_its_versions(
    api: httpx2.AsyncClient, admin: dict[str, str], put: Any
) -> None:
    assert (await put(ADMITAD))["version"] == 1
    changed = await put(GENERIC | {"allowed_addresses": ["203.0.113.0/24", "2001:db8::1"]})
    assert changed["version"] == 2
    assert (await api.get(PATH, headers=admin)).json() == changed
    assert changed["mapping"] == GENERIC["mapping"]
    assert changed["merchants"] == {}


async def test_words_of_the_network_become_its_first_mapping_and_only_that(world: Any, put: Any) -> None:
    assert (await put({"kind": "cj"}))["missing_words"] == []
    [row] = await world.sql("SELECT version, mapping::text AS words FROM status_mappings WHERE source = 'impact'")
    assert (row["version"], orjson.loads(row["words"])["closed"]) == (1, "approved")
    assert (await put(ADMITAD))["missing_words"][:3] == ["5", "6", "7"]
    assert len(await world.sql("SELECT 1 FROM status_mappings")) == 1


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"kind": "generic"}, "mapping", "is needed"),
        ({"kind": "generic", "mapping": {"fields": {"status": "s"}}}, "mapping", "conversion_id"),
        ({"kind": "cj", "file_mapping": {"fields": {"status": "s"}}}, "file_mapping", "conversion_id"),
        ({"kind": "cj", "time_zone": "Mars/Olympus"}, "time_zone", "IANA"),
        ({"kind": "cj", "time_zone": "America"}, "time_zone", "IANA"),
        ({"kind": "cj", "currency": "XXY"}, "currency", "ISO 4217"),
        ({"kind": "cj", "merchants": {"1": "nobody"}}, "merchants", "nobody"),
        ({"kind": "cj", "allowed_addresses": ["203.0.113.1/24"]}, "allowed_addresses", "203.0.113.1/24"),
    ],
)
async def test_faulty_settings_are_named(world: Any, put: Any, given: Any, field: str, said: str) -> None:
    problem = await put(given, 422)
    assert problem["reason"] == "ADAPTER_INVALID"
    [violation] = problem["violations"]
    assert violation["field"] == field
    assert said in violation["description"]
    assert await world.sql("SELECT 1 FROM network_adapters") == []


async def test_message_is_tried_with_settings_that_do_not_hold_yet(tried: Any) -> None:
    [event] = await tried(method="GET", query=QUERY, adapter=ADMITAD)
    assert event["event"]["conversion_id"] == "9"
    assert (event["event"]["merchant"], event["event"]["order_amount_minor"]) == ("daraz", 10_000)
    assert (event["fault"], event["state"], event["line"]) == ("", "approved", None)


async def test_message_is_tried_with_those_that_hold(put: Any, tried: Any) -> None:
    await put(GENERIC)
    body = orjson.dumps([{"order": {"id": 5}, "state": "odd", "total": 1}, {"order": {}}]).decode()
    good, bad = await tried(body=body)
    assert (good["event"]["order_amount_minor"], good["state"]) == (100, None)
    assert bad["event"] is None
    assert bad["fault"].startswith("conversion_id")


async def test_file_is_tried_too(tried: Any) -> None:
    now = datetime.now(UTC).isoformat()
    body = f"conversion_id,status,order_amount_minor,currency,occurred_at\ns-1,paid,500,PKR,{now}\ns-2,paid\n"
    good, bad = await tried(body=body, format="csv")
    assert (good["line"], good["event"]["order_amount_minor"], good["state"]) == (2, 500, "settled")
    assert (bad["line"], bad["event"]) == (3, None)
    [whole] = await tried(body="a,a\n1,2\n", format="csv")
    assert whole["fault"] == "the header has a name twice"


async def test_a_column_may_be_named_anything_but_a_nul(put: Any) -> None:
    await put({"kind": "generic", "mapping": {"fields": {"conversion_id": "a\0", "status": "s"}}}, 422)
    await put(ADMITAD | {"merchants": {"a\0": "daraz"}}, 422)
