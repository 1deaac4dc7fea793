"""Pushing a feed from a producer's own process, and the moments at which it is settled, listed and searchable."""

import asyncio
import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from domains.offers.service import OfferFilter, Sort
from tests.benchmarks.feeds import Feed, Row
from tests.benchmarks.processes import Helper
from tests.benchmarks.product import Product
from wapsi.cursors import encode_cursor

_POLL_S = 0.005
_LIMIT_S = 1800.0


class SyncBroken(Exception):
    """A sync did not do what the benchmark is about: its time would mean nothing."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from the producer's first message until the sync is settled, GET /v1/offers lists what it brought, and
    search finds it (NaN where it was not waited for). That first message was at `started_at_s` of the system's
    monotonic clock.
    """

    started_at_s: float
    settled_s: float
    listed_s: float
    searchable_s: float

    @property
    def listed_at_s(self) -> float:
        return self.started_at_s + self.listed_s


class ProducerProcess(Helper):
    """`with ProducerProcess(product, key) as producer: producer.prepare(feed)`; one merchant's key, a process."""

    def __init__(self, product: Product, key: str) -> None:
        environment = {**product.environment, "WAPSI_PRODUCER_KEY": key}
        super().__init__(["tests.benchmarks.producer_process"], environment, own_session=True)

    def prepare(self, feed: Feed) -> None:
        """Makes the feed's offers in the producer's memory."""
        self.ask({"prepare": asdict(feed)})

    async def push(self, merchant: str, request_id: str) -> Mapping[str, Any]:
        """Returns when the producer knows that the sync has ended. Raises SyncBroken, HelperEnded."""
        answer = await asyncio.to_thread(self.ask, {"push": {"merchant": merchant, "request_id": request_id}})
        if "refused" in answer:
            raise SyncBroken(f"The push to {merchant} was refused: {answer['refused']}")
        if answer["state"] != "SYNC_STATE_SUCCEEDED":
            raise SyncBroken(f"The sync ended as {answer['state']}: {answer['message']} {answer['counters']}")
        return answer


async def timed_push(
    product: Product,
    producer: ProducerProcess,
    merchant: str,
    feed: Feed,
    *,
    search: bool = True,
    **expected: int,
) -> Timing:
    """One sync of what the producer has prepared, which is `feed`. `expected` are counters that must come out.

    Without `search` it is not waited for. To start several at once, let the feeds find their landmarks before.
    """
    request_id = str(uuid.uuid4())
    landmark = await asyncio.to_thread(feed.landmark)
    pushing = asyncio.ensure_future(producer.push(merchant, request_id))
    try:
        version, settled_at = await _settled(product, merchant, request_id, pushing)
        await _listed(product, merchant, landmark)
        listed_at = time.monotonic()
        searchable_at = await _searchable(product, merchant, version, landmark) if search else math.nan
        answer = await pushing
    finally:
        pushing.cancel()
    for name, count in expected.items():
        if answer["counters"].get(name, 0) != count:
            raise SyncBroken(f"{name} should be {count}: {answer['counters']}")
    started_at = answer["started_s"]
    return Timing(started_at, settled_at - started_at, listed_at - started_at, searchable_at - started_at)


async def _settled(
    product: Product, merchant: str, request_id: str, pushing: "asyncio.Future[Mapping[str, Any]]"
) -> tuple[int, float]:
    """The catalogue's version that the sync published, and when that was seen."""
    query = (
        "SELECT s.catalogue_version FROM syncs s JOIN merchants m ON m.id = s.merchant_id"
        " WHERE m.slug = $1 AND s.request_id = $2 AND s.state IN ('succeeded', 'partial')"
    )
    deadline = time.monotonic() + _LIMIT_S
    while (version := await product.admin.fetchval(query, merchant, request_id)) is None:
        if pushing.done():
            await pushing  # raises what went wrong; else the next look sees the version
        if time.monotonic() > deadline:
            raise SyncBroken(f"Not settled after {_LIMIT_S:g} s.")
        product.check()
        await asyncio.sleep(_POLL_S)
    return version, time.monotonic()


async def _listed(product: Product, merchant: str, landmark: Row) -> None:
    """By the page of the merchant's newest offers that begins with it: what is listed as soon as it is published.
    Filters and other orders follow, as search does."""
    id = await product.admin.fetchval(
        "SELECT o.id FROM offers o JOIN merchants m ON m.id = o.merchant_id WHERE m.slug = $1 AND o.offer_id = $2",
        merchant,
        landmark.sku,
    )
    before = encode_cursor(f"offers {Sort.RELEVANCE} {OfferFilter(merchant=merchant)}", uuid.UUID(int=id.int + 1))
    query = {"merchant": merchant, "cursor": before, "limit": 5}
    await _until_found(product, query, {"offer_id": landmark.sku, "price_minor": landmark.price_minor})


async def _searchable(product: Product, merchant: str, version: int, landmark: Row) -> float:
    version_sql = (
        "SELECT c.indexed_version FROM catalogues c JOIN merchants m ON m.id = c.merchant_id WHERE m.slug = $1"
    )
    deadline = time.monotonic() + _LIMIT_S
    while (await product.admin.fetchval(version_sql, merchant) or 0) < version:
        product.check()
        if time.monotonic() > deadline:
            raise SyncBroken(f"Search did not follow within {_LIMIT_S:g} s.")
        await asyncio.sleep(4 * _POLL_S)
    found_at = time.monotonic()
    query = {"merchant": merchant, "q": landmark.sku, "limit": 5}
    await _until_found(product, query, {"offer_id": landmark.sku})
    return found_at


async def _until_found(product: Product, query: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Normally at the first try; a page that a cache still holds may be older, and an overloaded server may refuse.

    Raises SyncBroken.
    """
    deadline = time.monotonic() + 60
    while True:
        answer = await product.http.get("/v1/offers", params=query)
        if answer.status_code == 200 and any(wanted.items() <= offer.items() for offer in answer.json()["items"]):
            return
        if time.monotonic() > deadline:
            raise SyncBroken(f"GET /v1/offers does not list {wanted}: {answer.status_code} {answer.text[:500]}")
        await asyncio.sleep(_POLL_S)
