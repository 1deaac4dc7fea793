"""The whole path of a rupee over REST: click, sale, amendment, approval, withdrawal, and the story of all of it."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest

from domains.cashback import service
from wapsi.security.permissions import OperatorRole


@pytest.fixture
def postback(api: httpx2.AsyncClient, world: Any) -> Any:
    async def postback(**fields: Any) -> Any:
        body = orjson.dumps(
            {
                "conversion_id": "order-1",
                "merchant": "daraz",
                "order_amount_minor": 1_000_000,
                "commission_minor": 100_000,
                "currency": "PKR",
                "occurred_at": datetime.now(UTC),
            }
            | fields
        )
        headers = service.sign_postback(world.secret, f"msg_{uuid4().hex}", int(time.time()), body)
        answer = await api.post("/v1/postbacks/impact", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return postback


@pytest.fixture
async def told(
    api: httpx2.AsyncClient, world: Any, shopper_id: UUID, shopper_headers: dict[str, str], postback: Any
) -> Any:
    """A sale that was clicked, reported with an odd word, amended, approved and withdrawn; its explanation."""
    made = await api.post(
        "/v1/clicks",
        json={"merchant": "daraz"},
        headers=shopper_headers | {"Idempotency-Key": "click", "User-Agent": "Mozilla/5.0"},
    )
    click_id = made.json()["click_id"]
    await postback(click_id=click_id, status="pending")
    await postback(status="being looked at")
    await postback(status="pending", order_amount_minor=800_000, reason="one item came back")
    await postback(status="closed", order_amount_minor=None, commission_minor=None)
    await api.post(
        "/v1/me/payouts",
        json={
            "amount_minor": 40_000,
            "currency": "PKR",
            "payout_method_id": str(await world.payout_method(shopper_id)),
        },
        headers=shopper_headers | {"Idempotency-Key": "payout"},
    )
    await world.run_jobs("cashback.send_payout")
    listed = (await api.get("/v1/me/cashbacks", headers=shopper_headers)).json()["items"]
    explained = await api.get(f"/v1/me/cashbacks/{listed[0]['id']}/explain", headers=shopper_headers)
    assert explained.status_code == 200, explained.text
    return explained.json()


async def test_story_is_told_in_order_and_in_words(told: Any) -> None:
    texts = [line["text"] for line in told["story"]]
    deadline = datetime.fromisoformat(told["reward"]["expected_confirmation_at"])
    assert texts == [
        "You went to Daraz. Rates version 1 were promised in a signed receipt.",
        "impact reported the sale as “pending” (status mapping version 1).",
        f"Cashback was noted as pending. Daraz should decide by {deadline:%-d %B %Y}.",
        "impact reported the sale as “being looked at”; it changed nothing: No mapping of impact knows the word "
        "'being looked at'; nothing was changed.",
        "impact reported the sale as “pending” (status mapping version 1).",
        "The sale was amended from PKR 10,000.00 to PKR 8,000.00 (one item came back); the cashback from PKR 500.00 "
        "to PKR 400.00.",
        "impact reported the sale as “closed”, which means approved (status mapping version 1).",
        "PKR 400.00 cashback was confirmed and can be withdrawn (merchant approved).",
        f"You withdrew PKR 400.00 of your balance to {told['withdrawals'][0]['destination']}.",
        f"PKR 400.00 was paid to {told['withdrawals'][0]['destination']}.",
    ]
    moments = [datetime.fromisoformat(line["at"]) for line in told["story"]]
    assert moments == sorted(moments)


async def test_evidence_stands_beside_it(told: Any) -> None:
    assert told["click"]["receipt_verified"] is True
    assert [(event["raw_status"], event["read_as"], event["outcome"]) for event in told["events"]] == [
        ("pending", "pending", "applied"),
        ("being looked at", None, "unknown_status"),
        ("pending", "pending", "applied"),
        ("closed", "approved", "applied"),
    ]
    assert told["readings"] == []
    assert [rule["rule"] for rule in told["attribution"] if rule["matched"]] == [
        "click_given",
        "click_known",
        "click_of_merchant",
        "receipt_genuine",
        "within_click_window",
    ]
    assert told["pricing"]["steps"] == [
        "The sale: PKR 8,000.00.",
        "5.00 % of it, cut to the minor unit: PKR 400.00.",
        "The shop has not said whether you were a new customer there. Depending on that it becomes up to PKR 640.00.",
    ]
    assert {(rate["rate_category"], rate["customer_type"]) for rate in told["pricing"]["not_matched"]} == {
        ("", "new"),
        ("phones", "unknown"),
    }
    assert [(change["entity"], change["from_state"], change["to_state"]) for change in told["changes"]] == [
        ("conversion", None, "pending"),
        ("reward", None, "pending"),
        ("conversion", "pending", "approved"),
        ("reward", "pending", "confirmed"),
    ]
    assert {change["actor"] for change in told["changes"]} == {"network:impact"}


async def test_story_of_a_sale_without_a_click_says_which_rule_failed(
    api: httpx2.AsyncClient, world: Any, postback: Any, operator: Any
) -> None:
    sale = await postback(status="pending", click_id=str(uuid4()))
    support = await operator(OperatorRole.SUPPORT)
    told = (await api.get(f"/v1/admin/conversions/{sale['conversion_id']}", headers=support)).json()
    assert told["story"][-1]["text"] == (
        "No click explains this sale at Daraz (we made no such click), so nobody earns cashback by it."
    )
    assert [rule["rule"] for rule in told["attribution"] if not rule["matched"]] == ["click_known"]


async def test_every_paisa_is_in_the_ledger_entries(told: Any) -> None:
    kinds = [transaction["kind"] for transaction in told["ledger"]]
    assert kinds == ["conversion.pending", "conversion.amended", "reward.confirmed"]
    assert told["ledger"][1]["amends_id"] == told["ledger"][2]["resolves_id"] == told["ledger"][0]["id"]
    sums: dict[str, int] = {}
    for transaction in told["ledger"]:
        assert sum(entry["amount_minor"] for entry in transaction["entries"]) == 0
        for entry in transaction["entries"]:
            sums[entry["account"].split(":")[-1]] = sums.get(entry["account"].split(":")[-1], 0) + entry["amount_minor"]
    assert sums == {"impact": 100_000, "daraz": -60_000, "pending": 0, "available": -40_000}


async def test_traces_lead_back_to_the_requests(told: Any) -> None:
    assert len(told["trace_ids"]) >= 5
    assert {event["trace_id"] for event in told["events"]} <= set(told["trace_ids"])


async def test_explanation_is_the_owners_only(
    api: httpx2.AsyncClient, told: Any, stranger_headers: dict[str, str], operator: Any
) -> None:
    reward_id, conversion_id = told["reward"]["id"], told["conversion"]["id"]
    for path in (f"/v1/me/cashbacks/{reward_id}", f"/v1/me/cashbacks/{reward_id}/explain"):
        assert (await api.get(path, headers=stranger_headers)).status_code == 404
        assert (await api.get(path)).status_code == 401
    support = await operator(OperatorRole.SUPPORT)
    seen = await api.get(f"/v1/admin/conversions/{conversion_id}", headers=support)
    assert seen.json()["story"] == told["story"]
    assert (await api.get(f"/v1/me/cashbacks/{reward_id}", headers=support)).status_code == 403


async def test_statement_lists_every_change_of_the_balance(
    api: httpx2.AsyncClient, told: Any, shopper_headers: dict[str, str]
) -> None:
    lines: list[Any] = []
    cursor = ""
    while cursor is not None:
        query = f"&cursor={cursor}" if cursor else ""
        page = (await api.get(f"/v1/me/statements?limit=2{query}", headers=shopper_headers)).json()
        lines += page["items"]
        cursor = page["next_cursor"]
    assert [(line["bucket"], line["kind"], line["amount_minor"]) for line in reversed(lines)] == [
        ("pending", "conversion.pending", 50_000),
        ("pending", "conversion.amended", -10_000),
        ("pending", "reward.confirmed", -40_000),
        ("available", "reward.confirmed", 40_000),
        ("available", "payout.requested", -40_000),
    ]
    balance = (await api.get("/v1/me/balance", headers=shopper_headers)).json()["balances"]
    assert balance == [
        {
            "currency": "PKR",
            "pending_minor": 0,
            "available_minor": 0,
            "held_minor": 0,
            "in_flight_minor": 0,
            "paid_out_minor": 40_000,
            "owed_minor": 0,
        }
    ]


async def test_tampered_click_shows_in_the_explanation(
    api: httpx2.AsyncClient, world: Any, told: Any, shopper_headers: dict[str, str]
) -> None:
    await world.sql("UPDATE clicks SET receipt = left(receipt, -4) || 'AAAA'")
    explained = await api.get(f"/v1/me/cashbacks/{told['reward']['id']}/explain", headers=shopper_headers)
    assert explained.json()["click"]["receipt_verified"] is False


async def test_operator_declines_with_a_reason_and_it_is_told(
    api: httpx2.AsyncClient, world: Any, told: Any, shopper_headers: dict[str, str], operator: Any
) -> None:
    finance = await operator(OperatorRole.FINANCE)
    path = f"/v1/admin/conversions/{told['conversion']['id']}"
    assert (await api.post(f"{path}:decline", json={}, headers=finance)).status_code == 422
    declined = await api.post(f"{path}:decline", json={"reason_code": "order_returned"}, headers=finance)
    assert declined.status_code == 200, declined.text
    assert declined.json()["reward"]["state"] == "reversed"
    assert (
        declined.json()["story"][-1]["text"] == "The confirmed cashback of PKR 400.00 was taken back: order returned."
        " You had withdrawn PKR 400.00 of it already, which is kept back from your next cashback."
    )
    again = await api.post(f"{path}:approve", headers=finance)
    assert (again.status_code, again.json()["reason"]) == (409, "ILLEGAL_STATE_CHANGE")
    balance = (await api.get("/v1/me/balance", headers=shopper_headers)).json()["balances"][0]
    assert (balance["available_minor"], balance["owed_minor"]) == (0, 40_000)
    rows = await world.sql("SELECT actor, after FROM audit_log WHERE action = 'conversion.declined'")
    assert rows[0]["actor"].startswith("operator:")
    assert await world.violations() == []


async def test_operator_approves_what_the_network_left_open(
    api: httpx2.AsyncClient, world: Any, postback: Any, operator: Any
) -> None:
    shopper = await world.customer()
    click = await world.click(shopper)
    sale = await postback(click_id=str(click.id), status="pending")
    finance = await operator(OperatorRole.FINANCE)
    approved = await api.post(f"/v1/admin/conversions/{sale['conversion_id']}:approve", headers=finance)
    assert approved.json()["reward"]["state"] == "confirmed"
    assert (await world.balance(shopper))["available"] == 50_000


async def test_operators_read_sales_inbox_and_ledger(api: httpx2.AsyncClient, told: Any, operator: Any) -> None:
    finance = await operator(OperatorRole.FINANCE)

    async def get(path: str) -> Any:
        answer = await api.get(f"/v1/admin/{path}", headers=finance)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert [item["external_id"] for item in (await get("conversions?state=approved&merchant=daraz"))["items"]] == [
        "order-1"
    ]
    assert (await get("conversions?source=nobody"))["items"] == []
    inbox = (await get("conversion-events?outcome=unknown_status"))["items"]
    assert [item["raw_status"] for item in inbox] == ["being looked at"]
    accounts = {item["path"]: item["balance_minor"] for item in (await get("ledger/accounts"))["items"]}
    assert accounts["assets:bank:pkr"] == -40_000
    assert accounts["liabilities:payouts:in_flight"] == 0
    only = (await get("ledger/accounts?prefix=assets:bank:&limit=1"))["items"]
    assert [item["path"] for item in only] == ["assets:bank:pkr"]
    transaction = told["ledger"][0]
    assert await get(f"ledger/transactions/{transaction['id']}") == transaction
    missing = await api.get(f"/v1/admin/ledger/transactions/{UUID(int=1)}", headers=finance)
    assert (missing.status_code, missing.json()["reason"]) == (404, "TRANSACTION_NOT_FOUND")


@pytest.mark.parametrize(
    "cursor", ["x", "WyJjYXNoYmFja3MgTm9uZSIsIngiXQ", "WyJzdGF0ZW1lbnQiLCJ4Il0", "WyJzdGF0ZW1lbnQiLC0xXQ"]
)
@pytest.mark.parametrize("path", ["cashbacks", "statements", "payouts", "claims"])
async def test_foreign_cursor_is_refused(
    api: httpx2.AsyncClient, shopper_headers: dict[str, str], path: str, cursor: str
) -> None:
    answer = await api.get(f"/v1/me/{path}?cursor={cursor}", headers=shopper_headers)
    assert (answer.status_code, answer.json()["reason"]) == (422, "CURSOR_INVALID")
