"""A merchant's producer as a process of its own, that can be killed: pushes a Feed and says what happens.

    python -m tests.faults.client TARGET KEY MERCHANT REQUEST_ID DIE_AT PAUSE_MS SIZE REVISION CHANGE_EVERY SHIFT

Prints a JSON object a line. DIE_AT is the position of the item at which it kills itself with SIGKILL, -1 for never.
It pauses for PAUSE_MS after every 500 items.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc

from tests.faults.feeds import Feed
from wapsi.producer import Producer, ProgressReport, SyncRejected
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


class TellingStub(pb_grpc.OfferSyncServiceStub):
    """Says where each stream of pushes begins."""

    def __init__(self, channel: grpc.Channel) -> None:
        super().__init__(channel)  # type: ignore[call-arg]  # the stubs know the generic class only
        push: Any = self.PushOffers

        async def told(requests: AsyncIterator[pb.PushOffersRequest]) -> AsyncIterator[pb.PushOffersRequest]:
            first = True
            async for request in requests:
                if first:
                    say("stream", offset=request.offset)
                    first = False
                yield request

        def push_and_tell(requests: AsyncIterator[pb.PushOffersRequest], **options: Any) -> Any:
            return push(told(requests), **options)

        self.PushOffers: Any = push_and_tell


def mortal(items: Iterator[pb.OfferItem], die_at: int, pause_ms: int) -> Iterator[pb.OfferItem]:
    for position, item in enumerate(items):
        if position % 500 == 499:
            time.sleep(pause_ms / 1000)
        if position == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        yield item


def show(report: ProgressReport) -> None:
    state = pb.SyncState.Name(report.sync.state).removeprefix("SYNC_STATE_").lower()
    say(report.phase, done=report.done, state=state, sync_id=report.sync.sync_id, resumed=report.resumed)


async def main(target: str, key: str, merchant: str, request_id: str, die_at: int, pause_ms: int, feed: Feed) -> int:
    pb_grpc.OfferSyncServiceStub = TellingStub  # type: ignore[assignment,misc]  # for the producer
    async with Producer(target, key) as producer:
        try:
            sync = await producer.push(
                merchant,
                lambda: mortal(feed.items(), die_at, pause_ms),
                request_id=request_id,
                as_of=feed.as_of,
                on_progress=show,
            )
        except SyncRejected as error:
            say("rejected", code=error.code, reason=error.reason, message=str(error))
            return 1
    state = pb.SyncState.Name(sync.state).removeprefix("SYNC_STATE_").lower()
    say("ended", state=state, sync_id=sync.sync_id, reason=sync.reason, message=sync.message)
    return 0


if __name__ == "__main__":
    _target, _key, _merchant, _request_id, *_numbers = sys.argv[1:]
    _die_at, _pause_ms, *_feed = map(int, _numbers)
    sys.exit(asyncio.run(main(_target, _key, _merchant, _request_id, _die_at, _pause_ms, Feed(*_feed))))
