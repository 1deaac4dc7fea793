"""The producer's side of OfferSyncService: resumes after any break, retries with growing pauses, reports progress."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from wapsi.producer.checksum import EMPTY_CHECKSUM, combine
from wapsi.rpc.errors import reason_of
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc
from wapsi.threads import OneThread

BATCH_ITEMS = 1000
# A batch stays well below gRPC's limit of 4 MiB a message.
BATCH_BYTES = 2 * 1024 * 1024
MAX_ATTEMPTS = 8
_PAUSE_S = 0.25
_PAUSE_LIMIT_S = 8.0
_RETRYABLE = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED, grpc.StatusCode.UNKNOWN}
)

S = TypeVar("S")
ItemSource = Callable[[], Iterator[pb.OfferItem]]


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """`phase` is 'pushing' (items durable so far) or 'processing' (items looked at so far)."""

    phase: str
    done: int
    total: int | None
    sync: pb.Sync
    resumed: int


class FeedChanged(Exception):
    """Read again to resume, the feed had fewer items than are stored already: cancel and start anew."""


class SyncRejected(Exception):
    """The server refused; `reason` is the stable word for why, None where it gave none."""

    def __init__(self, message: str, *, code: str, reason: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class Producer:
    """`async with Producer("host:50051", key) as producer: sync = await producer.push(...)`"""

    def __init__(self, target: str, key: str) -> None:
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._channel = grpc.aio.insecure_channel(target, interceptors=aio_client_interceptors())  # type: ignore[no-untyped-call]
        self._stub = pb_grpc.OfferSyncServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def push(
        self,
        merchant: str,
        items: ItemSource,
        *,
        request_id: str,
        mode: pb.SyncMode = pb.SYNC_MODE_FULL,
        source: str = "",
        as_of: datetime | None = None,
        on_progress: Callable[[ProgressReport], None] = lambda report: None,
    ) -> pb.Sync:
        """Pushes all items and waits until the sync has ended or waits for an operator.

        `items` is called again after a break and must give the same items in the same order. Repeating the call
        with the same `request_id` goes on with the same sync. Raises SyncRejected, FeedChanged.
        """
        start = pb.StartSyncRequest(request_id=request_id, merchant=merchant, mode=mode, source=source)
        if as_of is not None:
            start.as_of.FromDatetime(as_of)
        sync = (await self._retrying(lambda: self._stub.StartSync(start, metadata=self._metadata))).sync
        if sync.state == pb.SYNC_STATE_OPEN:
            count, checksum = await self._push_all(sync, items, on_progress)
            finish = pb.FinishSyncRequest(sync_id=sync.sync_id, count=count, checksum=checksum)
            sync = (await self._retrying(lambda: self._stub.FinishSync(finish, metadata=self._metadata))).sync
        return await self._wait(sync, on_progress)

    async def issues(self, sync_id: str) -> list[pb.SyncIssue]:
        """The first 200 of what was wrong with the rows of a sync. Raises SyncRejected."""
        request = pb.ListSyncIssuesRequest(sync_id=sync_id, page_size=200)
        answer = await self._retrying(lambda: self._stub.ListSyncIssues(request, metadata=self._metadata))
        return list(answer.issues)

    async def _push_all(
        self, sync: pb.Sync, items: ItemSource, on_progress: Callable[[ProgressReport], None]
    ) -> tuple[int, bytes]:
        """Returns the number of items and their checksum once all are durable."""
        attempt = resumed = 0
        committed = sync.committed_offset
        while True:
            stream = _Stream(sync.sync_id, items, committed)
            failure: grpc.aio.AioRpcError | None = None
            try:
                async for response in self._stub.PushOffers(stream.requests(), metadata=self._metadata):
                    if response.committed_offset > committed:
                        attempt = 0
                    committed = response.committed_offset
                    on_progress(ProgressReport("pushing", committed, None, sync, resumed))
            except asyncio.CancelledError:
                # gRPC cancels a call whose request iterator raised: that is no cancellation of ours.
                if stream.error is None:
                    raise
            except grpc.aio.AioRpcError as error:
                failure = error
            if stream.error is not None:
                raise stream.error
            # A stream may also end early and look complete.
            if failure is None and stream.ended and committed == stream.offset:
                return stream.offset, stream.checksum
            attempt += 1
            if failure is not None and (not _may_pass(failure) or attempt >= MAX_ATTEMPTS):
                raise _rejected(failure) from failure
            if attempt >= MAX_ATTEMPTS:
                raise SyncRejected("The server ends the stream before all is stored.", code="UNAVAILABLE", reason=None)
            await _pause(attempt)
            resumed += 1
            committed = (await self._get(sync.sync_id)).committed_offset

    async def _get(self, sync_id: str) -> pb.Sync:
        request = pb.GetSyncRequest(sync_id=sync_id)
        return (await self._retrying(lambda: self._stub.GetSync(request, metadata=self._metadata))).sync

    async def _wait(self, sync: pb.Sync, on_progress: Callable[[ProgressReport], None]) -> pb.Sync:
        attempt = 0
        while True:
            try:
                request = pb.WatchSyncRequest(sync_id=sync.sync_id)
                async for response in self._stub.WatchSync(request, metadata=self._metadata):
                    sync = response.sync
                    attempt = 0
                    on_progress(ProgressReport("processing", sync.processed, sync.committed_offset, sync, 0))
                return sync
            except grpc.aio.AioRpcError as error:
                attempt += 1
                if not _may_pass(error) or attempt >= MAX_ATTEMPTS:
                    raise _rejected(error) from error
                await _pause(attempt)

    async def _retrying(self, call: Callable[[], grpc.aio.UnaryUnaryCall[Any, S]]) -> S:
        for attempt in itertools.count(1):
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if not _may_pass(error) or attempt >= MAX_ATTEMPTS:
                    raise _rejected(error) from error
                await _pause(attempt)
        raise AssertionError("unreachable")


class _Stream:
    """The requests of one PushOffers call: all items are read, those before `skip` are only counted and summed."""

    def __init__(self, sync_id: str, items: ItemSource, skip: int) -> None:
        self._sync_id = sync_id
        self._items = items
        self._skip = skip
        self.offset = 0
        self.checksum = EMPTY_CHECKSUM
        # gRPC swallows what a request iterator raises: kept here, raised by whoever reads the responses.
        self.error: Exception | None = None
        self.ended = False

    async def requests(self) -> AsyncIterator[pb.PushOffersRequest]:
        try:
            with OneThread("feed") as thread:
                items = await thread.run(self._items)
                while batch := await thread.run(self._take, items):
                    unsent = batch[max(0, self._skip - (self.offset - len(batch))) :]
                    if unsent:
                        offset = self.offset - len(unsent)
                        yield pb.PushOffersRequest(sync_id=self._sync_id, offset=offset, items=unsent)
            if self.offset < self._skip:
                raise FeedChanged(f"the feed has {self.offset} items now, {self._skip} are stored")
            self.ended = True
        except Exception as error:
            self.error = error
            raise

    def _take(self, items: Iterator[pb.OfferItem]) -> list[bytes]:
        """The next items, serialised and summed up; none at the end."""
        batch: list[bytes] = []
        size = 0
        for item in items:
            # Sorted map keys: an offer that has not changed has the same bytes as the last time.
            data = item.SerializeToString(deterministic=True)
            batch.append(data)
            size += len(data)
            if len(batch) == BATCH_ITEMS or size >= BATCH_BYTES:
                break
        self.checksum = combine(self.checksum, self.offset, batch)
        self.offset += len(batch)
        return batch


def _may_pass(error: grpc.aio.AioRpcError) -> bool:
    """INTERNAL without one of our reasons is gRPC's own, such as a message written to a call that had just ended."""
    if error.code() is grpc.StatusCode.INTERNAL:
        return reason_of(error) is None
    return error.code() in _RETRYABLE


async def _pause(attempt: int) -> None:
    limit = min(_PAUSE_LIMIT_S, _PAUSE_S * 2**attempt)
    await asyncio.sleep(random.uniform(limit / 2, limit))  # noqa: S311  # spreads retries, guards nothing


def _rejected(error: grpc.aio.AioRpcError) -> SyncRejected:
    return SyncRejected(error.details() or error.code().name, code=error.code().name, reason=reason_of(error))
