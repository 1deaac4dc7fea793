from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from domains.cashback import actors, service
from domains.customers import service as customers
from domains.merchants import service as merchants
from wapsi.queue import outbox
from wapsi.queue.jobs import run_job
from wapsi.runtime import Runtime

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
PASSWORD = "correct horse battery"
NETWORK = "impact"
MERCHANT = "daraz"


def _rate(category: str, customer_type: str, bps: int, cap_minor: int | None = None) -> merchants.Rate:
    return merchants.Rate(
        category, merchants.CustomerType(customer_type), merchants.RateKind.PERCENT, bps, None, "PKR", cap_minor
    )


# 5 %, at most PKR 1,000; 8 % for new customers; 2 % of phones.
RATES = (_rate("", "unknown", 500, 100_000), _rate("", "new", 800), _rate("phones", "unknown", 200))


class World:
    """A network with a merchant, and what can happen around them. Amounts in paisa."""

    def __init__(self, runtime: Runtime, admin_sql: SQL) -> None:
        self.runtime = runtime
        self.db = runtime.db
        self.sql = admin_sql
        self.secret = ""
        self.merchant_id = UUID(int=0)

    async def begin(self) -> None:
        async with self.db.write() as session:
            _, self.secret = await merchants.create_network(
                session, None, self.runtime.keys, slug=NETWORK, name="Impact"
            )
        self.merchant_id = (await self.merchant(MERCHANT, network=NETWORK)).id

    async def merchant(self, slug: str, network: str | None = None) -> merchants.MerchantRef:
        new = merchants.NewMerchant(
            slug=slug,
            name=slug.title(),
            currency="PKR",
            network=network,
            deep_link_template="https://go.impact.example/c?u={link}&sub={click_id}",
            allowed_landing_hosts=(f"{slug}.example",),
        )
        async with self.db.write() as session:
            await merchants.create_merchant(session, None, new)
            await merchants.publish_rates(session, None, slug, merchants.NewSchedule(RATES))
            return await merchants.move_merchant(session, None, slug, merchants.MerchantStatus.ACTIVE)

    async def customer(self, email: str | None = None) -> UUID:
        email = email or f"{uuid4().hex}@wapsi.example"
        async with self.db.write() as session:
            customer_id = await customers.create_customer(
                session, email=email, password_hash="none", display_name="Asma"
            )
        assert customer_id is not None
        return customer_id

    async def click(self, customer_id: UUID, merchant: str = MERCHANT) -> service.Click:
        async with self.db.write() as session:
            new = service.NewClick(merchant=merchant, user_agent="Mozilla/5.0")
            return await service.create_click(session, self.runtime, customer_id, new)

    async def report(
        self, event_id: str | None = None, *, network: str = NETWORK, by_group: bool = False, **fields: Any
    ) -> service.EventResult:
        """An event over the door of postbacks; by default a pending sale of PKR 1,000 with 100 commission, now.

        By group: in one with whatever comes at the same time, as the doors do it.
        """
        body = {
            "conversion_id": "sale-1",
            "merchant": MERCHANT,
            "status": "pending",
            "order_amount_minor": 100_000,
            "commission_minor": 10_000,
            "currency": "PKR",
            "occurred_at": datetime.now(UTC),
        } | fields
        raw = orjson.dumps(body)
        event, fault = None, ""
        try:
            event = service.parse_event(raw)
        except service.Malformed as error:
            fault = str(error)
        report = service.Report(event_id or uuid4().hex, service.Door.POSTBACK, raw, f"network:{network}", event, fault)
        async with self.db.write() as session:
            source = await service.source_of(session, network, str(body["merchant"]))
            if not by_group:
                return await service.ingest(session, self.runtime.keys, source, report)
        return await service.intake_of(self.runtime).submit((source, report))

    async def earn(self, customer_id: UUID, reward_minor: int, sale: str | None = None) -> UUID:
        """Confirmed cashback of this much, by a sale of twenty times it; returns the reward's id."""
        click = await self.click(customer_id)
        result = await self.report(
            conversion_id=sale or uuid4().hex,
            click_id=str(click.id),
            status="approved",
            order_amount_minor=reward_minor * 20,
        )
        assert result.outcome == "applied", result
        rows = await self.sql("SELECT id FROM rewards WHERE conversion_id = $1", result.conversion_id)
        reward_id: UUID = rows[0]["id"]
        return reward_id

    async def balance(self, customer_id: UUID) -> dict[str, int]:
        """In PKR: what is pending, available, in flight and owed."""
        found = [b for b in await service.balances(self.db.reads, customer_id) if b.currency == "PKR"]
        if not found:
            return {"pending": 0, "available": 0, "in_flight": 0, "owed": 0}
        return {
            "pending": found[0].pending_minor,
            "available": found[0].available_minor,
            "in_flight": found[0].in_flight_minor,
            "owed": found[0].owed_minor,
        }

    async def payout_method(self, customer_id: UUID, ending: str = "4567") -> UUID:
        """A mobile wallet whose last digits tell the sandbox provider what to do."""
        async with self.db.write() as session:
            method = await customers.add_mobile_wallet(
                session,
                self.runtime.keys,
                customer_id,
                provider=customers.WalletProvider.EASYPAISA,
                mobile_number=f"+92300123{ending}",
                label="Wallet",
            )
        return method.id

    async def withdraw(self, customer_id: UUID, method_id: UUID, amount_minor: int) -> service.PayoutView:
        async with self.db.write() as session:
            return await service.request_payout(
                session, customer_id, amount_minor=amount_minor, currency="PKR", payout_method_id=method_id
            )

    async def payout_state(self, payout_id: UUID) -> str:
        rows = await self.sql("SELECT state FROM payouts WHERE id = $1", payout_id)
        return str(rows[0]["state"])

    async def run_jobs(self, kind: str) -> int:
        """Runs every job of this kind that is due, as a worker would; returns how many."""
        assert actors is not None
        rows = await self.sql("SELECT id FROM jobs WHERE kind = $1 AND state = 'ready' AND due_at <= now()", kind)
        for row in rows:
            await run_job(self.runtime, row["id"])
        return len(rows)

    async def run_periodic(self, kind: str) -> None:
        async with self.db.write() as session:
            await outbox.enqueue(session, kind, {}, due_at=datetime.now(UTC) - timedelta(seconds=1))
        assert await self.run_jobs(kind) == 1

    async def violations(self) -> list[service.Violation]:
        async with self.db.read() as session:
            return await service.verify_ledger(session)


@pytest.fixture
def world_type() -> type[World]:
    return World


@pytest.fixture
async def world(runtime: Runtime, admin_sql: SQL) -> World:
    world = World(runtime, admin_sql)
    await world.begin()
    return world


@pytest.fixture
async def shopper_headers(customer_headers: Callable[[str], Awaitable[dict[str, str]]]) -> dict[str, str]:
    return await customer_headers("asma@wapsi.example")


@pytest.fixture
async def shopper_id(shopper_headers: dict[str, str], admin_sql: SQL) -> UUID:
    rows = await admin_sql("SELECT id FROM customers WHERE email = 'asma@wapsi.example'")
    found: UUID = rows[0]["id"]
    return found


@pytest.fixture
async def stranger_headers(customer_headers: Callable[[str], Awaitable[dict[str, str]]]) -> dict[str, str]:
    return await customer_headers("bilal@wapsi.example")
