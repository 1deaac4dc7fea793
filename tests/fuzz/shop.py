"""What the fuzzed application holds, so that requests get past "there is no such thing"; and who owns some of it."""

import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2

from domains.cashback import service as cashback
from domains.customers import service as customers
from domains.customers.service.authentication import ACCESS_TOKEN_TYPE, AUDIENCE
from tests.domains.cashback.conftest import MERCHANT, PASSWORD, World
from wapsi.runtime import Runtime
from wapsi.security.permissions import PASSWORD_AND_CODE, OperatorRole

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]

_FEED = b"".join(
    b'{"id":"%d","title":"Lamp %d","link":"https://daraz.example/p/%d","price":"PKR %d","availability":"in stock"}\n'
    % (number, number, number, number * 100)
    for number in range(1, 21)
)
# Whatever was done to it meanwhile, and to the words of its network.
_REOPEN = """
    UPDATE merchants SET status = 'active', allowed_landing_hosts = '{daraz.example}',
        network_id = (SELECT id FROM affiliate_networks WHERE slug = 'impact'),
        deep_link_template = 'https://go.impact.example/c?u={link}&sub={click_id}'
    WHERE slug = $1"""
_SPEAK_AS_BEFORE = """
    INSERT INTO status_mappings (source, version, mapping, created_by)
    SELECT source, max(version) + 1, (array_agg(mapping ORDER BY version))[1], 'default' FROM status_mappings
    GROUP BY source
    HAVING (array_agg(mapping ORDER BY version DESC))[1] <> (array_agg(mapping ORDER BY version))[1]"""
# Where known values of a parameter, or of a field of a body, are found. Those of one caller's are of the latest one.
KNOWN = {
    # Not the shop's own, which is needed to the end.
    "path.slug": f"SELECT slug FROM merchants WHERE slug <> '{MERCHANT}' UNION SELECT slug FROM affiliate_networks",
    "path.network": "SELECT slug FROM affiliate_networks",
    "path.click_id": "SELECT id FROM clicks",
    "path.cashback_id": "SELECT id FROM rewards",
    "path.reward_id": "SELECT id FROM rewards",
    "path.conversion_id": "SELECT id FROM conversions",
    "path.payout_id": "SELECT id FROM payouts",
    "path.method_id": "SELECT id FROM payout_methods",
    "path.claim_id": "SELECT id FROM claims",
    "path.proposal_id": "SELECT id FROM mapping_proposals",
    "path.boost_id": "SELECT id FROM rate_boosts",
    "path.rule_id": "SELECT id FROM bonus_rules",
    "path.bonus_id": "SELECT id FROM bonuses",
    "path.producer_id": "SELECT id FROM producers",
    "path.transaction_id": "SELECT id FROM ledger_transactions",
    "body.merchant": "SELECT slug FROM merchants",
    "body.network": "SELECT slug FROM affiliate_networks",
    "body.click_id": "SELECT id FROM clicks",
    "body.payout_method_id": "SELECT id FROM payout_methods",
    "query.merchant": "SELECT slug FROM merchants",
    "path.customer_id": "SELECT id FROM customers",
    "path.operator_id": "SELECT id FROM operators",
    "query.customer_id": "SELECT id FROM customers",
    "body.email": "SELECT email FROM operators",
}
# What fits no pattern that OpenAPI could tell.
FITTING = {
    "body.password": [PASSWORD],
    "body.current_password": [PASSWORD],
    "body.iban": ["PK36SCBL0000001123456702"],
    "body.mobile_number": ["+923001234567"],
    "body.phone": ["+923001234567"],
    "body.currency": ["PKR"],
    "body.url": ["https://daraz.example/feed.xml"],
}
SYNCS, OFFERS = "SELECT id FROM syncs", "SELECT id FROM offers"
# As many of a kind, the newest first: UUIDv7 tell.
KNOWN_OF_A_KIND = 8


class Shop:
    """A merchant with offers, and tokens: each for a customer of their own with cashback, or for an admin."""

    def __init__(
        self, runtime: Runtime, sql: SQL, api: httpx2.AsyncClient, run_jobs: Callable[[], Awaitable[int]]
    ) -> None:
        self._runtime = runtime
        self._sql = sql
        self._api = api
        self._run_jobs = run_jobs
        self._world = World(runtime, sql)
        self._ready: dict[str, str] = {}
        self._links: list[str] = []

    async def open(self) -> None:
        await self._world.begin()
        await self.refill()

    async def refill(self) -> None:
        """Offers, merchants, a producer, and callers with something of their own; those of before may be used up."""
        await self._heal()
        for _ in range(2):
            await self._world.merchant(f"shop-{uuid4().hex[:8]}")
        admin = self._ready["operator"] = await self.token("operator")
        headers = {"Authorization": f"Bearer {admin}", "Idempotency-Key": uuid4().hex}
        await self._api.post(f"/v1/merchants/{MERCHANT}/syncs", headers=headers, content=_FEED)
        async with self._runtime.db.write() as session:
            await customers.create_producer(session, "Feeds", [self._world.merchant_id])
        await self._run_jobs()
        self._ready["customer"] = await self.token("customer")

    async def _heal(self) -> None:
        await self._sql(_REOPEN, MERCHANT)
        await self._sql(_SPEAK_AS_BEFORE)

    async def known(self) -> dict[str, list[str]]:
        """Values that exist, by the parameter or field that takes them."""
        found = {name: await self._values(query) for name, query in KNOWN.items()}
        return found | FITTING | {"path.token": self._links[-KNOWN_OF_A_KIND:]}

    async def known_ids(self) -> dict[str, list[str]]:
        """Values of `{id}`, by what a path begins with."""
        return {"/v1/syncs/": await self._values(SYNCS), "/v1/offers/": await self._values(OFFERS)}

    async def _values(self, query: str) -> list[str]:
        rows = await self._sql(
            f"SELECT value::text FROM ({query}) AS found (value) ORDER BY 1 DESC LIMIT $1", KNOWN_OF_A_KIND
        )
        return [row["value"] for row in rows]

    async def caller(self, kind: str) -> str:
        """The token that is ready, once: who asks again was refused with it."""
        return self._ready.pop(kind, None) or await self.token(kind)

    async def token(self, kind: str) -> str:
        moment = int(time.time())
        claims: dict[str, Any] = {
            "iss": self._runtime.settings.public_url,
            "aud": AUDIENCE,
            "sid": str(uuid4()),
            "kind": kind,
            "iat": moment,
            "exp": moment + 86_400,
        }
        if kind == "customer":
            claims["sub"] = str(await self._customer())
        else:
            role = OperatorRole.ADMIN
            claims |= {"sub": str(await self._operator()), "role": role, "amr": PASSWORD_AND_CODE}
        return self._runtime.keys.sign(ACCESS_TOKEN_TYPE, claims)

    async def _customer(self) -> UUID:
        world = self._world
        # What a fuzzed operator did to the shop a moment ago would let nobody sign in any more.
        await self._heal()
        customer_id = await world.customer()
        for _ in range(3):
            await world.earn(customer_id, 100_000)
        clicks = [await world.click(customer_id) for _ in range(2)]
        self._links += [click.url.rpartition("/")[2] for click in clicks]
        method_id = await world.payout_method(customer_id)
        await world.payout_method(customer_id, ending="9999")
        for _ in range(2):
            await world.withdraw(customer_id, method_id, 50_000)
        async with self._runtime.db.write() as session:
            new = cashback.NewClaim(
                reason=cashback.ClaimReason.NOT_TRACKED,
                click_id=clicks[0].id,
                order_id=uuid4().hex,
                order_amount_minor=100_000,
            )
            await cashback.submit_claim(session, customer_id, new)
        return customer_id

    async def _operator(self) -> UUID:
        """An admin; and one of support, who signs in with the password alone."""
        async with self._runtime.db.write() as session:
            for role in (OperatorRole.SUPPORT, OperatorRole.ADMIN):
                made = await customers.create_operator(session, f"{uuid4().hex}@wapsi.example", PASSWORD, role)
        return made.id
