"""The producer's side of OfferSyncService: resumes after any break, retries with growing pauses, reports progress.

README.md beside this file shows how it is used, and what to do about each exception.
"""

import asyncio
import itertools
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from wapsi.producer.checksum import EMPTY_CHECKSUM, combine
from wapsi.rpc.errors import reason_of, retry_after_of
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc
from wapsi.threads import OneThread

BATCH_ITEMS = 2000
# A batch stays well below gRPC's limit of 4 MiB a message.
BATCH_BYTES = 2 * 1024 * 1024
MAX_PAGE = 1000
MAX_ATTEMPTS = 8
# Of every call that is answered at once; all of them may be repeated.
CALL_TIMEOUT_S = 30.0
_PAUSE_S = 0.25
_PAUSE_LIMIT_S = 8.0
# A server that asks for more patience than this is asked again by whoever calls.
_LONGEST_WAIT_S = 120.0
# A connection that died without a word is noticed within a minute, where TCP would wait for a quarter of an hour.
_CHANNEL_OPTIONS = (("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 20_000))
_RETRYABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)
# A stream that was thought to be broken has stored another batch meanwhile.
_OVERTAKEN = grpc.StatusCode.OUT_OF_RANGE

R = TypeVar("R")
S = TypeVar("S")
# Messages, or for a push what they are serialised to (deterministically).
ItemSource = Callable[[], Iterator[pb.OfferItem]]
SerialisedSource = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """`phase` is 'pushing' (items durable so far) or 'processing' (items looked at so far)."""

    phase: str
    done: int
    total: int | None
    sync: pb.Sync
    resumed: int


@dataclass(slots=True)
class Validation:
    """What a dry run found. The `offset` of an issue is the item's place among all that were given, from 0."""

    accepted: int = 0
    rejected: int = 0
    issues: list[pb.SyncIssue] = field(default_factory=list)


class FeedChanged(Exception):
    """Read again to resume, the feed had fewer items than are stored already: cancel and start anew."""

    sync_id: str | None = None


class SyncRejected(Exception):
    """The server refused, or was not to be had: `code` is gRPC's, `reason` the stable word for why, None without one.

    `sync_id` is None where no sync was opened.
    """

    sync_id: str | None = None

    def __init__(self, message: str, *, code: str, reason: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class Producer:
    """`async with Producer("host:50051", key) as producer: sync = await producer.push(...)`

    `credentials` (grpc.ssl_channel_credentials()) are for a server behind TLS; without them the key travels in clear.
    """

    def __init__(self, target: str, key: str, *, credentials: grpc.ChannelCredentials | None = None) -> None:
        self._metadata = (("authorization", f"Bearer {key}"),)
        interceptors = _tracing()
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, _CHANNEL_OPTIONS, interceptors=interceptors)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, _CHANNEL_OPTIONS, interceptors=interceptors)
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
        items: ItemSource | SerialisedSource,
        *,
        request_id: str,
        mode: pb.SyncMode = pb.SYNC_MODE_FULL,
        source: str = "",
        as_of: datetime | None = None,
        feed_digest: bytes = b"",
        on_progress: Callable[[ProgressReport], None] = lambda report: None,
    ) -> pb.Sync:
        """Pushes all items and waits until the sync has ended or waits for an operator.

        `items` is called again after a break and must give the same items in the same order. Repeating the call
        with the same `request_id` goes on with the same sync. A `feed_digest` (see StartSyncRequest) lets the server
        know a FULL feed again that is published already: then `items` is not called. Raises SyncRejected, FeedChanged.
        """
        start = pb.StartSyncRequest(
            request_id=request_id, merchant=merchant, mode=mode, source=source, feed_digest=feed_digest
        )
        if as_of is not None:
            start.as_of.FromDatetime(as_of)
        sync = (await self._call(self._stub.StartSync, start)).sync
        try:
            if sync.state == pb.SYNC_STATE_OPEN:
                count, checksum = await self._push_all(sync, items, on_progress)
                finish = pb.FinishSyncRequest(sync_id=sync.sync_id, count=count, checksum=checksum)
                sync = (await self._call(self._stub.FinishSync, finish)).sync
            return await self._wait(sync, on_progress)
        except (SyncRejected, FeedChanged) as error:
            error.sync_id = sync.sync_id
            raise

    async def cancel(self, sync_id: str) -> pb.Sync:
        """Gives up a sync that is not being published yet; repeating it has no effect. Raises SyncRejected."""
        return (await self._call(self._stub.CancelSync, pb.CancelSyncRequest(sync_id=sync_id))).sync

    async def issues(self, sync_id: str, *, limit: int = 200) -> list[pb.SyncIssue]:
        """The first ones of what was wrong with the rows of a sync, in their order. Raises SyncRejected."""
        found: list[pb.SyncIssue] = []
        token = ""
        while len(found) < limit:
            size = min(limit - len(found), MAX_PAGE)
            request = pb.ListSyncIssuesRequest(sync_id=sync_id, page_size=size, page_token=token)
            answer = await self._call(self._stub.ListSyncIssues, request)
            found += answer.issues
            token = answer.next_page_token
            if not token:
                break
        return found

    async def validate(self, merchant: str, items: ItemSource) -> Validation:
        """A dry run: what a sync would say about each item by itself. Stores nothing. Raises SyncRejected."""
        found = Validation()
        offset = 0
        with OneThread("feed") as thread:
            iterator = await thread.run(items)
            while batch := await thread.run(_take_whole, iterator):
                request = pb.ValidateOffersRequest(merchant=merchant, items=batch)
                answer = await self._call(self._stub.ValidateOffers, request)
                for issue in answer.issues:
                    issue.offset += offset
                found.issues += answer.issues
                found.accepted += answer.accepted
                found.rejected += answer.rejected
                offset += len(batch)
        return found

    async def _push_all(
        self, sync: pb.Sync, items: ItemSource | SerialisedSource, on_progress: Callable[[ProgressReport], None]
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
            if failure is not None and (not _may_pass(failure, _OVERTAKEN) or attempt >= MAX_ATTEMPTS):
                raise _rejected(failure) from failure
            if attempt >= MAX_ATTEMPTS:
                raise SyncRejected("The server ends the stream before all is stored.", code="UNAVAILABLE", reason=None)
            await _pause(attempt, failure)
            resumed += 1
            committed = (await self._get(sync.sync_id)).committed_offset

    async def _get(self, sync_id: str) -> pb.Sync:
        return (await self._call(self._stub.GetSync, pb.GetSyncRequest(sync_id=sync_id))).sync

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
                await _pause(attempt, error)

    async def _call(self, method: "grpc.aio.UnaryUnaryMultiCallable[R, S]", request: R) -> S:
        for attempt in itertools.count(1):
            try:
                return await method(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if not _may_pass(error) or attempt >= MAX_ATTEMPTS:
                    raise _rejected(error) from error
                await _pause(attempt, error)
        raise AssertionError("unreachable")


def _tracing() -> Sequence[Any]:
    """What makes spans of the calls, where this program has traces: its import takes longer than a small push."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return ()
    from opentelemetry.instrumentation.grpc import aio_client_interceptors

    interceptors: Sequence[Any] = aio_client_interceptors()  # type: ignore[no-untyped-call]
    return interceptors


class _Stream:
    """The requests of one PushOffers call: all items are read, those before `skip` are only counted and summed."""

    def __init__(self, sync_id: str, items: ItemSource | SerialisedSource, skip: int) -> None:
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
                taking = asyncio.ensure_future(thread.run(self._take, items))
                try:
                    while batch := await taking:
                        # Read on while this batch is on its way.
                        end, taking = self.offset, asyncio.ensure_future(thread.run(self._take, items))
                        unsent = batch[max(0, self._skip - (end - len(batch))) :]
                        if unsent:
                            offset = end - len(unsent)
                            yield pb.PushOffersRequest(sync_id=self._sync_id, offset=offset, items=unsent)
                finally:
                    taking.cancel()
            if self.offset < self._skip:
                raise FeedChanged(f"the feed has {self.offset} items now, {self._skip} are stored")
            self.ended = True
        except Exception as error:
            self.error = error
            raise

    def _take(self, items: Iterator[pb.OfferItem | bytes]) -> list[bytes]:
        """The next items, serialised and summed up; none at the end."""
        batch: list[bytes] = []
        size = 0
        for item in items:
            # Sorted map keys: an offer that has not changed has the same bytes as the last time.
            data = item if isinstance(item, bytes) else item.SerializeToString(deterministic=True)
            batch.append(data)
            size += len(data)
            if len(batch) == BATCH_ITEMS or size >= BATCH_BYTES:
                break
        self.checksum = combine(self.checksum, self.offset, batch)
        self.offset += len(batch)
        return batch


def _take_whole(items: Iterator[pb.OfferItem]) -> list[pb.OfferItem]:
    """The next items; none at the end."""
    batch: list[pb.OfferItem] = []
    size = 0
    for item in items:
        batch.append(item)
        size += item.ByteSize()
        if len(batch) == BATCH_ITEMS or size >= BATCH_BYTES:
            break
    return batch


def _may_pass(error: grpc.aio.AioRpcError, *others: grpc.StatusCode) -> bool:
    """INTERNAL without one of our reasons is gRPC's own, such as a message written to a call that had just ended.

    RESOURCE_EXHAUSTED passes where the server says when: a limit, and not a message that is too large.
    """
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        wait_s = retry_after_of(error)
        return wait_s is not None and wait_s <= _LONGEST_WAIT_S
    if error.code() is grpc.StatusCode.INTERNAL:
        return reason_of(error) is None
    return error.code() in _RETRYABLE or error.code() in others


async def _pause(attempt: int, error: grpc.aio.AioRpcError | None) -> None:
    """Longer each time, and at least as long as the server asks for."""
    asked_s = (None if error is None else retry_after_of(error)) or 0.0
    limit = min(_PAUSE_LIMIT_S, _PAUSE_S * 2**attempt)
    await asyncio.sleep(asked_s + random.uniform(limit / 2, limit))  # noqa: S311  # spreads retries, guards nothing


def _rejected(error: grpc.aio.AioRpcError) -> SyncRejected:
    return SyncRejected(error.details() or error.code().name, code=error.code().name, reason=reason_of(error))
