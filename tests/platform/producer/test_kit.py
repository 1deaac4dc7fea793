"""What the kit has beside `push`, against the real server: a dry run, issues, giving up, TLS."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from wapsi.producer import Producer, ProgressReport, SyncRejected, client, snapshot
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb
from wapsi.rpc.offers.v1 import offer_sync_pb2_grpc as pb_grpc

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def item(number: int) -> pb.OfferItem:
    """Every third one leads elsewhere."""
    host = "elsewhere.example" if number % 3 == 0 else "my-shop.example"
    price = pb.Money(amount_minor=1000, currency="PKR")
    offer = pb.Offer(offer_id=f"o{number}", title="Kurta", link=f"https://{host}/{number}", price=price)
    offer.availability = pb.AVAILABILITY_IN_STOCK
    return pb.OfferItem(source_time=NOON, line=number + 1, offer=offer)


def items(count: int = 30) -> Iterator[pb.OfferItem]:
    return (item(number) for number in range(count))


@pytest.fixture
async def producer(door: Any) -> AsyncIterator[Producer]:
    async with Producer(door.target, door.key) as producer:
        yield producer


async def test_a_dry_run_says_what_a_sync_would(
    producer: Producer, beside: Any, admin_sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "BATCH_ITEMS", 7)
    found = await producer.validate("my-shop", items)
    assert (found.accepted, found.rejected) == (20, 10)
    assert [issue.offset for issue in found.issues] == list(range(0, 30, 3))
    assert await admin_sql("SELECT id FROM syncs") == []
    sync = await beside(producer.push("my-shop", items, request_id="r-1"))
    assert await producer.issues(sync.sync_id) == found.issues


async def test_a_dry_run_goes_in_messages_that_the_server_takes(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large() -> Iterator[pb.OfferItem]:
        for made in items():
            made.offer.description = "x" * 200_000
            yield made

    assert (await producer.validate("my-shop", large)).accepted == 20


async def test_issues_are_listed_in_order_up_to_a_limit(
    producer: Producer, beside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_PAGE", 4)
    sync = await beside(producer.push("my-shop", items, request_id="r-1"))
    assert [issue.offset for issue in await producer.issues(sync.sync_id)] == list(range(0, 30, 3))
    assert [issue.offset for issue in await producer.issues(sync.sync_id, limit=6)] == list(range(0, 18, 3))
    with pytest.raises(SyncRejected) as refused:
        await producer.issues("00000000-0000-0000-0000-000000000000")
    assert refused.value.reason == "SYNC_NOT_FOUND"


async def test_a_feed_that_changed_is_given_up_and_pushed_anew(
    producer: Producer, beside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "BATCH_ITEMS", 10)
    stored = threading.Event()

    def dying() -> Iterator[pb.OfferItem]:
        yield from items(20)
        assert stored.wait(10)
        raise ConnectionError("the database went away")

    def note(report: ProgressReport) -> None:
        if report.done == 20:
            stored.set()

    with pytest.raises(ConnectionError):
        await producer.push("my-shop", dying, request_id="r-1", on_progress=note)
    with pytest.raises(SyncRejected) as refused:
        await producer.push("my-shop", lambda: (item(number + 1) for number in range(30)), request_id="r-1")
    assert refused.value.reason == "CHECKSUM_MISMATCH"
    assert refused.value.sync_id is not None
    assert (await producer.cancel(refused.value.sync_id)).state == pb.SYNC_STATE_CANCELLED
    assert (await producer.cancel(refused.value.sync_id)).state == pb.SYNC_STATE_CANCELLED
    assert (await producer.push("my-shop", items, request_id="r-1")).state == pb.SYNC_STATE_CANCELLED
    assert (await beside(producer.push("my-shop", items, request_id="r-2"))).state == pb.SYNC_STATE_PARTIAL


async def test_a_feed_that_is_published_is_known_by_its_digest(producer: Producer, beside: Any) -> None:
    def good() -> Iterator[pb.OfferItem]:
        return (item(number) for number in (1, 2, 4))

    def unread() -> Iterator[pb.OfferItem]:
        raise AssertionError("it was read")

    first = await beside(producer.push("my-shop", good, request_id="r-1", as_of=NOON, feed_digest=b"one"))
    assert first.counters.created == 3
    later = NOON + timedelta(hours=1)
    again = await producer.push("my-shop", unread, request_id="r-2", as_of=later, feed_digest=b"one")
    assert (again.state, again.counters.unchanged) == (pb.SYNC_STATE_SUCCEEDED, 3)
    with pytest.raises(AssertionError, match="it was read"):
        await producer.push("my-shop", unread, request_id="r-3", as_of=later, feed_digest=b"two")


class TestSnapshot:
    def test_it_is_taken_once(self, tmp_path: Path) -> None:
        file = tmp_path / "r-1.items"
        counts = iter([3, 5])
        source = snapshot(file, lambda: items(next(counts)))
        assert list(source()) == list(source()) == list(items(3))
        assert list(snapshot(file, lambda: items(9))()) == list(items(3))
        file.unlink()
        assert list(source()) == list(items(5))

    def test_one_that_was_not_finished_does_not_count(self, tmp_path: Path) -> None:
        def dying() -> Iterator[pb.OfferItem]:
            yield item(1)
            raise ConnectionError("the database went away")

        file = tmp_path / "r-1.items"
        with pytest.raises(ConnectionError):
            list(snapshot(file, dying)())
        assert not file.exists()
        assert list(snapshot(file, lambda: items(2))()) == list(items(2))
        assert list(tmp_path.iterdir()) == [file]

    def test_an_empty_feed_is_one(self, tmp_path: Path) -> None:
        file = tmp_path / "r-1.items"
        assert list(snapshot(file, lambda: items(0))()) == []
        assert list(snapshot(file, lambda: items(2))()) == []

    def test_large_and_small_items(self, tmp_path: Path) -> None:
        large = item(1)
        large.offer.description = "ا" * 100_000
        source = snapshot(tmp_path / "r-1.items", lambda: [pb.OfferItem(), large, pb.OfferItem(), item(2)])
        assert list(source()) == [pb.OfferItem(), large, pb.OfferItem(), item(2)]


def certificate() -> tuple[bytes, bytes]:
    """(key, certificate) of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "feeds.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, made.public_bytes(Encoding.PEM)


class Answering(pb_grpc.OfferSyncServiceServicer):
    async def CancelSync(self, request: pb.CancelSyncRequest, context: Any) -> pb.CancelSyncResponse:
        return pb.CancelSyncResponse(sync=pb.Sync(sync_id=request.sync_id))


async def test_through_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_ATTEMPTS", 2)
    monkeypatch.setattr(client, "_PAUSE_S", 0.001)
    key, trusted = await asyncio.to_thread(certificate)
    server = grpc.aio.server()
    pb_grpc.add_OfferSyncServiceServicer_to_server(Answering(), server)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, trusted)]))
    await server.start()
    target = f"127.0.0.1:{port}"
    async with Producer(target, "wpk_key", credentials=grpc.ssl_channel_credentials(trusted)) as producer:
        assert (await producer.cancel("s1")).sync_id == "s1"
    _, other = await asyncio.to_thread(certificate)
    for credentials in (grpc.ssl_channel_credentials(other), None):
        async with Producer(target, "wpk_key", credentials=credentials) as producer:
            with pytest.raises(SyncRejected) as refused:
                await producer.cancel("s1")
        assert refused.value.code == "UNAVAILABLE"
    await server.stop(0.1)
