"""Claims: one an order, with a reason; decided by operators, with one too."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from wapsi.security.permissions import OperatorRole


@pytest.fixture
def submit(api: httpx2.AsyncClient, world: Any, shopper_id: UUID, shopper_headers: dict[str, str]) -> Any:
    async def submit(headers: dict[str, str] | None = None, **changes: Any) -> httpx2.Response:
        click = await world.click(shopper_id)
        body = {
            "reason_code": "not_tracked",
            "click_id": str(click.id),
            "order_id": "A-1",
            "order_amount_minor": 100_000,
            "note": "Bought yesterday",
        } | changes
        keyed = (headers or shopper_headers) | {"Idempotency-Key": uuid4().hex}
        return await api.post("/v1/me/claims", json=body, headers=keyed)

    return submit


async def test_claim_is_taken_and_listed(
    api: httpx2.AsyncClient, submit: Any, shopper_headers: dict[str, str], stranger_headers: dict[str, str]
) -> None:
    made = await submit()
    assert made.status_code == 201, made.text
    assert made.json() | {"id": "", "click_id": "", "created_at": "", "updated_at": ""} == {
        "id": "",
        "merchant": "daraz",
        "state": "submitted",
        "reason_code": "not_tracked",
        "click_id": "",
        "order_id": "A-1",
        "order_amount_minor": 100_000,
        "currency": "PKR",
        "note": "Bought yesterday",
        "decision_code": "",
        "created_at": "",
        "updated_at": "",
    }
    assert (await api.get("/v1/me/claims", headers=shopper_headers)).json()["items"] == [made.json()]
    assert (await api.get("/v1/me/claims", headers=stranger_headers)).json()["items"] == []


async def test_one_claim_an_order(submit: Any) -> None:
    await submit()
    again = await submit()
    assert (again.status_code, again.json()["reason"]) == (409, "CLAIM_EXISTS")
    assert (await submit(order_id="A-2")).status_code == 201


async def test_click_of_somebody_else_is_no_ground_for_a_claim(submit: Any, stranger_headers: dict[str, str]) -> None:
    refused = await submit(headers=stranger_headers)
    assert (refused.status_code, refused.json()["reason"]) == (404, "CLICK_NOT_FOUND")


@pytest.mark.parametrize(
    "changes",
    [
        {"reason_code": None},
        {"reason_code": "because"},
        {"order_amount_minor": 0},
        {"order_amount_minor": 1.5},
        {"order_id": ""},
        {"order_id": "a\0"},
        {"click_id": "x"},
    ],
    ids=str,
)
async def test_claim_must_be_whole(submit: Any, changes: dict[str, Any]) -> None:
    assert (await submit(**changes)).status_code == 422


async def test_operators_move_a_claim_along_its_states(
    api: httpx2.AsyncClient, world: Any, submit: Any, operator: Any
) -> None:
    claim_id = (await submit()).json()["id"]
    support = await operator(OperatorRole.SUPPORT)

    async def decide(state: str, **body: str) -> httpx2.Response:
        return await api.post(f"/v1/admin/claims/{claim_id}:decide", json={"state": state} | body, headers=support)

    assert (await decide("sent_to_merchant")).status_code == 422
    early = await decide("approved", reason_code="merchant_agreed")
    assert (early.status_code, early.json()["reason"]) == (409, "ILLEGAL_STATE_CHANGE")
    for state, reason in (
        ("info_required", "invoice_missing"),
        ("sent_to_merchant", "invoice_given"),
        ("approved", "merchant_agreed"),
    ):
        moved = await decide(state, reason_code=reason)
        assert (moved.json()["state"], moved.json()["decision_code"]) == (state, reason)
    assert (await decide("declined", reason_code="changed_mind")).status_code == 409
    rows = await world.sql("SELECT to_state, reason_code FROM state_changes WHERE entity = 'claim' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("submitted", "not_tracked"),
        ("info_required", "invoice_missing"),
        ("sent_to_merchant", "invoice_given"),
        ("approved", "merchant_agreed"),
    ]
    listed = await api.get("/v1/admin/claims?state=approved", headers=support)
    assert [item["id"] for item in listed.json()["items"]] == [claim_id]
    catalogue = await operator(OperatorRole.CATALOGUE)
    assert (await api.get("/v1/admin/claims", headers=catalogue)).status_code == 403
