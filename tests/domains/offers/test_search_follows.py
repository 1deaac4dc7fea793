"""Search follows each publication, without holding up those that come after it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from domains.offers.service import documents
from domains.offers.service.syncs import PROCESS_SYNC
from wapsi.clock import now
from wapsi.ids import new_id
from wapsi.queue import outbox
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.runtime import Runtime

Item = Callable[..., pb.OfferItem]
LAG = "SELECT extract(epoch FROM indexed_at - published_at)::float8 AS s, indexed_version, version FROM catalogues"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "GIVE_WAY", timedelta(seconds=1.5))


async def test_it_follows_at_once(shop: Any, item: Item, admin_sql: Any) -> None:
    await shop.sync([item("a")])
    [row] = await admin_sql(LAG)
    assert row["indexed_version"] == row["version"] == 1
    assert row["s"] < 1.5


async def test_while_others_are_merged_it_waits_but_not_for_ever(
    shop: Any, item: Item, runtime: Runtime, admin_sql: Any
) -> None:
    async with runtime.db.write() as session:
        later = now() + timedelta(hours=1)
        await outbox.enqueue(session, PROCESS_SYNC, {"sync_id": str(new_id())}, queue="ingest", due_at=later)
    await shop.sync([item("a")])
    [row] = await admin_sql(LAG)
    assert row["indexed_version"] == row["version"] == 1
    assert row["s"] >= 1.5


async def test_a_large_feed_is_followed_in_batches_to_its_last_offer(
    shop: Any, item: Item, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "BATCH", 7)
    await shop.sync([item(str(n)) for n in range(30)])
    assert len(await admin_sql("SELECT 1 FROM offer_listings")) == 30


async def test_an_offer_whose_quality_changes_is_in_its_new_sample_alone(shop: Any, item: Item, admin_sql: Any) -> None:
    samples = "SELECT offer_id, sample, d.quality FROM offer_documents d JOIN offers USING (id) ORDER BY offer_id"
    image = "https://shop.example/1.jpg"
    await shop.sync([item(f"{n:03}", image_link=image) for n in range(300)])
    good = await admin_sql(samples)
    assert {row["sample"] for row in good} >= {0, 1}
    await shop.sync([item(f"{n:03}") for n in range(300)])
    poor = await admin_sql(samples)
    assert [row["offer_id"] for row in poor] == [row["offer_id"] for row in good]
    assert {row["quality"] for row in poor} == {3}
    # Good ones of the smaller sample are in the larger one, the others of that in none.
    assert [row["sample"] for row in poor] == [max(row["sample"] - 1, 0) for row in good]
    await shop.sync([item(f"{n:03}", image_link=image) for n in range(300)])
    assert await admin_sql(samples) == good


async def test_what_is_sold_no_more_is_in_no_sample(shop: Any, item: Item, admin_sql: Any) -> None:
    offers = [item(str(n), image_link="https://shop.example/1.jpg") for n in range(300)]
    await shop.sync(offers)
    assert len(await admin_sql("SELECT DISTINCT sample FROM offer_documents")) > 1
    await shop.sync(offers[:220])
    assert len(await admin_sql("SELECT 1 FROM offer_documents")) == 220
    [left] = await admin_sql("SELECT clean_document_lists() AS pages")
    assert left["pages"] == 0, "each search would go through what the indexes have not taken in"
