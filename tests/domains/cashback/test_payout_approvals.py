"""Money leaves on the word of two people: what is large or held waits until two operators have released it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import sqlalchemy.exc
from sqlalchemy import text

from domains.cashback import service
from domains.cashback.config import CashbackSettings, get_cashback_settings
from domains.cashback.errors import InsufficientBalance, PayoutNotFound, SecondPersonNeeded
from domains.customers import service as customers
from wapsi.security.permissions import ROLE_PERMISSIONS, OperatorRole, Permission
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.state import IllegalMove

SEND = "cashback.send_payout"
# From PKR 300 on; the shopper has PKR 1,000.
LIMIT = 30_000


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WAPSI_CASHBACK_PAYOUT_APPROVAL_MINOR", f'{{"PKR": {LIMIT}}}')
    get_cashback_settings.cache_clear()
    yield
    get_cashback_settings.cache_clear()


@pytest.fixture
async def shopper(world: Any) -> Any:
    customer_id = await world.customer()
    await world.earn(customer_id, 100_000)
    return customer_id


@pytest.fixture
async def withdraw(world: Any, shopper: Any) -> Callable[[int], Awaitable[service.PayoutView]]:
    method = await world.payout_method(shopper)

    async def withdraw(amount_minor: int) -> service.PayoutView:
        return await world.withdraw(shopper, method, amount_minor)

    return withdraw


@pytest.fixture
def person(world: Any) -> Callable[..., Awaitable[Principal]]:
    async def person(role: OperatorRole = OperatorRole.FINANCE) -> Principal:
        async with world.db.write() as session:
            made = await customers.create_operator(session, f"{uuid4().hex}@wapsi.example", "correct horse", role)
        return Principal(PrincipalKind.OPERATOR, made.id, ROLE_PERMISSIONS[role])

    return person


async def release(world: Any, principal: Principal, payout_id: UUID) -> service.PayoutView:
    async with world.db.write() as session:
        return await service.release_payout(session, principal, payout_id, "looked_at")


async def hold(world: Any, principal: Principal, payout_id: UUID, reason: str = "suspicious") -> service.PayoutView:
    async with world.db.write() as session:
        return await service.hold_payout(session, principal, payout_id, reason)


async def look(world: Any, payout_id: UUID) -> service.PayoutView:
    async with world.db.read() as session:
        return await service.get_payout(session, payout_id)


async def sent(world: Any) -> int:
    await world.run_jobs(SEND)
    return len(await world.sql("SELECT 1 FROM sandbox_payouts"))


async def test_a_large_payout_waits_and_two_operators_release_it(world: Any, withdraw: Any, person: Any) -> None:
    payout = await withdraw(LIMIT)
    assert (payout.state, payout.reason_code, payout.approvals_needed) == ("held", "awaiting_approval", 2)
    assert await sent(world) == 0
    first, second = await person(), await person(OperatorRole.ADMIN)

    approved = await release(world, first, payout.id)
    assert approved.state == "held"
    assert [(one.operator_id, one.reason_code) for one in approved.approvals] == [(first.id, "looked_at")]
    assert (await look(world, payout.id)).approvals == approved.approvals
    assert await sent(world) == 0

    released = await release(world, second, payout.id)
    assert (released.state, released.approvals_needed, released.approvals) == ("requested", 0, ())
    assert await sent(world) == 1
    assert await world.payout_state(payout.id) == "succeeded"
    assert await world.violations() == []


async def test_a_smaller_one_is_sent_without_anyone(world: Any, withdraw: Any) -> None:
    payout = await withdraw(LIMIT - 1)
    assert (payout.state, payout.approvals_needed) == ("requested", 0)
    assert await sent(world) == 1


async def test_many_small_ones_within_a_day_are_one_large_one(world: Any, withdraw: Any) -> None:
    assert [(await withdraw(10_000)).state for _ in range(3)] == ["requested", "requested", "held"]
    # Also after one that waits: it is counted with what left unseen before.
    assert (await withdraw(10_000)).state == "held"
    await world.sql("UPDATE payouts SET created_at = created_at - interval '25 hours'")
    assert (await withdraw(10_000)).state == "requested"


async def test_what_came_back_does_not_count(world: Any, shopper: Any, withdraw: Any) -> None:
    first = await withdraw(20_000)
    async with world.db.write() as session:
        await service.cancel_payout(session, shopper, first.id)
    assert (await withdraw(20_000)).state == "requested"


async def test_small_ones_at_once_do_not_slip_past_the_sum(world: Any, withdraw: Any) -> None:
    payouts = await asyncio.gather(*(withdraw(10_000) for _ in range(8)))
    states = sorted(payout.state for payout in payouts)
    assert states == ["held"] * 6 + ["requested"] * 2


async def test_in_a_currency_without_a_limit_every_payout_waits(
    world: Any, withdraw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAPSI_CASHBACK_PAYOUT_APPROVAL_MINOR", '{"USD": 1}')
    get_cashback_settings.cache_clear()
    assert (await withdraw(10_000)).state == "held"


def test_every_currency_that_is_paid_out_has_a_limit_above_its_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAPSI_CASHBACK_PAYOUT_APPROVAL_MINOR")
    settings = CashbackSettings()
    assert settings.payout_approval_minor.keys() == settings.payout_minimum_minor.keys()
    for currency, limit in settings.payout_approval_minor.items():
        assert limit > settings.payout_minimum_minor[currency]


async def test_the_same_operator_twice_is_one(world: Any, withdraw: Any, person: Any) -> None:
    payout, first = await withdraw(LIMIT), await person()
    await release(world, first, payout.id)
    with pytest.raises(SecondPersonNeeded):
        await release(world, first, payout.id)
    assert len((await look(world, payout.id)).approvals) == 1
    assert await sent(world) == 0


async def test_whoever_held_it_may_be_one_of_the_two(world: Any, withdraw: Any, person: Any) -> None:
    payout = await withdraw(10_000)
    first, second = await person(), await person()
    await hold(world, first, payout.id)
    await release(world, first, payout.id)
    assert (await release(world, second, payout.id)).state == "requested"


async def test_a_hold_takes_the_approvals_back(world: Any, withdraw: Any, person: Any) -> None:
    payout, first, second = await withdraw(LIMIT), await person(), await person()
    await release(world, first, payout.id)
    held = await hold(world, second, payout.id)
    assert (held.state, held.reason_code, held.approvals) == ("held", "suspicious", ())
    assert (await release(world, second, payout.id)).state == "held"
    # The one whose word was taken back may give it anew.
    assert (await release(world, first, payout.id)).state == "requested"


async def test_a_payout_that_is_held_again_after_its_release_needs_two_again(
    world: Any, withdraw: Any, person: Any
) -> None:
    payout, first, second = await withdraw(LIMIT), await person(), await person()
    for _ in range(2):
        assert (await release(world, first, payout.id)).state == "held"
        assert (await release(world, second, payout.id)).state == "requested"
        await hold(world, first, payout.id)
    assert (await look(world, payout.id)).approvals == ()


@pytest.mark.parametrize(
    "what", [{"status": customers.OperatorStatus.DISABLED}, {"role": OperatorRole.SUPPORT}], ids=["disabled", "demoted"]
)
async def test_the_word_of_one_who_may_not_any_more_does_not_count(
    world: Any, withdraw: Any, person: Any, what: Any
) -> None:
    payout, gone, second, third = await withdraw(LIMIT), await person(), await person(), await person()
    await release(world, gone, payout.id)
    async with world.db.write() as session:
        await customers.change_operator(session, gone.id, **what)
    assert (await look(world, payout.id)).approvals == ()
    assert (await release(world, second, payout.id)).state == "held"
    assert (await release(world, third, payout.id)).state == "requested"


async def test_two_at_once_release_it_once(world: Any, withdraw: Any, person: Any) -> None:
    for _ in range(5):
        payout = await withdraw(10_000)
        first, second = await person(), await person()
        if payout.state != "held":
            await hold(world, first, payout.id)
        views = await asyncio.gather(release(world, first, payout.id), release(world, second, payout.id))
        assert sorted(view.state for view in views) == ["held", "requested"]
        jobs = await world.sql(
            "SELECT 1 FROM jobs WHERE kind = $1 AND args->>'payout_id' = $2 AND state = 'ready'", SEND, str(payout.id)
        )
        assert jobs, "nobody sends it"
    await sent(world)
    assert len(await world.sql("SELECT 1 FROM sandbox_payouts")) == 5
    assert await world.violations() == []


async def test_one_operator_ten_times_at_once_releases_nothing(world: Any, withdraw: Any, person: Any) -> None:
    payout, first = await withdraw(LIMIT), await person()
    results = await asyncio.gather(*(release(world, first, payout.id) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, SecondPersonNeeded) for result in results) == 9
    assert await world.payout_state(payout.id) == "held"


async def test_only_what_is_held_can_be_released(world: Any, withdraw: Any, person: Any) -> None:
    payout, first = await withdraw(10_000), await person()
    with pytest.raises(IllegalMove):
        await release(world, first, payout.id)
    await sent(world)
    for move in (release, hold):
        with pytest.raises(IllegalMove):
            await move(world, first, payout.id)
        with pytest.raises(PayoutNotFound):
            await move(world, first, uuid4())
    assert await world.sql("SELECT 1 FROM payout_approvals") == []
    with pytest.raises(PayoutNotFound):
        await look(world, uuid4())


async def test_the_customer_may_cancel_what_waits_but_not_what_an_operator_holds(
    world: Any, shopper: Any, withdraw: Any, person: Any
) -> None:
    waits, suspicious = await withdraw(LIMIT), await withdraw(LIMIT)
    first = await person()
    await release(world, first, waits.id)
    await hold(world, first, suspicious.id)
    async with world.db.write() as session:
        assert (await service.cancel_payout(session, shopper, waits.id)).state == "cancelled"
        with pytest.raises(IllegalMove):
            await service.cancel_payout(session, shopper, suspicious.id)
    assert (await world.balance(shopper))["available"] == 70_000
    with pytest.raises(IllegalMove):
        await release(world, await person(), waits.id)
    assert await world.violations() == []


async def test_a_held_payout_stays_out_of_the_balance(world: Any, shopper: Any, withdraw: Any) -> None:
    await withdraw(100_000)
    assert (await world.balance(shopper))["in_flight"] == 100_000
    with pytest.raises(InsufficientBalance):
        await withdraw(10_000)


async def test_each_step_is_in_the_audit_log_and_in_the_history(world: Any, withdraw: Any, person: Any) -> None:
    payout, first, second = await withdraw(LIMIT), await person(), await person()
    await hold(world, first, payout.id)
    await release(world, first, payout.id)
    await release(world, second, payout.id)
    rows = await world.sql(
        "SELECT actor, action, before->>'state' AS was, after->>'state' AS state, before->'approvals' AS given,"
        " after->'approvals' AS approvals FROM audit_log WHERE target = $1 ORDER BY id",
        f"payout:{payout.id}",
    )
    one, both = f'["{first.id}"]', f'["{first.id}", "{second.id}"]'
    assert [tuple(row) for row in rows] == [
        (str(first), "payout.held", "held", "held", "[]", "[]"),
        (str(first), "payout.approved", "held", "held", "[]", one),
        (str(second), "payout.released", "held", "requested", one, both),
    ]
    moves = await world.sql(
        "SELECT from_state, to_state, actor FROM state_changes WHERE entity_id = $1 ORDER BY id", payout.id
    )
    assert [tuple(move) for move in moves][1:] == [
        ("requested", "held", "system"),
        ("held", "held", str(first)),
        ("held", "held", str(first)),
        ("held", "requested", str(second)),
    ]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE payout_approvals SET operator_id = uuidv7()", "DELETE FROM payout_approvals", "TRUNCATE payout_approvals"],
)
async def test_approvals_cannot_be_changed(world: Any, withdraw: Any, person: Any, statement: str) -> None:
    payout = await withdraw(LIMIT)
    await release(world, await person(), payout.id)
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="permission denied"):
        async with world.db.write() as session:
            await session.execute(text(statement))
    assert len((await look(world, payout.id)).approvals) == 1


async def test_over_rest(
    api: httpx2.AsyncClient, world: Any, shopper: Any, withdraw: Any, operator: Callable[..., Awaitable[dict[str, str]]]
) -> None:
    payout = await withdraw(LIMIT)
    path, reason = f"/v1/admin/payouts/{payout.id}", {"reason_code": "looked_at"}
    finance, admin = await operator(OperatorRole.FINANCE), await operator(OperatorRole.ADMIN)
    for role in OperatorRole:
        if Permission.PAYOUTS_DECIDE not in ROLE_PERMISSIONS[role]:
            refused = await api.post(f"{path}:release", json=reason, headers=await operator(role))
            assert (refused.status_code, refused.json()["reason"]) == (403, "PERMISSION_MISSING")
    first = await api.post(f"{path}:release", json=reason, headers=finance)
    assert (first.status_code, first.json()["state"], len(first.json()["approvals"])) == (200, "held", 1)
    again = await api.post(f"{path}:release", json=reason, headers=finance)
    assert (again.status_code, again.json()["reason"]) == (409, "SECOND_PERSON_NEEDED")
    shown = await api.get(path, headers=admin)
    assert (shown.json()["approvals_needed"], shown.json()["approvals"]) == (2, first.json()["approvals"])
    listed = await api.get(f"/v1/admin/payouts?state=held&customer_id={shopper}", headers=finance)
    assert [len(item["approvals"]) for item in listed.json()["items"]] == [1]
    second = await api.post(f"{path}:release", json=reason, headers=admin)
    assert (second.status_code, second.json()["state"], second.json()["approvals"]) == (200, "requested", [])
    assert (await api.get(f"/v1/admin/payouts/{uuid4()}", headers=admin)).status_code == 404
