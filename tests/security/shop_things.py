"""What shops, people and their catalogues have, made anew."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from domains.customers import service as customers
from domains.merchants import service as merchants
from domains.offers import service as offers
from tests.security.callers import PASSWORD, Callers
from wapsi.security.permissions import OperatorRole

FEED = (
    b'{"id": "1", "title": "Kurta", "link": "https://shop.example/1", "price": "PKR 1,299.00",'
    b' "availability": "in_stock"}\n'
)


class ShopThings(Callers):
    """A method a thing, by the name that paths and bodies call it."""

    async def _session_id(self) -> str:
        """Nobody's: whose sessions and passkeys can be reached is tested in test_own_sessions and test_passkeys."""
        return str(uuid4())

    _passkey_id = _session_id

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

    async def _boost_id(self) -> str:
        new = merchants.NewBoost("Eid", datetime.now(UTC) + timedelta(days=1), added_bps=100)
        async with self.runtime.db.write() as session:
            return str((await merchants.add_boost(session, None, "shop", new)).id)

    async def _sign_up_id(self) -> str:
        """One whose code nobody was sent yet."""
        body = {"email": f"{uuid4().hex}@wapsi.example", "password": PASSWORD, "display_name": "Bilal"}
        answer = await self.api.post("/v1/customers", json=body, headers={"Idempotency-Key": uuid4().hex})
        return str(answer.json()["sign_up_id"])

    async def _refresh_token(self) -> str:
        body = {"email": "customer_a@wapsi.example", "password": PASSWORD}
        return str((await self.api.post("/v1/sessions", json=body)).json()["refresh_token"])
