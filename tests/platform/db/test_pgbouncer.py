"""The whole application through the real pgbouncer, which hands connections around between transactions."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from dramatiq import Broker
from sqlalchemy import text
from structlog.testing import capture_logs

from domains.customers import service as customers
from domains.merchants import service as merchants
from wapsi.config import Settings
from wapsi.queue import outbox
from wapsi.queue.relay import relay_for_ever
from wapsi.runtime import Runtime

PASSWORD = "correct horse battery"  # of a test's customers
FEED = "".join(
    f'{{"id": "{number}", "title": "Kurta {number}", "link": "https://shop.example/{number}",'
    f' "price": "PKR {1000 + number}.00", "availability": "in_stock"}}\n'
    for number in range(50)
)
Call = Callable[[], Coroutine[Any, Any, httpx2.Response]]


@pytest.fixture
def settings(settings: Settings, pgbouncer: Any) -> Settings:
    """More connections to pgbouncer than it has to the server; migrations go past it, as docs/deployment.md says."""
    return settings.model_copy(
        update={
            "database_url": pgbouncer.url(settings.database_url),
            "database_through_pgbouncer": True,
            "database_pool_size": 20,
            "database_reads_pool_size": 10,
            "database_pool_timeout_s": 30,
            "http_concurrency_limit": 400,
        }
    )


@pytest.fixture
async def feed_key(runtime: Runtime) -> str:
    """Of the producer of an active merchant named shop."""
    async with runtime.db.write() as session:
        new = merchants.NewMerchant(
            slug="shop",
            name="Shop",
            currency="PKR",
            deep_link_template="https://go.example/?u={link}&c={click_id}",
            allowed_landing_hosts=("shop.example",),
        )
        merchant = await merchants.create_merchant(session, None, new)
        rate = merchants.Rate(
            rate_category="",
            customer_type=merchants.CustomerType.UNKNOWN,
            kind=merchants.RateKind.PERCENT,
            percent_bps=500,
            fixed_minor=None,
            currency="PKR",
        )
        await merchants.publish_rates(session, None, "shop", merchants.NewSchedule(rates=(rate,)))
        await merchants.move_merchant(session, None, "shop", merchants.MerchantStatus.ACTIVE)
        _ref, key = await customers.create_producer(session, "feeds", [merchant.id])
    return key


class Shopper:
    """What a customer does; each call is one request."""

    def __init__(self, api: httpx2.AsyncClient, name: str) -> None:
        self._api = api
        self.email = f"{name}@example.com"
        self._authorization: dict[str, str] = {}

    async def sign_up(self) -> httpx2.Response:
        body = {"email": self.email, "password": PASSWORD, "display_name": "Asma"}
        return await self._api.post("/v1/customers", json=body, headers={"Idempotency-Key": uuid4().hex})

    async def sign_in(self) -> httpx2.Response:
        answer = await self._api.post("/v1/sessions", json={"email": self.email, "password": PASSWORD})
        self._authorization = {"Authorization": f"Bearer {answer.json().get('access_token')}"}
        return answer

    async def see_myself(self) -> httpx2.Response:
        return await self._api.get("/v1/me", headers=self._authorization)

    async def rename(self) -> httpx2.Response:
        return await self._api.patch("/v1/me", json={"display_name": uuid4().hex}, headers=self._authorization)

    async def click(self, offer_id: str) -> httpx2.Response:
        headers = self._authorization | {"Idempotency-Key": uuid4().hex}
        return await self._api.post("/v1/clicks", json={"offer_id": offer_id}, headers=headers)

    async def balance(self) -> httpx2.Response:
        return await self._api.get("/v1/me/balance", headers=self._authorization)


async def upload(api: httpx2.AsyncClient, key: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {key}", "X-File-Name": "feed.jsonl", "Idempotency-Key": uuid4().hex}
    return await api.post("/v1/merchants/shop/syncs", content=FEED, headers=headers)


async def test_a_feed_is_taken_published_and_found(
    api: httpx2.AsyncClient, feed_key: str, drain: Callable[[], Awaitable[int]]
) -> None:
    answer = await upload(api, feed_key)
    assert answer.status_code == 202
    await drain()
    sync = (await api.get(answer.headers["location"], headers={"Authorization": f"Bearer {feed_key}"})).json()
    assert (sync["state"], sync["counters"]["created"]) == ("succeeded", 50)
    assert len((await api.get("/v1/offers?limit=50")).json()["items"]) == 50
    assert len((await api.get("/v1/offers?q=kurta&limit=50")).json()["items"]) == 50


async def test_two_hundred_requests_at_once_of_all_kinds_fail_none(
    api: httpx2.AsyncClient,
    feed_key: str,
    drain: Callable[[], Awaitable[int]],
    make_customer: Callable[[str], Awaitable[UUID]],
) -> None:
    await upload(api, feed_key)
    await drain()
    offer_ids = [offer["id"] for offer in (await api.get("/v1/offers?limit=20")).json()["items"]]
    shoppers = [Shopper(api, f"shopper-{number}") for number in range(8)]
    await all_good(*(shopper.sign_up for shopper in shoppers))
    for shopper in shoppers:
        await make_customer(shopper.email)
    await all_good(*(shopper.sign_in for shopper in shoppers))

    async def browse(path: str) -> httpx2.Response:
        # Each another query: none shall be answered from memory.
        return await api.get(path)

    calls: list[Call] = []
    for number in range(30):
        shopper, offer_id = shoppers[number % len(shoppers)], offer_ids[number % len(offer_ids)]
        calls += [
            lambda number=number: browse(f"/v1/offers?limit={number + 1}"),  # type: ignore[misc]
            lambda number=number: browse(f"/v1/offers?q=kurta&limit={number + 1}"),  # type: ignore[misc]
            lambda offer_id=offer_id: browse(f"/v1/offers/{offer_id}"),  # type: ignore[misc]
            lambda: browse("/v1/merchants/shop/rates"),
            shopper.see_myself,
            shopper.balance,
            lambda shopper=shopper, offer_id=offer_id: shopper.click(offer_id),  # type: ignore[misc]
        ]
    calls += [shopper.rename for shopper in shoppers]
    calls += [lambda: upload(api, feed_key) for _ in range(2)]
    assert len(calls) >= 200
    await all_good(*calls)
    await drain()


async def all_good(*calls: Call) -> None:
    answers = await asyncio.gather(*(call() for call in calls))
    faults = Counter((answer.status_code, answer.text[:200]) for answer in answers if answer.status_code >= 300)
    assert not faults


async def test_reads_are_served_beyond_the_pool(runtime: Runtime) -> None:
    # Each another statement: what is parsed on one connection must not be run on another.
    reads = (runtime.db.reads.fetchrow(f"SELECT $1::int + {number}", number) for number in range(200))
    rows = await asyncio.gather(*reads)
    assert [row[0] for row in rows if row is not None] == list(range(0, 400, 2))


async def test_no_statement_has_a_name_that_another_process_could_give_too(runtime: Runtime) -> None:
    """The driver numbers its statements a process, and all processes get the same connections of the server."""

    async def names() -> list[str]:
        async with runtime.db.write() as session:
            found = (await session.scalars(text("SELECT name FROM pg_prepared_statements"))).all()
        rows = await runtime.db.reads.fetch("SELECT name FROM pg_prepared_statements")
        return [*found, *(row["name"] for row in rows)]

    assert await asyncio.gather(*(names() for _ in range(10))) == [[]] * 10


async def test_the_relay_looks_instead_of_listening_and_says_so(
    runtime: Runtime, broker: Broker, admin_sql: Any
) -> None:
    with capture_logs() as logs:
        relaying = asyncio.ensure_future(relay_for_ever(runtime.db, broker, listen=False))
        async with runtime.db.write() as session:
            await outbox.enqueue(session, "test.job", {}, queue="q1")
        for _ in range(100):
            if await admin_sql("SELECT 1 FROM jobs WHERE sends = 1"):
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the job was not sent")
        relaying.cancel()
        await asyncio.wait([relaying])
    assert [line["event"] for line in logs] == ["relay_does_not_listen"]
