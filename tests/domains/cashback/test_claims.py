"""Claims: one an order, with a reason; asked about, answered and decided, with one too."""

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


@pytest.fixture
async def claim_id(submit: Any) -> str:
    return str((await submit()).json()["id"])


@pytest.fixture
async def decide(api: httpx2.AsyncClient, claim_id: str, operator: Any) -> Any:
    support = await operator(OperatorRole.SUPPORT)

    async def decide(state: str, **body: str) -> httpx2.Response:
        return await api.post(f"/v1/admin/claims/{claim_id}:decide", json={"state": state} | body, headers=support)

    return decide


@pytest.fixture
def look(api: httpx2.AsyncClient, claim_id: str, shopper_headers: dict[str, str]) -> Any:
    async def look() -> Any:
        answer = await api.get(f"/v1/me/claims/{claim_id}", headers=shopper_headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return look


@pytest.fixture
def say(api: httpx2.AsyncClient, claim_id: str, shopper_headers: dict[str, str]) -> Any:
    async def say(text: str, headers: dict[str, str] | None = None) -> httpx2.Response:
        keyed = (headers or shopper_headers) | {"Idempotency-Key": uuid4().hex}
        return await api.post(f"/v1/me/claims/{claim_id}/messages", json={"text": text}, headers=keyed)

    return say


async def later(world: Any, days: int) -> None:
    await world.sql("UPDATE claims SET due_at = due_at - make_interval(days => $1)", days)


async def test_blanks_around_an_orders_number_are_none_of_it(
    api: httpx2.AsyncClient, world: Any, shopper_id: UUID, shopper_headers: dict[str, str]
) -> None:
    click = await world.click(shopper_id)
    answers = []
    for number, order in enumerate(("A-1", " A-1 ")):
        body = {"reason_code": "late", "click_id": str(click.id), "order_id": order, "order_amount_minor": 1_000}
        headers = shopper_headers | {"Idempotency-Key": f"blanks-{number}"}
        answers.append((await api.post("/v1/me/claims", json=body, headers=headers)).status_code)
    assert answers == [201, 409]


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
        "status": "We have your claim and look into it.",
        "due_at": None,
        "resolution": None,
        "goodwill_minor": None,
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


async def test_operators_move_a_claim_along_its_states_with_a_reason(
    api: httpx2.AsyncClient, world: Any, claim_id: str, decide: Any, operator: Any
) -> None:
    assert (await decide("sent_to_merchant")).status_code == 422
    assert (await decide("approved", reason_code="merchant_agreed")).status_code == 422, "which is a call of its own"
    for state, body in (
        ("info_required", {"reason_code": "invoice_missing", "message": "Please send the invoice's number."}),
        ("sent_to_merchant", {"reason_code": "invoice_given"}),
        ("declined", {"reason_code": "order_returned"}),
    ):
        moved = await decide(state, **body)
        assert (moved.json()["state"], moved.json()["decision_code"]) == (state, body["reason_code"])
    ended = await decide("sent_to_merchant", reason_code="changed_mind")
    assert (ended.status_code, ended.json()["reason"]) == (409, "ILLEGAL_STATE_CHANGE")
    rows = await world.sql("SELECT to_state, reason_code FROM state_changes WHERE entity = 'claim' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("submitted", "not_tracked"),
        ("info_required", "invoice_missing"),
        ("sent_to_merchant", "invoice_given"),
        ("declined", "order_returned"),
    ]
    support = await operator(OperatorRole.SUPPORT)
    listed = await api.get("/v1/admin/claims?state=declined", headers=support)
    assert [item["id"] for item in listed.json()["items"]] == [claim_id]
    catalogue = await operator(OperatorRole.CATALOGUE)
    assert (await api.get("/v1/admin/claims", headers=catalogue)).status_code == 403


async def test_customer_is_asked_in_words_and_answers(decide: Any, look: Any, say: Any) -> None:
    silent = await decide("info_required", reason_code="invoice_missing", message=" ")
    assert (silent.status_code, silent.json()["reason"]) == (422, "CLAIM_QUESTION_MISSING")
    await decide("info_required", reason_code="invoice_missing", message="Please send the invoice's number.")
    asked = await look()
    assert asked["claim"]["status"].startswith("We need something from you (invoice missing). Please answer by ")
    assert asked["claim"]["due_at"] is not None

    assert (await say("It is 4711.")).status_code == 201
    answered = await look()
    assert answered["claim"]["state"] == "info_required"
    assert answered["claim"]["due_at"] is None, "it waits for us now"
    assert answered["claim"]["status"] == "Thank you for your answer. We look into it."
    assert [(message["author"], message["text"]) for message in answered["messages"]] == [
        ("operator", "Please send the invoice's number."),
        ("customer", "It is 4711."),
    ]
    await decide("sent_to_merchant", reason_code="invoice_given")
    told = await look()
    assert told["claim"]["status"].startswith("We have asked Daraz (invoice given). It has until ")
    assert [line["text"] for line in told["story"]] == [
        "You made the claim: not tracked.",
        "We asked you for more (invoice missing).",
        "We asked Daraz (invoice given).",
    ]


async def test_claim_and_its_messages_are_the_owners(
    api: httpx2.AsyncClient, claim_id: str, say: Any, look: Any, stranger_headers: dict[str, str]
) -> None:
    for answer in (
        await api.get(f"/v1/me/claims/{claim_id}", headers=stranger_headers),
        await say("It is mine.", stranger_headers),
    ):
        assert (answer.status_code, answer.json()["reason"]) == (404, "CLAIM_NOT_FOUND")
    assert (await look())["messages"] == []


async def test_messages_go_along_and_go_away_with_the_customer(
    api: httpx2.AsyncClient, world: Any, decide: Any, say: Any, shopper_headers: dict[str, str]
) -> None:
    await decide("info_required", reason_code="invoice_missing", message="Please send the invoice's number.")
    await say("It is 4711.")
    taken = (await api.get("/v1/me/export", headers=shopper_headers)).json()["claim_messages"]
    assert [message["text"] for message in taken] == ["Please send the invoice's number.", "It is 4711."]
    body = {"current_password": "correct horse battery", "confirm": "delete my account"}
    assert (await api.post("/v1/me:delete", json=body, headers=shopper_headers)).status_code == 204
    assert await world.sql("SELECT 1 FROM claim_messages") == []
    rows = await world.sql("SELECT state, decision_code, due_at FROM claims")
    assert [tuple(row) for row in rows] == [("declined", "account_deleted", None)]


async def test_nothing_is_added_to_a_claim_that_has_ended(decide: Any, say: Any) -> None:
    await decide("declined", reason_code="order_returned")
    late = await say("But I kept it!")
    assert (late.status_code, late.json()["reason"]) == (409, "CLAIM_ENDED")


async def test_claim_takes_so_many_messages(say: Any, world: Any, claim_id: str) -> None:
    assert (await say(" \n")).status_code == 422
    await world.sql(
        "INSERT INTO claim_messages (claim_id, author, actor, text)"
        " SELECT $1, 'customer', 'customer:x', 'more' FROM generate_series(1, 50)",
        UUID(claim_id),
    )
    full = await say("One more")
    assert (full.status_code, full.json()["reason"]) == (409, "CLAIM_MESSAGES_FULL")


@pytest.mark.parametrize(
    ("state", "days", "reason", "words"),
    [
        ("info_required", 14, "no_answer", "Your claim has ended: we asked and had no answer in time."),
        ("sent_to_merchant", 60, "merchant_silent", "Your claim has ended: the merchant did not answer in time."),
    ],
)
async def test_claim_that_waits_too_long_expires(
    world: Any, decide: Any, look: Any, state: str, days: int, reason: str, words: str
) -> None:
    await decide(state, reason_code="checked", message="Which colour?")
    await later(world, days - 1)
    await world.run_periodic("cashback.expire_claims")
    assert (await look())["claim"]["state"] == state
    await later(world, 1)
    await world.run_periodic("cashback.expire_claims")
    claim = (await look())["claim"]
    assert (claim["state"], claim["decision_code"], claim["status"]) == ("expired", reason, words)
    rows = await world.sql("SELECT actor FROM state_changes WHERE to_state = 'expired'")
    assert [row["actor"] for row in rows] == ["system"]


async def test_claim_that_was_answered_does_not_expire(world: Any, decide: Any, look: Any, say: Any) -> None:
    await decide("info_required", reason_code="checked", message="Which colour?")
    await later(world, 30)
    await say("Blue")
    await world.run_periodic("cashback.expire_claims")
    assert (await look())["claim"]["state"] == "info_required"
