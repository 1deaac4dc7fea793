"""A database with shoppers, merchants and signed clicks, and files of sales to report: all before the clock runs."""

import contextlib
import os
import random
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from domains.cashback.service import receipts
from domains.merchants import service as merchants
from tests.benchmarks.bench import Bench
from tests.benchmarks.limits import BEYOND_REACH
from tests.benchmarks.processes import Helper
from tests.benchmarks.servers import Servers
from wapsi.config import Settings
from wapsi.db import Database
from wapsi.ids import new_id, time_of
from wapsi.migrations import run as migrations
from wapsi.migrations.grants import APP_ROLE
from wapsi.security.signing import Keys, new_signing_key

DATABASE = "wapsi"
PUBLIC_URL = "http://127.0.0.1:8000"
NETWORK = "impact"
CURRENCY = "INR"
PERCENT_BPS = 500
CAP_MINOR = 30_000
CALLERS = 32
PGBENCH_SCALE = 50
# So many that few sales of a group meet on one customer, whose balance is a row that is guarded.
CUSTOMERS = 10_000
MERCHANTS = 300
_CLICK_COLUMNS = (
    *("id", "clicked_at", "customer_id", "merchant_id", "currency", "landing_url", "target_url"),
    *("rate_schedule_version", "receipt", "receipt_mac"),
)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to become a sale. Amounts in minor units; `words` are the statuses that the network reports in turn."""

    number: int
    amount_minor: int
    commission_minor: int
    words: tuple[str, ...]


@dataclass(slots=True)
class Stage:
    servers: Servers
    environment: dict[str, str]
    admin: asyncpg.Pool
    keys: Keys
    shops: list[merchants.MerchantRef] = field(default_factory=list)
    schedules: dict[UUID, merchants.RateSchedule] = field(default_factory=dict)
    customers: list[UUID] = field(default_factory=list)

    async def write_sales(
        self, file: Path, orders: Sequence[Order], *, hot: bool = False
    ) -> list[tuple[Order, merchants.MerchantRef, UUID]]:
        """A click for each order, in the database, and its events, in the file: round by round of the words. Returns
        each with its merchant and customer."""
        chance = random.Random(orders[0].number)
        offers = [
            (order, self.shops[0] if hot else chance.choice(self.shops), chance.choice(self.customers))
            for order in orders
        ]
        clicks = [self._click(merchant, customer) for _, merchant, customer in offers]
        await self.admin.copy_records_to_table("clicks", records=clicks, columns=_CLICK_COLUMNS)
        begin = datetime.now(UTC) - timedelta(minutes=10)
        with file.open("ab") as lines:
            for turn in range(max(len(order.words) for order in orders)):
                at = begin + timedelta(seconds=turn)
                for (order, merchant, _), click in zip(offers, clicks, strict=True):
                    if turn < len(order.words):
                        event = _event(order, order.words[turn], merchant.slug, click[0], at)
                        lines.write(NETWORK.encode() + b"\t" + orjson.dumps(event) + b"\n")
        return offers

    def _click(self, merchant: merchants.MerchantRef, customer_id: UUID) -> tuple[Any, ...]:
        click_id = new_id()
        at = time_of(click_id)
        receipt = receipts.promise(click_id, customer_id, at, merchant, self.schedules[merchant.id], None)
        signed = receipts.sign(self.keys, PUBLIC_URL, receipt)
        mac = receipts.mac(self.keys, signed)
        link = f"https://{merchant.slug}.example/"
        return (click_id, at, customer_id, merchant.id, CURRENCY, link, f"{link}?c={click_id}", 1, signed, mac)

    @contextlib.contextmanager
    def callers(self) -> Iterator[Helper]:
        with Helper(["tests.benchmarks.money_process"], self.environment) as helper:
            yield helper

    def pgbench(self, *arguments: str) -> str:
        """Its output. Raises CalledProcessError."""
        postgres = self.servers.postgres
        program = str(postgres._placement.client_programs / "pgbench")
        host = postgres.url("tpcb").partition("host=")[2].partition("&")[0].replace("%2F", "/")
        command = [program, "-h", host, "-U", "postgres", *arguments, "tpcb"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def make_tpcb(self) -> None:
        self.servers.postgres.ensure_database("tpcb")
        self.pgbench("-i", "-q", "-s", str(PGBENCH_SCALE))

    def tpcb_per_s(self, seconds: int) -> float:
        output = self.pgbench(
            *("-M", "prepared", "-c", str(CALLERS), "-j", "2", "-T", str(seconds), "-n"),
        )
        [line] = [line for line in output.splitlines() if line.startswith("tps = ")]
        return float(line.split()[2])


def _event(order: Order, word: str, merchant: str, click_id: UUID, at: datetime) -> dict[str, Any]:
    return {
        "conversion_id": f"order-{order.number}",
        "click_id": str(click_id),
        "merchant": merchant,
        "status": word,
        "order_amount_minor": order.amount_minor,
        "commission_minor": order.commission_minor,
        "currency": CURRENCY,
        "occurred_at": at,
    }


@contextlib.asynccontextmanager
async def stage(bench: Bench) -> AsyncIterator[Stage]:
    async with bench.servers() as servers:
        servers.postgres.ensure_database(DATABASE)
        url = servers.postgres.url(DATABASE)
        await migrations.upgrade(url)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("WAPSI_", "OTEL_", "PG"))},
            **BEYOND_REACH,
            "WAPSI_DATABASE_URL": servers.postgres.url(DATABASE, APP_ROLE),
            "WAPSI_QUEUE_URL": servers.valkey.url(0),
            "WAPSI_SECRET_KEY": secrets.token_urlsafe(48),
            "WAPSI_SIGNING_KEY": new_signing_key(),
        }
        values: dict[str, Any] = {
            name.removeprefix("WAPSI_").lower(): value
            for name, value in environment.items()
            if name.startswith("WAPSI_")
        }
        settings = Settings(**values)
        admin = await asyncpg.create_pool(url.replace("postgresql+asyncpg", "postgresql"), min_size=1, max_size=4)
        db = Database(settings, role="bench")
        try:
            staged = Stage(servers, environment, admin, Keys(settings))
            await _fill(staged, db)
            yield staged
        finally:
            await db.dispose()
            await admin.close()


async def _fill(staged: Stage, db: Database) -> None:
    rate = merchants.Rate(
        "", merchants.CustomerType.UNKNOWN, merchants.RateKind.PERCENT, PERCENT_BPS, None, CURRENCY, CAP_MINOR
    )
    async with db.write() as session:
        await merchants.create_network(session, None, staged.keys, slug=NETWORK, name="Impact")
        for number in range(MERCHANTS):
            slug = f"shop-{number}"
            new = merchants.NewMerchant(
                slug=slug,
                name=slug.title(),
                currency=CURRENCY,
                network=NETWORK,
                deep_link_template="https://go.example/?u={link}&sub={click_id}",
                allowed_landing_hosts=(f"{slug}.example",),
            )
            await merchants.create_merchant(session, None, new)
            schedule = await merchants.publish_rates(session, None, slug, merchants.NewSchedule((rate,)))
            moved = await merchants.move_merchant(session, None, slug, merchants.MerchantStatus.ACTIVE)
            # Plain, as the service's own clicks have it, and not the driver's.
            merchant = replace(moved, id=UUID(str(moved.id)))
            staged.shops.append(merchant)
            staged.schedules[merchant.id] = schedule
    rows = await staged.admin.fetch(
        "INSERT INTO customers (email, password_hash, display_name, referral_code)"
        " SELECT 'shopper' || n || '@wapsi.example', 'none', 'Asma', 'C' || n FROM generate_series(1, $1) AS n"
        " RETURNING id",
        CUSTOMERS,
    )
    staged.customers += [UUID(str(row["id"])) for row in rows]
    await staged.admin.execute("ANALYZE")
