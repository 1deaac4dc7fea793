"""Cashback that is held, released and overdue."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from domains.cashback import service
from domains.cashback.errors import InsufficientBalance, RewardNotFound
from wapsi.security.permissions import OperatorRole, Permission
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.state import IllegalMove

OPERATOR = Principal(PrincipalKind.OPERATOR, UUID(int=1), frozenset(Permission))
NONE = {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}


@pytest.fixture
async def shopper(world: Any) -> Any:
    return await world.customer()


async def pending_reward(world: Any, shopper: Any) -> UUID:
    click = await world.click(shopper)
    await world.report(click_id=str(click.id))
    return await only_reward(world)


async def only_reward(world: Any) -> UUID:
    rows = await world.sql("SELECT id FROM rewards")
    reward_id: UUID = rows[0]["id"]
    return reward_id


async def hold(world: Any, reward_id: UUID) -> None:
    async with world.db.write() as session:
        await service.hold(session, OPERATOR, reward_id, "self_purchase")


async def release(world: Any, reward_id: UUID) -> None:
    async with world.db.write() as session:
        await service.release(session, OPERATOR, reward_id, "checked")


async def state(world: Any) -> str:
    return str((await world.sql("SELECT state FROM rewards"))[0]["state"])


async def test_held_cashback_is_not_confirmed_by_approval_but_by_its_release(world: Any, shopper: Any) -> None:
    reward_id = await pending_reward(world, shopper)
    await hold(world, reward_id)
    await world.report(status="approved")
    assert (await state(world), await world.balance(shopper)) == ("held", NONE | {"pending": 5_000})
    await release(world, reward_id)
    assert (await state(world), await world.balance(shopper)) == ("confirmed", NONE | {"available": 5_000})
    assert await world.violations() == []


async def test_release_before_approval_is_pending_again(world: Any, shopper: Any) -> None:
    reward_id = await pending_reward(world, shopper)
    await hold(world, reward_id)
    await release(world, reward_id)
    assert await state(world) == "pending"
    await world.report(status="approved")
    assert await world.balance(shopper) == NONE | {"available": 5_000}
    assert await world.violations() == []


async def test_confirmed_cashback_is_out_of_reach_while_it_is_held(world: Any, shopper: Any) -> None:
    reward_id = await world.earn(shopper, 20_000)
    method = await world.payout_method(shopper)
    await hold(world, reward_id)
    assert await world.balance(shopper) == NONE | {"pending": 20_000}
    with pytest.raises(InsufficientBalance):
        await world.withdraw(shopper, method, 20_000)
    await release(world, reward_id)
    assert await world.balance(shopper) == NONE | {"available": 20_000}
    await hold(world, reward_id)
    await release(world, reward_id)
    assert await world.violations() == []


async def test_cashback_that_was_withdrawn_cannot_be_held(world: Any, shopper: Any) -> None:
    reward_id = await world.earn(shopper, 20_000)
    await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    with pytest.raises(InsufficientBalance):
        await hold(world, reward_id)
    assert (await state(world), await world.balance(shopper)) == ("confirmed", NONE | {"in_flight": 20_000})


@pytest.mark.parametrize("confirmed", [False, True])
async def test_held_cashback_can_be_declined(world: Any, shopper: Any, confirmed: bool) -> None:
    if confirmed:
        reward_id = await world.earn(shopper, 5_000, "sale-1")
    else:
        reward_id = await pending_reward(world, shopper)
    await hold(world, reward_id)
    await world.report(status="reversed")
    assert await state(world) == ("reversed" if confirmed else "declined")
    assert await world.balance(shopper) == NONE
    assert await world.violations() == []


@pytest.mark.parametrize("word", ["approved", "reversed"])
async def test_only_what_is_held_can_be_released(world: Any, shopper: Any, word: str) -> None:
    reward_id = await pending_reward(world, shopper)
    with pytest.raises(IllegalMove):
        await release(world, reward_id)
    await world.report(status=word)
    with pytest.raises(IllegalMove):
        await release(world, reward_id)


async def test_declined_cashback_cannot_be_held(world: Any, shopper: Any) -> None:
    reward_id = await pending_reward(world, shopper)
    await world.report(status="declined")
    with pytest.raises(IllegalMove):
        await hold(world, reward_id)
    with pytest.raises(RewardNotFound):
        await hold(world, UUID(int=9))


async def decline(world: Any, reward_id: UUID) -> None:
    async with world.db.write() as session:
        await service.decline(session, OPERATOR, reward_id, "self_purchase")


async def commission(world: Any) -> int:
    rows = await world.sql(
        "SELECT coalesce(-sum(e.amount_minor), 0)::bigint AS minor FROM ledger_entries e"
        " JOIN ledger_accounts a ON a.id = e.account_id WHERE a.path = 'income:commission:daraz'"
    )
    return int(rows[0]["minor"])


@pytest.mark.parametrize("word", ["pending", "approved", "paid"])
async def test_held_cashback_is_declined_and_the_sale_stays(world: Any, shopper: Any, word: str) -> None:
    reward_id = await pending_reward(world, shopper)
    await hold(world, reward_id)
    await world.report(status=word)
    await decline(world, reward_id)
    assert (await state(world), await world.balance(shopper)) == ("declined", NONE)
    assert await commission(world) == 10_000
    for _ in range(2):
        await world.report(status="paid")
    assert (await world.sql("SELECT state FROM conversions"))[0]["state"] == "settled"
    assert (await state(world), await world.balance(shopper)) == ("declined", NONE)
    assert await world.violations() == []


async def test_held_cashback_of_a_settled_sale_is_released(world: Any, shopper: Any) -> None:
    reward_id = await pending_reward(world, shopper)
    await hold(world, reward_id)
    await world.report(status="paid")
    await release(world, reward_id)
    assert (await state(world), await world.balance(shopper)) == ("confirmed", NONE | {"available": 5_000})
    assert await world.violations() == []


@pytest.mark.parametrize("confirmed", [False, True])
async def test_sale_whose_cashback_was_declined_is_amended_and_reversed_without_it(
    world: Any, shopper: Any, confirmed: bool
) -> None:
    if confirmed:
        reward_id = await world.earn(shopper, 5_000, "sale-1")
    else:
        reward_id = await pending_reward(world, shopper)
    await hold(world, reward_id)
    await decline(world, reward_id)
    assert await state(world) == ("reversed" if confirmed else "declined")
    await world.report(status="approved", order_amount_minor=60_000, commission_minor=6_000)
    assert (await commission(world), await world.balance(shopper)) == (6_000, NONE)
    assert await world.violations() == []
    await world.report(status="reversed", order_amount_minor=None, commission_minor=None)
    assert (await commission(world), await world.balance(shopper)) == (0, NONE)
    assert await state(world) == ("reversed" if confirmed else "declined")
    assert await world.violations() == []


async def test_only_what_is_held_is_declined_by_itself(
    api: httpx2.AsyncClient, world: Any, shopper: Any, operator: Any
) -> None:
    reward_id = await pending_reward(world, shopper)
    with pytest.raises(IllegalMove):
        await decline(world, reward_id)
    await hold(world, reward_id)
    finance = await operator(OperatorRole.FINANCE)
    path = f"/v1/admin/rewards/{reward_id}:decline"
    assert (await api.post(path, json={}, headers=finance)).status_code == 422
    declined = await api.post(path, json={"reason_code": "self_purchase"}, headers=finance)
    assert (declined.status_code, declined.json()["state"]) == (200, "declined")
    again = await api.post(path, json={"reason_code": "self_purchase"}, headers=finance)
    assert (again.status_code, again.json()["reason"]) == (409, "ILLEGAL_STATE_CHANGE")


async def test_overdue_cashback_is_asked_about_and_never_confirmed_by_waiting(world: Any, shopper: Any) -> None:
    await pending_reward(world, shopper)
    await world.run_periodic("cashback.confirm_due")
    assert (await world.sql("SELECT enquired_at FROM rewards"))[0]["enquired_at"] is None
    await world.sql("UPDATE rewards SET expected_confirmation_at = now() - interval '1 day'")
    for _ in range(2):
        await world.run_periodic("cashback.confirm_due")
    reward = (await service.list_rewards(world.db.reads, shopper, limit=1))[0]
    assert (reward.state, reward.overdue) == ("pending", True)
    asked = await world.sql("SELECT 1 FROM state_changes WHERE reason_code = 'merchant_overdue'")
    assert len(asked) == 1


async def test_overdue_cashback_is_an_enquiry_until_it_is_decided_on(
    api: httpx2.AsyncClient, world: Any, shopper: Any, operator: Any
) -> None:
    support = await operator(OperatorRole.SUPPORT)

    async def enquiries(query: str = "") -> list[dict[str, Any]]:
        answer = await api.get(f"/v1/admin/enquiries?{query}", headers=support)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    for sale in ("sale-1", "sale-2"):
        await world.report(conversion_id=sale, click_id=str((await world.click(shopper)).id))
    await world.sql("UPDATE rewards SET expected_confirmation_at = now() - interval '50 hours'")
    assert await enquiries() == []
    await world.run_periodic("cashback.confirm_due")
    opened = await enquiries()
    assert [(one["source"], one["external_id"], one["amount_minor"], one["overdue_days"]) for one in opened] == [
        ("impact", "sale-1", 5_000, 2),
        ("impact", "sale-2", 5_000, 2),
    ]
    assert await enquiries("source=awin") == []
    assert len(await enquiries("merchant=daraz&source=impact")) == 2
    first = (await api.get("/v1/admin/enquiries?limit=1", headers=support)).json()
    assert [one["external_id"] for one in first["items"]] == ["sale-1"]
    assert [one["external_id"] for one in await enquiries(f"cursor={first['next_cursor']}")] == ["sale-2"]
    await world.report(conversion_id="sale-1", status="approved")
    await world.report(conversion_id="sale-2", status="declined")
    assert await enquiries() == []


async def test_operators_decide_over_rest_with_a_reason(
    api: httpx2.AsyncClient, world: Any, shopper: Any, operator: Any
) -> None:
    reward_id = await pending_reward(world, shopper)
    finance = await operator(OperatorRole.FINANCE)
    path = f"/v1/admin/rewards/{reward_id}"
    assert (await api.post(f"{path}:hold", json={}, headers=finance)).status_code == 422
    held = await api.post(f"{path}:hold", json={"reason_code": "self_purchase"}, headers=finance)
    assert (held.status_code, held.json()["state"]) == (200, "held")
    again = await api.post(f"{path}:hold", json={"reason_code": "self_purchase"}, headers=finance)
    assert (again.status_code, again.json()["reason"]) == (409, "ILLEGAL_STATE_CHANGE")
    released = await api.post(f"{path}:release", json={"reason_code": "checked"}, headers=finance)
    assert released.json()["state"] == "pending"
    support = await operator(OperatorRole.SUPPORT)
    refused = await api.post(f"{path}:hold", json={"reason_code": "self_purchase"}, headers=support)
    assert refused.status_code == 403
    rows = await world.sql("SELECT action FROM audit_log WHERE action LIKE 'reward.%' ORDER BY id")
    assert [row["action"] for row in rows] == ["reward.held", "reward.released"]
