"""MON3: durable clicks a second, by the service and through HTTP, against pgbench's single-row INSERTs."""

import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from tests.benchmarks.bench import Bench, median
from tests.benchmarks.processes import Helper
from tests.benchmarks.product import Product
from tests.benchmarks.registry import Row, at_least, bar
from tests.benchmarks.servers import Servers
from wapsi.config import Settings
from wapsi.security.signing import Keys

CALLERS = 64
# For the note beside the bar: what serves is often several processes.
PROCESSES = 2
CLIENTS = 32
MERCHANTS = 100
# Of whom so many are signed in: one who clicks a hundred times a second would be looked for among their own clicks.
SHOPPERS = 20_000
SIGNED_IN = 1_000
SECONDS = 6
_FLOOR = "pgbench, an INSERT of a click a transaction, 32 clients"
# A click without what makes ours one: no receipt, no second index, no check of anything.
_FLOOR_TABLE = """CREATE TABLE IF NOT EXISTS floor_clicks (
    id uuid PRIMARY KEY, clicked_at timestamptz NOT NULL, customer_id uuid NOT NULL, merchant_id uuid NOT NULL,
    landing_url text NOT NULL, target_url text NOT NULL, user_agent text NOT NULL)"""
_FLOOR_SCRIPT = """INSERT INTO floor_clicks VALUES (uuidv7(), now(), uuidv7(), uuidv7(),
    'https://shop.example/products/1', 'https://go.example/?u=https%3A%2F%2Fshop.example%2Fproducts%2F1&sub=1',
    'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0');
"""


_SHOPPERS = """INSERT INTO customers (email, password_hash, display_name, referral_code)
    SELECT 'shopper' || n || '@wapsi.example', 'none', 'Asma', 'C' || n FROM generate_series(1, $1) AS n RETURNING id"""


class ClicksBroken(Exception):
    """A click was refused, or is not in the table."""


@bar("MON3")
async def durable_clicks(bench: Bench) -> Sequence[Row]:
    async with bench.product(roles=("serve",)) as product, clicking(bench, product) as click:
        for run in bench.runs():
            for name in ("floor", "service", "apart", "http"):
                await click(name, run)
            bench.say(", ".join(f"{name} {rates[-1]:,.0f}/s" for name, rates in click.rates.items()))
    return [
        click.row("MON3-service", "clicks recorded by the service, 64 callers in one process", "service", 0.8),
        click.row("MON3-http", "POST /v1/clicks, 64 connections, signed in, with receipts", "http", 0.15),
    ]


class Clicking:
    """`rates` are clicks a second, by what made them."""

    def __init__(self, bench: Bench, product: Product, servers: Servers, helpers: Sequence[Helper]) -> None:
        self._bench = bench
        self._product = product
        self._servers = servers
        self._helpers = helpers
        self.rates: dict[str, list[float]] = {name: [] for name in ("floor", "service", "apart", "http")}
        self._answers: dict[str, list[Mapping[str, float]]] = {name: [] for name in ("service", "apart", "http")}

    async def __call__(self, name: str, _run: int) -> None:
        await self._product.admin.execute("CHECKPOINT")
        if name == "floor":
            self.rates[name].append(self._pgbench())
            return
        before = await self._count()
        answer = ask(self._helpers if name == "apart" else self._helpers[:1], name, SECONDS)
        if answer["failures"] or await self._count() - before != answer["clicks"]:
            raise ClicksBroken(str(answer))
        self._answers[name].append(answer)
        self.rates[name].append(answer["clicks"] / answer["seconds"])

    async def _count(self) -> int:
        return int(await self._product.admin.fetchval("SELECT count(*) FROM clicks"))

    def _pgbench(self) -> float:
        postgres = self._servers.postgres
        script = self._servers.folder / "click.sql"
        script.write_text(_FLOOR_SCRIPT)
        host = postgres.url("wapsi").partition("host=")[2].partition("&")[0].replace("%2F", "/")
        program = str(postgres._placement.client_programs / "pgbench")
        command = [program, "-h", host, "-U", "postgres", "-n", "-M", "prepared", "-f", str(script)]
        command += ["-c", str(CLIENTS), "-j", "2", "-T", str(SECONDS), "wapsi"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        [line] = [line for line in output.splitlines() if line.startswith("tps = ")]
        return float(line.split()[2])

    def row(self, id: str, what: str, name: str, limit: float) -> Row:
        value, floor = median(self.rates[name]), median(self.rates["floor"])
        answers = self._answers[name]
        p50, p99 = (median([answer[key] for answer in answers]) for key in ("p50_ms", "p99_ms"))
        text, holds = at_least(limit, value / floor)
        notes = [f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"]
        if name == "service":
            apart = median(self.rates["apart"])
            notes.append(f"the callers in {PROCESSES} processes: {apart:,.0f}/s, {apart / floor:.2f} of the floor")
        return Row(id, what, value, "clicks/s", floor, _FLOOR, value / floor, text, holds, notes)


@contextlib.asynccontextmanager
async def clicking(bench: Bench, product: Product) -> AsyncIterator[Clicking]:
    bench.say(f"making {MERCHANTS} merchants and {SHOPPERS} shoppers")
    for number in range(MERCHANTS):
        await product.add_merchant(f"shop-{number}")
    await product.admin.execute(_FLOOR_TABLE)
    customers = await product.admin.fetch(_SHOPPERS, SHOPPERS)
    tokens = _sign_in(product, [row["id"] for row in customers[:SIGNED_IN]])
    with contextlib.ExitStack() as stack:
        command = ["tests.benchmarks.money_clicks_process", product.url]
        helpers = [stack.enter_context(Helper(command, product.environment)) for _ in range(PROCESSES)]
        setup = {
            "merchants": [f"shop-{number}" for number in range(MERCHANTS)],
            "customers": [str(row["id"]) for row in customers],
            "tokens": tokens,
        }
        for helper in helpers:
            helper.tell(setup)
        ask(helpers, "service", 2)
        ask(helpers[:1], "http", 2)
        yield Clicking(bench, product, product._servers, helpers)


def ask(helpers: Sequence[Helper], how: str, seconds: float) -> dict[str, Any]:
    """Of all together: their clicks, and the longest of their times."""
    how = "http" if how == "http" else "service"
    for helper in helpers:
        helper.tell({"how": how, "callers": CALLERS // len(helpers), "seconds": seconds})
    answers = [helper.answer() for helper in helpers]
    longest = {name: max(answer[name] for answer in answers) for name in ("seconds", "p50_ms", "p99_ms")}
    failures = [failure for answer in answers for failure in answer["failures"]]
    return {**longest, "clicks": sum(answer["clicks"] for answer in answers), "failures": failures}


def _sign_in(product: Product, customer_ids: Sequence[UUID]) -> list[str]:
    """Access tokens as a sign-in gives them, without a thousand slow checks of a password."""
    environment = {name.removeprefix("WAPSI_").lower(): value for name, value in product.environment.items()}
    values: dict[str, Any] = {name: environment[name] for name in Settings.model_fields if name in environment}
    settings = Settings(**values)
    keys, now_s = Keys(settings), int(time.time())
    claims = {"iss": settings.public_url, "aud": "wapsi", "kind": "customer", "iat": now_s, "exp": now_s + 3600}
    return [keys.sign("at+jwt", {**claims, "sub": str(id), "sid": str(uuid4())}) for id in customer_ids]
