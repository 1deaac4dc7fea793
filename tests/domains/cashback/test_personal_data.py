"""A customer takes their data along, and leaves: the person is gone, the books are as sound as before."""

import asyncio
import tracemalloc
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest

from domains.cashback import service
from domains.cashback.errors import CustomerNotActive, InsufficientBalance, PayoutUnderWay
from domains.cashback.service.payouts import PayoutView
from domains.customers import service as customers
from domains.customers.service import CustomerNotFound
from wapsi import personal_data
from wapsi.runtime import Runtime
from wapsi.security.permissions import CUSTOMER_PERMISSIONS
from wapsi.security.principal import Principal, PrincipalKind

Headers = dict[str, str]
SEND = "cashback.send_payout"
PASSWORD = "correct horse battery"
IBAN = "PK36SCBL0000001123456702"
BROWSER = "Mozilla/5.0 (X11; a browser of her own)"
PHONE = "+923451234599"
NOTE = "my order of the red shoes never came up"
ORDER = "order-of-asma-77"
LANDING = "https://daraz.example/for-asma?name=asma"
NOTHING = {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}
LEAVING = {"current_password": PASSWORD, "confirm": "delete my account"}


def keyed(headers: Headers) -> Headers:
    return headers | {"Idempotency-Key": uuid4().hex}


async def export(api: httpx2.AsyncClient, headers: Headers) -> dict[str, Any]:
    answer = await api.get("/v1/me/export", headers=headers)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def leave(api: httpx2.AsyncClient, headers: Headers, **changes: Any) -> httpx2.Response:
    return await api.post("/v1/me:delete", json=LEAVING | changes, headers=headers)


@pytest.fixture
async def busy(api: httpx2.AsyncClient, world: Any, shopper_headers: Headers, shopper_id: UUID) -> UUID:
    """Asma has used everything there is; PKR 500 are hers to withdraw. Returns the id of her claim's click."""
    method = await api.post(
        "/v1/me/payout-methods",
        json={"kind": "bank_account", "label": "Asma's salary", "iban": IBAN},
        headers=keyed(shopper_headers),
    )
    assert method.status_code == 201, method.text
    click = await api.post(
        "/v1/clicks",
        json={"merchant": "daraz", "link": LANDING},
        headers=keyed(shopper_headers) | {"User-Agent": BROWSER},
    )
    assert click.status_code == 201, click.text
    claim = {"reason_code": "not_tracked", "click_id": click.json()["click_id"], "order_id": ORDER, "note": NOTE}
    claimed = await api.post(
        "/v1/me/claims", json=claim | {"order_amount_minor": 5_000}, headers=keyed(shopper_headers)
    )
    assert claimed.status_code == 201, claimed.text
    assert (await api.put("/v1/me/favourites/merchants/daraz", headers=shopper_headers)).status_code == 204
    await world.earn(shopper_id, 70_000)
    paid = await world.withdraw(shopper_id, UUID(method.json()["id"]), 20_000)
    await world.run_jobs(SEND)
    assert await world.payout_state(paid.id) == "succeeded"
    return UUID(click.json()["click_id"])


# Taking it along


async def test_the_export_holds_what_there_is_in_full(
    api: httpx2.AsyncClient, world: Any, busy: UUID, shopper_headers: Headers, shopper_id: UUID
) -> None:
    document = await export(api, shopper_headers)
    assert document["customer_id"] == str(shopper_id)
    assert [one["email"] for one in document["profile"]] == ["asma@wapsi.example"]
    assert [(one["account"], one["masked"]) for one in document["payout_methods"]] == [
        (IBAN, "PK••••••••••••••••••6702")
    ]
    assert [(one["kind"], one["thing_id"]) for one in document["favourites"]] == [("merchant", str(world.merchant_id))]
    assert {one["id"] for one in document["clicks"]} >= {str(busy)}
    assert {one["user_agent"] for one in document["clicks"]} == {BROWSER, "Mozilla/5.0"}
    assert [(one["state"], one["amount_minor"]) for one in document["cashbacks"]] == [("confirmed", 70_000)]
    assert [(one["state"], one["amount_minor"]) for one in document["payouts"]] == [("succeeded", 20_000)]
    assert [(one["note"], one["order_id"], one["merchant"]) for one in document["claims"]] == [(NOTE, ORDER, "daraz")]
    available = [e["amount_minor"] for e in document["ledger_entries"] if e["account"].endswith(":available")]
    assert available == [-70_000, 20_000]
    assert len(document["sessions"]) == 1
    assert document.keys() - {"customer_id", "generated_at"} == set(world.runtime.personal_data.section_names)


async def test_the_export_holds_nothing_of_others(
    api: httpx2.AsyncClient, world: Any, busy: UUID, stranger_headers: Headers
) -> None:
    document = await export(api, stranger_headers)
    counts = {name: len(document[name]) for name in world.runtime.personal_data.section_names}
    assert counts == dict.fromkeys(counts, 0) | {"profile": 1, "sessions": 1}
    assert "asma" not in orjson.dumps(document).decode()


async def test_the_export_is_not_kept_by_caches(api: httpx2.AsyncClient, shopper_headers: Headers) -> None:
    answer = await api.get("/v1/me/export", headers=shopper_headers)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert (await api.get("/v1/me/export")).status_code == 401


_CLICKS = """
INSERT INTO clicks (id, clicked_at, customer_id, merchant_id, currency, landing_url, target_url,
    rate_schedule_version, receipt)
SELECT id, uuid_extract_timestamp(id), $1, $2, 'PKR', 'https://daraz.example/', 'https://daraz.example/', 1,
    repeat('r', 2000)
FROM (SELECT uuidv7(make_interval(secs => -(n / 7))) AS id FROM generate_series(1, 10000) AS n) AS made
"""


async def test_ten_thousand_clicks_are_exported_in_windows(
    world: Any, runtime: Runtime, shopper_headers: Headers, shopper_id: UUID
) -> None:
    """Many of them of one moment, as they are when they were written together."""
    await world.sql(_CLICKS, shopper_id, world.merchant_id)
    pieces: list[int] = []
    ids: set[bytes] = set()
    tracemalloc.start()
    async for piece in runtime.personal_data.export(runtime.db.reads, runtime.keys, shopper_id):
        pieces.append(len(piece))
        ids.update(part[:36] for part in piece.split(b'{"id":"')[1:] if b'"receipt"' in part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(ids) == 10_000
    assert sum(pieces) > 20_000_000
    assert max(pieces) < personal_data.WINDOW * 4_000
    assert peak < 10_000_000


# Leaving


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
            await customers.update_profile(session, shopper_id, {"display_name": "Asma"})
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


async def delete(world: Any, customer_id: UUID) -> None:
    principal = Principal(PrincipalKind.CUSTOMER, customer_id, CUSTOMER_PERMISSIONS)
    async with world.db.write() as session:
        await customers.delete_account(session, world.runtime.personal_data, principal, forfeit=True)


async def booked(world: Any, account: str) -> int:
    async with world.db.read() as session:
        found = await service.list_accounts(session, limit=200, prefix=account)
    return sum(one.balance_minor for one in found)


async def test_pending_cashback_is_forfeited_when_it_is_decided(world: Any) -> None:
    customer_id = await world.customer()
    click = await world.click(customer_id)
    await world.report(conversion_id="sale-1", click_id=str(click.id))
    await delete(world, customer_id)
    assert (await world.balance(customer_id))["pending"] == 5_000
    await world.run_periodic("cashback.empty_accounts")
    assert await booked(world, "income:forfeited") == 0

    await world.report(conversion_id="sale-1", status="approved")
    assert (await world.balance(customer_id))["available"] == 5_000
    await world.run_periodic("cashback.empty_accounts")
    await world.run_periodic("cashback.empty_accounts")
    assert (await world.balance(customer_id), await booked(world, "income:forfeited")) == (NOTHING, 5_000)
    assert await world.violations() == []


async def test_a_return_after_the_customer_left_is_a_loss_and_no_debt(world: Any) -> None:
    customer_id, staying = await world.customer(), await world.customer()
    await world.earn(customer_id, 50_000, "sale-1")
    await world.earn(staying, 30_000)
    await delete(world, customer_id)
    await world.report(conversion_id="sale-1", status="reversed")
    assert (await world.balance(customer_id))["owed"] == 50_000
    await world.run_periodic("cashback.empty_accounts")
    assert await world.balance(customer_id) == NOTHING
    assert (await booked(world, "income:forfeited"), await booked(world, "expenses:bad_debt")) == (50_000, 50_000)
    assert (await world.balance(staying))["available"] == 30_000
    assert await world.violations() == []
    async with world.db.read() as session:
        assert [line for line in await service.reconcile(session) if line.difference_minor] == []


async def test_a_withdrawal_and_a_deletion_at_once_and_one_of_them_happens(world: Any) -> None:
    outcomes = set()
    for _ in range(12):
        customer_id = await world.customer()
        await world.earn(customer_id, 50_000)
        method = await world.payout_method(customer_id)
        withdrawn, deleted = await asyncio.gather(
            world.withdraw(customer_id, method, 50_000), delete(world, customer_id), return_exceptions=True
        )
        if isinstance(withdrawn, PayoutView):
            assert isinstance(deleted, PayoutUnderWay), deleted
            assert (await world.balance(customer_id))["in_flight"] == 50_000
        else:
            assert isinstance(withdrawn, InsufficientBalance | CustomerNotActive | customers.PayoutMethodNotFound)
            assert deleted is None
            assert await world.balance(customer_id) == NOTHING
        outcomes.add(deleted is None)
    assert outcomes
    assert await world.violations() == []


async def test_a_sale_and_a_deletion_at_once_do_not_wait_for_each_other_for_ever(world: Any) -> None:
    for _ in range(8):
        customer_id = await world.customer()
        click = await world.click(customer_id)
        sale = uuid4().hex
        await world.report(conversion_id=sale, click_id=str(click.id))
        reported, deleted = await asyncio.gather(
            world.report(conversion_id=sale, status="approved"), delete(world, customer_id), return_exceptions=True
        )
        assert (reported.outcome, deleted) == ("applied", None)
    await world.run_periodic("cashback.empty_accounts")
    assert await booked(world, "income:forfeited") == 8 * 5_000
    assert await world.violations() == []


async def test_two_deletions_at_once_and_one_finds_nobody(world: Any) -> None:
    customer_id = await world.customer()
    await world.earn(customer_id, 50_000)
    results = await asyncio.gather(*(delete(world, customer_id) for _ in range(5)), return_exceptions=True)
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, CustomerNotFound) for result in results) == 4
    assert await booked(world, "income:forfeited") == 50_000


async def test_what_was_under_way_is_removed_a_while_later(world: Any) -> None:
    customer_id, staying = await world.customer(), await world.customer()
    click, kept = await world.click(customer_id), await world.click(staying)
    await delete(world, customer_id)
    await world.sql("UPDATE clicks SET user_agent = $2, target_url = 'x' WHERE id = $1", click.id, BROWSER)
    assert await world.run_jobs(customers.ERASE_AGAIN) == 0
    await world.sql("UPDATE jobs SET due_at = now() WHERE kind = $1", customers.ERASE_AGAIN)
    assert await world.run_jobs(customers.ERASE_AGAIN) == 1
    rows = {row["id"]: tuple(row)[1:] for row in await world.sql("SELECT id, user_agent, target_url FROM clicks")}
    assert rows[click.id] == ("", "")
    assert rows[kept.id][0] == "Mozilla/5.0"
    assert rows[kept.id][1].startswith("https://")


async def test_nobody_is_erased_by_a_job_about_an_account_that_stays(world: Any, runtime: Runtime) -> None:
    customer_id = await world.customer()
    async with runtime.db.write() as session:
        await customers.erase_again(session, runtime.personal_data, customer_id)
    (row,) = await world.sql("SELECT status, display_name FROM customers")
    assert tuple(row) == ("active", "Asma")


async def test_the_short_link_of_a_customer_who_left_leads_nowhere(
    api: httpx2.AsyncClient, world: Any, shopper_headers: Headers, shopper_id: UUID
) -> None:
    click = await world.click(shopper_id)
    path = httpx2.URL(click.url).path
    assert (await api.get(path)).status_code == 302
    assert (await leave(api, shopper_headers)).status_code == 204
    answer = await api.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (404, "CLICK_NOT_FOUND")


async def test_a_claims_note_is_in_the_claim_alone(world: Any, busy: UUID) -> None:
    """What is written down about its moves is never changed, and so could not be removed."""
    assert [row["note"] for row in await world.sql("SELECT note FROM claims")] == [NOTE]
    changes = await world.sql("SELECT detail::text AS detail FROM state_changes WHERE entity = 'claim'")
    assert [row["detail"] for row in changes] == ["{}"]
