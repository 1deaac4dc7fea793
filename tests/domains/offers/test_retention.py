"""Offers that no feed names any more end by themselves, and what syncs left behind is tidied away."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domains.offers.service import retention
from wapsi.clock import now
from wapsi.queue import outbox
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime

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


async def _age(admin_sql: Any, days: int) -> None:
    await admin_sql(
        f"UPDATE syncs SET created_at = created_at - interval '{days} days',"
        f" finished_at = finished_at - interval '{days} days'"
    )


async def _tidy(runtime: Runtime, drain: Any, admin_sql: Any) -> None:
    async with runtime.db.write() as session:
        await outbox.enqueue(session, "offers.tidy", {})
    await drain()
    assert await admin_sql("SELECT 1 FROM jobs WHERE kind = 'offers.tidy' AND state <> 'done'") == []


async def test_a_sync_left_open_is_cancelled(shop: Any, runtime: Runtime, drain: Any, admin_sql: Any) -> None:
    left_open = await shop.start()
    await _tidy(runtime, drain, admin_sql)
    assert (await shop.get(left_open.sync_id)).state == pb.SYNC_STATE_OPEN
    await _age(admin_sql, 2)
    await _tidy(runtime, drain, admin_sql)
    sync = await shop.get(left_open.sync_id)
    assert (sync.state, sync.reason) == (pb.SYNC_STATE_CANCELLED, "ABANDONED")


async def test_what_was_pushed_goes_after_a_day_and_the_issues_after_a_month(
    shop: Any, item: Any, runtime: Runtime, drain: Any, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)  # several batches
    done = [await shop.sync([item(f"{n}"), item(f"{n}")], INCREMENTAL) for n in range(5)]
    await _tidy(runtime, drain, admin_sql)
    assert len(await admin_sql("SELECT 1 FROM sync_chunks")) == 5
    await _age(admin_sql, 2)
    await _tidy(runtime, drain, admin_sql)
    assert await admin_sql("SELECT 1 FROM sync_chunks") == []
    assert len(await admin_sql("SELECT 1 FROM sync_issues")) == 5
    await _age(admin_sql, 30)
    await _tidy(runtime, drain, admin_sql)
    assert await admin_sql("SELECT 1 FROM sync_issues") == []
    assert (await shop.get(done[0].sync_id)).counters.created == 1


async def test_a_quarantined_sync_keeps_what_was_pushed_for_a_week(
    shop: Any, item: Any, runtime: Runtime, drain: Any, admin_sql: Any
) -> None:
    await shop.sync([item(str(n)) for n in range(30)])
    doubtful = await shop.sync([item("0")])
    assert doubtful.state == pb.SYNC_STATE_QUARANTINED
    await _age(admin_sql, 3)
    await _tidy(runtime, drain, admin_sql)
    assert len(await admin_sql("SELECT 1 FROM sync_chunks")) == 1
    await _age(admin_sql, 5)
    await _tidy(runtime, drain, admin_sql)
    sync = await shop.get(doubtful.sync_id)
    assert (sync.state, sync.reason) == (pb.SYNC_STATE_CANCELLED, "UNDECIDED")
