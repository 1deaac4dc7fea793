"""Two customers, two producers and an operator of each role, signed in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
import httpx2

from domains.customers import service as customers
from domains.merchants import service as merchants
from wapsi.runtime import Runtime
from wapsi.security.passwords import hash_password
from wapsi.security.permissions import NEED_SECOND_FACTOR, OperatorRole

SQL = Callable[..., Awaitable[list[asyncpg.Record]]]
PASSWORD = "correct horse battery"
# Whose things there are, and of each kind another one who must not reach them.
OWNERS = {"customer_a": "customer_b", "producer_a": "producer_b"}
# By the names that the table of permissions calls them.
KINDS = {
    "customer": ("customer_a", "customer_b"),
    "producer": ("producer_a", "producer_b"),
    **{role.value: (role.value,) for role in OperatorRole},
}
# Operators who signed in with a password alone, though their role needs more.
BY_PASSWORD = {f"{role}_by_password": role for role in sorted(NEED_SECOND_FACTOR)}
KINDS |= {name: (name,) for name in BY_PASSWORD}
CALLERS = tuple(name for names in KINDS.values() for name in names)


@dataclass
class Callers:
    """Who calls, and the shops of the producers."""

    api: httpx2.AsyncClient
    runtime: Runtime
    sql: SQL
    drain: Callable[[], Awaitable[int]]
    operator: Callable[[OperatorRole], Awaitable[dict[str, str]]]
    bearers: dict[str, str] = field(default_factory=dict)
    ids: dict[str, UUID] = field(default_factory=dict)
    password_hash: str = ""
    secret: str = ""
    key_prefix: str = ""

    async def begin(self) -> None:
        self.password_hash = await hash_password(PASSWORD)
        async with self.runtime.db.write() as session:
            network, self.secret = await merchants.create_network(
                session, None, self.runtime.keys, slug="impact", name="Impact"
            )
            self.ids["network_id"] = network.id
        for name, slug in (("producer_a", "shop"), ("producer_b", "other-shop")):
            await self.merchant(slug)
            async with self.runtime.db.write() as session:
                network_id = self.ids["network_id"] if name == "producer_a" else None
                producer, key = await customers.create_producer(session, name, [self.ids[slug]], network_id=network_id)
            self.bearers[name], self.ids[name] = key, producer.id
        for name in OWNERS["customer_a"], "customer_a":
            self.ids[name] = await self.customer(f"{name}@wapsi.example")
            self.bearers[name] = await self.signed_in(f"{name}@wapsi.example")
        for role in OperatorRole:
            self.bearers[role.value] = await self._operator(role)
        for name, role in BY_PASSWORD.items():
            self.bearers[name] = await self._operator_by_password(role)

    def headers(self, caller: str | None) -> dict[str, str]:
        """With an Idempotency-Key of their own; `None` is somebody without credentials."""
        headers = {"Idempotency-Key": uuid4().hex}
        return headers if caller is None else headers | {"Authorization": f"Bearer {self.bearers[caller]}"}

    async def throwaway(self, caller: str) -> dict[str, str]:
        """Headers of another one of the same kind, for what ends a session or an account."""
        if caller in BY_PASSWORD:
            bearer = await self._operator_by_password(BY_PASSWORD[caller])
        elif caller in set(OperatorRole):
            bearer = await self._operator(OperatorRole(caller))
        else:
            email = f"{uuid4().hex}@wapsi.example"
            await self.customer(email)
            bearer = await self.signed_in(email)
        return {"Idempotency-Key": uuid4().hex, "Authorization": f"Bearer {bearer}"}

    async def customer(self, email: str) -> UUID:
        """Straight into the table: how people sign up is tested elsewhere."""
        [row] = await self.sql(
            "INSERT INTO customers (email, password_hash, display_name, referral_code)"
            " VALUES ($1, $2, 'Asma', upper(substr(md5($1), 1, 10))) RETURNING id",
            email,
            self.password_hash,
        )
        found: UUID = row["id"]
        return found

    async def signed_in(self, email: str) -> str:
        answer = await self.api.post("/v1/sessions", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["access_token"])

    async def _operator(self, role: OperatorRole) -> str:
        return (await self.operator(role))["Authorization"].removeprefix("Bearer ")

    async def _operator_by_password(self, role: OperatorRole) -> str:
        email = f"{uuid4().hex}@wapsi.example"
        async with self.runtime.db.write() as session:
            await customers.create_operator(session, email, PASSWORD, role)
        answer = await self.api.post("/v1/admin/sessions", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["access_token"])

    async def merchant(self, slug: str) -> str:
        """Active, without a network, with rates."""
        rate = merchants.Rate(
            "", merchants.CustomerType.UNKNOWN, merchants.RateKind.PERCENT, 500, None, "PKR", cap_minor=None
        )
        async with self.runtime.db.write() as session:
            new = merchants.NewMerchant(
                slug=slug,
                name=slug.title(),
                currency="PKR",
                deep_link_template="https://go.example/?u={link}&c={click_id}",
                allowed_landing_hosts=("shop.example",),
            )
            made = await merchants.create_merchant(session, None, new)
            await merchants.publish_rates(session, None, slug, merchants.NewSchedule((rate,)))
            await merchants.move_merchant(session, None, slug, merchants.MerchantStatus.ACTIVE)
        self.ids[slug] = made.id
        return slug
