"""What is left of a customer who has left: nothing that names them, and the books."""

from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest

from domains.cashback import service
from domains.cashback.errors import CustomerNotActive
from domains.customers import service as customers
from domains.customers.service import CustomerNotFound
from tests.domains.cashback.personal_data.leaving import (
    BROWSER,
    IBAN,
    NOTE,
    NOTHING,
    ORDER,
    PASSWORD,
    PHONE,
    SEND,
    Headers,
    booked,
    delete,
    leave,
)
from wapsi.runtime import Runtime


async def everything_stored(sql: Any) -> str:
    """Every row of every table, as text, and bytes as text where they are some."""
    tables = await sql(
        "SELECT oid::regclass::text AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    assert len(tables) > 30
    found = []
    for table in tables:
        for row in await sql(f"SELECT * FROM {table['name']}"):
            for value in row.values():
                found.append(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
    return "\n".join(found)


# In the clear, where they are encrypted otherwise, so that what is left of them would be seen.
_WRITTEN_TO = """
WITH asked AS (INSERT INTO verifications (purpose, channel, contact_encrypted, locale, customer_id, expires_at)
    VALUES ('contact', 'sms', convert_to($2, 'UTF8'), 'en', $1, now())),
app AS (INSERT INTO totp_factors (subject_kind, subject_id, secret_encrypted)
    VALUES ('customer', $1, convert_to($2, 'UTF8'))),
codes AS (INSERT INTO recovery_codes (subject_kind, subject_id, code_hash)
    VALUES ('customer', $1, convert_to($2, 'UTF8'))),
keys AS (INSERT INTO passkeys (subject_kind, subject_id, credential_id, public_key, sign_count, backed_up, name)
    VALUES ('customer', $1, '', '', 0, true, 'Phone of asma'))
INSERT INTO messages (channel, template, recipient_fingerprint, content_encrypted, customer_id, expires_at)
VALUES ('sms', 'code', convert_to($2, 'UTF8'), convert_to($2, 'UTF8'), $1, now())
"""


async def test_nothing_that_names_the_person_is_left(
    api: httpx2.AsyncClient, world: Any, busy: UUID, shopper_headers: Headers, shopper_id: UUID
) -> None:
    assert (await api.patch("/v1/me", json={"display_name": "Asma Bibi"}, headers=shopper_headers)).status_code == 200
    await world.sql("UPDATE customers SET phone = $1, phone_verified_at = now()", PHONE)
    await world.sql(_WRITTEN_TO, shopper_id, PHONE)
    named = ["asma", PHONE, BROWSER, NOTE, ORDER, "0001123456702", "•6702", "Asma's salary", "Mozilla"]
    code = (await api.get("/v1/me", headers=shopper_headers)).json()["referral_code"]
    before = await everything_stored(world.sql)
    for canary in (*(name for name in named if name != "0001123456702"), code):
        assert canary in before, "what is never stored would be missed by nobody"

    answer = await leave(api, shopper_headers, forfeit=True)
    assert (answer.status_code, answer.content) == (204, b"")
    after = await everything_stored(world.sql)
    for canary in (*named, code):
        assert canary.lower() not in after.lower(), canary
    (method,) = await world.sql("SELECT account_encrypted, account_fingerprint FROM payout_methods")
    assert tuple(method) == (b"", b"")
    assert [tuple(row) for row in await world.sql("SELECT state, decision_code FROM claims")] == [
        ("declined", "account_deleted")
    ]
    assert await world.sql("SELECT 1 FROM favourites UNION ALL SELECT 1 FROM messages") == []
    assert [row["status"] for row in await world.sql("SELECT status FROM customers")] == ["deleted"]


async def test_the_books_stay_and_what_was_left_is_forfeited(
    api: httpx2.AsyncClient, world: Any, busy: UUID, shopper_headers: Headers, shopper_id: UUID
) -> None:
    entries = await world.sql("SELECT * FROM ledger_entries ORDER BY id")
    refused = await leave(api, shopper_headers)
    assert (refused.status_code, refused.json()["reason"]) == (409, "BALANCE_NOT_EMPTY")
    assert "500" in refused.json()["detail"]
    assert (await leave(api, shopper_headers, forfeit=True)).status_code == 204

    assert (await world.sql("SELECT * FROM ledger_entries ORDER BY id"))[: len(entries)] == entries
    assert await world.balance(shopper_id) == NOTHING
    assert await booked(world, "income:forfeited") == 50_000
    assert await world.violations() == []
    async with world.db.read() as session:
        assert [line for line in await service.reconcile(session) if line.difference_minor] == []
    (entry,) = await world.sql("SELECT actor, action, target, after FROM audit_log WHERE action LIKE 'customer.%'")
    assert (entry["actor"], entry["target"]) == (f"customer:{shopper_id}", f"customer:{shopper_id}")
    assert orjson.loads(entry["after"]) == {"status": "deleted", "forfeited_minor": {"PKR": 50_000}}


async def test_what_was_deleted_signs_in_no_more_and_may_sign_up_anew(
    api: httpx2.AsyncClient, world: Any, shopper_headers: Headers, shopper_id: UUID
) -> None:
    credentials = {"email": "asma@wapsi.example", "password": PASSWORD}
    other = (await api.post("/v1/sessions", json=credentials)).json()
    assert (await leave(api, shopper_headers)).status_code == 204
    assert (await api.post("/v1/sessions", json=credentials)).status_code == 401
    refreshed = await api.post("/v1/sessions:refresh", json={"refresh_token": other["refresh_token"]})
    assert refreshed.status_code == 401
    assert await world.sql("SELECT 1 FROM sessions WHERE revoked_at IS NULL") == []
    for path in ("/v1/me", "/v1/me/export", "/v1/me/referrals"):
        assert (await api.get(path, headers=shopper_headers)).status_code == 401
    again = await world.customer(email="asma@wapsi.example")
    assert again != shopper_id


async def test_a_token_that_is_still_good_puts_nothing_into_a_deleted_account(
    api: httpx2.AsyncClient, world: Any, runtime: Runtime, shopper_headers: Headers, shopper_id: UUID
) -> None:
    click = await world.click(shopper_id)
    assert (await leave(api, shopper_headers)).status_code == 204
    async with runtime.db.write() as session:
        with pytest.raises(CustomerNotFound):
            await customers.add_bank_account(session, runtime.keys, shopper_id, iban=IBAN, label="x")
        with pytest.raises(CustomerNotFound):
            await customers.update_profile(await session.driver(), shopper_id, {"display_name": "Asma"})
        with pytest.raises(CustomerNotFound):
            await customers.add_favourite(session, shopper_id, customers.FavouriteKind.MERCHANT, world.merchant_id)
        new = service.NewClaim(service.ClaimReason.LATE, click.id, "o", 1)
        with pytest.raises(CustomerNotActive):
            await service.submit_claim(session, shopper_id, new)
        with pytest.raises(CustomerNotActive):
            await world.click(shopper_id)
    assert await world.sql("SELECT 1 FROM favourites UNION ALL SELECT 1 FROM payout_methods") == []


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"current_password": "not the password"}, 403, "PASSWORD_WRONG"),
        ({"confirm": "yes"}, 422, "REQUEST_INVALID"),
        ({"forfeit": None}, 422, "REQUEST_INVALID"),
        ({"reason": "bored"}, 422, "REQUEST_INVALID"),
    ],
)
async def test_a_deletion_is_confirmed_by_password_and_words(
    api: httpx2.AsyncClient,
    world: Any,
    shopper_headers: Headers,
    changes: dict[str, Any],
    status: int,
    reason: str,
) -> None:
    answer = await leave(api, shopper_headers, **changes)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert [row["status"] for row in await world.sql("SELECT status FROM customers")] == ["active"]


async def test_a_suspended_account_stays_until_operators_are_done(world: Any) -> None:
    """Its sessions have ended; a request that was under way still is refused."""
    customer_id = await world.customer()
    await world.sql("UPDATE customers SET status = 'suspended'")
    with pytest.raises(customers.CustomerSuspended):
        await delete(world, customer_id)
    assert [row["display_name"] for row in await world.sql("SELECT display_name FROM customers")] == ["Asma"]


@pytest.mark.parametrize(("ending", "state"), [("4567", "requested"), ("0002", "unknown")])
async def test_a_payout_under_way_keeps_the_account(
    api: httpx2.AsyncClient, world: Any, shopper_headers: Headers, shopper_id: UUID, ending: str, state: str
) -> None:
    await world.earn(shopper_id, 50_000)
    payout = await world.withdraw(shopper_id, await world.payout_method(shopper_id, ending), 50_000)
    if state != "requested":
        await world.run_jobs(SEND)
    assert await world.payout_state(payout.id) == state
    before = await everything_stored(world.sql)
    answer = await leave(api, shopper_headers, forfeit=True)
    assert (answer.status_code, answer.json()["reason"]) == (409, "PAYOUT_UNDER_WAY")
    assert await everything_stored(world.sql) == before, "a refusal changes nothing"
