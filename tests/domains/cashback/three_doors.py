"""A real shop's orders on their way through three doors: as postbacks, over gRPC and as a file, to networks alike."""

import asyncio
import csv
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import zstandard
from google.protobuf.timestamp_pb2 import Timestamp

from domains.merchants import service as merchants
from wapsi.rpc.cashback.v1 import conversion_pb2 as pb

FILE = "amazon_in_sale_report_24k.csv.zst"
CURRENCY = "INR"
PERCENT_BPS = 500
# What the shop's own words mean for a sale.
WORDS = {
    "pending": "pending",
    "pending - waiting for pick up": "pending",
    "shipped": "pending",
    "shipped - picked up": "pending",
    "shipped - out for delivery": "pending",
    "shipped - returning to seller": "pending",
    "shipped - delivered to buyer": "approved",
    "shipped - returned to seller": "declined",
    "shipped - rejected by buyer": "declined",
    "shipped - lost in transit": "declined",
    "shipped - damaged": "declined",
    "cancelled": "declined",
}
FIELDS = {
    "conversion_id": ["Order ID", "index"],
    "click_id": "sub",
    "status": "Status",
    "order_amount": "Amount",
    "commission": "Commission",
    "occurred_at": "at",
}
COLUMNS = ("Order ID", "index", "sub", "Status", "Amount", "Commission", "at")
_CUSTOMERS = 5


def real_orders() -> Path | None:
    """The file, where it is beside the repository."""
    folder = Path(os.environ.get("WAPSI_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data")
    file = folder / "orders" / FILE
    return file if file.exists() else None


@dataclass(frozen=True, slots=True)
class Order:
    """A line of the shop's report. `buyer` is None where no click led to it."""

    order_id: str
    index: str
    status: str
    amount: str
    buyer: int | None

    @property
    def name(self) -> str:
        return f"{self.order_id}:{self.index}"

    @property
    def amount_minor(self) -> int:
        return int(Decimal(self.amount or "0") * 100)

    @property
    def state(self) -> str:
        state = WORDS[self.status.lower()]
        return "unattributed" if self.buyer is None and state != "declined" else state

    @property
    def reward_minor(self) -> int:
        return 0 if self.buyer is None else self.amount_minor * PERCENT_BPS // 10_000


def read_orders(file: Path, each: int = 1) -> list[Order]:
    """Every so-manyth line of the file, and all those whose status is rare. Two of three were led to by a click."""
    with file.open("rb") as packed:
        text = zstandard.ZstdDecompressor().stream_reader(packed).read().decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    seen: Counter[str] = Counter()
    orders = []
    for number, row in enumerate(rows):
        seen[row["Status"]] += 1
        if number % each and seen[row["Status"]] > 1:
            continue
        buyer = None if len(orders) % 3 == 2 else len(orders) % _CUSTOMERS
        orders.append(Order(row["Order ID"], row["index"], row["Status"], row["Amount"], buyer))
    return orders


@dataclass(frozen=True, slots=True)
class Shop:
    """The same shop behind one of the doors. `clicks`: one of each customer."""

    network: str
    merchant: str
    merchant_id: UUID
    customers: list[UUID]
    clicks: list[UUID]

    def row(self, order: Order, status: str, at: datetime) -> dict[str, str]:
        """As the shop's report has it; sums are in rupees."""
        click = "" if order.buyer is None else str(self.clicks[order.buyer])
        commission = str(Decimal(order.amount_minor // 10) / 100) if order.amount else ""
        values = (order.order_id, order.index, click, status, order.amount, commission, at.isoformat())
        return dict(zip(COLUMNS, values, strict=True))

    def message(self, order: Order, status: str, at: datetime, event_id: str) -> pb.ConversionEvent:
        moment = Timestamp()
        moment.FromDatetime(at)
        event = pb.ConversionEvent(event_id=event_id, conversion_id=order.name, status=status, occurred_at=moment)
        event.merchant = self.merchant
        if order.buyer is not None:
            event.click_id = str(self.clicks[order.buyer])
        if order.amount:
            event.order_amount.CopyFrom(pb.Money(amount_minor=order.amount_minor, currency=CURRENCY))
            event.commission.CopyFrom(pb.Money(amount_minor=order.amount_minor // 10, currency=CURRENCY))
        return event


async def open_shop(world: Any, door: str) -> Shop:
    """With a network that speaks the shop's words."""
    network, merchant = f"net-{door}", f"shop-{door}"
    rate = merchants.Rate(
        "", merchants.CustomerType.UNKNOWN, merchants.RateKind.PERCENT, PERCENT_BPS, None, CURRENCY, None
    )
    new = merchants.NewMerchant(
        slug=merchant,
        name=merchant,
        currency=CURRENCY,
        network=network,
        deep_link_template="https://go.example/c?u={link}&sub={click_id}",
        allowed_landing_hosts=(f"{merchant}.example",),
    )
    async with world.db.write() as session:
        await merchants.create_network(session, None, world.runtime.keys, slug=network, name=network)
        made = await merchants.create_merchant(session, None, new)
        await merchants.publish_rates(session, None, merchant, merchants.NewSchedule((rate,)))
        await merchants.move_merchant(session, None, merchant, merchants.MerchantStatus.ACTIVE)
    await world.sql(
        "INSERT INTO status_mappings (id, source, version, mapping, created_by)"
        " VALUES (uuidv7(), $1, 1, $2::text::jsonb, 'test')",
        network,
        orjson.dumps(WORDS).decode(),
    )
    customers = [await world.customer() for _ in range(_CUSTOMERS)]
    clicks = [(await world.click(customer, merchant)).id for customer in customers]
    return Shop(network, merchant, made.id, customers, clicks)


def told(orders: Sequence[Order], begun: datetime) -> Iterator[tuple[Order, str, datetime]]:
    """What the network says, in its order: a quarter of the sales as pending first, then of all how they ended."""
    for order in orders[::4]:
        yield order, "Pending", begun
    for order in orders:
        yield order, order.status, begun + timedelta(minutes=1)


def as_table(shop: Shop, orders: Sequence[Order], begun: datetime) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(shop.row(*one) for one in told(orders, begun))
    return buffer.getvalue().encode()


async def call(api: Any, path: str, shop: Shop, orders: Sequence[Order], begun: datetime, at_once: int = 32) -> None:
    """As a network that signs nothing does: a form for each, several at once, but of one sale in their order."""
    gate = asyncio.Semaphore(at_once)

    async def one(row: dict[str, str]) -> None:
        async with gate:
            answer = await api.post(path, data=row)
            assert answer.status_code == 200, answer.text

    for at in (begun, begun + timedelta(minutes=1)):
        await asyncio.gather(*(one(shop.row(*say)) for say in told(orders, begun) if say[2] == at))


async def report(stub: Any, key: Any, shop: Shop, orders: Sequence[Order], begun: datetime) -> None:
    """In batches of as many as a call may have."""
    said = [shop.message(*say, f"evt-{number}") for number, say in enumerate(told(orders, begun))]
    for start in range(0, len(said), 500):
        request = pb.ReportConversionsRequest(network=shop.network, events=said[start : start + 500])
        answer = await stub.ReportConversions(request, metadata=key)
        assert {result.status.code for result in answer.results} == {0}, answer.results[0]


async def books(world: Any, shop: Shop) -> dict[str, Any]:
    """Sales with their rewards, and the sum of each account; without the names that differ from door to door."""
    sales = await world.sql(
        "SELECT c.external_id, c.state, c.network_state, c.raw_status, c.order_amount_minor, c.commission_minor,"
        " r.state AS reward_state, r.amount_minor FROM conversions c LEFT JOIN rewards r ON r.conversion_id = c.id"
        " WHERE c.source = $1 ORDER BY c.external_id",
        shop.network,
    )
    sums = await world.sql(
        "SELECT a.path, count(*) AS entries, sum(e.amount_minor)::bigint AS minor FROM ledger_entries e"
        " JOIN ledger_accounts a ON a.id = e.account_id WHERE a.path LIKE '%' || $1 OR a.path LIKE '%' || $2"
        " OR a.customer_id = ANY($3) GROUP BY a.path ORDER BY a.path",
        shop.network,
        shop.merchant,
        shop.customers,
    )
    names = {shop.network: "network", shop.merchant: "merchant"}
    names |= {str(customer): f"customer {number}" for number, customer in enumerate(shop.customers)}
    accounts = {}
    for path, entries, minor in sums:
        for name, word in names.items():
            path = path.replace(name, word)
        accounts[path] = (entries, minor)
    events = await world.sql(
        "SELECT outcome, count(*) FROM conversion_events WHERE source = $1 GROUP BY 1 ORDER BY 1", shop.network
    )
    return {"sales": [tuple(row) for row in sales], "accounts": accounts, "events": [tuple(row) for row in events]}


def expected(orders: Sequence[Order]) -> dict[str, Any]:
    """By hand: how many sales are in which state, and what the customers have together, pending and available."""
    states = Counter(order.state for order in orders)
    pending = sum(order.reward_minor for order in orders if order.state == "pending")
    available = sum(order.reward_minor for order in orders if order.state == "approved")
    return {"states": dict(states), "pending": pending, "available": available}


def found(kept: dict[str, Any]) -> dict[str, Any]:
    states = Counter(sale[1] for sale in kept["sales"])
    sums = {
        bucket: -sum(minor for path, (_, minor) in kept["accounts"].items() if path.endswith(f":{bucket}"))
        for bucket in ("pending", "available")
    }
    return {"states": dict(states), **sums}
