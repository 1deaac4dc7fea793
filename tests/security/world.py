"""Two customers, two producers, an operator of each role, and things of the first customer and the first producer."""

import random
import re
import string
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import orjson
import pytest

from domains.cashback import service as cashback
from domains.cashback.service.bonuses import award
from domains.customers import service as customers
from domains.merchants import service as merchants
from domains.offers import service as offers
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
FEED = (
    b'{"id": "1", "title": "Kurta", "link": "https://shop.example/1", "price": "PKR 1,299.00",'
    b' "availability": "in_stock"}\n'
)
_PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")


@dataclass
class World:
    """`await thing("payout_id")` gives something anew of what the table of routes asks for, as text."""

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

    # The things, by the names that paths and bodies call them.

    async def filled(self, template: Any, things: dict[str, str]) -> Any:
        """The template with each {name} in it replaced; `things` holds those of this row."""
        if isinstance(template, dict):
            return {key: await self.filled(value, things) for key, value in template.items()}
        if isinstance(template, list):
            return [await self.filled(value, things) for value in template]
        if not isinstance(template, str):
            return template
        for name in _PLACEHOLDER.findall(template):
            if name not in things:
                things[name] = await self.thing(name)
        return _PLACEHOLDER.sub(lambda match: things[match[1]], template)

    async def thing(self, name: str) -> str:
        makers: dict[str, Callable[[], Awaitable[str]]] = {
            "unique": self._unique,
            "session_id": self._nobodys_id,
            "passkey_id": self._nobodys_id,
            "slug": self._slug,
            "new_slug": self._new_slug,
            "paused_slug": self._paused_slug,
            "watched_slug": self._watched_slug,
            "network": self._network,
            "read_network": self._read_network,
            "open_network": self._open_network,
            "file_id": self._file_id,
            "merchant_id": self._merchant_id,
            "producer_id": self._producer_id,
            "key_prefix": self._key_prefix,
            "customer_id": self._customer_id,
            "operator_id": self._operator_id,
            "spare_customer_id": self._spare_customer_id,
            "suspended_customer_id": self._suspended_customer_id,
            "offer_id": self._offer_id,
            "sync_id": self._sync_id,
            "open_sync_id": self._open_sync_id,
            "click_id": self._click_id,
            "proposal_id": self._proposal_id,
            "token": self._token,
            "conversion_id": self._conversion_id,
            "sale_id": self._sale_id,
            "reward_id": self._reward_id,
            "boost_id": self._boost_id,
            "rule_id": self._rule_id,
            "bonus_id": self._bonus_id,
            "new_currency": self._new_currency,
            "method_id": self._method_id,
            "funded_method_id": self._funded_method_id,
            "payout_id": self._payout_id,
            "claim_id": self._claim_id,
            "sent_claim_id": self._sent_claim_id,
            "unattributed_conversion_id": self._unattributed_conversion_id,
            "transaction_id": self._transaction_id,
            "reward_transaction_id": self._reward_transaction_id,
            "sign_up_id": self._sign_up_id,
            "refresh_token": self._refresh_token,
            "soon": self._soon,
        }
        return await makers[name]()

    async def _nobodys_id(self) -> str:
        """Whose sessions and passkeys can be reached is tested in test_own_sessions and test_passkeys."""
        return str(uuid4())

    async def _unique(self) -> str:
        return uuid4().hex

    async def _slug(self) -> str:
        return "shop"

    async def _new_slug(self) -> str:
        return await self.merchant(f"shop-{uuid4().hex[:12]}")

    async def _paused_slug(self) -> str:
        slug = await self._new_slug()
        async with self.runtime.db.write() as session:
            await merchants.move_merchant(session, None, slug, merchants.MerchantStatus.PAUSED)
        return slug

    async def _watched_slug(self) -> str:
        slug = await self._new_slug()
        path = f"/v1/admin/merchants/{slug}/feed-source"
        answer = await self.api.put(path, json={"late_after_s": 86_400}, headers=self.headers("admin"))
        assert answer.status_code == 200, answer.text
        return slug

    async def _network(self) -> str:
        return "impact"

    async def _read_network(self) -> str:
        """A network of its own, whose messages are read by an adapter."""
        slug = f"n-{await self._unique()}"
        async with self.runtime.db.write() as session:
            await merchants.create_network(session, None, self.runtime.keys, slug=slug, name="CJ")
        path = f"/v1/admin/networks/{slug}/adapter"
        answer = await self.api.put(path, json={"kind": "cj"}, headers=self.headers("admin"))
        assert answer.status_code == 200, answer.text
        return slug

    async def _open_network(self) -> str:
        """With an address for what is not signed."""
        slug = await self._read_network()
        answer = await self.api.post(f"/v1/admin/networks/{slug}/adapter:rotate-address", headers=self.headers("admin"))
        assert answer.status_code == 200, answer.text
        return slug

    async def _file_id(self) -> str:
        answer = await self.api.post(
            "/v1/admin/networks/impact/sales-files",
            content=b"conversion_id,status\n",
            headers=self.headers("admin") | {"X-File-Name": "sales.csv"},
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def _merchant_id(self) -> str:
        return str(self.ids["shop"])

    async def _soon(self) -> str:
        return (datetime.now(UTC) + timedelta(days=3)).isoformat()

    async def _customer_id(self) -> str:
        return str(self.ids["customer_a"])

    async def _producer_id(self) -> str:
        async with self.runtime.db.write() as session:
            producer, _key = await customers.create_producer(session, "of a row", [self.ids["shop"]])
        self.key_prefix = producer.keys[0].prefix
        return str(producer.id)

    async def _spare_customer_id(self) -> str:
        """Of nobody whose session a row needs."""
        return str(await self.customer(f"{uuid4().hex}@wapsi.example"))

    async def _suspended_customer_id(self) -> str:
        spare = await self._spare_customer_id()
        await self.sql("UPDATE customers SET status = 'suspended' WHERE id = $1", UUID(spare))
        return spare

    async def _key_prefix(self) -> str:
        """Of the producer that was made last: paths name it first."""
        return self.key_prefix

    async def _operator_id(self) -> str:
        async with self.runtime.db.write() as session:
            made = await customers.create_operator(
                session, f"{uuid4().hex}@wapsi.example", PASSWORD, OperatorRole.SUPPORT
            )
        return str(made.id)

    async def _sync_id(self) -> str:
        answer = await self.api.post(
            "/v1/merchants/shop/syncs", content=FEED, headers=self.headers("producer_a") | {"X-File-Name": "feed.jsonl"}
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def _open_sync_id(self) -> str:
        producer = await self.runtime.authenticator.authenticate(self.bearers["producer_a"])
        new = offers.NewSync("shop", uuid4().hex, offers.SyncMode.FULL, as_of=None)
        async with self.runtime.db.write() as session:
            return str((await offers.start_sync(session, producer, new)).id)

    async def _offer_id(self) -> str:
        await self._sync_id()
        await self.drain()
        answer = await self.api.get("/v1/offers", params={"merchant": "shop"})
        return str(answer.json()["items"][0]["id"])

    async def _click(self) -> dict[str, str]:
        answer = await self.api.post("/v1/clicks", json={"merchant": "shop"}, headers=self.headers("customer_a"))
        assert answer.status_code == 201, answer.text
        click: dict[str, str] = answer.json()
        return click

    async def _click_id(self) -> str:
        return (await self._click())["click_id"]

    async def _token(self) -> str:
        return (await self._click())["url"].rpartition("/")[2]

    async def sale(self, status: str = "approved", **changes: Any) -> cashback.EventResult:
        fields = {
            "conversion_id": uuid4().hex,
            "merchant": "shop",
            "click_id": await self._click_id(),
            "status": status,
            "order_amount_minor": 10_000_000,
            "commission_minor": 1_000_000,
            "currency": "PKR",
            "occurred_at": datetime.now(UTC),
        }
        body = orjson.dumps(fields | changes)
        event = cashback.parse_event(body)
        report = cashback.Report(uuid4().hex, cashback.Door.GRPC, body, "producer:test", event)
        async with self.runtime.db.write() as session:
            source = await cashback.source_of(session, "", "shop")
            result = await cashback.ingest(session, self.runtime.keys, source, report)
        assert result.outcome == "applied", result
        return result

    async def _proposal_id(self) -> str:
        """Of a mapping; nothing is read by it."""
        body = {"source": await self._network(), "words": {uuid4().hex: "pending"}}
        answer = await self.api.post("/v1/admin/mapping-proposals", json=body, headers=self.headers("admin"))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def _conversion_id(self) -> str:
        return str((await self.sale()).conversion_id)

    async def _sale_id(self) -> str:
        """The shop's own id of a sale."""
        rows = await self.sql("SELECT external_id FROM conversions WHERE id = $1", UUID(await self._conversion_id()))
        return str(rows[0]["external_id"])

    async def _reward_id(self) -> str:
        rows = await self.sql("SELECT id FROM rewards WHERE conversion_id = $1", UUID(await self._conversion_id()))
        return str(rows[0]["id"])

    async def _transaction_id(self) -> str:
        await self.sale()
        return str((await self.sql("SELECT id FROM ledger_transactions LIMIT 1"))[0]["id"])

    async def _reward_transaction_id(self) -> str:
        await self.sale()
        lines = await cashback.statement(self.runtime.db.reads, self.ids["customer_a"], limit=1, before=None)
        return str(lines[0].transaction_id)

    async def _new_currency(self) -> str:
        """In which no bonus is promised."""
        return "X" + "".join(random.choices(string.ascii_uppercase, k=2))

    async def _boost_id(self) -> str:
        new = merchants.NewBoost("Eid", datetime.now(UTC) + timedelta(days=1), added_bps=100)
        async with self.runtime.db.write() as session:
            return str((await merchants.add_boost(session, None, "shop", new)).id)

    async def _rule_id(self) -> str:
        rule = cashback.NewBonusRule(
            "Welcome",
            cashback.BonusKind.SIGN_UP,
            await self._new_currency(),
            50_000,
            1_000,
            within_days=90,
            hold_days=30,
        )
        async with self.runtime.db.write() as session:
            return str((await cashback.add_bonus_rule(session, None, rule)).id)

    async def _bonus_id(self) -> str:
        """Of customer A, by a rule of its own that held when A joined."""
        rule_id = UUID(await self._rule_id())
        await self.sql(
            "UPDATE bonus_rules SET starts_at = starts_at - interval '1 day', currency = 'PKR' WHERE id = $1", rule_id
        )
        reward_id = UUID(await self._reward_id())
        async with self.runtime.db.write() as session:
            await award(session, [reward_id])
        return str((await self.sql("SELECT id FROM bonuses WHERE rule_id = $1", rule_id))[0]["id"])

    async def _method_id(self) -> str:
        async with self.runtime.db.write() as session:
            method = await customers.add_mobile_wallet(
                session,
                self.runtime.keys,
                self.ids["customer_a"],
                provider=customers.WalletProvider.EASYPAISA,
                mobile_number=f"+92300{uuid4().int % 10_000_000:07}",
                label="Wallet",
            )
        return str(method.id)

    async def _funded_method_id(self) -> str:
        """Of somebody who has what to withdraw."""
        await self.sale()
        return await self._method_id()

    async def _payout_id(self) -> str:
        await self.sale()
        async with self.runtime.db.write() as session:
            payout = await cashback.request_payout(
                session,
                self.ids["customer_a"],
                amount_minor=20_000,
                currency="PKR",
                payout_method_id=UUID(await self._method_id()),
            )
        return str(payout.id)

    async def _claim_id(self) -> str:
        body = {
            "reason_code": "not_tracked",
            "click_id": await self._click_id(),
            "order_id": uuid4().hex,
            "order_amount_minor": 100_000,
        }
        answer = await self.api.post("/v1/me/claims", json=body, headers=self.headers("customer_a"))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def _sent_claim_id(self) -> str:
        claim_id = await self._claim_id()
        body = {"state": "sent_to_merchant", "reason_code": "looked_at"}
        path = f"/v1/admin/claims/{claim_id}:decide"
        answer = await self.api.post(path, json=body, headers=self.headers("support"))
        assert answer.status_code == 200, answer.text
        return claim_id

    async def _unattributed_conversion_id(self) -> str:
        """Bought a moment from now: the click that explains it comes after it."""
        return str((await self.sale(click_id="", occurred_at=datetime.now(UTC) + timedelta(minutes=1))).conversion_id)

    async def _sign_up_id(self) -> str:
        """One whose code nobody was sent yet."""
        body = {"email": f"{uuid4().hex}@wapsi.example", "password": PASSWORD, "display_name": "Bilal"}
        answer = await self.api.post("/v1/customers", json=body, headers={"Idempotency-Key": uuid4().hex})
        return str(answer.json()["sign_up_id"])

    async def _refresh_token(self) -> str:
        body = {"email": "customer_a@wapsi.example", "password": PASSWORD}
        return str((await self.api.post("/v1/sessions", json=body)).json()["refresh_token"])


@pytest.fixture
async def world(
    api: httpx2.AsyncClient,
    runtime: Runtime,
    admin_sql: SQL,
    drain: Callable[[], Awaitable[int]],
    operator: Callable[[OperatorRole], Awaitable[dict[str, str]]],
) -> World:
    """Two customers, two producers, an operator of each role, and things of the first ones."""
    world = World(api, runtime, admin_sql, drain, operator)
    await world.begin()
    return world
