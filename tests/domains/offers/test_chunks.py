"""A batch is stored as it came, with an index that says what its items are about without reading the offers."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from domains.offers.errors import SyncRequestInvalid
from domains.offers.service import chunks
from domains.offers.service.chunks import ItemKind, content_hash, decode_chunk, encode_chunk
from domains.offers.service.plan import to_microseconds
from wapsi.producer.checksum import EMPTY_CHECKSUM, combine
from wapsi.rpc.offers.v1 import offer_item_head_pb2 as head_pb
from wapsi.rpc.offers.v1 import offer_sync_pb2 as pb

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
Item = Callable[..., pb.OfferItem]


def data(*items: pb.OfferItem) -> list[bytes]:
    return [item.SerializeToString(deterministic=True) for item in items]


def encode(*items: pb.OfferItem, first_offset: int = 0) -> chunks.Chunk:
    return encode_chunk(EMPTY_CHECKSUM, first_offset, data(*items))


def test_what_came_comes_back_byte_for_byte(item: Item) -> None:
    items = data(item("a"), item("b", description="ش" * 500))
    assert list(decode_chunk(encode_chunk(EMPTY_CHECKSUM, 0, items).payload)) == items


def test_the_index_has_each_items_id_time_and_hash(item: Item) -> None:
    chunk = encode(item("a"), item("ب", at=NOON.replace(microsecond=7)), first_offset=40)
    assert chunk.index.ids() == ["a", "ب"]
    assert [chunk.index.time_us(n) for n in (0, 1)] == [to_microseconds(NOON), to_microseconds(NOON) + 7]
    assert [chunk.index.content_hash(n) for n in (0, 1)] == [
        content_hash(made.offer.SerializeToString()) for made in (item("a"), item("ب"))
    ]
    assert list(chunk.index.kinds) == [ItemKind.OFFER, ItemKind.OFFER]
    assert (chunk.first_offset, chunk.end_offset) == (40, 42)


def test_the_hash_is_of_the_offer_and_not_of_when_and_where_it_was_stated(item: Item) -> None:
    elsewhere = item("a", at=NOON.replace(hour=13))
    elsewhere.line = 77
    index = encode(item("a"), elsewhere, item("a", price_minor=1)).index
    assert index.content_hash(0) == index.content_hash(1) != index.content_hash(2)


def test_the_checksum_goes_on_from_the_one_before(item: Item) -> None:
    first = encode(item("a"))
    second = encode_chunk(first.checksum, 1, data(item("b")))
    assert second.checksum == combine(EMPTY_CHECKSUM, 0, data(item("a"), item("b")))


def test_items_that_cannot_be_compared_are_told_apart(item: Item) -> None:
    noted, rejected = item("noted"), pb.OfferItem(line=4, rejected_offer_id="row 4")
    noted.issues.add(code="TIME_INVALID")
    timeless, before_1970 = item("timeless"), item("before")
    timeless.ClearField("source_time")
    before_1970.source_time.seconds = -5
    chunk = encode(noted, rejected, timeless, before_1970, item(""), item("x" * 201), item("n\0l"), item("l\nf"))
    kind = ItemKind
    assert list(chunk.index.kinds) == [kind.NOTED, kind.REJECTED, *[kind.UNPLACED] * 6]
    assert chunk.index.ids() == ["noted", "row 4", "timeless", "before", "", "", "", ""]


def test_an_empty_offer_is_an_offer_and_none_is_none() -> None:
    assert list(encode(pb.OfferItem(offer=pb.Offer()), pb.OfferItem()).index.kinds) == [
        ItemKind.UNPLACED,
        ItemKind.REJECTED,
    ]


def test_a_deletion_is_an_offer_like_any_other(deletion: Item) -> None:
    assert list(encode(deletion("a")).index.kinds) == [ItemKind.OFFER]


def test_an_id_that_an_encoder_wrote_later_is_found(item: Item) -> None:
    """Encoders write fields by their numbers, but they need not."""
    offer = pb.Offer(title="A").SerializeToString() + pb.Offer(offer_id="a").SerializeToString()
    made = head_pb.OfferItemHead(offer=offer, source_time=item("a").source_time.SerializeToString())
    assert encode_chunk(EMPTY_CHECKSUM, 0, [made.SerializeToString()]).index.ids() == ["a"]


def test_a_long_id_is_found_too(item: Item) -> None:
    assert encode(item("ا" * 100)).index.ids() == ["ا" * 100]


def test_an_id_that_is_no_text_leaves_the_item_unplaced() -> None:
    offer = b"\x0a\x02\xff\xfe"
    made = head_pb.OfferItemHead(offer=offer, source_time=b"\x08\x01").SerializeToString()
    assert encode_chunk(EMPTY_CHECKSUM, 0, [made]).index.kinds == bytes([ItemKind.UNPLACED])


def test_bytes_that_are_no_item_refuse_the_batch_and_say_which(item: Item) -> None:
    with pytest.raises(SyncRequestInvalid, match="Item 41 is no OfferItem"):
        encode_chunk(EMPTY_CHECKSUM, 40, [*data(item("a")), b"\xff\xff"])


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_stored_or_refused(raw: bytes) -> None:
    try:
        chunk = encode_chunk(EMPTY_CHECKSUM, 0, [raw])
    except SyncRequestInvalid:
        return
    assert list(decode_chunk(chunk.payload)) == [raw]
    assert len(chunk.index.ids()) == len(chunk.index.kinds) == chunk.items == 1
    assert "\0" not in chunk.index.offer_ids


def test_the_head_is_on_the_wire_what_an_item_is() -> None:
    """The server reads what producers wrote through another message: their fields must stay the same."""
    item, head = pb.OfferItem.DESCRIPTOR.fields_by_number, head_pb.OfferItemHead.DESCRIPTOR.fields_by_number
    delimited = {item[1].TYPE_MESSAGE, item[1].TYPE_BYTES, item[1].TYPE_STRING}
    for number, field in head.items():
        assert field.name == item[number].name
        assert {field.type, item[number].type} <= delimited


def test_another_version_of_the_rules_has_other_hashes(monkeypatch: pytest.MonkeyPatch, item: Item) -> None:
    before = encode(item("a")).index.content_hashes
    monkeypatch.setattr(chunks, "_HASHER", chunks.blake2b(digest_size=16, person=b"offer rules 2"))
    assert encode(item("a")).index.content_hashes != before


def test_an_item_that_is_as_deep_as_can_be_is_read_alone(item: Item) -> None:
    """In the message of them all it lies a level deeper, which is too deep."""
    opened, closed = b"\x7b", b"\x7c"  # groups of a field that nobody knows
    deepest = data(item("a"))[0] + opened * 100 + closed * 100
    pb.OfferItem.FromString(deepest)
    with pytest.raises(DecodeError):
        head_pb.PushedItems.FromString(b"\x1a" + _length(deepest) + deepest)
    chunk = encode_chunk(EMPTY_CHECKSUM, 0, [*data(item("b")), deepest])
    assert chunk.index.ids() == ["b", "a"]
    assert chunks.decode_items(chunk.payload) is None


def _length(data: bytes) -> bytes:
    """As protobuf writes it; of 128 to 16383 bytes."""
    return bytes((len(data) & 0x7F | 0x80, len(data) >> 7))
