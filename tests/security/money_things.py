"""What comes of a click: sales, cashback, bonuses, payouts and claims, made anew."""

import string
from datetime import UTC, datetime, timedelta
from itertools import cycle, product
from typing import Any
from uuid import UUID, uuid4

import orjson

from domains.cashback import service as cashback
from domains.cashback.service.bonuses import award
from domains.customers import service as customers
from domains.merchants import service as merchants
from tests.security.shop_things import ShopThings

# Chosen by chance two of them were now and then the same, and the second rule was refused.
_CURRENCIES = cycle("".join(letters) for letters in product("X", string.ascii_uppercase, string.ascii_uppercase))


class MoneyThings(ShopThings):
    """A method a thing, by the name that paths and bodies call it."""

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

    async def _file_id(self) -> str:
        answer = await self.api.post(
            "/v1/admin/networks/impact/sales-files",
            content=b"conversion_id,status\n",
            headers=self.headers("admin") | {"X-File-Name": "sales.csv"},
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

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
        return next(_CURRENCIES)

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
