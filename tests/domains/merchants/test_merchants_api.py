"""The REST API of merchants: what anyone may read, and what operators may change."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from domains.merchants import service
from domains.merchants.service import MerchantRef, MerchantStatus, NewSchedule, Rate
from wapsi.clock import now
from wapsi.db import Database
from wapsi.runtime import Runtime
from wapsi.security.permissions import OperatorRole

MakeMerchant = Callable[..., Awaitable[MerchantRef]]
SignIn = Callable[[OperatorRole], Awaitable[dict[str, str]]]
SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
Headers = dict[str, str]

MERCHANT = {
    "slug": "khaadi",
    "name": "Khaadi",
    "currency": "PKR",
    "deep_link_template": "https://go.network.example/c?u={link}&s={click_id}",
    "allowed_landing_hosts": ["pk.khaadi.example"],
    "feed_settings": {"mapping": {"title": "Product name"}},
}
RATES = {
    "rates": [
        {"kind": "percent", "percent_bps": 250, "currency": "PKR", "cap_minor": 50_000},
        {"rate_category": "kids", "customer_type": "new", "kind": "fixed", "fixed_minor": 20_000, "currency": "PKR"},
    ],
    "exclusions": "Gift cards.",
    "terms": "One order a day.",
}


def keyed(headers: Headers) -> Headers:
    return headers | {"Idempotency-Key": uuid4().hex}


# Reading


async def test_the_public_sees_active_and_paused_merchants_and_not_how_clicks_are_tracked(
    api: httpx2.AsyncClient, make_merchant: MakeMerchant
) -> None:
    for slug, status in zip("abcd", MerchantStatus, strict=True):
        await make_merchant(slug, status=status)
    answer = await api.get("/v1/merchants")
    assert answer.status_code == 200
    assert [(item["slug"], item["status"]) for item in answer.json()["items"]] == [("b", "active"), ("c", "paused")]
    assert "deep_link_template" not in answer.json()["items"][0]

    assert (await api.get("/v1/merchants/b")).json()["name"] == "B"
    for hidden in ("a", "d", "nobody"):
        answer = await api.get(f"/v1/merchants/{hidden}")
        assert (answer.status_code, answer.json()["reason"]) == (404, "MERCHANT_NOT_FOUND")
        assert (await api.get(f"/v1/merchants/{hidden}/rates")).status_code == 404


async def test_pages_follow_one_another_without_gaps(api: httpx2.AsyncClient, make_merchant: MakeMerchant) -> None:
    for slug in ("e", "a", "c", "b", "d"):
        await make_merchant(slug)
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = (await api.get("/v1/merchants", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [item["slug"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["a", "b", "c", "d", "e"]
    assert cursor is None


async def test_names_are_found_by_how_they_begin(api: httpx2.AsyncClient, make_merchant: MakeMerchant) -> None:
    await make_merchant("a", name="Khaadi")
    await make_merchant("b", name="Gul Ahmed")
    page = (await api.get("/v1/merchants", params={"q": "kha"})).json()
    assert [item["name"] for item in page["items"]] == ["Khaadi"]


@pytest.mark.parametrize(
    "query",
    ["cursor=nonsense", "cursor=WzFd", "limit=0", "limit=201", "q=%00", "cursor=WyJtZXJjaGFudHMiLCJcdTAwMDAiXQ"],
)
async def test_a_listing_refuses_what_it_cannot_read(api: httpx2.AsyncClient, query: str) -> None:
    answer = await api.get(f"/v1/merchants?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/merchants", "/v1/merchants/daraz", "/v1/merchants/daraz/rates"])
async def test_an_unchanged_answer_is_not_sent_again(
    api: httpx2.AsyncClient, db: Database, make_merchant: MakeMerchant, percent: Callable[..., Rate], path: str
) -> None:
    await make_merchant("daraz")
    first = await api.get(path)
    etag = first.headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        again = await api.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)

    async with db.write() as session:
        await service.update_merchant(session, None, "daraz", {"name": "Daraz 2"})
        await service.publish_rates(session, None, "daraz", NewSchedule((percent(1),)))
    changed = await api.get(path, headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


async def test_rates_show_what_holds_now_and_what_comes(
    api: httpx2.AsyncClient, db: Database, make_merchant: MakeMerchant, percent: Callable[..., Rate]
) -> None:
    await make_merchant("daraz")
    async with db.write() as session:
        later = NewSchedule((percent(900),), now() + timedelta(days=3), exclusions="Gift cards.")
        await service.publish_rates(session, None, "daraz", later)
    rates = (await api.get("/v1/merchants/daraz/rates")).json()
    assert rates["current"]["version"] == 1
    assert rates["current"]["rates"] == [
        {
            "rate_category": "",
            "customer_type": "unknown",
            "kind": "percent",
            "percent_bps": 250,
            "fixed_minor": None,
            "currency": "PKR",
            "cap_minor": None,
        }
    ]
    (upcoming,) = rates["upcoming"]
    assert upcoming["valid_from"] == rates["current"]["valid_until"]
    assert (upcoming["exclusions"], upcoming["valid_until"]) == ("Gift cards.", None)


# Changing


async def test_an_operator_brings_a_merchant_from_a_draft_to_the_archive(
    api: httpx2.AsyncClient, admin: Headers
) -> None:
    made = await api.post("/v1/admin/merchants", json=MERCHANT, headers=admin)
    assert made.status_code == 201, made.text
    assert made.json()["status"] == "draft"
    assert made.json()["feed_settings"] == MERCHANT["feed_settings"]
    assert (await api.get("/v1/merchants/khaadi")).status_code == 404
    assert (await api.get(made.headers["location"], headers=admin)).json() == made.json()

    refused = await api.post("/v1/admin/merchants/khaadi:activate", headers=admin)
    assert (refused.status_code, refused.json()["reason"]) == (409, "MERCHANT_NOT_READY")

    published = await api.post("/v1/admin/merchants/khaadi/rates", json=RATES, headers=keyed(admin))
    assert published.status_code == 201, published.text
    assert published.json()["version"] == 1
    assert (await api.post("/v1/admin/merchants/khaadi:activate", headers=admin)).json()["status"] == "active"
    assert (await api.get(published.headers["location"])).json()["current"]["terms"] == "One order a day."

    patched = await api.patch("/v1/admin/merchants/khaadi", json={"logo_url": "https://x.example/l.png"}, headers=admin)
    assert patched.json()["logo_url"] == "https://x.example/l.png"
    assert patched.json()["name"] == "Khaadi"

    refused = await api.post("/v1/admin/merchants/khaadi:archive", headers=admin)
    assert (refused.status_code, refused.json()["reason"]) == (409, "ILLEGAL_STATE_CHANGE")
    assert (await api.post("/v1/admin/merchants/khaadi:pause", headers=admin)).json()["status"] == "paused"
    assert (await api.post("/v1/admin/merchants/khaadi:archive", headers=admin)).json()["status"] == "archived"
    listed = (await api.get("/v1/admin/merchants", headers=admin)).json()["items"]
    assert [(item["slug"], item["status"]) for item in listed] == [("khaadi", "archived")]

    refused = await api.patch("/v1/admin/merchants/khaadi", json={"name": "Back"}, headers=admin)
    assert (refused.status_code, refused.json()["reason"]) == (409, "MERCHANT_ARCHIVED")


@pytest.mark.parametrize(
    "change",
    [
        {"slug": "Khaadi"},
        {"slug": "a:b"},
        {"name": ""},
        {"name": "a\0b"},
        {"description": "a\0b"},
        {"currency": "pkr"},
        {"currency": "XXX"},
        {"logo_url": "javascript:alert(1)"},
        {"click_window_days": 0},
        {"deep_link_template": "https://evil.example/"},
        {"allowed_landing_hosts": ["//evil.example"]},
        {"status": "active"},
    ],
)
async def test_a_merchant_that_makes_no_sense_is_refused(
    api: httpx2.AsyncClient, admin: Headers, change: dict[str, Any]
) -> None:
    answer = await api.post("/v1/admin/merchants", json=MERCHANT | change, headers=admin)
    assert answer.status_code == 422, answer.text
    assert (await api.get("/v1/admin/merchants", headers=admin)).json()["items"] == []


@pytest.mark.parametrize("patch", [{"name": None}, {"currency": "USD"}, {"slug": "x"}, {"feed_settings": None}])
async def test_what_never_changes_cannot_be_patched(
    api: httpx2.AsyncClient, admin: Headers, make_merchant: MakeMerchant, patch: dict[str, Any]
) -> None:
    await make_merchant("daraz")
    assert (await api.patch("/v1/admin/merchants/daraz", json=patch, headers=admin)).status_code == 422


async def test_a_slug_that_is_taken_is_a_conflict(
    api: httpx2.AsyncClient, admin: Headers, make_merchant: MakeMerchant
) -> None:
    await make_merchant("khaadi")
    answer = await api.post("/v1/admin/merchants", json=MERCHANT, headers=admin)
    assert (answer.status_code, answer.json()["reason"]) == (409, "MERCHANT_EXISTS")


async def test_rates_that_make_no_sense_name_the_line(
    api: httpx2.AsyncClient, admin: Headers, make_merchant: MakeMerchant
) -> None:
    await make_merchant("daraz")
    rates = {"rates": [{"kind": "percent", "percent_bps": 1, "currency": "USD"}]}
    answer = await api.post("/v1/admin/merchants/daraz/rates", json=rates, headers=admin)
    assert (answer.status_code, answer.json()["reason"]) == (422, "RATES_INVALID")
    assert answer.json()["violations"][0]["field"] == "rates.0"


# Idempotency


async def test_making_something_needs_an_idempotency_key(
    api: httpx2.AsyncClient, admin: Headers, make_merchant: MakeMerchant
) -> None:
    await make_merchant("daraz")
    keyless = {"Authorization": admin["Authorization"]}
    for path, body in (
        ("/v1/admin/merchants", MERCHANT),
        ("/v1/admin/networks", {"slug": "cj", "name": "CJ"}),
        ("/v1/admin/networks/cj:rotate-secret", None),
        ("/v1/admin/merchants/daraz/rates", RATES),
    ):
        answer = await api.post(path, json=body, headers=keyless)
        assert (answer.status_code, answer.json()["reason"]) == (400, "IDEMPOTENCY_KEY_MISSING"), path


async def test_a_repeated_publication_changes_nothing_and_another_body_is_refused(
    api: httpx2.AsyncClient, admin: Headers, make_merchant: MakeMerchant, admin_sql: SQL
) -> None:
    await make_merchant("daraz")
    first = await api.post("/v1/admin/merchants/daraz/rates", json=RATES, headers=admin)
    again = await api.post("/v1/admin/merchants/daraz/rates", json=RATES, headers=admin)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert [tuple(row) for row in await admin_sql("SELECT max(version) FROM rate_schedules")] == [(2,)]

    other = await api.post("/v1/admin/merchants/daraz/rates", json=RATES | {"terms": "x"}, headers=admin)
    assert (other.status_code, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_networks_secret_is_shown_once_and_not_kept_readable(
    api: httpx2.AsyncClient, admin: Headers, admin_sql: SQL, runtime: Runtime
) -> None:
    body = {"slug": "cj", "name": "CJ"}
    first = await api.post("/v1/admin/networks", json=body, headers=admin)
    assert first.status_code == 201, first.text
    assert first.headers["cache-control"] == "no-store"
    secret = first.json()["secret"]
    again = await api.post("/v1/admin/networks", json=body, headers=admin)
    assert again.json() == first.json() | {"secret": None}
    stored = await admin_sql("SELECT body FROM idempotent_answers")
    assert not any(secret.encode() in row["body"] for row in stored)

    headers = keyed(admin)
    rotated = await api.post("/v1/admin/networks/cj:rotate-secret", headers=headers)
    assert rotated.status_code == 200, rotated.text
    assert rotated.json()["secret"] not in (None, secret)
    assert rotated.json()["previous_valid_until"] is not None
    repeated = await api.post("/v1/admin/networks/cj:rotate-secret", headers=headers)
    assert repeated.json()["secret"] is None, "a lost answer does not rotate twice"
    async with runtime.db.read() as session:
        secrets = await service.postback_secrets(session, runtime.keys, UUID(first.json()["id"]))
    assert len(secrets) == 2

    listed = (await api.get("/v1/admin/networks", headers=admin)).json()["items"]
    assert [(item["slug"], "secret" in item) for item in listed] == [("cj", False)]
    taken = await api.post("/v1/admin/networks", json=body, headers=keyed(admin))
    assert (taken.status_code, taken.json()["reason"]) == (409, "NETWORK_EXISTS")


# Who may


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/admin/merchants", MERCHANT),
        ("PATCH", "/v1/admin/merchants/daraz", {"name": "x"}),
        ("POST", "/v1/admin/merchants/daraz:pause", None),
        ("POST", "/v1/admin/merchants/daraz/rates", RATES),
        ("POST", "/v1/admin/networks", {"slug": "cj", "name": "CJ"}),
    ],
)
async def test_only_operators_who_may_write_merchants_change_them(
    api: httpx2.AsyncClient, operator: SignIn, make_merchant: MakeMerchant, method: str, path: str, body: Any
) -> None:
    await make_merchant("daraz")
    anonymous = await api.request(method, path, json=body)
    assert (anonymous.status_code, anonymous.json()["reason"]) == (401, "CREDENTIALS_MISSING")
    support = await api.request(method, path, json=body, headers=await operator(OperatorRole.SUPPORT))
    assert (support.status_code, support.json()["reason"]) == (403, "PERMISSION_MISSING")
    catalogue = await api.request(method, path, json=body, headers=await operator(OperatorRole.CATALOGUE))
    assert catalogue.status_code in (200, 201), catalogue.text
