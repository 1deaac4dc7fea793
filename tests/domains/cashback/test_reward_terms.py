"""A merchant's terms, as the receipt of the click has them: when cashback is confirmed, and what is taken back."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from domains.cashback import service
from domains.cashback.service import receipts
from domains.merchants import service as merchants
from wapsi.security.permissions import OperatorRole, Permission
from wapsi.security.principal import Principal, PrincipalKind

OPERATOR = Principal(PrincipalKind.OPERATOR, UUID(int=1), frozenset(Permission))
NONE = {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}


async def set_terms(world: Any, **terms: str) -> None:
    async with world.db.write() as session:
        await merchants.update_merchant(session, None, "daraz", terms)


@pytest.fixture
async def shopper(world: Any, shopper_id: UUID) -> UUID:
    await set_terms(world, confirmation="after_validation", clawback="waived")
    return shopper_id


async def buy(world: Any, shopper: UUID, word: str = "pending") -> None:
    await world.report(click_id=str((await world.click(shopper)).id), status=word)


async def day_comes(world: Any) -> None:
    await world.sql("UPDATE rewards SET expected_confirmation_at = now() - interval '1 minute'")


async def states(world: Any) -> tuple[str, str]:
    rows = await world.sql(
        "SELECT c.state AS sale, r.state FROM rewards r JOIN conversions c ON c.id = r.conversion_id"
    )
    return rows[0]["sale"], rows[0]["state"]


async def is_sound(world: Any) -> bool:
    async with world.db.read() as session:
        lines = await service.reconcile(session)
    return await world.violations() == [] and all(line.difference_minor == 0 for line in lines)


@pytest.mark.parametrize(("word", "sale"), [("pending", "pending"), ("approved", "approved"), ("paid", "settled")])
async def test_cashback_is_confirmed_when_its_validation_is_over_and_not_before(
    world: Any, shopper: UUID, word: str, sale: str
) -> None:
    await buy(world, shopper, word)
    await world.run_periodic("cashback.confirm_due")
    assert await states(world) == (sale, "pending"), "an approval does not make it earlier"
    await day_comes(world)
    for _ in range(2):
        await world.run_periodic("cashback.confirm_due")
    assert await states(world) == (sale, "confirmed")
    assert await world.balance(shopper) == NONE | {"available": 5_000}
    rows = await world.sql("SELECT actor, reason_code FROM state_changes WHERE to_state = 'confirmed'")
    assert [tuple(row) for row in rows] == [("system", "validation_over")]
    assert await world.sql("SELECT 1 FROM rewards WHERE enquired_at IS NOT NULL") == []
    assert await is_sound(world)


async def test_sale_that_was_confirmed_by_its_day_follows_its_network_on(world: Any, shopper: UUID) -> None:
    await buy(world, shopper)
    await day_comes(world)
    await world.run_periodic("cashback.confirm_due")
    await world.report(status="pending", order_amount_minor=60_000, commission_minor=6_000)
    assert await world.balance(shopper) == NONE | {"available": 3_000}
    await world.report(status="approved", order_amount_minor=None, commission_minor=None)
    assert await states(world) == ("approved", "confirmed")
    await world.report(status="declined", order_amount_minor=None, commission_minor=None)
    assert await states(world) == ("declined", "reversed")
    assert await world.balance(shopper) == NONE
    assert await is_sound(world)


@pytest.mark.parametrize("what", ["declined", "held"])
async def test_day_confirms_nothing_that_was_declined_or_is_held(world: Any, shopper: UUID, what: str) -> None:
    await buy(world, shopper)
    if what == "declined":
        await world.report(status="declined")
    else:
        reward_id = (await world.sql("SELECT id FROM rewards"))[0]["id"]
        async with world.db.write() as session:
            await service.hold(session, OPERATOR, reward_id, "looked_at")
    await day_comes(world)
    await world.run_periodic("cashback.confirm_due")
    assert (await states(world))[1] == what
    if what == "held":
        async with world.db.write() as session:
            await service.release(session, OPERATOR, reward_id, "checked")
        assert (await states(world))[1] == "pending"
        await world.run_periodic("cashback.confirm_due")
        assert (await states(world))[1] == "confirmed"
    assert await is_sound(world)


async def test_released_cashback_waits_for_its_day_though_the_sale_is_approved(world: Any, shopper: UUID) -> None:
    await buy(world, shopper)
    reward_id = (await world.sql("SELECT id FROM rewards"))[0]["id"]
    async with world.db.write() as session:
        await service.hold(session, OPERATOR, reward_id, "looked_at")
    await world.report(status="approved")
    async with world.db.write() as session:
        await service.release(session, OPERATOR, reward_id, "checked")
    assert await states(world) == ("approved", "pending")


async def test_what_was_withdrawn_is_waived_where_the_terms_say_so(world: Any, shopper: UUID) -> None:
    await set_terms(world, confirmation="on_approval")
    await buy(world, shopper, "approved")
    await world.earn(shopper, 7_000, "sale-2")
    await world.withdraw(shopper, await world.payout_method(shopper), 12_000)
    await world.report(status="approved", order_amount_minor=60_000, commission_minor=6_000)
    await world.report(status="reversed", order_amount_minor=None, commission_minor=None)
    assert await world.balance(shopper) == NONE | {"in_flight": 12_000}
    rows = await world.sql("SELECT waived_minor FROM rewards ORDER BY id")
    assert [row["waived_minor"] for row in rows] == [5_000, 0]
    lost = await world.sql(
        "SELECT sum(e.amount_minor)::bigint AS minor FROM ledger_entries e"
        " JOIN ledger_accounts a ON a.id = e.account_id WHERE a.path = 'expenses:bad_debt'"
    )
    assert lost[0]["minor"] == 5_000
    assert await is_sound(world)


async def test_one_that_cannot_be_confirmed_keeps_no_other_waiting(world: Any, shopper: UUID) -> None:
    for sale in ("bad", "good"):
        click = await world.click(shopper)
        await world.report(conversion_id=sale, click_id=str(click.id))
    await day_comes(world)
    await world.sql(
        "INSERT INTO ledger_transactions (id, kind, source, external_id, description)"
        " SELECT uuidv7(), 'reward.confirmed', 'conversion', id || ':confirmed', '' FROM conversions"
        " WHERE external_id = 'bad'"
    )
    for _ in range(2):
        await world.run_periodic("cashback.confirm_due")
    rows = await world.sql(
        "SELECT c.external_id, r.state FROM rewards r JOIN conversions c ON c.id = r.conversion_id ORDER BY r.id"
    )
    assert [tuple(row) for row in rows] == [("bad", "pending"), ("good", "confirmed")]
    assert (await world.balance(shopper))["available"] == 5_000


@pytest.mark.parametrize("clawback", ["owed", "waived"])
async def test_what_was_withdrawn_is_not_paid_once_more_when_the_amounts_go_up_again(
    world: Any, shopper: UUID, clawback: str
) -> None:
    await set_terms(world, confirmation="on_approval", clawback=clawback)
    reward_id = await world.earn(shopper, 20_000, sale="up-and-down")
    await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    for order in (100_000, 300_000, 600_000):
        result = await world.report(conversion_id="up-and-down", status="approved", order_amount_minor=order)
        assert result.outcome == "applied"
    # Of 20,000 that were withdrawn, 15,000 were taken back, then earned once more, and 10,000 on top.
    assert await world.balance(shopper) == {"pending": 0, "available": 10_000, "in_flight": 20_000, "owed": 0}
    rows = await world.sql("SELECT amount_minor, waived_minor FROM rewards WHERE id = $1", reward_id)
    assert tuple(rows[0]) == (30_000, 0)
    async with world.db.read() as session:
        assert all(line.difference_minor == 0 for line in await service.reconcile(session))
    assert await world.violations() == []


@pytest.mark.parametrize(
    ("clawback", "words"),
    [
        ("owed", "You had withdrawn PKR 150.00 of it already, which is kept back from your next cashback."),
        ("waived", "You had withdrawn PKR 150.00 of it already, which you keep."),
    ],
)
async def test_customer_is_told_the_terms_and_what_they_meant(
    api: httpx2.AsyncClient, world: Any, shopper: UUID, shopper_headers: dict[str, str], clawback: str, words: str
) -> None:
    await set_terms(world, clawback=clawback)
    shown = (await api.get("/v1/merchants/daraz")).json()
    assert (shown["confirmation"], shown["clawback"]) == ("after_validation", clawback)
    await buy(world, shopper, "approved")
    # What holds is what was promised at the click.
    await set_terms(world, confirmation="on_approval", clawback="owed" if clawback == "waived" else "waived")
    await world.report(order_amount_minor=400_000, status="approved")
    await day_comes(world)
    await world.run_periodic("cashback.confirm_due")
    await world.withdraw(shopper, await world.payout_method(shopper), 15_000)
    await world.report(status="reversed", order_amount_minor=None, commission_minor=None)
    [cashback] = (await api.get("/v1/me/cashbacks", headers=shopper_headers)).json()["items"]
    assert (cashback["confirmation"], cashback["clawback"]) == ("after_validation", clawback)
    assert cashback["waived_minor"] == (15_000 if clawback == "waived" else 0)
    told = (await api.get(f"/v1/me/cashbacks/{cashback['id']}/explain", headers=shopper_headers)).json()["story"]
    texts = [line["text"] for line in told]
    assert any(text.endswith("unless Daraz declines the sale before.") for text in texts)
    assert any(text.endswith(words) for text in texts), texts
    assert await is_sound(world)


async def test_operators_set_the_terms(api: httpx2.AsyncClient, world: Any, operator: Any) -> None:
    catalogue = await operator(OperatorRole.CATALOGUE)
    path = "/v1/admin/merchants/daraz"
    assert (await api.patch(path, json={"clawback": "forgiven"}, headers=catalogue)).status_code == 422
    changed = await api.patch(path, json={"clawback": "waived"}, headers=catalogue)
    assert (changed.status_code, changed.json()["clawback"]) == (200, "waived")
    rows = await world.sql("SELECT before, after FROM audit_log WHERE action = 'merchant.updated'")
    assert [tuple(row) for row in rows] == [('{"clawback": "owed"}', '{"clawback": "waived"}')]


async def test_receipt_from_before_there_were_terms_has_the_defaults(world: Any, shopper: UUID) -> None:
    click = await world.click(shopper)
    receipt = receipts.read(world.runtime.keys, click.receipt)
    assert (receipt.confirmation, receipt.clawback) == ("after_validation", "waived")
    claims = world.runtime.keys.read(receipts.TYPE, click.receipt, audience=receipts.AUDIENCE)
    for name in ("confirmation", "clawback"):
        del claims[name]
    old = receipts.read(world.runtime.keys, world.runtime.keys.sign(receipts.TYPE, claims))
    assert (old.confirmation, old.clawback) == ("on_approval", "owed")
