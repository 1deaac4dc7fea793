"""An approved claim is booked: by its sale, or by goodwill, which takes two operators where it is large."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from domains.cashback import service
from domains.cashback.config import get_cashback_settings
from domains.cashback.errors import (
    ClaimSaleNotFound,
    ClaimSaleUndecided,
    ClaimSettlementInvalid,
    ClickDoesNotExplain,
    GoodwillDiffers,
    GoodwillNotOwed,
    SaleAttributed,
    SecondPersonNeeded,
)
from domains.customers import service as customers
from wapsi.security.permissions import ROLE_PERMISSIONS, OperatorRole
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.state import IllegalMove

SALE, GOODWILL = service.ClaimResolution.SALE, service.ClaimResolution.GOODWILL
NONE = {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}
# From PKR 200 on; the order of PKR 1,000 earns PKR 50.
LIMIT = 20_000


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WAPSI_CASHBACK_GOODWILL_APPROVAL_MINOR", f'{{"PKR": {LIMIT}}}')
    get_cashback_settings.cache_clear()
    yield
    get_cashback_settings.cache_clear()


@pytest.fixture
async def shopper(world: Any) -> UUID:
    found: UUID = await world.customer()
    return found


@pytest.fixture
def claim(world: Any, shopper: UUID) -> Callable[..., Awaitable[UUID]]:
    """A claim about the order sale-1 of PKR 1,000, sent to the merchant."""

    async def claim(order: str = "sale-1", reason: str = "not_tracked", amount: int = 100_000) -> UUID:
        click = await world.click(shopper)
        new = service.NewClaim(service.ClaimReason(reason), click.id, order, amount)
        async with world.db.write() as session:
            made = await service.submit_claim(session, shopper, new)
            await service.move_claim(session, clerk(), made.id, service.ClaimState.SENT_TO_MERCHANT, "asked")
        return made.id

    return claim


def clerk() -> Principal:
    return Principal(PrincipalKind.OPERATOR, UUID(int=1), ROLE_PERMISSIONS[OperatorRole.SUPPORT])


@pytest.fixture
def person(world: Any) -> Callable[..., Awaitable[Principal]]:
    async def person(role: OperatorRole = OperatorRole.SUPPORT) -> Principal:
        async with world.db.write() as session:
            made = await customers.create_operator(session, f"{uuid4().hex}@wapsi.example", "correct horse", role)
        return Principal(PrincipalKind.OPERATOR, made.id, ROLE_PERMISSIONS[role])

    return person


@pytest.fixture
def approve(world: Any) -> Callable[..., Awaitable[service.ClaimView]]:
    async def approve(
        claim_id: UUID, by: service.ClaimResolution, who: Principal | None = None, **named: Any
    ) -> service.ClaimView:
        async with world.db.write() as session:
            return await service.approve_claim(
                session,
                world.runtime.keys,
                who or clerk(),
                claim_id,
                service.Settlement(by, **named),
                "merchant_agreed",
            )

    return approve


async def rewards(world: Any) -> list[tuple[str, int]]:
    rows = await world.sql("SELECT state, amount_minor FROM rewards ORDER BY id")
    return [tuple(row) for row in rows]


async def entries(world: Any, kind: str) -> dict[str, int]:
    """{account without the customer's id: amount}"""
    rows = await world.sql(
        "SELECT regexp_replace(a.path, '[0-9a-f-]{36}', '') AS path, sum(e.amount_minor)::bigint AS minor"
        " FROM ledger_transactions t JOIN ledger_entries e ON e.transaction_id = t.id"
        " JOIN ledger_accounts a ON a.id = e.account_id WHERE t.kind = $1 GROUP BY 1",
        kind,
    )
    return {row["path"]: row["minor"] for row in rows}


async def is_sound(world: Any) -> bool:
    async with world.db.read() as session:
        lines = await service.reconcile(session)
    return await world.violations() == [] and all(line.difference_minor == 0 for line in lines)


@pytest.mark.parametrize(
    ("word", "state", "balance"),
    [("pending", "pending", {"pending": 5_000}), ("approved", "confirmed", {"available": 5_000})],
)
async def test_sale_that_no_click_explained_is_the_claimants(
    world: Any, shopper: UUID, claim: Any, approve: Any, word: str, state: str, balance: dict[str, int]
) -> None:
    claim_id = await claim()
    result = await world.report(status=word)
    approved = await approve(claim_id, SALE)
    assert (approved.state, approved.resolution, approved.conversion_id) == ("approved", "sale", result.conversion_id)
    assert approved.status.endswith("the sale was found, and its cashback is among yours.")
    assert await rewards(world) == [(state, 5_000)]
    assert await world.balance(shopper) == NONE | balance
    moved = await entries(world, "conversion.attributed")
    assert moved["liabilities:unattributed:impact"] == 10_000
    assert moved["income:commission:daraz"] == -10_000
    assert await is_sound(world)
    # What the network says from now on is about a sale as any other.
    await world.report(status="declined")
    assert await world.balance(shopper) == NONE
    assert await is_sound(world)


async def test_sale_that_is_the_customers_already_books_nothing(
    world: Any, shopper: UUID, claim: Any, approve: Any
) -> None:
    claim_id = await claim()
    await world.report(click_id=str((await world.click(shopper)).id))
    before = await world.sql("SELECT count(*) AS n FROM ledger_entries")
    assert (await approve(claim_id, SALE)).state == "approved"
    assert await world.sql("SELECT count(*) AS n FROM ledger_entries") == before


async def test_claim_that_it_takes_long_needs_the_sale_confirmed(
    world: Any, shopper: UUID, claim: Any, approve: Any
) -> None:
    claim_id = await claim(reason="late")
    await world.report(click_id=str((await world.click(shopper)).id))
    with pytest.raises(ClaimSaleUndecided):
        await approve(claim_id, SALE)
    await world.report(status="approved")
    assert (await approve(claim_id, SALE)).state == "approved"


async def test_sale_that_does_not_give_what_is_claimed_settles_nothing(
    world: Any, shopper: UUID, claim: Any, approve: Any
) -> None:
    claim_id = await claim()
    with pytest.raises(ClaimSaleNotFound):
        await approve(claim_id, SALE)
    with pytest.raises(ClaimSaleNotFound):
        await approve(claim_id, SALE, conversion_id=UUID(int=7))
    with pytest.raises(ClaimSettlementInvalid):
        await approve(claim_id, SALE, amount_minor=5)
    with pytest.raises(ClaimSettlementInvalid):
        await approve(claim_id, GOODWILL, conversion_id=UUID(int=7))
    others = await world.click(await world.customer())
    taken = await world.report(conversion_id="sale-2", click_id=str(others.id))
    with pytest.raises(SaleAttributed):
        await approve(claim_id, SALE, conversion_id=taken.conversion_id)
    gone = await world.report(conversion_id="sale-3", status="declined")
    with pytest.raises(ClaimSaleUndecided):
        await approve(claim_id, SALE, conversion_id=gone.conversion_id)
    await world.merchant("khaadi", network="impact")
    elsewhere = await world.report(conversion_id="sale-4", merchant="khaadi")
    with pytest.raises(ClaimSaleNotFound):
        await approve(claim_id, SALE, conversion_id=elsewhere.conversion_id)
    assert await world.balance(shopper) == NONE
    assert (await world.sql("SELECT state FROM claims"))[0]["state"] == "sent_to_merchant"


async def test_sale_from_before_the_click_is_not_explained_by_it(world: Any, claim: Any, approve: Any) -> None:
    claim_id = await claim()
    await world.report()
    await world.sql("UPDATE conversions SET occurred_at = occurred_at - interval '1 day'")
    with pytest.raises(ClickDoesNotExplain):
        await approve(claim_id, SALE)
    assert await rewards(world) == []


async def test_only_what_was_sent_to_the_merchant_is_approved(world: Any, claim: Any, approve: Any) -> None:
    claim_id = await claim()
    await approve(claim_id, GOODWILL)
    with pytest.raises(IllegalMove):
        await approve(claim_id, GOODWILL)
    second = await claim("sale-2")
    await world.sql("UPDATE claims SET state = 'submitted' WHERE id = $1", second)
    with pytest.raises(IllegalMove):
        await approve(second, GOODWILL)
    assert await entries(world, "claim.goodwill") == {
        "expenses:goodwill": 5_000,
        "liabilities:customer::available": -5_000,
    }


async def test_goodwill_is_what_the_receipt_promises(world: Any, shopper: UUID, claim: Any, approve: Any) -> None:
    approved = await approve(await claim(), GOODWILL)
    assert (approved.state, approved.resolution, approved.goodwill_minor) == ("approved", "goodwill", 5_000)
    assert "we gave you PKR 50.00 ourselves" in approved.status
    assert await world.balance(shopper) == NONE | {"available": 5_000}
    lines = await service.statement(world.db.reads, shopper, limit=5)
    assert [(line.kind, line.description, line.amount_minor) for line in lines] == [
        ("claim.goodwill", "Goodwill for an order at daraz", 5_000)
    ]
    assert await is_sound(world)


async def test_goodwill_is_less_what_the_sale_has_earned(world: Any, shopper: UUID, claim: Any, approve: Any) -> None:
    claim_id = await claim(reason="wrong_amount", amount=160_000)
    await world.report(click_id=str((await world.click(shopper)).id))
    assert (await approve(claim_id, GOODWILL)).goodwill_minor == 3_000
    assert await world.balance(shopper) == NONE | {"pending": 5_000, "available": 3_000}
    enough = await claim("sale-2")
    await world.report(conversion_id="sale-2", click_id=str((await world.click(shopper)).id))
    with pytest.raises(GoodwillNotOwed):
        await approve(enough, GOODWILL)
    assert (await approve(enough, GOODWILL, amount_minor=100)).goodwill_minor == 100


async def test_receipt_that_is_not_genuine_promises_nothing(world: Any, claim: Any, approve: Any) -> None:
    claim_id = await claim()
    await world.sql("UPDATE clicks SET receipt = left(receipt, -4) || 'AAAA'")
    with pytest.raises(GoodwillNotOwed):
        await approve(claim_id, GOODWILL)
    assert (await approve(claim_id, GOODWILL, amount_minor=700)).goodwill_minor == 700


async def test_what_the_customer_owes_is_kept_back_from_goodwill(
    world: Any, shopper: UUID, claim: Any, approve: Any
) -> None:
    await world.earn(shopper, 20_000, "withdrawn")
    await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    await world.report(conversion_id="withdrawn", status="reversed")
    assert (await world.balance(shopper))["owed"] == 20_000
    await approve(await claim(), GOODWILL)
    assert (await world.balance(shopper))["owed"] == 15_000
    assert (await world.balance(shopper))["available"] == 0
    assert await is_sound(world)


async def test_sale_of_the_network_that_the_merchant_had_before_counts(
    world: Any, shopper: UUID, claim: Any, approve: Any
) -> None:
    claim_id = await claim()
    click_id = (await world.sql("SELECT click_id FROM claims"))[0]["click_id"]
    await world.report(click_id=str(click_id), status="approved")
    await world.sql("UPDATE merchants SET network_id = NULL")
    with pytest.raises(GoodwillNotOwed):
        await approve(claim_id, GOODWILL)
    assert (await approve(claim_id, SALE)).resolution == "sale"


async def test_large_goodwill_takes_two_operators(
    world: Any, shopper: UUID, claim: Any, approve: Any, person: Any
) -> None:
    claim_id = await claim()
    first, second = await person(), await person(OperatorRole.FINANCE)
    waiting = await approve(claim_id, GOODWILL, first, amount_minor=LIMIT)
    assert (waiting.state, waiting.goodwill_minor) == ("sent_to_merchant", None)
    assert await world.balance(shopper) == NONE
    with pytest.raises(SecondPersonNeeded):
        await approve(claim_id, GOODWILL, first)
    with pytest.raises(GoodwillDiffers):
        await approve(claim_id, GOODWILL, second, amount_minor=LIMIT - 1)
    async with world.db.read() as session:
        case = await service.claim_case(session, world.runtime.keys, claim_id)
    assert [(one.operator_id, one.amount_minor) for one in case.approvals] == [(first.id, LIMIT)]
    assert (await approve(claim_id, GOODWILL, second)).goodwill_minor == LIMIT
    assert await world.balance(shopper) == NONE | {"available": LIMIT}
    rows = await world.sql("SELECT action, actor FROM audit_log WHERE action LIKE 'claim.%approved' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("claim.goodwill_approved", str(first)),
        ("claim.approved", str(second)),
    ]
    assert await is_sound(world)


async def test_small_gifts_to_one_customer_are_one_large_one(
    world: Any, shopper: UUID, claim: Any, approve: Any, person: Any
) -> None:
    await approve(await claim("sale-1"), GOODWILL, await person(), amount_minor=LIMIT - 5_000)
    second = await claim("sale-2")
    assert (await approve(second, GOODWILL, await person())).state == "sent_to_merchant"
    await world.sql("UPDATE claims SET updated_at = now() - interval '25 hours' WHERE state = 'approved'")
    third = await claim("sale-3")
    assert (await approve(third, GOODWILL, await person())).state == "approved"


async def test_approval_counts_until_the_claim_moves_or_its_giver_may_no_more(
    world: Any, claim: Any, approve: Any, person: Any
) -> None:
    claim_id = await claim()
    first, second = await person(), await person()
    await approve(claim_id, GOODWILL, first, amount_minor=LIMIT)
    async with world.db.write() as session:
        for state in (service.ClaimState.INFO_REQUIRED, service.ClaimState.SENT_TO_MERCHANT):
            await service.move_claim(session, clerk(), claim_id, state, "asked_again", "Which colour?")
    assert (await approve(claim_id, GOODWILL, second, amount_minor=LIMIT)).state == "sent_to_merchant"
    await world.sql("UPDATE operators SET status = 'disabled' WHERE id = $1", second.id)
    assert (await approve(claim_id, GOODWILL, first, amount_minor=LIMIT)).state == "sent_to_merchant"
    assert (await approve(claim_id, GOODWILL, await person())).state == "approved"


async def test_of_two_at_the_same_moment_one_books(world: Any, shopper: UUID, claim: Any, approve: Any) -> None:
    claim_id = await claim()
    await world.report()
    outcomes = await asyncio.gather(
        approve(claim_id, SALE), approve(claim_id, GOODWILL), approve(claim_id, SALE), return_exceptions=True
    )
    assert sum(isinstance(outcome, service.ClaimView) for outcome in outcomes) == 1, outcomes
    balance = await world.balance(shopper)
    assert balance["pending"] + balance["available"] == 5_000
    assert await is_sound(world)


async def test_goodwill_that_the_ledger_does_not_hold_is_named(world: Any, claim: Any, approve: Any) -> None:
    claim_id = await claim()
    await approve(claim_id, GOODWILL)
    await world.sql("UPDATE claims SET goodwill_minor = 5001")
    found = await world.violations()
    assert [(one.invariant, one.subject) for one in found] == [("I3", f"claim {claim_id}")]


async def test_operators_see_the_case_and_settle_it_over_rest(
    api: httpx2.AsyncClient, world: Any, claim: Any, operator: Any
) -> None:
    claim_id = await claim()
    await world.report()
    support = await operator(OperatorRole.SUPPORT)
    case = (await api.get(f"/v1/admin/claims/{claim_id}", headers=support)).json()
    assert (case["sale"]["external_id"], case["sale"]["state"], case["owed_minor"]) == ("sale-1", "unattributed", 5_000)
    path = f"/v1/admin/claims/{claim_id}:approve"
    assert (await api.post(path, json={"resolution": "sale"}, headers=support)).status_code == 422
    body = {"resolution": "sale", "reason_code": "found"}
    settled = await api.post(path, json=body, headers=support)
    assert (settled.status_code, settled.json()["conversion_id"]) == (200, case["sale"]["id"])
    again = await api.post(path, json=body, headers=support)
    assert (again.status_code, again.json()["reason"]) == (409, "ILLEGAL_STATE_CHANGE")
    assert (await api.get(f"/v1/admin/claims/{UUID(int=9)}", headers=support)).status_code == 404
    catalogue = await operator(OperatorRole.CATALOGUE)
    assert (await api.post(path, json=body, headers=catalogue)).status_code == 403
