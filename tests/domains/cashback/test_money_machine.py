"""Random sequences of everything that moves money, on a real database, with every invariant checked at each step.

`WAPSI_MONEY_SEQUENCES=500 pytest …/test_money_machine.py` runs more of them.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domains.cashback import service
from domains.cashback.config import get_cashback_settings
from domains.cashback.errors import InsufficientBalance, PayoutTooSmall, SecondPersonNeeded
from domains.customers import service as customers
from wapsi.config import Settings
from wapsi.roots.container import make_runtime
from wapsi.security.permissions import OperatorRole, Permission
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.state import IllegalMove
from wapsi.telemetry.setup import Telemetry

T = TypeVar("T")
OPERATOR = Principal(PrincipalKind.OPERATOR, UUID(int=1), frozenset(Permission))
# So that some of the withdrawals wait for two operators.
APPROVAL_MINOR = 100_000
SEQUENCES = int(os.environ.get("WAPSI_MONEY_SEQUENCES", "20"))
# Few of each, so that the rules meet on the same ones.
SALES = st.integers(0, 3)
PICK = st.integers(0, 1)
WORDS = st.sampled_from(
    ["pending", "pending", "approved", "approved", "closed", "closed", "paid", "declined", "no such word"]
)
FIRST_WORDS = st.sampled_from(["pending", "approved", "approved", "reversed"])
# Mostly in order; sometimes so old that the click does not explain it, or a later event is known.
AGES = st.sampled_from([0, 0, 0, 0, 1, 20])
# Which click a report names; None is none.
CLICKS = st.sampled_from([0, 0, 0, 1, None])
AMOUNTS = st.sampled_from([400_000, 1_000_000, 3_000_000, None]) | st.integers(0, 3_000_000)


class Stage:
    """The world on an event loop of its own, since a state machine is not asynchronous."""

    def __init__(self, world_type: type[Any], settings: Settings, telemetry: Telemetry) -> None:
        self._runner = asyncio.Runner()
        self.runtime = make_runtime(settings, telemetry, role="test")
        assert settings.database_migration_url is not None
        self.admin_url = settings.database_migration_url.replace("+asyncpg", "")
        self.world = self.run(self._begin(world_type))

    def run(self, work: Awaitable[T]) -> T:
        async def finish() -> T:
            return await work

        return self._runner.run(finish())

    async def _begin(self, world_type: type[Any]) -> Any:
        self.admin = await asyncpg.connect(self.admin_url)
        self.people: list[Principal] = []
        world = world_type(self.runtime, self.admin.fetch)
        await world.begin()
        async with world.db.write() as session:
            for name in ("first", "second", "third"):
                person = await customers.create_operator(
                    session, f"{name}@wapsi.example", "correct horse battery", OperatorRole.FINANCE
                )
                self.people.append(Principal(PrincipalKind.OPERATOR, person.id, frozenset(Permission)))
        return world

    def end(self) -> None:
        self.run(self.admin.close())
        self.run(self.runtime.db.dispose())
        self._runner.close()


class Money(RuleBasedStateMachine):
    """One customer with four wallets (good; refused; paid, but silent; silent), and up to four sales.

    After each step `states` is read anew, so that rules are tried only where they can do something.
    """

    stage: ClassVar[Stage]

    @initialize(status=FIRST_WORDS, amount=st.sampled_from([1_000_000, 3_000_000]))
    def begin(self, status: str, amount: int) -> None:
        self.run = self.stage.run
        self.world = self.stage.world
        self.name = uuid4().hex
        self.customer = self.run(self.world.customer())
        self.wallets = [
            self.run(self.world.payout_method(self.customer, ending)) for ending in ("4567", "0001", "0002", "0003")
        ]
        self.clicks: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.states: dict[str, list[tuple[UUID, str]]] = {}
        self.available = 0
        # Who has approved which payout since it was held.
        self.approved: dict[UUID, set[int]] = {}
        self.click()
        self._report(0, status, amount, 0, 0, False)

    def _can(self, table: str, *states: str) -> list[UUID]:
        return [row_id for row_id, state in self.states.get(table, []) if state in states]

    @rule()
    def click(self) -> None:
        self.clicks.append(str(self.run(self.world.click(self.customer)).id))

    @rule(sale=SALES, status=WORDS, amount=AMOUNTS, age=AGES, click=CLICKS, new_customer=st.booleans())
    def sale_is_reported(
        self, sale: int, status: str, amount: int | None, age: int, click: int | None, new_customer: bool
    ) -> None:
        self._report(sale, status, amount, age, click, new_customer)

    def _report(
        self, sale: int, status: str, amount: int | None, minutes_ago: int, click: int | None, new_customer: bool
    ) -> None:
        fields = {
            "conversion_id": f"{self.name}-{sale}",
            "click_id": "" if click is None else self.clicks[click % len(self.clicks)],
            "status": status,
            "order_amount_minor": amount,
            "commission_minor": None if amount is None else amount // 10,
            "occurred_at": datetime.now(UTC) - timedelta(minutes=minutes_ago),
            "customer_type": "new" if new_customer else "unknown",
        }
        event_id = uuid4().hex
        self.events.append((event_id, fields))
        result = self.run(self.world.report(event_id, **fields))
        assert result.outcome in ("applied", "ignored", "unknown_status")

    @rule(pick=PICK)
    def event_is_delivered_again(self, pick: int) -> None:
        event_id, fields = self.events[pick % len(self.events)]
        before = self.run(self._entries())
        assert self.run(self.world.report(event_id, **fields)).repeated
        assert self.run(self._entries()) == before

    @precondition(lambda self: self._can("conversions", "pending"))
    @rule(pick=PICK)
    def operator_approves(self, pick: int) -> None:
        self._decide(self._can("conversions", "pending"), pick, service.ConversionState.APPROVED)

    @precondition(lambda self: self._can("conversions", "unattributed", "pending", "approved"))
    @rule(pick=PICK)
    def operator_declines(self, pick: int) -> None:
        ids = self._can("conversions", "unattributed", "pending", "approved")
        self._decide(ids, pick, service.ConversionState.DECLINED)

    def _decide(self, ids: list[UUID], pick: int, state: service.ConversionState) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.decide(session, OPERATOR, row_id, state, "checked")

        assert self._do(ids, pick, work)

    @precondition(lambda self: self._can("rewards", "pending", "confirmed"))
    @rule(pick=PICK)
    def operator_holds(self, pick: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.hold(session, OPERATOR, row_id, "checked")

        # Refused where the money has been withdrawn.
        self._do(self._can("rewards", "pending", "confirmed"), pick, work)

    @precondition(lambda self: self._can("rewards", "held"))
    @rule(pick=PICK)
    def operator_releases(self, pick: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.release(session, OPERATOR, row_id, "checked")

        assert self._do(self._can("rewards", "held"), pick, work)

    @precondition(lambda self: self._can("rewards", "declined", "reversed"))
    @rule(pick=PICK)
    def operator_holds_what_is_gone(self, pick: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.hold(session, OPERATOR, row_id, "checked")

        assert not self._do(self._can("rewards", "declined", "reversed"), pick, work)

    @precondition(lambda self: self.available >= 10_000)
    @rule(wallet=st.integers(0, 3), percent=st.sampled_from([50, 100]))
    def customer_withdraws(self, wallet: int, percent: int) -> None:
        self.run(self.world.withdraw(self.customer, self.wallets[wallet], max(10_000, self.available * percent // 100)))

    @rule(more=st.integers(1, 10_000))
    def customer_asks_for_more_than_there_is(self, more: int) -> None:
        before = self.run(self._entries())
        with pytest.raises((InsufficientBalance, PayoutTooSmall)):
            self.run(self.world.withdraw(self.customer, self.wallets[0], self.available + more))
        assert self.run(self._entries()) == before

    @precondition(lambda self: self.states.get("payouts"))
    @rule(pick=PICK)
    def customer_cancels(self, pick: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.cancel_payout(session, self.customer, row_id)

        ids = [row_id for row_id, _ in self.states["payouts"]]
        row_id = ids[pick % len(ids)]
        waits = self.run(self.world.sql("SELECT reason_code FROM payouts WHERE id = $1 AND state = 'held'", row_id))
        possible = row_id in self._can("payouts", "requested") or [row[0] for row in waits] == ["awaiting_approval"]
        assert self._do(ids, pick, work) == possible

    @precondition(lambda self: self._can("payouts", "requested", "held"))
    @rule(pick=PICK, who=st.integers(0, 2))
    def operator_holds_a_payout(self, pick: int, who: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.hold_payout(session, self.stage.people[who], row_id, "checked")

        ids = self._can("payouts", "requested", "held")
        assert self._do(ids, pick, work)
        self.approved[ids[pick % len(ids)]] = set()

    @precondition(lambda self: self._can("payouts", "held"))
    @rule(pick=PICK, who=st.integers(0, 2))
    def operator_releases_a_payout(self, pick: int, who: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.release_payout(session, self.stage.people[who], row_id, "checked")

        ids = self._can("payouts", "held")
        row_id = ids[pick % len(ids)]
        approved = self.approved.setdefault(row_id, set())
        assert self._do(ids, pick, work) == (who not in approved)
        approved.add(who)
        assert self.run(self.world.payout_state(row_id)) == ("requested" if len(approved) == 2 else "held")
        if len(approved) == 2:
            del self.approved[row_id]

    @precondition(lambda self: self._can("payouts", "requested"))
    @rule()
    def workers_send(self) -> None:
        self.run(self.world.run_jobs("cashback.send_payout"))

    @precondition(lambda self: self._can("payouts", "unknown"))
    @rule(late=st.booleans())
    def sweeper_runs(self, late: bool) -> None:
        if late:
            self.run(self.world.sql("UPDATE payouts SET sent_at = sent_at - interval '1 hour'"))
        self.run(self.world.run_periodic("cashback.sweep_payouts"))

    @invariant()
    def books_are_sound(self) -> None:
        assert self.run(self.world.violations()) == []

    @invariant()
    def customer_has_what_was_earned_less_what_was_withdrawn(self) -> None:
        earned = self.run(
            self.world.sql(
                "SELECT coalesce(sum(amount_minor) FILTER (WHERE state = 'confirmed'), 0)::bigint AS confirmed,"
                " coalesce(sum(amount_minor) FILTER (WHERE state IN ('pending', 'held')), 0)::bigint AS pending"
                " FROM rewards WHERE customer_id = $1",
                self.customer,
            )
        )[0]
        withdrawn = self.run(
            self.world.sql(
                "SELECT coalesce(sum(amount_minor), 0)::bigint AS minor FROM payouts WHERE customer_id = $1"
                " AND state NOT IN ('failed', 'cancelled')",
                self.customer,
            )
        )[0]["minor"]
        balance = self.run(self.world.balance(self.customer))
        self.available = balance["available"]
        assert balance["available"] - balance["owed"] == earned["confirmed"] - withdrawn
        assert balance["pending"] == earned["pending"]

    @invariant()
    def states_are_noted(self) -> None:
        for table, condition, argument in (
            ("conversions", "external_id LIKE $1 || '-%'", self.name),
            ("rewards", "customer_id = $1", self.customer),
            ("payouts", "customer_id = $1", self.customer),
        ):
            rows = self.run(self.world.sql(f"SELECT id, state FROM {table} WHERE {condition} ORDER BY id", argument))
            self.states[table] = [(row["id"], row["state"]) for row in rows]

    async def _entries(self) -> int:
        rows = await self.world.sql("SELECT count(*) AS entries FROM ledger_entries")
        return int(rows[0]["entries"])

    def _do(self, ids: list[UUID], pick: int, work: Callable[[Any, UUID], Awaitable[None]]) -> bool:
        """On one of them. False where the move was refused, which must leave nothing behind."""

        async def unit() -> None:
            async with self.world.db.write() as session:
                await work(session, ids[pick % len(ids)])

        before = self.run(self._entries())
        try:
            self.run(unit())
        except (IllegalMove, InsufficientBalance, SecondPersonNeeded):
            assert self.run(self._entries()) == before
            return False
        return True


@pytest.fixture
def stage(
    world_type: type[Any], settings: Settings, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    monkeypatch.setenv("WAPSI_CASHBACK_PAYOUT_APPROVAL_MINOR", f'{{"PKR": {APPROVAL_MINOR}}}')
    get_cashback_settings.cache_clear()
    stage = Stage(world_type, settings, telemetry)
    yield stage
    stage.end()
    get_cashback_settings.cache_clear()


@pytest.mark.timeout(3600)
def test_no_sequence_of_events_breaks_an_invariant(stage: Stage) -> None:
    Money.stage = stage
    run_state_machine_as_test(
        Money,
        settings=hypothesis_settings(
            max_examples=SEQUENCES,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
