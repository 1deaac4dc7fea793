"""Friends: a code, and how many came with it; never who."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2

Headers = dict[str, str]
SQL = Callable[..., Awaitable[list[Any]]]


async def test_nobody_has_come_yet(api: httpx2.AsyncClient, headers: Headers) -> None:
    code = (await api.get("/v1/me", headers=headers)).json()["referral_code"]
    answer = await api.get("/v1/me/referrals", headers=headers)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "code": code,
            "link": f"http://wapsi.test/sign-up?referral_code={code}",
            "joined": 0,
            "months": [],
        },
    )


async def test_friends_are_counted_by_the_month_and_not_named(
    api: httpx2.AsyncClient, headers: Headers, admin_sql: SQL
) -> None:
    code = (await api.get("/v1/me", headers=headers)).json()["referral_code"]
    moments = ("2026-09-30 23:59:59+00", "2026-10-01 00:00:00+00", "2026-10-31 12:00:00+00")
    for number, moment in enumerate(moments):
        await admin_sql(
            "INSERT INTO customers (email, password_hash, display_name, referral_code, referred_by, created_at)"
            " SELECT $2, 'x', 'Bilal', $3, id, $4::text::timestamptz FROM customers WHERE referral_code = $1",
            code,
            f"bilal{number}@example.com",
            f"BBBBBBBBB{number}",
            moment,
        )
    await admin_sql(
        "INSERT INTO customers (email, password_hash, display_name, referral_code)"
        " VALUES ('z@example.com', 'x', 'Z', 'Z')"
    )
    answer = await api.get("/v1/me/referrals", headers=headers)
    assert answer.json()["joined"] == 3
    assert answer.json()["months"] == [{"month": "2026-10", "joined": 2}, {"month": "2026-09", "joined": 1}]
    assert "bilal" not in answer.text.lower()


async def test_a_friend_who_left_counts_no_more_and_their_own_code_is_dead(
    api: httpx2.AsyncClient, headers: Headers, sign_up: Any, sign_in: Any, admin_sql: SQL
) -> None:
    me = UUID((await api.get("/v1/me", headers=headers)).json()["id"])
    bilal = await sign_up("bilal@example.com", referred_by=me)
    friend = {"Authorization": f"Bearer {(await sign_in('bilal@example.com')).json()['access_token']}"}
    friends_code = (await api.get("/v1/me/referrals", headers=friend)).json()["code"]
    await sign_up("zara@example.com", referred_by=bilal)
    assert (await api.get("/v1/me/referrals", headers=headers)).json()["joined"] == 1
    leaving = {"current_password": "correct horse battery", "confirm": "delete my account"}
    assert (await api.post("/v1/me:delete", json=leaving, headers=friend)).status_code == 204
    assert (await api.get("/v1/me/referrals", headers=headers)).json()["joined"] == 0
    assert await admin_sql("SELECT 1 FROM customers WHERE referred_by IS NOT NULL") == []
    late = {"email": "late@example.com", "password": "correct horse battery", "display_name": "Late"}
    refused = await api.post(
        "/v1/customers", json=late | {"referral_code": friends_code}, headers={"Idempotency-Key": "late"}
    )
    assert (refused.status_code, refused.json()["reason"]) == (422, "REFERRAL_CODE_UNKNOWN")
