"""What operators and customers do about sales that went astray, and other readings of a network's words: rules of the
money machine."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from domains.cashback import service
from domains.cashback.service.mappings import DEFAULT_MAPPING
from tests.domains.cashback.money_stage import Stage
from wapsi.errors import DomainError
from wapsi.queue.jobs import run_job

Work = Callable[[Any, UUID], Awaitable[None]]
PICK = st.integers(0, 1)
SALES = st.integers(0, 3)
WHO = st.integers(0, 2)


class Astray(RuleBasedStateMachine):
    """Claims are about one of the sequence's sales, or about an order that no network tells of."""

    stage: ClassVar[Stage]
    world: Any
    customer: UUID
    sales: list[str]
    clicks: list[str]
    states: dict[str, list[tuple[UUID, str]]]

    def _can(self, table: str, *states: str) -> list[UUID]:
        return [row_id for row_id, state in self.states.get(table, []) if state in states]

    def _do(self, ids: list[UUID], pick: int, work: Work, *refusals: type[DomainError]) -> bool:
        """On one of them. False where it was refused, which must leave nothing behind."""

        async def unit() -> None:
            async with self.world.db.write() as session:
                await work(session, ids[pick % len(ids)])

        before = self.stage.run(self.stage.last_entry())
        try:
            self.stage.run(unit())
        except refusals:
            assert self.stage.run(self.stage.last_entry()) == before
            return False
        return True

    @precondition(lambda self: self._can("conversions", "unattributed"))
    @rule(pick=PICK, click=PICK)
    def operator_attributes_a_sale(self, pick: int, click: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            click_id = UUID(self.clicks[click % len(self.clicks)])
            await service.attribute_sale(
                session, self.stage.runtime.keys, self.stage.people[0], row_id, click_id, "asked_the_shop"
            )

        # Refused where the click came too late for it.
        self._do(self._can("conversions", "unattributed"), pick, work, DomainError)

    @rule(sale=SALES | st.none(), click=PICK, amount=st.sampled_from([100_000, 2_000_000]))
    def customer_claims(self, sale: int | None, click: int, amount: int) -> None:
        order_id = f"{self.sales[0]}-unheard" if sale is None else self.sales[sale]

        async def work(session: Any, click_id: UUID) -> None:
            new = service.NewClaim(service.ClaimReason.NOT_TRACKED, click_id, order_id, amount)
            made = await service.submit_claim(session, self.customer, new)
            await service.move_claim(
                session, self.stage.people[0], made.id, service.ClaimState.SENT_TO_MERCHANT, "asked"
            )

        # Refused where there is one about this order already.
        self._do([UUID(id_) for id_ in self.clicks], click, work, DomainError)

    @precondition(lambda self: self._can("claims", "sent_to_merchant"))
    @rule(pick=PICK, who=WHO, resolution=st.sampled_from(service.ClaimResolution), named=st.sampled_from([None, 5_000]))
    def operator_approves_a_claim(
        self, pick: int, who: int, resolution: service.ClaimResolution, named: int | None
    ) -> None:
        amount_minor = named if resolution is service.ClaimResolution.GOODWILL else None

        async def work(session: Any, row_id: UUID) -> None:
            settlement = service.Settlement(resolution, amount_minor=amount_minor)
            await service.approve_claim(
                session, self.stage.runtime.keys, self.stage.people[who], row_id, settlement, "checked"
            )

        self._do(self._can("claims", "sent_to_merchant"), pick, work, DomainError)

    @precondition(lambda self: self._can("claims", "approved", "declined"))
    @rule(pick=PICK)
    def claim_that_is_settled_is_not_settled_again(self, pick: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            settlement = service.Settlement(service.ClaimResolution.GOODWILL, amount_minor=5_000)
            await service.approve_claim(
                session, self.stage.runtime.keys, self.stage.people[0], row_id, settlement, "again"
            )

        assert not self._do(self._can("claims", "approved", "declined"), pick, work, DomainError)

    @precondition(lambda self: self._can("claims", "sent_to_merchant"))
    @rule(pick=PICK)
    def operator_declines_a_claim(self, pick: int) -> None:
        async def work(session: Any, row_id: UUID) -> None:
            await service.move_claim(
                session, self.stage.people[0], row_id, service.ClaimState.DECLINED, "no_such_order"
            )

        assert self._do(self._can("claims", "sent_to_merchant"), pick, work, DomainError)


class OtherWords(RuleBasedStateMachine):
    """A replay looks at every event of the network, of the sequences before too: for a machine of few sequences."""

    stage: ClassVar[Stage]
    world: Any

    @initialize()
    def words_mean_what_they_meant_at_first(self) -> None:
        """Whatever the sequence before has left: the same steps must come to the same."""
        self.stage.run(
            self.stage.admin.execute(
                "INSERT INTO status_mappings (source, version, mapping, created_by)"
                " SELECT source, max(version) + 1, $1::jsonb, 'test' FROM status_mappings WHERE source = 'impact'"
                " GROUP BY source",
                orjson.dumps(DEFAULT_MAPPING).decode(),
            )
        )

    @rule(
        odd=st.sampled_from([None, "pending", "approved", "declined"]),
        closed=st.sampled_from(["pending", "approved", "declined"]),
    )
    def operator_changes_the_mapping(self, odd: str | None, closed: str) -> None:
        words = DEFAULT_MAPPING | {"closed": closed} | ({} if odd is None else {"no such word": odd})
        self.stage.run(self._apply(words))

    async def _apply(self, words: dict[str, str]) -> None:
        person = self.stage.people[0]
        try:
            async with self.world.db.write() as session:
                proposal = await service.propose_mapping(session, person, "impact", words, "asked the network")
        except DomainError:
            # It is read so already.
            return
        for ask, kind in (
            (service.preview_mapping, service.PREVIEW_MAPPING),
            (service.apply_mapping, service.REPLAY_MAPPING),
        ):
            async with self.world.db.write() as session:
                await ask(session, person, proposal.id)
            assert await self.world.run_jobs(kind) == 1
        # The second look, for what came late.
        await self.world.sql(
            "UPDATE mapping_proposals SET activated_at = activated_at - $2::interval WHERE id = $1",
            proposal.id,
            timedelta(minutes=5),
        )
        for row in await self.world.sql(
            "UPDATE jobs SET due_at = now() WHERE kind = $1 AND state = 'ready' RETURNING id", service.REPLAY_MAPPING
        ):
            await run_job(self.stage.runtime, row["id"])
        rows = await self.world.sql("SELECT state FROM mapping_proposals WHERE id = $1", proposal.id)
        assert rows[0]["state"] == "applied"
