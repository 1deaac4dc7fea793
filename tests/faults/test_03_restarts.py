"""3. Servers and workers that are stopped or killed: the full old or the full new feed, never a mix."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.faults.calls import calling
from tests.faults.conftest import MakePlatform
from tests.faults.feeds import Feed, push_request
from tests.faults.processes import Merchant, Platform, Process, kept_running, until
from tests.faults.watcher import watching
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc

GRACE_S = 3.0
# For what a busy machine adds to a grace.
MARGIN_S = 3.0
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING
KILLS = 20
SIZE = 15_000
# A killed worker's lease ends, a wake-up is sent, a worker starts, and the sync is processed anew.
RECOVERY_LIMIT_S = 60.0


async def health_statuses(target: str, into: list[tuple[float, int]]) -> None:
    """Appends (when, status) for every change that the server tells, until it is gone."""
    async with grpc.aio.insecure_channel(target) as channel:
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            async for response in stub.Watch(health_pb2.HealthCheckRequest()):
                into.append((time.monotonic(), response.status))
        except grpc.aio.AioRpcError:
            return


@pytest.mark.timeout(120)
async def test_sigterm_during_a_push(platform: Platform, tell: Callable[[str], None]) -> None:
    """Health says NOT_SERVING at once; the stream is drained or UNAVAILABLE within the grace; a resume completes."""
    shop = await platform.make_merchant()
    feed = Feed(20_000)
    items = list(feed.items())
    statuses: list[tuple[float, int]] = []
    watching_health = asyncio.ensure_future(health_statuses(platform.target, statuses))
    await until(lambda: statuses and statuses[-1][1] == SERVING, 10, "health says SERVING")

    acknowledged = 0
    ended_with = ""
    async with calling(platform.target, shop.key) as calls:
        sync_id = (await calls.start(shop.slug, "sigterm", as_of=feed.as_of)).sync_id

        async def slowly() -> AsyncIterator[pb.PushOffersRequest]:
            """As long as the server lets us: 20,000 items would take 20 s."""
            for offset in range(0, len(items), 50):
                yield push_request(sync_id, offset, items[offset : offset + 50])
                await asyncio.sleep(0.05)

        stub: Any = pb_grpc.OfferSyncServiceStub(calls.channel)
        call = stub.PushOffers(slowly(), metadata=(("authorization", f"Bearer {shop.key}"),))
        stopping: asyncio.Future[float] | None = None
        stopped_at_s = 0.0
        try:
            async for response in call:
                acknowledged = response.committed_offset
                if acknowledged >= 500 and stopping is None:
                    stopped_at_s = time.monotonic()
                    stopping = asyncio.ensure_future(platform.serve.terminate(2 * GRACE_S + MARGIN_S))
        except grpc.aio.AioRpcError as error:
            ended_with = error.code().name
        stream_s = time.monotonic() - stopped_at_s
        assert stopping is not None
        stop_s = await stopping
    await watching_health

    told = [when - stopped_at_s for when, status in statuses if status == NOT_SERVING]
    assert told, "health never said NOT_SERVING"
    tell(
        f"NOT_SERVING after {told[0]:.2f} s, stream ended {ended_with or 'drained'} after {stream_s:.1f} s,"
        f" process after {stop_s:.1f} s (grace {GRACE_S:g} s), {acknowledged} items acknowledged"
    )
    assert told[0] < 1.0
    assert ended_with in ("", "UNAVAILABLE")
    assert stream_s < GRACE_S + MARGIN_S
    assert stop_s < GRACE_S + MARGIN_S

    await platform.serve.start()
    sync = await platform.sync(shop, "sigterm")
    assert sync is not None
    assert sync["state"] == "open"
    assert sync["committed_offset"] >= acknowledged, "an acknowledged offset was not durable"
    assert await platform.prices(shop) == {}
    await platform.push(shop, "sigterm", feed)
    assert await platform.prices(shop) == feed.prices()


@pytest.mark.timeout(120)
async def test_sigterm_during_an_upload(platform: Platform, tell: Callable[[str], None]) -> None:
    """A feed that comes in over REST, slowly, holds up neither gRPC's NOT_SERVING nor the end of the process."""
    shop = await platform.make_merchant()
    statuses: list[tuple[float, int]] = []
    watching_health = asyncio.ensure_future(health_statuses(platform.target, statuses))
    await until(lambda: statuses and statuses[-1][1] == SERVING, 10, "health says SERVING")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(platform.settings["WAPSI_HTTP_PORT"]))
    head = (
        f"POST /v1/merchants/{shop.slug}/syncs HTTP/1.1\r\nHost: wapsi.test\r\nAuthorization: Bearer {shop.key}\r\n"
        "Idempotency-Key: slow\r\nContent-Type: application/octet-stream\r\nContent-Length: 10000000\r\n\r\n"
    )
    writer.write(head.encode())
    over = asyncio.Event()
    dripping = asyncio.ensure_future(drip(writer, over))
    await asyncio.sleep(0.5)
    stopped_at_s = time.monotonic()
    stop_s = await platform.serve.terminate(3 * GRACE_S + MARGIN_S)
    over.set()
    await dripping
    answer = b"none"
    with contextlib.suppress(ConnectionError):
        answer = await reader.read(100)
    writer.close()
    await watching_health

    told = [when - stopped_at_s for when, status in statuses if status == NOT_SERVING]
    assert told, "health never said NOT_SERVING"
    took = f"NOT_SERVING after {told[0]:.2f} s, process after {stop_s:.1f} s (grace {GRACE_S:g} s)"
    tell(f"{took}, answered {answer[:12]!r}")
    assert told[0] < 1.0
    assert stop_s < GRACE_S + MARGIN_S
    assert await platform.sql.fetchval("SELECT count(*) FROM jobs WHERE queue = 'ingest'") == 0
    assert await platform.prices(shop) == {}


async def drip(writer: asyncio.StreamWriter, over: asyncio.Event) -> None:
    with contextlib.suppress(ConnectionError):
        while not over.is_set():
            writer.write(b"offer_id,title\n")
            await writer.drain()
            await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_a_producer_rides_through_a_restart(make_platform: MakePlatform, tell: Callable[[str], None]) -> None:
    """The client library needs no help: SIGTERM in the middle of its push, a start, and it has pushed all."""
    platform = await make_platform(WAPSI_SHUTDOWN_GRACE_S="0.5")
    shop = await platform.make_merchant()
    feed = Feed(20_000)
    client = platform.client(shop, "restart", feed, pause_ms=100)  # 4 s to push, which is more than the grace
    await until(lambda: client.acknowledged()[-1:] >= [5_000], 30, "the push is under way")
    stop_s = await platform.serve.terminate(0.5 + 2 * MARGIN_S)
    await platform.serve.start()
    assert await client.wait(60) == 0, client.tail()
    lines = client.lines()
    assert lines[-1]["state"] == "succeeded"
    assert client.acknowledged() == sorted(client.acknowledged()), "what had been acknowledged was lost"
    resumed = max(line["resumed"] for line in lines if line["event"] == "pushing")
    tell(f"stopped in {stop_s:.1f} s, resumed {resumed} time(s)")
    assert resumed >= 1, "the push was not interrupted"
    assert await platform.prices(shop) == feed.prices()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", ["serve", "worker"])
async def test_kill_at_random_points(make_platform: MakePlatform, tell: Callable[[str], None], victim: str) -> None:
    """Ten kills of the server and ten of the worker, each somewhere in a sync that replaces every offer."""
    seed = random.randrange(2**32)
    tell(f"seed {seed}")
    chance = random.Random(seed)
    platform = await make_platform(FAULTS_LEASE_S="4")
    shop = await platform.make_merchant()
    await platform.push(shop, "first", Feed(SIZE))
    await platform.push(shop, "second", Feed(SIZE, revision=1, shift=SIZE // 20))
    second = await platform.sync(shop, "second")
    assert second is not None
    duration_s = (second["finished_at"] - second["created_at"]).total_seconds()

    recoveries_s = []
    hit: dict[str, int] = {}
    process = platform.processes[victim]
    started_s = time.monotonic()
    async with kept_running(process):
        for number in range(KILLS // 2):
            feed = Feed(SIZE, revision=number + 2, shift=SIZE // 20)
            after_s = chance.uniform(0, duration_s)
            where = f"kill {number} of {victim} after {after_s:.2f} of {duration_s:.2f} s (seed {seed})"
            state, recovery_s = await kill_during_sync(platform, shop, feed, process, after_s, where)
            hit[state] = hit.get(state, 0) + 1
            recoveries_s.append(recovery_s)
    tell(
        f"{KILLS // 2} kills, hit {hit}, never a mix, new feed visible after"
        f" {min(recoveries_s):.1f} to {max(recoveries_s):.1f} s, all in {time.monotonic() - started_s:.0f} s"
    )
    missed = hit.get("succeeded", 0)
    assert missed <= KILLS // 4, f"{missed} kills came after the sync had ended: that shows nothing"


async def kill_during_sync(
    platform: Platform, shop: Merchant, feed: Feed, process: Process, after_s: float, where: str
) -> tuple[str, float]:
    """The state of the sync when the process was killed, and the seconds from there until the sync had succeeded."""
    request_id = f"revision {feed.revision}"
    before = await platform.prices(shop)
    async with watching(platform.dsn, shop.id) as watch:
        client = platform.client(shop, request_id, feed)

        async def has_begun() -> bool:
            return await platform.sync(shop, request_id) is not None

        await until(has_begun, 30, "the sync has begun", every_s=0.005)
        await asyncio.sleep(after_s)
        sync = await platform.sync(shop, request_id)
        assert sync is not None
        process.send_signal(signal.SIGKILL)
        killed_s = time.monotonic()
        status = await client.wait(RECOVERY_LIMIT_S)
        recovery_s = time.monotonic() - killed_s
        assert status == 0, (where, client.lines()[-3:], client.tail())
    after = await platform.prices(shop)
    assert after == feed.prices(), where
    assert before != after, where
    # Two states at the ends that are whole, and none between them.
    assert len(watch.states) == 2, (where, watch.states)
    lines = client.lines()
    assert lines[-1]["state"] == "succeeded", (where, lines[-1])
    assert client.acknowledged() == sorted(client.acknowledged()), (where, "what had been acknowledged was lost")
    return str(sync["state"]), recovery_s
