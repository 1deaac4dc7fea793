"""Random sequences of everything that moves money, on a real database, with every invariant checked at each step.

`make faults` runs more of them, and longer ones.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domains.cashback import service
from domains.cashback.config import get_cashback_settings
from domains.cashback.errors import InsufficientBalance, PayoutTooSmall, SecondPersonNeeded
from domains.cashback.service.bonuses import award, mature, take_back
from tests.domains.cashback.money_rules import Astray, OtherWords, Work
from tests.domains.cashback.money_stage import Stage
from wapsi.config import Settings
from wapsi.errors import DomainError
from wapsi.security.permissions import Permission
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.state import IllegalMove
from wapsi.telemetry.setup import Telemetry

OPERATOR = Principal(PrincipalKind.OPERATOR, UUID(int=1), frozenset(Permission))
# So that some of the withdrawals wait for two operators.
APPROVAL_MINOR = 100_000
GOODWILL_MINOR = 20_000
SEQUENCES = int(os.environ.get("WAPSI_MONEY_SEQUENCES", "512"))
# Side by side, where there is more than one process.
PARTS = 4
STEPS = int(os.environ.get("WAPSI_MONEY_STEPS", "10"))
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
# Of phones there is a rate of their own; shoes and what has no category share the default one.
LINES = st.none() | st.lists(
    st.builds(
        service.LineItem,
        st.just("A-1"),
        st.sampled_from(["phones", "shoes", ""]),
        st.integers(0, 2),
        st.sampled_from([0, 99_999, 1_000_000]),
    ),
    max_size=3,
)


Lines = list[service.LineItem] | None


class Money(Astray):
    """One customer with four wallets (good; refused; paid, but silent; silent), up to four sales, and a friend who
    invited the customer.

    After each step `states` is read anew, so that rules are tried only where they can do something.
    """

    ended: ClassVar[int] = 0

    @initialize(status=FIRST_WORDS, amount=st.sampled_from([1_000_000, 3_000_000]), shared=st.booleans())
    def begin(self, status: str, amount: int, shared: bool) -> None:
        self.run = self.stage.run
        self.world = self.stage.world
        self.name = uuid4().hex
        self.sales = [f"{self.name}-{number}" for number in range(4)]
        self.start = self.run(self.stage.now())
        self.customer, self.referrer = self.run(self.stage.people_of_a_sequence(self.name))
        self.wallets: dict[str, UUID] = {}
        if shared:
            self._wallet("4567")
            self.run(self.world.payout_method(self.referrer, "4567"))
        self.clicks: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.states: dict[str, list[tuple[UUID, str]]] = {}
        self.available = 0
        # Who has approved which payout since it was held.
        self.approved: dict[UUID, set[int]] = {}
        self.click()
        self._report(0, status, amount, 0, 0, False, None, by_group=True)

    def _wallet(self, ending: str) -> UUID:
        """Made when first needed."""
        if ending not in self.wallets:
            self.wallets[ending] = self.run(self.world.payout_method(self.customer, ending))
        return self.wallets[ending]

    @rule()
    def click(self) -> None:
        self.clicks.append(str(self.run(self.world.click(self.customer)).id))

    @rule(
        sale=SALES,
        status=WORDS,
        amount=AMOUNTS,
        age=AGES,
        click=CLICKS,
        new_customer=st.booleans(),
        lines=LINES,
        by_group=st.booleans(),
    )
    def sale_is_reported(
        self,
        sale: int,
        status: str,
        amount: int | None,
        age: int,
        click: int | None,
        new_customer: bool,
        lines: Lines,
        by_group: bool,
    ) -> None:
        self._report(sale, status, amount, age, click, new_customer, lines, by_group=by_group)

    def _report(
        self,
        sale: int,
        status: str,
        amount: int | None,
        minutes_ago: int,
        click: int | None,
        new_customer: bool,
        lines: Lines,
        *,
        by_group: bool,
    ) -> None:
        """By group: as the doors hand events in."""
        fields = {
            "conversion_id": self.sales[sale],
            "line_items": lines,
            "click_id": "" if click is None else self.clicks[click % len(self.clicks)],
            "status": status,
            "order_amount_minor": amount,
            "commission_minor": None if amount is None else amount // 10,
            "occurred_at": datetime.now(UTC) - timedelta(minutes=minutes_ago),
            "customer_type": "new" if new_customer else "unknown",
        }
        event_id = uuid4().hex
        self.events.append((event_id, fields))
        result = self.run(self.world.report(event_id, by_group=by_group, **fields))
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

    @precondition(lambda self: self._can("rewards", "held"))
    @rule(pick=PICK)
    def operator_declines_what_is_held(self, pick: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.decline(session, OPERATOR, row_id, "checked")

        assert self._do(self._can("rewards", "held"), pick, work)

    @precondition(lambda self: self._can("rewards", "declined", "reversed"))
    @rule(pick=PICK)
    def operator_holds_what_is_gone(self, pick: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.hold(session, OPERATOR, row_id, "checked")

        assert not self._do(self._can("rewards", "declined", "reversed"), pick, work)

    @precondition(lambda self: self.available >= 10_000)
    @rule(wallet=st.sampled_from(["4567", "0001", "0002", "0003"]), percent=st.sampled_from([50, 100]))
    def customer_withdraws(self, wallet: str, percent: int) -> None:
        amount_minor = max(10_000, self.available * percent // 100)
        self.run(self.world.withdraw(self.customer, self._wallet(wallet), amount_minor))

    @rule(more=st.integers(1, 10_000))
    def customer_asks_for_more_than_there_is(self, more: int) -> None:
        before = self.run(self._entries())
        with pytest.raises((InsufficientBalance, PayoutTooSmall)):
            self.run(self.world.withdraw(self.customer, self._wallet("4567"), self.available + more))
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

    @rule()
    def bonuses_are_looked_for(self) -> None:
        async def work() -> None:
            reward_ids = [row_id for row_id, _ in self.states["rewards"]]
            async with self.world.db.write() as session:
                await take_back(session, reward_ids)
                await award(session, reward_ids)
                await mature(session)

        self.run(work())
        causes = self.run(
            self.world.sql(
                "SELECT r.state FROM bonuses b JOIN rewards r ON r.id = b.reward_id WHERE b.newcomer_id = $1"
                " AND b.state IN ('pending', 'held', 'confirmed')",
                self.customer,
            )
        )
        assert {cause["state"] for cause in causes} <= {"confirmed", "held"}

    @precondition(lambda self: self._can("bonuses", "held"))
    @rule(pick=PICK)
    def operator_releases_a_bonus(self, pick: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.release_bonus(session, OPERATOR, row_id, "checked")

        assert self._do(self._can("bonuses", "held"), pick, work)

    @precondition(lambda self: self.states.get("bonuses"))
    @rule(pick=PICK)
    def operator_declines_a_bonus(self, pick: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.decline_bonus(session, OPERATOR, row_id, "checked")

        ids = [row_id for row_id, _ in self.states["bonuses"]]
        possible = ids[pick % len(ids)] in self._can("bonuses", "held", "pending")
        assert self._do(ids, pick, work) == possible

    @invariant()
    def books_are_sound(self) -> None:
        assert self.run(self.stage.broken_since(self.start)) == []

    @invariant()
    def everybody_has_what_was_earned_less_what_was_withdrawn(self) -> None:
        picture = self.run(self.stage.picture(self.sales, [self.customer, self.referrer]))
        self.states = picture.states
        self.available = picture.withdrawable[self.customer]
        assert picture.balances == picture.should

    def teardown(self) -> None:
        type(self).ended += 1
        # All of it, also what no step can change; the more there is, the rarer.
        if self.ended % 50 == 0:
            assert self.run(self.world.violations()) == []

    async def _entries(self) -> int:
        return await self.stage.last_entry()

    def _do(self, ids: list[UUID], pick: int, work: Work, *refusals: type[DomainError]) -> bool:
        return super()._do(ids, pick, work, *(refusals or (IllegalMove, InsufficientBalance, SecondPersonNeeded)))


class MoneyReadAnew(OtherWords, Money):
    """The same, and now and then the network's words are read in another way."""


@pytest.fixture
def stage(
    world_type: type[Any], settings: Settings, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    monkeypatch.setenv("WAPSI_CASHBACK_PAYOUT_APPROVAL_MINOR", f'{{"PKR": {APPROVAL_MINOR}}}')
    monkeypatch.setenv("WAPSI_CASHBACK_GOODWILL_APPROVAL_MINOR", f'{{"PKR": {GOODWILL_MINOR}}}')
    get_cashback_settings.cache_clear()
    stage = Stage(world_type, settings, telemetry)
    yield stage
    stage.end()
    get_cashback_settings.cache_clear()


def run(machine: type[Money], stage: Stage, sequences: int) -> None:
    machine.stage, machine.ended = stage, 0
    run_state_machine_as_test(
        machine,
        settings=hypothesis_settings(
            max_examples=sequences,
            stateful_step_count=STEPS,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert machine.ended >= sequences
    assert stage.run(stage.world.violations()) == []


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_sequence_of_events_breaks_an_invariant(stage: Stage, part: int) -> None:
    run(Money, stage, -(-SEQUENCES // PARTS))


@pytest.mark.timeout(3600)
def test_nor_does_another_reading_of_the_networks_words(stage: Stage) -> None:
    run(MoneyReadAnew, stage, -(-SEQUENCES // 20))
    assert stage.run(stage.world.sql("SELECT id FROM mapping_proposals WHERE state = 'applied'"))
