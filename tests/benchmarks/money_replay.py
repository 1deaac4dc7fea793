"""MON4: a million real orders replayed, every paisa of which is computed a second time without the product."""

import csv
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import zstandard

from domains.cashback import service
from domains.merchants.service import MerchantRef
from tests.benchmarks.bench import Bench
from tests.benchmarks.feeds import SHARED_DATA
from tests.benchmarks.money_stage import CAP_MINOR, CURRENCY, NETWORK, PERCENT_BPS, Order, Stage, stage
from tests.benchmarks.paths import ROOT
from tests.benchmarks.processes import Helper
from tests.benchmarks.registry import Row, Skipped, at_most, bar
from wapsi.config import Settings
from wapsi.db import Database

# Enough that groups are full: here it is not a caller's wait that counts.
CALLERS = 128
PARTS = 10
_FIRST_WORD = "Pending"
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
_Sale = tuple[Order, MerchantRef, UUID]


class BooksBroken(Exception):
    """The books are not those of the input."""


def _rows() -> Iterator[tuple[int, str]]:
    """(amount in minor units, status) of each line of the shop's report, again and again. Raises Skipped."""
    folder = Path(os.environ.get(SHARED_DATA) or ROOT.parent / "shared" / "data")
    file = folder / "orders" / "amazon_in_sale_report_24k.csv.zst"
    if not file.exists():
        raise Skipped(f"{file} is not there")
    text = zstandard.ZstdDecompressor().stream_reader(file.open("rb")).read().decode()
    read = []
    for row in csv.DictReader(text.splitlines()):
        try:
            amount_minor = int(Decimal(row["Amount"] or "0") * 100)
        except InvalidOperation:
            amount_minor = 0
        read.append((amount_minor, row["Status"]))
    return itertools.cycle(read)


def _orders(rows: Iterator[tuple[int, str]], first: int, count: int) -> list[Order]:
    """A quarter of them are reported as pending before."""
    orders = []
    for number in range(first, first + count):
        amount_minor, word = next(rows)
        words = (_FIRST_WORD, word) if number % 4 == 0 and word != _FIRST_WORD else (word,)
        orders.append(Order(number, amount_minor, amount_minor // 10, words))
    return orders


def _book(expected: Counter[str], sale: _Sale) -> None:
    """By hand: what a sale leaves in the books after its last word. Debits are positive."""
    order, merchant, customer_id = sale
    meaning = WORDS[order.words[-1].lower()]
    if meaning == "declined":
        return
    reward_minor = min(order.amount_minor * PERCENT_BPS // 10_000, CAP_MINOR)
    bucket = "available" if meaning == "approved" else "pending"
    expected[f"assets:receivable:{NETWORK}"] += order.commission_minor
    expected[f"income:commission:{merchant.slug}"] -= order.commission_minor
    expected[f"expenses:cashback:{merchant.slug}"] += reward_minor
    expected[f"liabilities:customer:{customer_id}:{bucket}"] -= reward_minor


@bar("MON4")
async def million_orders(bench: Bench) -> Sequence[Row]:
    each = bench.options.large // PARTS
    rows = _rows()
    expected: Counter[str] = Counter()
    seconds: list[float] = []
    async with stage(bench) as staged:
        await staged.admin.execute(
            "INSERT INTO status_mappings (source, version, mapping, created_by) VALUES ($1, 1, $2::jsonb, 'bench')",
            *(NETWORK, orjson.dumps(WORDS).decode()),
        )
        with staged.callers() as helper:
            await _part(staged, helper, _orders(rows, 0, each // 10), expected)
            for part in range(PARTS):
                orders = _orders(rows, each * (part + 1), each)
                seconds.append(await _part(staged, helper, orders, expected))
                bench.say(f"{(part + 1) * each:,} conversions: {each / seconds[-1]:,.0f}/s")
        bench.say("sealing, verifying, comparing")
        entries = await _check(staged, expected)
    ratio = seconds[-1] / seconds[0]
    limit, holds = at_most(1.2, ratio)
    value, floor = (s / each * 1e6 for s in (seconds[-1], seconds[0]))
    what = f"a conversion in the last {each:,} of {PARTS * each:,}, from real orders"
    notes = [f"{entries:,} entries: every invariant and seal holds, each account is what plain Python computes"]
    return [Row("MON4", what, value, "µs", floor, f"in the first {each:,}", ratio, limit, holds, notes)]


async def _part(staged: Stage, helper: Helper, orders: Sequence[Order], expected: Counter[str]) -> float:
    """How long the database's and the service's part took."""
    file = staged.servers.folder / "part.jsonl"
    file.unlink(missing_ok=True)
    for sale in await staged.write_sales(file, orders):
        _book(expected, sale)
    count = sum(len(order.words) for order in orders)
    await staged.admin.execute("CHECKPOINT")
    answer = helper.ask({"file": str(file), "first": 0, "count": count, "callers": CALLERS})
    # A second word that means the same as the first says nothing new.
    again = sum(len(order.words) == 2 and WORDS[order.words[1].lower()] == "pending" for order in orders)
    wanted = {name: number for name, number in (("applied", count - again), ("ignored", again)) if number}
    if answer["outcomes"] != wanted:
        raise BooksBroken(f"{answer['outcomes']} instead of {wanted}")
    return float(answer["seconds"])


async def _check(staged: Stage, expected: Counter[str]) -> int:
    """How many entries there are. Raises BooksBroken."""
    values: dict[str, Any] = {
        name.removeprefix("WAPSI_").lower(): value
        for name, value in staged.environment.items()
        if name.startswith("WAPSI_")
    }
    db = Database(Settings(**values), role="bench")
    try:
        await service.seal_entries(db, staged.keys)
        violations = await service.verify_everything(db, staged.keys)
    finally:
        await db.dispose()
    if violations:
        raise BooksBroken(str(violations[:5]))
    records = await staged.admin.fetch(
        "SELECT a.path, a.currency, sum(e.amount_minor)::bigint AS minor FROM ledger_entries e"
        " JOIN ledger_accounts a ON a.id = e.account_id GROUP BY a.id HAVING sum(e.amount_minor) <> 0"
    )
    booked = {(record["path"], record["currency"]): record["minor"] for record in records}
    computed = {(path, CURRENCY): minor for path, minor in expected.items() if minor}
    if booked != computed:
        different = {key for key in booked.keys() | computed.keys() if booked.get(key) != computed.get(key)}
        raise BooksBroken(f"{len(different)} accounts are not what they should be, such as {sorted(different)[:3]}")
    return int(await staged.admin.fetchval("SELECT count(*) FROM ledger_entries"))
