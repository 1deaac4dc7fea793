"""The door of networks: only what is signed gets in, and only once."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest

from domains.cashback.service import sign_postback
from domains.merchants import service as merchants


def event(**changes: Any) -> bytes:
    return orjson.dumps(
        {
            "conversion_id": "sale-1",
            "merchant": "daraz",
            "status": "pending",
            "order_amount_minor": 100_000,
            "commission_minor": 10_000,
            "currency": "PKR",
            "occurred_at": datetime.now(UTC),
        }
        | changes
    )


@pytest.fixture
def post(api: httpx2.AsyncClient, world: Any) -> Any:
    async def post(body: bytes, headers: dict[str, str], network: str = "impact") -> httpx2.Response:
        return await api.post(f"/v1/postbacks/{network}", content=body, headers=headers)

    return post


def signed(world: Any, body: bytes, *, webhook_id: str | None = None, age_s: int = 0) -> dict[str, str]:
    return sign_postback(world.secret, webhook_id or f"msg_{uuid4().hex}", int(time.time()) - age_s, body)


async def stored(world: Any) -> int:
    return len(await world.sql("SELECT 1 FROM conversion_events"))


async def test_signed_event_is_taken(world: Any, post: Any) -> None:
    body = event()
    answer = await post(body, signed(world, body))
    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"] == "applied"
    rows = await world.sql("SELECT raw, door, actor, source FROM conversion_events")
    assert [tuple(row) for row in rows] == [(body, "postback", "network:impact", "impact")]


async def test_replay_gets_the_first_answer_and_changes_nothing(world: Any, post: Any) -> None:
    body = event()
    headers = signed(world, body)
    first = (await post(body, headers)).json()
    again = (await post(body, headers)).json()
    assert again == first | {"repeated": True}
    other_body = event(status="approved")
    later = (await post(other_body, signed(world, other_body, webhook_id=headers["webhook-id"]))).json()
    assert later == first | {"repeated": True}
    assert await stored(world) == 1


async def test_twenty_deliveries_at_once_are_one(world: Any, post: Any) -> None:
    body = event()
    headers = signed(world, body)
    answers = await asyncio.gather(*(post(body, headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json()["repeated"] for answer in answers].count(False) == 1
    assert await stored(world) == 1


@pytest.mark.parametrize("age_s", [301, 360, -360])
async def test_old_and_future_messages_are_refused(world: Any, post: Any, age_s: int) -> None:
    body = event()
    answer = await post(body, signed(world, body, age_s=age_s))
    assert (answer.status_code, answer.json()["reason"]) == (401, "POSTBACK_UNSIGNED")
    assert await stored(world) == 0


async def test_four_minutes_are_forgiven(world: Any, post: Any) -> None:
    body = event()
    assert (await post(body, signed(world, body, age_s=240))).status_code == 200


async def test_changed_body_is_refused(world: Any, post: Any) -> None:
    headers = signed(world, event())
    assert (await post(event(order_amount_minor=999_999), headers)).status_code == 401
    assert await stored(world) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": str(int(time.time()) + 1)},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "9" * 40},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-id": ""},
        {"webhook-id": "a b"},
    ],
    # Numbers, since one of the values depends on the time.
    ids=range(9),
)
async def test_forged_headers_are_refused(world: Any, post: Any, changes: dict[str, str]) -> None:
    body = event()
    answer = await post(body, signed(world, body) | changes)
    assert (answer.status_code, answer.json()["reason"]) == (401, "POSTBACK_UNSIGNED")
    assert await stored(world) == 0


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_missing_header_is_refused(world: Any, post: Any, header: str) -> None:
    body = event()
    headers = signed(world, body)
    del headers[header]
    assert (await post(body, headers)).status_code == 401


async def test_signature_of_another_version_does_not_count(world: Any, post: Any) -> None:
    body = event()
    headers = signed(world, body)
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v1a,")
    assert (await post(body, headers)).status_code == 401


async def test_one_good_signature_among_others_is_enough(world: Any, post: Any) -> None:
    body = event()
    headers = signed(world, body)
    headers["webhook-signature"] = f"v1a,AAAA v1,AAAA {headers['webhook-signature']}"
    assert (await post(body, headers)).status_code == 200


async def test_secret_of_another_network_does_not_open_this_one(world: Any, post: Any) -> None:
    async with world.db.write() as session:
        _, other = await merchants.create_network(session, None, world.runtime.keys, slug="cj", name="CJ")
    body = event()
    headers = sign_postback(other, "msg_1", int(time.time()), body)
    assert (await post(body, headers)).status_code == 401
    assert (await post(body, signed(world, body), network="cj")).status_code == 401
    assert (await post(body, signed(world, body), network="nobody")).status_code == 404


async def test_rotated_secret_holds_beside_the_new_one_for_a_while(world: Any, post: Any) -> None:
    async with world.db.write() as session:
        _, fresh, _ = await merchants.rotate_network_secret(session, None, world.runtime.keys, "impact")
    old_body, new_body = event(), event(conversion_id="sale-2")
    assert (await post(old_body, signed(world, old_body))).status_code == 200
    assert (await post(new_body, sign_postback(fresh, "msg_new", int(time.time()), new_body))).status_code == 200
    await world.sql("UPDATE affiliate_networks SET secret_previous_until = now() - interval '1 second'")
    late = event(conversion_id="sale-3")
    assert (await post(late, signed(world, late))).status_code == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"conversion_id": NaN}', b"\xff\xfe", b"[" * 5000])
async def test_signed_nonsense_is_kept_and_refused_by_name(world: Any, post: Any, body: bytes) -> None:
    answer = await post(body, signed(world, body))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["outcome"], answer.json()["reason"]) == ("refused", "EVENT_MALFORMED")
    assert (await world.sql("SELECT raw FROM conversion_events"))[0]["raw"] == body


def test_signature_is_the_one_of_the_specification() -> None:
    headers = sign_postback(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secret_that_is_not_base64_is_named() -> None:
    with pytest.raises(ValueError, match="whsec_"):
        sign_postback("whsec_!!!", "msg_1", 1, b"")
