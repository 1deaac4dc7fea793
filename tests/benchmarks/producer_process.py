"""A producer as its own process: the offers are in its memory before the clock starts.

Commands come as JSON lines on standard input, each is answered by one on standard output:

    {"prepare": {"size": 50000, "seed": 1, "revision": 0}}    -> {"items": 50000}
    {"push": {"merchant": "m", "request_id": "r"}}            -> {"started_s": ..., "state": ..., "counters": {...}}
                                                             or {"refused": "why"}

Times are of the system's monotonic clock, which all processes share.
"""

import asyncio
import json
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any

from tests.benchmarks.feeds import Feed
from wapsi.producer import Producer, SyncRejected
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.scheduling import give_way

# As far as the worker. Producers have machines of their own: what they use of this one's processors is not to keep a
# shopper waiting.
_NICE = 10


def main() -> None:
    give_way(_NICE)
    items: list[pb.OfferItem] = []
    for line in sys.stdin:
        command = json.loads(line)
        if "prepare" in command:
            items = list(Feed(**command["prepare"]).items(datetime.now(UTC)))
            answer: dict[str, Any] = {"items": len(items)}
        else:
            try:
                answer = asyncio.run(_push(items, **command["push"]))
            except SyncRejected as refusal:
                answer = {"refused": str(refusal)}
        print(json.dumps(answer), flush=True)


async def _push(items: list[pb.OfferItem], merchant: str, request_id: str) -> dict[str, Any]:
    stated_at = datetime.now(UTC)
    for item in items:
        item.source_time.FromDatetime(stated_at)
    async with Producer(os.environ["WAPSI_GRPC_TARGET"], os.environ["WAPSI_PRODUCER_KEY"]) as producer:
        started_s = time.monotonic()
        sync = await producer.push(
            merchant, lambda: iter(items), request_id=request_id, source="benchmark", as_of=stated_at
        )
        returned_s = time.monotonic()
    # Numbers as numbers: 64-bit ones would become texts.
    counters = {field.name: value for field, value in sync.counters.ListFields()}
    state = pb.SyncState.Name(sync.state)
    return {
        "started_s": started_s,
        "returned_s": returned_s,
        "state": state,
        "counters": counters,
        "message": sync.message,
    }


if __name__ == "__main__":
    main()
