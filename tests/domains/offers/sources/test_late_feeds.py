"""A feed that does not come in time is told once."""

from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.metrics import CallbackOptions
from structlog.testing import capture_logs

from domains.merchants import service as merchants
from domains.offers.service import source_watch
from tests.domains.offers.sources.shop import INCREMENTAL, Desk, FeedServer


async def minutes_later(desk: Desk, minutes: int) -> None:
    """Moves what was into the past, and lets the watch look."""
    past = f"- interval '{minutes} minutes'"
    await desk.sql(f"UPDATE feed_sources SET watched_since = watched_since {past}, confirmed_at = confirmed_at {past}")
    await desk.sql(
        f"UPDATE catalogues SET published_at = published_at {past}, last_full_seen_at = last_full_seen_at {past}"
    )
    await desk.sql(f"UPDATE syncs SET finished_at = finished_at {past}")
    await desk.run("offers.watch_feeds")


async def late_merchants(desk: Desk, late: bool = True) -> list[str]:
    page = (await desk.call("GET", f"/v1/admin/feed-sources?late={str(late).lower()}")).json()
    return [source["merchant"] for source in page["items"]]


async def test_a_pushed_feed_that_does_not_come_is_late_once(desk: Desk, shop: Any, item: Any) -> None:
    await desk.put(late_after_s=3600)
    await minutes_later(desk, 59)
    assert await late_merchants(desk) == []
    with capture_logs() as logs:
        await minutes_later(desk, 2)
        late_since = (await desk.source())["late_since"]
        await minutes_later(desk, 60)
    [alert] = [line for line in logs if line["event"] == "feed_late"]
    assert (alert["log_level"], alert["merchant"], alert["late_after_s"]) == ("error", "shop", 3600)
    assert late_since is not None
    assert [observation.value for observation in source_watch.late_count.observe(CallbackOptions())] == [1]
    assert (await desk.source())["late_since"] == late_since
    assert (await late_merchants(desk), await late_merchants(desk, late=False)) == (["shop"], [])

    with capture_logs() as logs:
        await shop.sync([item("1")])
        await desk.run("offers.watch_feeds")
    assert [line["merchant"] for line in logs if line["event"] == "feed_on_time"] == ["shop"]
    assert (await desk.source())["late_since"] is None
    assert await late_merchants(desk) == []


async def test_a_pushed_feed_that_changes_nothing_has_come(desk: Desk, shop: Any, item: Any) -> None:
    await desk.put(late_after_s=3600)
    for _ in range(3):
        await shop.sync([item("1")], mode=INCREMENTAL)
        await minutes_later(desk, 59)
        assert await late_merchants(desk) == []
    await minutes_later(desk, 2)
    assert await late_merchants(desk) == ["shop"]


async def test_the_number_of_late_feeds_is_told_by_who_counted_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other workers stay silent, instead of repeating what they counted long ago."""
    clock_s = 1000.0
    monkeypatch.setattr("wapsi.telemetry.lately.time", SimpleNamespace(monotonic=lambda: clock_s))
    source_watch.late_count.take(7)

    def observed() -> list[float]:
        return [observation.value for observation in source_watch.late_count.observe(CallbackOptions())]

    assert observed() == [7]
    clock_s += 119
    assert observed() == [7]
    clock_s += 2
    assert observed() == []


@pytest.mark.parametrize("mode", ["full", "incremental"])
async def test_a_fetched_feed_that_does_not_change_is_on_time(desk: Desk, server: FeedServer, mode: str) -> None:
    await desk.put(url=server.url, mode=mode, every_s=3600, late_after_s=7200)
    await desk.run()
    for _ in range(3):
        await minutes_later(desk, 100)
        assert (await desk.when_due())["last_outcome"] == "unchanged"
    assert await late_merchants(desk) == []
    server.status = 500
    await desk.when_due()
    with capture_logs() as logs:
        await minutes_later(desk, 121)
    [alert] = [line for line in logs if line["event"] == "feed_late"]
    assert (alert["last_reason"], alert["failures"]) == ("FETCH_STATUS_REFUSED", 1), "it says why"
    server.status = 200
    await desk.when_due()
    await minutes_later(desk, 0)
    assert await late_merchants(desk) == []


async def test_a_feed_that_cannot_be_published_is_late_though_it_comes(desk: Desk, server: FeedServer) -> None:
    server.body = "<html>Sorry</html>"
    await desk.put(url=server.url, every_s=3600, late_after_s=7200)
    await desk.run()
    await desk.when_due()
    await minutes_later(desk, 121)
    assert await late_merchants(desk) == ["shop"]


async def test_who_owes_no_feed_is_not_late(desk: Desk, server: FeedServer) -> None:
    await desk.put(late_after_s=3600)
    await minutes_later(desk, 61)
    assert await late_merchants(desk) == ["shop"]
    for body in ({"late_after_s": 3600, "enabled": False}, {"url": server.url, "every_s": 300, "late_after_s": None}):
        await desk.put(**body)
        await minutes_later(desk, 0)
        assert await late_merchants(desk) == []
    await desk.put(late_after_s=3600)
    async with desk.runtime.db.write() as session:
        await merchants.move_merchant(session, None, "shop", merchants.MerchantStatus.PAUSED)
    await minutes_later(desk, 100)
    assert await late_merchants(desk) == []


async def test_a_source_switched_on_again_has_its_time_anew(desk: Desk) -> None:
    await desk.put(late_after_s=3600, enabled=False)
    await minutes_later(desk, 1000)
    await desk.put(late_after_s=3600)
    await minutes_later(desk, 59)
    assert await late_merchants(desk) == []
    await minutes_later(desk, 2)
    assert await late_merchants(desk) == ["shop"]
