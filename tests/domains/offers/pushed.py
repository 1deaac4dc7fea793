"""Feeds that are pushed, as their tests look at them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from wapsi.rpc.errors import reason_of
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
Item = Callable[..., pb.OfferItem]
INCREMENTAL = pb.SYNC_MODE_INCREMENTAL


async def active(admin_sql: Any) -> dict[str, int]:
    rows = await admin_sql("SELECT offer_id, price_minor FROM offers WHERE status = 'active'")
    return {row["offer_id"]: row["price_minor"] for row in rows}


def check_counters(sync: pb.Sync) -> None:
    """Every row received is accounted for, once."""
    c = sync.counters
    total = c.created + c.updated + c.unchanged + c.withdrawn_by_item + c.stale + c.duplicates + c.rejected
    assert c.received == total, c


async def refusal(call: Any) -> tuple[str, str | None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, reason_of(caught.value)
