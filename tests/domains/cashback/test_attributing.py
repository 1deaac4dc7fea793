"""Sales that no click explains: who may have bought, and giving one to a click."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from domains.cashback import service
from wapsi.security.permissions import OperatorRole


@pytest.fixture
async def shopper(world: Any) -> UUID:
    found: UUID = await world.customer()
    return found


@pytest.fixture
async def sale_id(world: Any) -> UUID:
    found: UUID = (await world.report(status="approved")).conversion_id
    return found


@pytest.fixture
async def finance(operator: Any) -> dict[str, str]:
    headers: dict[str, str] = await operator(OperatorRole.FINANCE)
    return headers


@pytest.fixture
def attribute(api: httpx2.AsyncClient, sale_id: UUID, finance: dict[str, str]) -> Any:
    async def attribute(click_id: UUID, reason_code: str = "receipt_shown") -> httpx2.Response:
        body = {"click_id": str(click_id), "reason_code": reason_code}
        return await api.post(f"/v1/admin/conversions/{sale_id}:attribute", json=body, headers=finance)

    return attribute


@pytest.fixture
def candidates(api: httpx2.AsyncClient, sale_id: UUID, finance: dict[str, str]) -> Any:
    async def candidates() -> list[dict[str, Any]]:
        answer = await api.get(f"/v1/admin/conversions/{sale_id}/candidates", headers=finance)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    return candidates


async def test_sale_given_to_a_click_earns_what_was_promised_there(world: Any, shopper: UUID, attribute: Any) -> None:
    click = await world.click(shopper)
    given = await attribute(click.id)
    assert given.status_code == 200, given.text
    told = given.json()
    assert (told["conversion"]["state"], told["reward"]["state"]) == ("approved", "confirmed")
    assert told["attribution"][0] == {"rule": "click_named_by_operator", "matched": True, "why": "receipt_shown"}
    assert all(rule["matched"] for rule in told["attribution"])
    texts = [line["text"] for line in told["story"]]
    assert "An operator decided on the sale (receipt_shown)." in texts
    assert "The sale was found to come from your visit to Daraz." in texts
    assert (await world.balance(shopper))["available"] == 5_000
    rows = await world.sql("SELECT before, after FROM audit_log WHERE action = 'conversion.attributed'")
    assert [(row["before"], str(click.id) in row["after"]) for row in rows] == [('{"state": "unattributed"}', True)]
    assert await world.violations() == []


async def test_sale_that_has_a_click_is_not_given_to_another(world: Any, shopper: UUID, attribute: Any) -> None:
    await attribute((await world.click(shopper)).id)
    again = await attribute((await world.click(await world.customer())).id)
    assert (again.status_code, again.json()["reason"]) == (409, "SALE_ATTRIBUTED")
    assert len(await world.sql("SELECT 1 FROM rewards")) == 1


async def test_click_that_does_not_explain_a_sale_is_refused(world: Any, shopper: UUID, attribute: Any) -> None:
    unknown = await attribute(UUID(int=5))
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "CLICK_NOT_FOUND")
    await world.merchant("khaadi", network="impact")
    elsewhere = await attribute((await world.click(shopper, "khaadi")).id)
    assert (elsewhere.status_code, elsewhere.json()["reason"]) == (409, "CLICK_DOES_NOT_EXPLAIN")
    click = await world.click(shopper)
    await world.sql("UPDATE conversions SET occurred_at = occurred_at - interval '1 hour'")
    assert (await attribute(click.id)).json()["reason"] == "CLICK_DOES_NOT_EXPLAIN"
    await world.sql("UPDATE conversions SET occurred_at = occurred_at + interval '1 hour'")
    await world.sql("UPDATE clicks SET receipt = left(receipt, -4) || 'AAAA'")
    assert (await attribute(click.id)).json()["reason"] == "CLICK_DOES_NOT_EXPLAIN"
    assert (await world.sql("SELECT state FROM conversions"))[0]["state"] == "unattributed"


async def test_candidates_are_clicks_at_the_merchant_those_of_claims_first(
    world: Any, shopper: UUID, candidates: Any, sale_id: UUID
) -> None:
    await world.merchant("khaadi", network="impact")
    await world.click(shopper, "khaadi")
    claimed, other = await world.click(shopper), await world.click(await world.customer())
    async with world.db.write() as session:
        new = service.NewClaim(service.ClaimReason.NOT_TRACKED, claimed.id, "sale-1", 100_000)
        claim = await service.submit_claim(session, shopper, new)
    await world.report(conversion_id="sale-2", click_id=str(other.id))
    assert [(item["click_id"], item["claim_id"], item["sales"]) for item in await candidates()] == [
        (str(claimed.id), str(claim.id), 0),
        (str(other.id), None, 1),
    ]
    await world.sql("UPDATE conversions SET occurred_at = occurred_at - interval '1 day' WHERE id = $1", sale_id)
    assert await candidates() == []


async def test_only_who_decides_on_sales_gives_them_to_clicks(
    api: httpx2.AsyncClient, world: Any, shopper: UUID, sale_id: UUID, operator: Any
) -> None:
    support = await operator(OperatorRole.SUPPORT)
    path = f"/v1/admin/conversions/{sale_id}"
    assert (await api.get(f"{path}/candidates", headers=support)).status_code == 200
    body = {"click_id": str((await world.click(shopper)).id), "reason_code": "asked"}
    assert (await api.post(f"{path}:attribute", json=body, headers=support)).status_code == 403
    missing = await api.get(f"/v1/admin/conversions/{UUID(int=1)}/candidates", headers=support)
    assert (missing.status_code, missing.json()["reason"]) == (404, "CONVERSION_NOT_FOUND")
