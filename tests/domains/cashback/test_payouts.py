"""Withdrawals: paid once, whatever happens on the way; never more than there is."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from domains.cashback import service
from domains.cashback.errors import (
    CurrencyNotPaidOut,
    CustomerNotActive,
    InsufficientBalance,
    PayoutNotFound,
    PayoutTooSmall,
)
from domains.cashback.service.payout_sending import SILENT_LIMIT
from domains.cashback.service.payouts import PayoutView
from domains.cashback.service.providers import ProviderResult, ProviderTimeout
from domains.customers import service as customers
from domains.customers.service import PayoutMethodNotFound
from wapsi.queue import outbox
from wapsi.queue.jobs import Job, run_job
from wapsi.queue.registry import JOB_KINDS, Handler, job
from wapsi.security.permissions import OperatorRole
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.state import IllegalMove

SEND, SWEEP = "cashback.send_payout", "cashback.sweep_payouts"
NONE = {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}


@pytest.fixture
async def shopper(world: Any) -> Any:
    """Has PKR 500 to withdraw."""
    customer_id = await world.customer()
    await world.earn(customer_id, 50_000)
    return customer_id


async def bank(world: Any) -> int:
    async with world.db.read() as session:
        accounts = await service.list_accounts(session, limit=200, prefix="assets:bank:pkr")
    return sum(account.balance_minor for account in accounts)


async def payments(world: Any) -> list[tuple[str, int]]:
    return [tuple(row) for row in await world.sql("SELECT status, amount_minor FROM sandbox_payouts")]


async def test_withdrawal_leaves_the_balance_at_once_and_arrives(world: Any, shopper: Any) -> None:
    payout = await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    assert payout.state == "requested"
    assert payout.destination.endswith("4567")
    assert await world.balance(shopper) == NONE | {"available": 30_000, "in_flight": 20_000}
    assert await world.run_jobs(SEND) == 1
    assert await world.payout_state(payout.id) == "succeeded"
    assert await world.balance(shopper) == NONE | {"available": 30_000}
    assert (await payments(world), await bank(world)) == ([("paid", 20_000)], -20_000)
    assert await world.violations() == []


async def test_fifty_withdrawals_of_everything_at_once_and_one_is_paid(world: Any, shopper: Any) -> None:
    method = await world.payout_method(shopper)
    results = await asyncio.gather(
        *(world.withdraw(shopper, method, 50_000) for _ in range(50)), return_exceptions=True
    )
    assert sum(isinstance(result, PayoutView) for result in results) == 1
    assert sum(isinstance(result, InsufficientBalance) for result in results) == 49
    assert await world.run_jobs(SEND) == 1
    assert (await payments(world), await world.balance(shopper)) == ([("paid", 50_000)], NONE)
    assert await world.violations() == []


async def test_refusal_of_the_provider_brings_the_money_back_at_once(world: Any, shopper: Any) -> None:
    payout = await world.withdraw(shopper, await world.payout_method(shopper, "0001"), 20_000)
    await world.run_jobs(SEND)
    rows = await world.sql("SELECT state, reason_code FROM payouts")
    assert [tuple(row) for row in rows] == [("failed", "account_closed")]
    assert await world.balance(shopper) == NONE | {"available": 50_000}
    assert await world.payout_state(payout.id) == "failed"
    assert await world.violations() == []


async def test_timeout_that_was_paid_is_found_by_the_sweeper_and_not_sent_again(world: Any, shopper: Any) -> None:
    payout = await world.withdraw(shopper, await world.payout_method(shopper, "0002"), 20_000)
    await world.run_jobs(SEND)
    assert await world.payout_state(payout.id) == "unknown"
    assert await world.balance(shopper) == NONE | {"available": 30_000, "in_flight": 20_000}
    assert await world.violations() == []
    await world.run_periodic(SWEEP)
    await world.run_periodic(SWEEP)
    assert await world.payout_state(payout.id) == "succeeded"
    assert (await payments(world), await bank(world)) == ([("paid", 20_000)], -20_000)
    assert await world.violations() == []


async def test_timeout_that_was_not_paid_brings_the_money_back_when_it_cannot_arrive_any_more(
    world: Any, shopper: Any
) -> None:
    payout = await world.withdraw(shopper, await world.payout_method(shopper, "0003"), 20_000)
    await world.run_jobs(SEND)
    await world.run_periodic(SWEEP)
    assert await world.payout_state(payout.id) == "unknown"
    await world.sql("UPDATE payouts SET sent_at = now() - interval '1 hour'")
    await world.run_periodic(SWEEP)
    assert await world.payout_state(payout.id) == "failed"
    assert (await payments(world), await world.balance(shopper)) == ([], NONE | {"available": 50_000})
    assert await world.violations() == []


async def test_attempt_after_a_crash_asks_and_does_not_send(world: Any, shopper: Any) -> None:
    """The worker died after it had begun: nobody knows whether the provider was called."""
    payout = await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    await world.sql("UPDATE payouts SET state = 'processing', sent_at = now()")
    await world.run_jobs(SEND)
    assert await world.payout_state(payout.id) == "unknown"
    assert await payments(world) == []


async def test_attempt_after_a_crash_finds_what_was_paid(world: Any, shopper: Any) -> None:
    payout = await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    await world.sql("UPDATE payouts SET state = 'processing', sent_at = now()")
    provider = service.provider_of("sandbox", world.db)
    await provider.send(payout.id, 20_000, "PKR", "+923001234567")
    await world.run_jobs(SEND)
    assert await world.payout_state(payout.id) == "succeeded"
    assert await payments(world) == [("paid", 20_000)]
    assert await world.violations() == []


async def test_sweeper_takes_up_what_a_dead_worker_left(world: Any, shopper: Any) -> None:
    payout = await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    await world.sql("UPDATE payouts SET state = 'processing', sent_at = now(), updated_at = now()")
    await world.run_periodic(SWEEP)
    assert await world.payout_state(payout.id) == "processing"
    await world.sql("UPDATE payouts SET updated_at = now() - interval '10 minutes'")
    await world.run_periodic(SWEEP)
    assert await world.payout_state(payout.id) == "unknown"


class Silent:
    """A provider that is down: it never answers, and notes whom it was asked about."""

    name = "sandbox"

    def __init__(self) -> None:
        self.asked: list[UUID] = []

    async def send(self, key: UUID, amount_minor: int, currency: str, account: str) -> ProviderResult:
        raise AssertionError("the sweeper must never send")

    async def status(self, key: UUID) -> ProviderResult:
        self.asked.append(key)
        raise ProviderTimeout("no answer")


async def test_sweeper_gives_a_silent_provider_up_and_begins_with_the_others_next_time(
    world: Any, shopper: Any, one_kind: Callable[[Handler], str]
) -> None:
    method = await world.payout_method(shopper, "0003")
    open_ids = {(await world.withdraw(shopper, method, 10_000)).id for _ in range(5)}
    await world.run_jobs(SEND)
    provider = Silent()

    async def sweep(job: Job) -> None:
        await service.sweep_payouts(job, provider)

    kind = one_kind(sweep)
    await world.run_periodic(kind)
    assert len(provider.asked) == SILENT_LIMIT, "it waited for every one of them"
    await world.run_periodic(kind)
    assert set(provider.asked) == open_ids, "the same ones were asked again"
    assert await world.violations() == []


@pytest.fixture
def one_kind() -> Iterator[Callable[[Handler], str]]:
    """Registers a kind of job for one test; returns its name."""
    name = "test.sweep"

    def register(handler: Handler) -> str:
        job(name)(handler)
        return name

    yield register
    JOB_KINDS.pop(name, None)


async def test_same_job_twice_pays_once(world: Any, shopper: Any) -> None:
    payout = await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    async with world.db.write() as session:
        twin = await outbox.enqueue(session, SEND, {"payout_id": str(payout.id)})
    rows = await world.sql("SELECT id FROM jobs WHERE kind = $1", SEND)
    await asyncio.gather(*(run_job(world.runtime, row["id"]) for row in rows))
    assert twin is not None
    assert len(await payments(world)) <= 1
    await world.sql("UPDATE payouts SET updated_at = now() - interval '10 minutes'")
    await world.run_periodic(SWEEP)
    assert await world.payout_state(payout.id) == "succeeded"
    assert await payments(world) == [("paid", 20_000)]
    assert await world.violations() == []


async def test_cancelled_payout_is_not_sent(world: Any, shopper: Any) -> None:
    payout = await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    async with world.db.write() as session:
        await service.cancel_payout(session, shopper, payout.id)
    await world.run_jobs(SEND)
    assert await world.payout_state(payout.id) == "cancelled"
    assert (await payments(world), await world.balance(shopper)) == ([], NONE | {"available": 50_000})
    assert await world.violations() == []


@pytest.mark.parametrize("owed_minor", [15_000, 20_000, 35_000])
@pytest.mark.parametrize("comes_back", ["cancelled", "failed"])
async def test_what_is_owed_is_kept_back_from_a_withdrawal_that_comes_back(
    world: Any, comes_back: str, owed_minor: int
) -> None:
    customer_id = await world.customer()
    await world.earn(customer_id, owed_minor, sale="returned-later")
    if owed_minor < 20_000:
        await world.earn(customer_id, 20_000 - owed_minor)
    method = await world.payout_method(customer_id, "0001" if comes_back == "failed" else "4567")
    payout = await world.withdraw(customer_id, method, 20_000)
    await world.report(conversion_id="returned-later", status="reversed")
    still_owed_minor = owed_minor - max(owed_minor - 20_000, 0)
    assert await world.balance(customer_id) == NONE | {"in_flight": 20_000, "owed": still_owed_minor}
    if comes_back == "cancelled":
        async with world.db.write() as session:
            await service.cancel_payout(session, customer_id, payout.id)
    else:
        await world.run_jobs(SEND)
    assert await world.payout_state(payout.id) == comes_back
    assert await world.balance(customer_id) == NONE | {"available": 20_000 - still_owed_minor}
    assert await world.violations() == []


async def test_cancel_and_send_at_once_agree(world: Any, shopper: Any) -> None:
    payout = await world.withdraw(shopper, await world.payout_method(shopper), 20_000)

    async def cancel() -> None:
        async with world.db.write() as session:
            await service.cancel_payout(session, shopper, payout.id)

    await asyncio.gather(cancel(), world.run_jobs(SEND), return_exceptions=True)
    paid = await payments(world)
    assert (await world.payout_state(payout.id), paid) in [("cancelled", []), ("succeeded", [("paid", 20_000)])]
    assert await world.violations() == []


async def test_only_a_requested_payout_of_ones_own_can_be_cancelled(world: Any, shopper: Any) -> None:
    payout = await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    async with world.db.write() as session:
        with pytest.raises(PayoutNotFound):
            await service.cancel_payout(session, await world.customer(), payout.id)
    await world.run_jobs(SEND)
    async with world.db.write() as session:
        with pytest.raises(IllegalMove):
            await service.cancel_payout(session, shopper, payout.id)


async def test_withdrawal_has_a_minimum_a_currency_and_an_own_account(world: Any, shopper: Any) -> None:
    method = await world.payout_method(shopper)
    with pytest.raises(PayoutTooSmall):
        await world.withdraw(shopper, method, 9_999)
    async with world.db.write() as session:
        with pytest.raises(CurrencyNotPaidOut):
            await service.request_payout(session, shopper, amount_minor=20_000, currency="XAU", payout_method_id=method)
    with pytest.raises(PayoutMethodNotFound):
        await world.withdraw(shopper, await world.payout_method(await world.customer(), "7777"), 20_000)
    assert await world.balance(shopper) == NONE | {"available": 50_000}


async def test_a_suspended_customer_neither_withdraws_nor_clicks(world: Any, shopper: Any) -> None:
    """Also with a token that is still good: an operator's word counts at once."""
    method = await world.payout_method(shopper)
    operator = Principal(PrincipalKind.OPERATOR, uuid4(), frozenset())
    async with world.db.write() as session:
        await customers.suspend_customer(session, operator, shopper, "stolen_account")
    with pytest.raises(CustomerNotActive):
        await world.withdraw(shopper, method, 20_000)
    with pytest.raises(CustomerNotActive):
        await world.click(shopper)
    assert await world.balance(shopper) == NONE | {"available": 50_000}
    async with world.db.write() as session:
        await customers.reactivate_customer(session, operator, shopper, "identity_shown")
    assert (await world.withdraw(shopper, method, 20_000)).state == "requested"


async def test_payout_whose_sending_was_given_up_waits_for_an_operator(world: Any, shopper: Any) -> None:
    payout = await world.withdraw(shopper, await world.payout_method(shopper), 20_000)
    # Encrypted under a key that is lost.
    await world.sql("UPDATE payout_methods SET account_encrypted = 'x'; ")
    await world.sql("UPDATE jobs SET max_attempts = 1 WHERE kind = $1", SEND)
    await world.run_jobs(SEND)
    rows = await world.sql("SELECT state, reason_code FROM payouts WHERE id = $1", payout.id)
    assert [tuple(row) for row in rows] == [("held", "sending_failed")]


async def test_provider_pays_a_key_once(world: Any) -> None:
    provider = service.provider_of("sandbox", world.db)
    key = uuid4()
    answers = [await provider.send(key, 100, "PKR", "+923001234567") for _ in range(2)]
    assert answers[0] == answers[1]
    assert await payments(world) == [("paid", 100)]


async def test_withdrawing_over_rest(
    api: httpx2.AsyncClient,
    world: Any,
    shopper_id: UUID,
    shopper_headers: dict[str, str],
    stranger_headers: dict[str, str],
    operator: Any,
) -> None:
    await world.earn(shopper_id, 50_000)
    body = {
        "amount_minor": 20_000,
        "currency": "PKR",
        "payout_method_id": str(await world.payout_method(shopper_id)),
    }
    assert (await api.post("/v1/me/payouts", json=body, headers=shopper_headers)).status_code == 400
    keyed = shopper_headers | {"Idempotency-Key": "withdraw-1"}
    first, second = [await api.post("/v1/me/payouts", json=body, headers=keyed) for _ in range(2)]
    assert (first.status_code, first.json()) == (201, second.json())
    changed = await api.post("/v1/me/payouts", json=body | {"amount_minor": 30_000}, headers=keyed)
    assert (changed.status_code, changed.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    balance = (await api.get("/v1/me/balance", headers=shopper_headers)).json()["balances"][0]
    assert (balance["available_minor"], balance["in_flight_minor"]) == (30_000, 20_000)
    too_much = await api.post(
        "/v1/me/payouts",
        json=body | {"amount_minor": 30_001},
        headers=shopper_headers | {"Idempotency-Key": "withdraw-2"},
    )
    assert (too_much.status_code, too_much.json()["reason"]) == (409, "INSUFFICIENT_BALANCE")

    path = f"/v1/me/payouts/{first.json()['id']}:cancel"
    assert (await api.post(path, headers=stranger_headers)).status_code == 404
    finance = await operator(OperatorRole.FINANCE)
    admin_path = f"/v1/admin/payouts/{first.json()['id']}"
    reason = {"reason_code": "suspicious"}
    assert (await api.post(f"{admin_path}:hold", json=reason, headers=finance)).json()["state"] == "held"
    assert (await api.post(path, headers=shopper_headers)).status_code == 409
    for headers, state in ((finance, "held"), (await operator(OperatorRole.FINANCE), "requested")):
        assert (await api.post(f"{admin_path}:release", json=reason, headers=headers)).json()["state"] == state
    assert (await api.post(path, headers=shopper_headers)).json()["state"] == "cancelled"
    assert [item["state"] for item in (await api.get("/v1/me/payouts", headers=shopper_headers)).json()["items"]] == [
        "cancelled"
    ]
    listed = await api.get(f"/v1/admin/payouts?customer_id={shopper_id}", headers=finance)
    assert [item["customer_id"] for item in listed.json()["items"]] == [str(shopper_id)]
    assert (await api.get("/v1/me/payouts", headers=stranger_headers)).json()["items"] == []
