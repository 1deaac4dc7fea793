"""Offers that no feed names any more end by themselves."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from domains.offers.service import retention
from wapsi.clock import now
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
INCREMENTAL = pb.SYNC_MODE_INCREMENTAL
Item = Callable[..., pb.OfferItem]


async def expire(runtime: Any) -> int:
    async with runtime.db.write() as session:
        return await retention.expire_unseen(session, before=now() - retention.UNSEEN_LIMIT)


async def offers(api: Any, query: str = "") -> list[str]:
    return sorted(offer["offer_id"] for offer in (await api.get(f"/v1/offers?{query}")).json()["items"])


async def test_an_offer_unseen_for_a_month_is_withdrawn_and_a_newer_statement_brings_it_back(
    shop: Any, item: Item, api: Any, runtime: Any, admin_sql: Any
) -> None:
    dated = item("dated")
    dated.offer.expires_at.FromDatetime(now() + timedelta(days=300))
    await shop.sync([item("old"), item("new"), dated], INCREMENTAL)
    assert await expire(runtime) == 0
    await admin_sql("UPDATE offers SET last_seen_at = now() - interval '31 days' WHERE offer_id <> 'new'")
    assert await expire(runtime) == 1
    assert await offers(api) == ["dated", "new"]
    assert await offers(api, "q=kurta") == ["dated", "new"]

    await shop.sync([item("old", at=NOON + HOUR)], INCREMENTAL)
    assert await offers(api, "q=kurta") == ["dated", "new", "old"]


async def test_a_full_sync_has_seen_what_it_did_not_have_to_write(
    shop: Any, item: Item, runtime: Any, admin_sql: Any
) -> None:
    await shop.sync([item("a")])
    await admin_sql("UPDATE offers SET last_seen_at = now() - interval '31 days'")
    assert await expire(runtime) == 0
    await admin_sql("UPDATE catalogues SET last_full_seen_at = now() - interval '31 days'")
    assert await expire(runtime) == 1
