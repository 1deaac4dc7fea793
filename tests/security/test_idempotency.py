"""Every POST of OpenAPI takes an Idempotency-Key, or is named here with the reason why repeating it does no harm."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from tests.security.access import Row, rows
from tests.security.test_access_rest import Call, is_expected, reason_of, told
from tests.security.world import World

# Moves along a state machine: the second of two equal ones finds the state already there, and is refused or a no-op.
_A_MOVE = "a move, which does nothing the second time"
# An answer that was lost could not be shown again anyway: its secret is stored nowhere.
_NOT_YET = "the second takes the place of the first"
REPEATABLE = {
    "POST /v1/sessions": "whoever has the password may have two sessions",
    "POST /v1/admin/sessions": "whoever has the password may have two sessions",
    "POST /v1/sessions:refresh": "the refresh token is good for one time",
    "POST /v1/me/sessions:revoke-others": _A_MOVE,
    "POST /v1/admin/me/sessions:revoke-others": _A_MOVE,
    "POST /v1/sessions:passkey-options": "nothing is stored",
    "POST /v1/sessions:passkey": "the challenge is good for one sign-in",
    "POST /v1/me/passkeys:options": "nothing is stored",
    "POST /v1/admin/me/passkeys:options": "nothing is stored",
    "POST /v1/me/passkeys": "the challenge is good for one passkey",
    "POST /v1/admin/me/passkeys": "the challenge is good for one passkey",
    "POST /v1/me/passkeys/{passkey_id}:remove": _A_MOVE,
    "POST /v1/admin/me/passkeys/{passkey_id}:remove": _A_MOVE,
    "POST /v1/sessions:verify": "the challenge is good for one sign-in",
    "POST /v1/me/factors/totp": _NOT_YET,
    "POST /v1/admin/me/factors/totp": _NOT_YET,
    "POST /v1/me/factors/totp:confirm": _A_MOVE,
    "POST /v1/admin/me/factors/totp:confirm": _A_MOVE,
    "POST /v1/me/factors/totp:remove": _A_MOVE,
    "POST /v1/admin/me/factors/totp:remove": _A_MOVE,
    "POST /v1/me/recovery-codes": _NOT_YET,
    "POST /v1/admin/me/recovery-codes": _NOT_YET,
    "POST /v1/password-resets/{reset_id}:confirm": "the code is good for one use",
    "POST /v1/me/password": "the password before is good for one change",
    "POST /v1/postbacks/{network}": "the signed webhook-id is the key, for ever",
    "POST /v1/postbacks/{network}/{token}": "the same words are the same event, for ever",
    "POST /v1/admin/networks/{slug}/adapter:try": "nothing is stored",
    "POST /v1/admin/networks/{slug}/adapter:close-address": _A_MOVE,
    "POST /v1/me/payouts/{payout_id}:cancel": _A_MOVE,
    "POST /v1/me:delete": "who has left is not found the second time",
    "POST /v1/syncs/{id}:approve": _A_MOVE,
    "POST /v1/syncs/{id}:discard": _A_MOVE,
    "POST /v1/admin/merchants/{slug}:activate": _A_MOVE,
    "POST /v1/admin/merchants/{slug}:pause": _A_MOVE,
    "POST /v1/admin/merchants/{slug}:archive": _A_MOVE,
    "POST /v1/admin/merchants/{slug}/boosts/{boost_id}:end": _A_MOVE,
    "POST /v1/admin/merchants/{slug}/feed-source:fetch": "while a fetch is under way, none is started",
    "POST /v1/admin/producers/{producer_id}:revoke": _A_MOVE,
    "POST /v1/admin/producers/{producer_id}/keys/{key_prefix}:revoke": _A_MOVE,
    "POST /v1/admin/conversions/{conversion_id}:approve": _A_MOVE,
    "POST /v1/admin/conversions/{conversion_id}:decline": _A_MOVE,
    "POST /v1/admin/mapping-proposals/{proposal_id}:preview": _A_MOVE,
    "POST /v1/admin/mapping-proposals/{proposal_id}:apply": _A_MOVE,
    "POST /v1/admin/mapping-proposals/{proposal_id}:discard": _A_MOVE,
    "POST /v1/admin/rewards/{reward_id}:hold": _A_MOVE,
    "POST /v1/admin/rewards/{reward_id}:release": _A_MOVE,
    "POST /v1/admin/rewards/{reward_id}:decline": _A_MOVE,
    "POST /v1/admin/bonus-rules/{rule_id}:end": _A_MOVE,
    "POST /v1/admin/bonuses/{bonus_id}:release": _A_MOVE,
    "POST /v1/admin/bonuses/{bonus_id}:decline": _A_MOVE,
    "POST /v1/admin/payouts/{payout_id}:hold": _A_MOVE,
    "POST /v1/admin/payouts/{payout_id}:release": _A_MOVE,
    "POST /v1/admin/claims/{claim_id}:decide": _A_MOVE,
    "POST /v1/admin/claims/{claim_id}:approve": _A_MOVE,
    "POST /v1/admin/conversions/{conversion_id}:attribute": _A_MOVE,
    "POST /v1/admin/customers:find": "a look, of which the audit log tells as often as it happens",
    "POST /v1/admin/customers/{customer_id}:suspend": _A_MOVE,
    "POST /v1/admin/customers/{customer_id}:reactivate": _A_MOVE,
}
KEYED = [row for row in rows("rest") if row.name.startswith("POST ") and row.name not in REPEATABLE]
# What the body of an answer shows once and never again.
SHOWN_ONCE = ("key", "secret")


def posts(app: FastAPI) -> Iterator[tuple[str, bool]]:
    """(name, takes a key) of each."""
    for path, operations in app.openapi()["paths"].items():
        if "post" in operations:
            names = {parameter["name"].lower() for parameter in operations["post"].get("parameters", ())}
            yield f"POST {path}", "idempotency-key" in names


def test_each_post_takes_a_key_or_says_why_not(app: FastAPI) -> None:
    keyed = {name for name, takes_key in posts(app) if takes_key}
    others = {name for name, takes_key in posts(app) if not takes_key}
    assert len(keyed) >= 12
    assert others == REPEATABLE.keys()
    assert keyed == {row.name for row in KEYED}


@pytest.fixture
def keyless() -> Any:
    return lambda headers: {name: value for name, value in headers.items() if name != "Idempotency-Key"}


async def test_without_a_key_nothing_is_made(world: World, everything_stored: Any, keyless: Any) -> None:
    faults = []
    for row in KEYED:
        call = Call(world, row)
        await call.prepare()
        before = await everything_stored()
        answer = await call(keyless(_headers(world, row)))
        if told(answer) != "400 IDEMPOTENCY_KEY_MISSING" or await everything_stored() != before:
            faults.append(f"{row.name}: {answer.status_code} {answer.text[:200]}")
    assert faults == []


async def test_what_is_repeated_is_answered_alike_and_made_once(world: World, everything_stored: Any) -> None:
    faults = []
    made = 0
    for row in KEYED:
        call = Call(world, row)
        await call.prepare()
        headers = _headers(world, row)
        first = await call(headers)
        if not is_expected(row, first):
            faults.append(f"{row.name}: {first.status_code} {first.text[:200]}")
        if not first.is_success:
            continue  # a refusal is not kept: the key is good for another try
        made += 1
        before = await everything_stored()
        again = await call(headers)
        if (
            again.status_code != first.status_code
            or _kept(again.json()) != _kept(first.json())
            or again.headers.get("idempotency-replayed") != "true"
            or await everything_stored() != before
        ):
            faults.append(f"{row.name}, repeated: {again.status_code} {again.text[:200]}")
        call.padding = " "  # another body as text, though it says the same
        other = await call(headers)
        if call.row.body is not None and reason_of(other) != "IDEMPOTENCY_KEY_REUSED":
            faults.append(f"{row.name}, with another body: {other.status_code} {other.text[:200]}")
        if await everything_stored() != before:
            faults.append(f"{row.name}, with another body: something changed")
    assert faults == []
    assert made >= 10


def _headers(world: World, row: Row) -> dict[str, str]:
    return world.headers(None if row.is_public else row.in_order()[0])


def _kept(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in SHOWN_ONCE}
