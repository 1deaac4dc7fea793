"""The producer's client against a server that drops its stream at chosen points: nothing is lost or sent twice."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest

from wapsi.errors import DataLoss, DomainError, Exhausted, PreconditionFailed
from wapsi.producer import FeedChanged, Producer, ProgressReport, SyncRejected, client
from wapsi.producer.checksum import EMPTY_CHECKSUM, combine
from wapsi.rpc.errors import abort, status_of
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc

BATCH = 10
FINAL = pb.Sync(sync_id="s1", state=pb.SYNC_STATE_SUCCEEDED)


class MerchantPaused(PreconditionFailed):
    reason = "MERCHANT_PAUSED"


class ChecksumDiffers(DataLoss):
    reason = "CHECKSUM_DIFFERS"


class Server(pb_grpc.OfferSyncServiceServicer):
    """Keeps what it is sent. `breaks` says where a stream ends, one entry a stream: (after so many batches, how)."""

    def __init__(self) -> None:
        self.items: list[pb.OfferItem] = []
        self.received = 0
        self.streams = 0
        self.calls: list[str] = []
        self.keys: set[str] = set()
        self.breaks: list[tuple[int, str]] = []
        self.start_errors: list[Any] = []
        self.push_error: DomainError | None = None
        self.watch_breaks = 0
        self.silent_starts = 0
        self.started_as = pb.SYNC_STATE_OPEN
        self.finished: pb.FinishSyncRequest | None = None

    def sync(self, state: Any = pb.SYNC_STATE_OPEN) -> pb.Sync:
        return pb.Sync(sync_id="s1", state=state, committed_offset=len(self.items))

    async def StartSync(self, request: Any, context: Any) -> pb.StartSyncResponse:
        self.calls.append("StartSync")
        self.keys |= {str(value) for key, value in context.invocation_metadata() if key == "authorization"}
        if self.silent_starts:
            self.silent_starts -= 1
            await asyncio.sleep(60)
        if self.start_errors:
            error = self.start_errors.pop(0)
            if isinstance(error, DomainError):
                await abort(context, status_of(error))
            await context.abort(error, "try again")
        return pb.StartSyncResponse(sync=self.sync(self.started_as))

    async def GetSync(self, request: Any, context: Any) -> pb.GetSyncResponse:
        self.calls.append("GetSync")
        return pb.GetSyncResponse(sync=self.sync())

    async def PushOffers(self, requests: Any, context: Any) -> AsyncIterator[pb.PushOffersResponse]:
        self.streams += 1
        after, how = self.breaks.pop(0) if self.breaks else (-1, "")
        batches = 0
        if self.push_error is not None:
            async for _ in requests:
                pass  # a refusal at once may be hidden by gRPC's own error of the message that follows it
            await abort(context, status_of(self.push_error))
        if after == 0 and how == "as if all had come":
            return
        if after == 0:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        async for request in requests:
            assert request.offset == len(self.items), "a batch that does not follow what is stored"
            batches += 1
            self.received += len(request.items)
            if batches == after and how == "before it is stored":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            if batches == after and how == "unstored, as if all had come":
                return
            self.items += request.items
            if batches == after and how == "another stream had stored it":
                await context.abort(grpc.StatusCode.OUT_OF_RANGE, "go on behind it")
            if batches == after and how == "before it is acknowledged":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            yield pb.PushOffersResponse(committed_offset=len(self.items))
            if batches == after and how == "after it is acknowledged":
                await context.abort(grpc.StatusCode.CANCELLED, "gone")
            if batches == after and how == "as if all had come":
                return

    async def FinishSync(self, request: pb.FinishSyncRequest, context: Any) -> pb.FinishSyncResponse:
        self.calls.append("FinishSync")
        self.finished = request
        if (request.count, request.checksum) != (len(self.items), combine(EMPTY_CHECKSUM, 0, self.items)):
            await abort(context, status_of(ChecksumDiffers("What is stored is not what was sent.")))
        return pb.FinishSyncResponse(sync=self.sync(pb.SYNC_STATE_QUEUED))

    async def WatchSync(self, request: Any, context: Any) -> AsyncIterator[pb.WatchSyncResponse]:
        self.calls.append("WatchSync")
        yield pb.WatchSyncResponse(sync=self.sync(pb.SYNC_STATE_PROCESSING))
        if self.watch_breaks:
            self.watch_breaks -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        yield pb.WatchSyncResponse(sync=FINAL)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BATCH_ITEMS", BATCH)
    monkeypatch.setattr(client, "_PAUSE_S", 0.001)
    monkeypatch.setattr(client, "_PAUSE_LIMIT_S", 0.01)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def producer(server: Server) -> AsyncIterator[Producer]:
    running = grpc.aio.server()
    pb_grpc.add_OfferSyncServiceServicer_to_server(server, running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    async with Producer(f"127.0.0.1:{port}", "wpk_key") as producer:
        yield producer
    await running.stop(0.1)


def item(number: int, text: str = "") -> pb.OfferItem:
    offer = pb.Offer(offer_id=f"o{number}", title=f"Offer {number}", description=text)
    made = pb.OfferItem(line=number + 1, offer=offer)
    made.source_time.FromSeconds(1_800_000_000 + number)
    return made


def feed(count: int) -> Callable[[], Iterator[pb.OfferItem]]:
    return lambda: (item(number) for number in range(count))


async def push(producer: Producer, items: Callable[[], Iterator[pb.OfferItem]], **options: Any) -> pb.Sync:
    return await producer.push("daraz", items, request_id="r-1", **options)


def assert_whole(server: Server, count: int) -> None:
    assert [pb.OfferItem.FromString(stored).offer.offer_id for stored in server.items] == [
        f"o{number}" for number in range(count)
    ]
    assert server.finished is not None
    assert server.finished.count == count
    assert server.finished.checksum == combine(
        EMPTY_CHECKSUM, 0, [made.SerializeToString(deterministic=True) for made in feed(count)()]
    )


async def test_a_feed_arrives_in_batches_with_its_count_and_checksum(producer: Producer, server: Server) -> None:
    assert await push(producer, feed(35)) == FINAL
    assert_whole(server, 35)
    assert (server.received, server.streams) == (35, 1)
    assert server.keys == {"Bearer wpk_key"}


async def test_an_empty_feed_is_a_feed(producer: Producer, server: Server) -> None:
    assert await push(producer, feed(0)) == FINAL
    assert server.finished == pb.FinishSyncRequest(sync_id="s1", count=0, checksum=EMPTY_CHECKSUM)


@pytest.mark.parametrize(
    "how",
    [
        "before it is acknowledged",
        "after it is acknowledged",
        "as if all had come",
        "another stream had stored it",
    ],
)
@pytest.mark.parametrize("after", [1, 2, 4])
async def test_a_stream_that_breaks_is_gone_on_with_from_what_is_stored(
    producer: Producer, server: Server, after: int, how: str
) -> None:
    server.breaks = [(after, how)]
    assert await push(producer, feed(35)) == FINAL
    assert_whole(server, 35)
    assert server.received == 35, "something was sent twice"


@pytest.mark.parametrize("how", ["before it is stored", "unstored, as if all had come"])
async def test_a_batch_that_was_lost_on_the_way_is_sent_again(producer: Producer, server: Server, how: str) -> None:
    server.breaks = [(4, how)]
    await push(producer, feed(40))
    assert_whole(server, 40)
    assert server.received == 40 + BATCH


async def test_a_stream_that_breaks_again_and_again_comes_through_while_it_gets_on(
    producer: Producer, server: Server
) -> None:
    server.breaks = [(0, "at once"), *[(1, "after it is acknowledged")] * 12, (0, "at once")]
    reports: list[ProgressReport] = []
    await push(producer, feed(200), on_progress=reports.append)
    assert_whole(server, 200)
    assert server.received == 200
    pushing = [report.done for report in reports if report.phase == "pushing"]
    assert pushing == sorted(pushing)
    assert pushing[-1] == 200
    assert max(report.resumed for report in reports) == 14
    assert [report.phase for report in reports][-1] == "processing"


async def test_what_was_stored_before_a_restart_is_not_sent_again(producer: Producer, server: Server) -> None:
    """The producer itself died and is started anew with the same request id."""
    server.items = [made.SerializeToString(deterministic=True) for made in feed(25)()]
    await push(producer, feed(35))
    assert_whole(server, 35)
    assert server.received == 10


async def test_a_sync_that_was_finished_before_is_only_waited_for(producer: Producer, server: Server) -> None:
    server.started_as = pb.SYNC_STATE_PROCESSING
    assert await push(producer, feed(35)) == FINAL
    assert server.calls == ["StartSync", "WatchSync"]


@pytest.mark.parametrize("left", [0, 15])
async def test_a_feed_that_has_shrunk_since_is_not_finished(producer: Producer, server: Server, left: int) -> None:
    server.breaks = [(2, "after it is acknowledged")]
    sizes = iter([35, left])
    with pytest.raises(FeedChanged, match=f"has {left} items now, 20 are stored") as changed:
        await push(producer, lambda: feed(next(sizes))())
    assert changed.value.sync_id == "s1"
    assert "FinishSync" not in server.calls


async def test_a_feed_that_has_changed_since_is_found_by_its_checksum(producer: Producer, server: Server) -> None:
    server.breaks = [(2, "after it is acknowledged")]
    versions = iter([feed(35)(), (item(number + number // 3) for number in range(35))])
    with pytest.raises(SyncRejected) as refused:
        await push(producer, lambda: next(versions))
    assert (refused.value.code, refused.value.reason) == ("DATA_LOSS", "CHECKSUM_DIFFERS")
    assert refused.value.sync_id == "s1"


async def test_a_refusal_carries_its_reason_and_is_not_repeated(producer: Producer, server: Server) -> None:
    server.start_errors = [MerchantPaused("The merchant is paused.", merchant="daraz")]
    with pytest.raises(SyncRejected, match="The merchant is paused") as refused:
        await push(producer, feed(5))
    assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "MERCHANT_PAUSED")
    assert refused.value.sync_id is None
    assert server.calls == ["StartSync"]


async def test_a_refusal_of_the_stream_ends_the_push(producer: Producer, server: Server) -> None:
    server.push_error = MerchantPaused("The merchant is paused.")
    with pytest.raises(SyncRejected) as refused:
        await push(producer, feed(35))
    assert refused.value.reason == "MERCHANT_PAUSED"
    assert server.streams == 1


async def test_a_crash_of_the_server_is_not_hammered(producer: Producer, server: Server) -> None:
    server.push_error = type("Crash", (DataLoss,), {"reason": "INTERNAL"})("Something went wrong on our side.")
    with pytest.raises(SyncRejected):
        await push(producer, feed(35))
    assert server.streams == 1


async def test_a_refusal_without_our_details_has_no_reason(producer: Producer, server: Server) -> None:
    server.start_errors = [grpc.StatusCode.UNAUTHENTICATED]
    with pytest.raises(SyncRejected) as refused:
        await push(producer, feed(5))
    assert (refused.value.code, refused.value.reason) == ("UNAUTHENTICATED", None)


async def test_a_server_that_is_away_for_a_moment_is_waited_out(producer: Producer, server: Server) -> None:
    server.start_errors = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED]
    server.watch_breaks = 3
    assert await push(producer, feed(5)) == FINAL
    assert server.calls.count("StartSync") == 3
    assert server.calls.count("WatchSync") == 4


async def test_a_server_that_stays_away_is_given_up_after_eight_attempts(producer: Producer, server: Server) -> None:
    server.start_errors = [grpc.StatusCode.UNAVAILABLE] * 20
    with pytest.raises(SyncRejected) as refused:
        await push(producer, feed(5))
    assert refused.value.code == "UNAVAILABLE"
    assert len(server.calls) == client.MAX_ATTEMPTS == 8


async def test_a_server_that_does_not_answer_is_asked_again(
    producer: Producer, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CALL_TIMEOUT_S", 0.2)
    server.silent_starts = 2
    assert await push(producer, feed(5)) == FINAL
    assert server.calls.count("StartSync") == 3


@pytest.mark.parametrize("how", ["before it is stored", "as if all had come"])
async def test_a_stream_that_never_gets_on_is_given_up_after_eight_attempts(
    producer: Producer, server: Server, how: str
) -> None:
    server.breaks = [(0, how)] * 20
    with pytest.raises(SyncRejected):
        await push(producer, feed(35))
    assert server.streams == client.MAX_ATTEMPTS
    assert "FinishSync" not in server.calls


@pytest.mark.parametrize("bad_row", [0, 4, 15, 34])
async def test_what_goes_wrong_in_the_source_surfaces_as_itself(
    producer: Producer, server: Server, bad_row: int
) -> None:
    def items() -> Iterator[pb.OfferItem]:
        for number in range(35):
            if number == bad_row:
                raise UnicodeError(f"row {number} is not text")
            yield item(number)

    with pytest.raises(UnicodeError, match=f"row {bad_row} is not text"):
        await asyncio.wait_for(push(producer, items), 10)
    assert server.streams <= 1, "it was tried again"
    assert "FinishSync" not in server.calls


async def test_a_source_that_cannot_be_opened_surfaces_as_itself(producer: Producer, server: Server) -> None:
    def missing() -> Iterator[pb.OfferItem]:
        raise FileNotFoundError("feed.xml")

    with pytest.raises(FileNotFoundError, match=r"feed\.xml"):
        await push(producer, missing)
    assert "FinishSync" not in server.calls


async def test_large_items_go_in_smaller_batches(
    producer: Producer, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC refuses messages of more than 4 MiB, however few items they have."""
    monkeypatch.setattr(client, "BATCH_BYTES", 3000)
    sizes: list[int] = []
    await push(
        producer,
        lambda: (item(number, "x" * 1000) for number in range(7)),
        on_progress=lambda report: sizes.append(report.done) if report.phase == "pushing" else None,
    )
    assert sizes == [3, 6, 7]


class AskedTooOften(Exhausted):
    reason = "RATE_LIMITED"
    retry_after_s = 0


async def test_a_limit_is_waited_for_as_long_as_the_server_says(
    server: Server, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real_sleep(0)

    monkeypatch.setattr(client.asyncio, "sleep", sleep)
    error = AskedTooOften("Too many requests.")
    error.retry_after_s = 7
    server.start_errors = [error]
    assert (await push(producer, feed(3))).state == pb.SYNC_STATE_SUCCEEDED
    assert [wait >= 7 for wait in waits[:1]] == [True]


async def test_a_limit_that_lasts_too_long_is_told(server: Server, producer: Producer) -> None:
    error = AskedTooOften("Too many requests.")
    error.retry_after_s = 3600
    server.start_errors = [error]
    with pytest.raises(SyncRejected) as refused:
        await push(producer, feed(3))
    assert (refused.value.code, refused.value.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert server.calls == ["StartSync"]
