"""2. Wrong count or checksum: DATA_LOSS, nothing published. Wrong offset: OUT_OF_RANGE. Sent twice: no effect."""

from collections.abc import Callable

import pytest

from tests.faults.calls import calling, refusal, refusal_in_words
from tests.faults.feeds import Feed
from tests.faults.processes import Platform
from tests.faults.watcher import watching
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

OLD = Feed(200, revision=0)
NEW = Feed(200, revision=1)


@pytest.mark.timeout(120)
async def test_what_does_not_add_up_is_refused(platform: Platform, tell: Callable[[str], None]) -> None:
    """One sync through all mistakes, over a real server: none is visible, and the sync still succeeds at the end."""
    shop = await platform.make_merchant()
    await platform.push(shop, "old", OLD)
    items = list(NEW.items())
    async with calling(platform.target, shop.key) as calls, watching(platform.dsn, shop.id) as watch:
        sync = await calls.start(shop.slug, "new", as_of=NEW.as_of)
        sync_id = sync.sync_id
        assert (await calls.push(sync_id, [(0, items[:50]), (50, items[50:100])]))[-1] == 100

        # Sent twice: in the same stream, and in one of its own.
        assert set(await calls.push(sync_id, [(100, items[100:120]), (100, items[100:120])])) == {120}
        assert await calls.push(sync_id, [(0, items[:50])]) == [120]

        # A gap, an overlap, and an offset before the start.
        for offset, count in ((121, 10), (110, 20), (-1, 200)):
            batch = (offset, items[:count])
            code, reason, words = await refusal_in_words(calls.push(sync_id, [batch]))
            assert (code, reason) == ("OUT_OF_RANGE", "OFFSET_MISMATCH"), batch[0]
            assert "120" in words, f"the refusal does not say where to go on: {words}"
        assert (await calls.get(sync_id)).committed_offset == 120

        # A count that is right for what was meant to be sent, but not for what has arrived.
        assert await refusal(calls.finish(sync_id, items)) == ("DATA_LOSS", "SYNC_INCOMPLETE")
        assert await calls.push(sync_id, [(120, items[120:])]) == [200]
        for count in (0, 199, 201):
            assert await refusal(calls.finish(sync_id, items, count=count)) == ("DATA_LOSS", "SYNC_INCOMPLETE")
        for checksum in (b"", bytes(16), b"x" * 16, b"x" * 17):
            refused = await refusal(calls.finish(sync_id, items, checksum=checksum))
            assert refused == ("DATA_LOSS", "CHECKSUM_MISMATCH"), checksum
        # Of the same items in another order.
        swapped = [items[1], items[0], *items[2:]]
        assert await refusal(calls.finish(sync_id, swapped)) == ("DATA_LOSS", "CHECKSUM_MISMATCH")

        assert watch.changes == 0, watch.states
        assert (await calls.get(sync_id)).state == pb.SYNC_STATE_OPEN
        jobs = await platform.sql.fetchval("SELECT count(*) FROM jobs WHERE args->>'sync_id' = $1", sync_id)
        assert jobs == 0, "a refused FinishSync left work behind"

        # Finished twice it is finished once.
        await calls.finish(sync_id, items)
        await calls.finish(sync_id, items)
        assert (await calls.settled(sync_id)).state == pb.SYNC_STATE_SUCCEEDED
    assert watch.changes == 1, watch.states
    assert await platform.prices(shop) == NEW.prices()
    jobs = await platform.sql.fetchval("SELECT count(*) FROM jobs WHERE args->>'sync_id' = $1", sync_id)
    assert jobs == 1
    tell(f"12 refusals, {watch.looks} looks, 1 visible change")
