"""The world of the money machine on an event loop of its own, and one look at all that its invariants are about."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import orjson

from domains.cashback import service
from domains.cashback.service.checks import CHECKS, Check
from domains.customers import service as customers
from wapsi.config import Settings
from wapsi.ids import new_id
from wapsi.roots.container import make_runtime
from wapsi.security.permissions import OperatorRole, Permission
from wapsi.security.principal import Principal, PrincipalKind
from wapsi.telemetry.setup import Telemetry

T = TypeVar("T")
# What no step can change is looked at when a sequence has ended, and so is what would have to look at everything.
_AT_THE_END = ("I8", "I10")
_SUM_OF_ALL = "FROM ledger_entries GROUP BY currency"
# Rules of bonuses are there before a sequence begins.
_ALL_OF = ("bonus_rules",)
_NUMBERED = ("ledger_entries", "ledger_accounts")


def _since(check: Check) -> str:
    """The check of what was written since a sequence began: $1 is an id of that moment, $2 and $3 the last entry and
    account before it. What was there then summed to zero, so that what came since must do so too."""
    statement = check.statement.replace(_SUM_OF_ALL, "FROM ledger_entries WHERE id > $2 GROUP BY currency")
    if check.walks in _NUMBERED:
        first, last = ("$2" if check.walks == "ledger_entries" else "$3"), str(2**63 - 1)
    else:
        first = f"'{UUID(int=0)}'::uuid" if check.walks in _ALL_OF else "$1"
        last = f"'{UUID(int=2**128 - 1)}'::uuid"
    statement = statement.replace(":after", first).replace(":upto", last)
    return f"SELECT '{check.invariant}' AS invariant, b.* FROM ({statement}) AS b (subject, message)"


_BROKEN = "SELECT * FROM (SELECT $1::uuid, $2::bigint, $3::bigint) AS given, LATERAL (" + (
    " UNION ALL ".join(_since(check) for check in CHECKS if check.invariant not in _AT_THE_END) + ") AS broken"
)
_THINGS = {
    "conversions": "source = 'impact' AND external_id = ANY($1)",
    "rewards": "customer_id = ANY($2)",
    "payouts": "customer_id = ANY($2)",
    "bonuses": "customer_id = ANY($2)",
    "claims": "customer_id = ANY($2)",
}
_PICTURE = (
    "SELECT "
    + ", ".join(
        f"(SELECT json_agg(json_build_array(id, state) ORDER BY id) FROM {table} WHERE {whose})::text AS {table}"
        for table, whose in _THINGS.items()
    )
    + ", (SELECT json_agg(json_build_array(a.customer_id, a.path, b.balance_minor)) FROM ledger_accounts a"
    " JOIN ledger_balances b ON b.account_id = a.id WHERE a.customer_id = ANY($2))::text AS balances,"
    " (SELECT json_agg(json_build_array(customer_id, state, amount_minor)) FROM ("
    "  SELECT customer_id, state, amount_minor FROM rewards WHERE customer_id = ANY($2)"
    "  UNION ALL SELECT customer_id, state, amount_minor FROM bonuses WHERE customer_id = ANY($2)"
    "  UNION ALL SELECT customer_id, 'confirmed', goodwill_minor FROM claims"
    "  WHERE customer_id = ANY($2) AND goodwill_minor IS NOT NULL"
    "  UNION ALL SELECT customer_id, 'withdrawn', amount_minor FROM payouts"
    "  WHERE customer_id = ANY($2) AND state NOT IN ('failed', 'cancelled')) AS moves)::text AS moves"
)


@dataclass(slots=True)
class Picture:
    """`states`: {table: its things of this sequence with their states}. `balances` and `should` are by customer:
    {"available": less what is owed, "pending": …}, as booked, and as rewards, bonuses, goodwill and payouts come to.
    """

    states: dict[str, list[tuple[UUID, str]]]
    balances: dict[UUID, dict[str, int]]
    should: dict[UUID, dict[str, int]]
    # What can be withdrawn, also by who owes us something.
    withdrawable: dict[UUID, int]


class Stage:
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
        # Planned once, for tables that are empty then.
        await self.admin.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off")
        self.people: list[Principal] = []
        world = world_type(self.runtime, self.admin.fetch)
        await world.begin()
        async with world.db.write() as session:
            for name in ("first", "second", "third"):
                person = await customers.create_operator(
                    session, f"{name}@wapsi.example", "correct horse battery", OperatorRole.FINANCE
                )
                self.people.append(Principal(PrincipalKind.OPERATOR, person.id, frozenset(Permission)))
            for kind, amount_minor in (("sign_up", 30_000), ("referrer", 20_000)):
                rule = service.NewBonusRule(
                    kind, service.BonusKind(kind), "PKR", amount_minor, 10_000, within_days=90, hold_days=0
                )
                await service.add_bonus_rule(session, None, rule)
        return world

    async def people_of_a_sequence(self, name: str) -> tuple[UUID, UUID]:
        """A customer, and who invited them."""
        async with self.runtime.db.write() as session:
            referrer = await customers.create_customer(
                session, email=f"r{name}@wapsi.example", password_hash="none", display_name="Asma"
            )
            customer = await customers.create_customer(
                session,
                email=f"c{name}@wapsi.example",
                password_hash="none",
                display_name="Bilal",
                referred_by=referrer,
            )
        assert referrer is not None
        assert customer is not None
        return customer, referrer

    async def now(self) -> tuple[UUID, int, int]:
        """Where what a sequence writes begins."""
        row = await self.admin.fetchrow(
            "SELECT (SELECT coalesce(max(id), 0) FROM ledger_entries), (SELECT coalesce(max(id), 0)"
            " FROM ledger_accounts)"
        )
        return new_id(), row[0], row[1]

    async def broken_since(self, start: tuple[UUID, int, int]) -> list[tuple[str, ...]]:
        rows = await self.admin.fetch(_BROKEN, *start)
        return [tuple(map(str, row[3:])) for row in rows]

    async def last_entry(self) -> int:
        return int(await self.admin.fetchval("SELECT coalesce(max(id), 0) FROM ledger_entries"))

    async def picture(self, sales: list[str], whose: list[UUID]) -> Picture:
        row = await self.admin.fetchrow(_PICTURE, sales, whose)
        states = {table: [(UUID(id_), state) for id_, state in orjson.loads(row[table] or "[]")] for table in _THINGS}
        balances = {person: {"available": 0, "pending": 0} for person in whose}
        withdrawable = dict.fromkeys(whose, 0)
        for person, path, minor in orjson.loads(row["balances"] or "[]"):
            if path.endswith(":available"):
                withdrawable[UUID(person)] = minor
            bucket = "pending" if path.endswith(":pending") else "available"
            balances[UUID(person)][bucket] += -minor if path.startswith("assets:") else minor
        should = {person: {"available": 0, "pending": 0} for person in whose}
        for person, state, minor in orjson.loads(row["moves"] or "[]"):
            for bucket, sign in _COUNTS.get(state, {}).items():
                should[UUID(person)][bucket] += sign * minor
        return Picture(states, balances, should, withdrawable)

    def end(self) -> None:
        self.run(self.admin.close())
        self.run(self.runtime.db.dispose())
        self._runner.close()


_COUNTS: Mapping[str, Mapping[str, int]] = {
    "confirmed": {"available": 1},
    "pending": {"pending": 1},
    "held": {"pending": 1},
    "withdrawn": {"available": -1},
}
